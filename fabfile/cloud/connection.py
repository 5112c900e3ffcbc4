"""The connection to OpenStack's API, from the operator's clouds.yaml.

Knows where credentials are looked up and how Keystone fails; makes no object.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from fabfile.core import own_files
from fabfile.core.contract import BadInput, Failed, Json, Unreachable

if TYPE_CHECKING:
    from openstack.block_storage.v3._proxy import Proxy as BlockStorage
    from openstack.compute.v2._proxy import Proxy as Compute
    from openstack.config import OpenStackConfig
    from openstack.config.cloud_region import CloudRegion
    from openstack.connection import Connection
    from openstack.image.v2._proxy import Proxy as Glance

_ANSWER_SECONDS = 60
# API services behind uwsgi drop idle connections without a word.
_RETRIES = 4


class Cloud(Protocol):
    """What is used of an openstack.connection.Connection: the APIs, of today's versions."""

    @property
    def compute(self) -> Compute:
        """Nova."""

    @property
    def block_storage(self) -> BlockStorage:
        """Cinder."""

    @property
    def image(self) -> Glance:
        """Glance."""


@dataclass(frozen=True)
class Named:
    """How the operator says which cloud it is, and another file: for what is said of both."""

    cloud: str = "the name in the site file"
    file: str = "clouds_yaml in the site file"


def connect(
    cloud_name: str, clouds_yaml: str | os.PathLike[str] | None = None, named: Named = Named()
) -> Cloud:
    """An openstack.connection.Connection that has a token.

    clouds_yaml: a path; None: the operator's usual places (and OS_* variables).
    Raises BadInput (no such file or cloud, refused credentials), Unreachable.
    """
    # Heavy: only what talks to the cloud pays for it.
    from openstack.connection import Connection  # noqa: PLC0415 (slow to load)

    # Else each retry is a warning on the operator's screen.
    logging.getLogger("keystoneauth").setLevel(logging.ERROR)
    connection = Connection(config=_region(cloud_name, clouds_yaml, named))
    _authorize(connection, cloud_name)
    # openstacksdk's own type leaves open which version of Cinder's and Glance's API it is.
    return cast(Cloud, connection)


@contextlib.contextmanager
def reading(what: str, see: str) -> Iterator[None]:
    """An API that refuses the block, or does not answer, is a Failed: what cannot be read."""
    try:
        yield
    except failures() as error:
        raise Failed(f"{what} cannot be read: {error}; see that {see}") from error


def failures() -> tuple[type[Exception], ...]:
    """What an API's refusal, silence or odd answer raises: the SDK, its session, its JSON."""
    from keystoneauth1.exceptions import ClientException  # noqa: PLC0415 (slow to load)
    from openstack.exceptions import SDKException  # noqa: PLC0415 (slow to load)
    from requests.exceptions import RequestException  # noqa: PLC0415 (slow to load)

    return SDKException, ClientException, RequestException


def _region(name: str, file: str | os.PathLike[str] | None, named: Named = Named()) -> CloudRegion:
    from openstack.config import OpenStackConfig  # noqa: PLC0415 (slow to load)

    where = str(file) if file else "clouds.yaml"
    if file and not Path(file).is_file():
        raise BadInput(f"{where}: expected a clouds.yaml, there is no such file")
    try:
        config = _config(OpenStackConfig, file)
        known = _clouds(config)
        if name not in known:
            raise BadInput(_no_cloud(config.config_filename, name, known, named))
        return config.get_one(name, **_defaults(config, name))
    except BadInput:
        raise
    # What odd YAML makes the SDK's loader raise has no common class: KeyError, TypeError ...
    except Exception as error:
        said = f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else str(error)
        raise BadInput(f"{where}: cloud {name!r} cannot be read: {said[:400]}") from error


def _config(kind: type[OpenStackConfig], file: str | os.PathLike[str] | None) -> OpenStackConfig:
    from yaml import YAMLError  # noqa: PLC0415 (slow to load)

    _refuse_others(file)
    try:
        if file is None:
            return kind()
        return kind(config_files=[str(file)], load_envvars=False)
    except YAMLError as error:
        raise BadInput(f"{file or 'clouds.yaml'}: not YAML: {error}") from error


def _refuse_others(file: str | os.PathLike[str] | None) -> None:
    """Raises BadInput where somebody else may write what says whom the password is sent to.

    openstacksdk looks in the current folder first, and takes secure.yaml and clouds-public.yaml
    from there even beside a clouds.yaml that is named (openstack/config/loader.py).
    """
    from openstack.config import loader  # noqa: PLC0415 (slow to load)

    named = [str(file)] if file else _usual()
    secure = [None if file else os.environ.get("OS_CLIENT_SECURE_FILE"), *loader.SECURE_FILES]
    for names in (named, secure, loader.VENDOR_FILES):
        there = next((name for name in names if name and Path(name).exists()), None)
        if there:
            own_files.refuse_alterable(Path(there), "the clouds' credentials")


def _defaults(config: OpenStackConfig, name: str) -> dict[str, Json]:
    """What the operator's file leaves open: how long, how often."""
    own = config.cloud_config.get("clouds", {}).get(name) or {}
    wanted = {"api_timeout": _ANSWER_SECONDS, "connect_retries": _RETRIES}
    return {key: value for key, value in wanted.items() if key not in own}


def _usual() -> list[str]:
    """Where openstacksdk looks for a clouds.yaml, the first place first."""
    from openstack.config import loader  # noqa: PLC0415 (slow to load)

    said = os.environ.get("OS_CLIENT_CONFIG_FILE")
    return [*([said] if said else []), *loader.CONFIG_FILES]


def _clouds(config: OpenStackConfig) -> list[str]:
    """The operator's clouds: without the one that openstacksdk makes where there is none."""
    made = {"defaults": config.defaults}
    return [] if config.cloud_config["clouds"] == made else config.get_cloud_names()


def _no_cloud(where: str | None, name: str, known: list[str], named: Named) -> str:
    """where: the file that was read; None: there is none."""
    if not (where or known):
        *others, last = dict.fromkeys(str(Path(file).parent) for file in _usual())
        return (
            f"clouds.yaml: expected one with the cloud {name!r}, found none in "
            f"{', '.join(others)} or {last}; name one by {named.file}"
        )
    names = ", ".join(sorted(known)) or "none"
    return (
        f"{where or 'clouds.yaml'}: no cloud {name!r}; expected one of: {names}; "
        f"correct {named.cloud}, or name another file by {named.file}"
    )


def _authorize(connection: Connection, name: str) -> None:
    from keystoneauth1 import exceptions  # noqa: PLC0415 (slow to load)

    url = connection.config.get_auth_args().get("auth_url", "no auth_url")
    try:
        connection.session.get_token()
    except (exceptions.Unauthorized, exceptions.Forbidden) as error:
        raise BadInput(
            f"cloud {name}: Keystone at {url} refuses these credentials; "
            "correct user, project and password in clouds.yaml"
        ) from error
    except exceptions.ClientException as error:
        raise Unreachable(
            f"cloud {name}: Keystone at {url} does not answer: {error}; expected a "
            "token; see that the address is right and the service is up"
        ) from error
