"""What the lab makes over OpenStack's own API: users, endpoints, and the things
that the cloud holds at its start (a flavor, a file image, a volume of the old
backend)."""

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab import endpoints, openstack_settings
from lab.errors import LabError
from lab.passwords import Passwords
from lab.progress import say
from lab.topology import Topology

CLOUD = "stackrbd-lab"
FLAVOR = "lab.tiny"
FILE_IMAGE = "lab-file-image"
OLD_VOLUME = "lab-old-volume"
OLD_TYPE = openstack_settings.OLD_BACKEND
_FILE_IMAGE_BYTES = 4 * 1024 * 1024
_AGENT_SECONDS = 240
_PREFIX = "198.18.0.0/15"


def clouds_yaml(topology: Topology, secret: Passwords) -> str:
    """The admin's file for openstacksdk and the openstack command."""
    return f"""\
clouds:
  {CLOUD}:
    auth:
      auth_url: {endpoints.of(topology)[0].url}
      project_name: admin
      project_domain_name: Default
      username: admin
      user_domain_name: Default
      password: {secret.admin}
    region_name: {openstack_settings.REGION}
    identity_api_version: 3
    # uwsgi drops idle connections without a word.
    connect_retries: 4
"""


@contextlib.contextmanager
def connected(clouds: Path) -> Iterator[Any]:
    """A connection of openstacksdk; its errors become LabErrors."""
    # Heavy, and only the bootstrap needs it.
    from keystoneauth1.exceptions import ClientException  # noqa: PLC0415
    from openstack.config import OpenStackConfig  # noqa: PLC0415
    from openstack.connection import Connection  # noqa: PLC0415
    from openstack.exceptions import SDKException  # noqa: PLC0415

    # Each retry is a warning else.
    logging.getLogger("keystoneauth").setLevel(logging.ERROR)
    # The environment's proxy is not for the lab's addresses.
    own = (os.environ.get("no_proxy"), _PREFIX)
    os.environ["no_proxy"] = ",".join(item for item in own if item)
    config = OpenStackConfig(config_files=[str(clouds)], load_envvars=False)
    try:
        with Connection(config=config.get_one(CLOUD)) as cloud:
            yield cloud
    except (SDKException, ClientException) as error:
        raise LabError(f"openstack: {error}; the services' logs are in /var/log") from error


def make_users(topology: Topology, secret: Passwords, clouds: Path) -> None:
    """The services' users with their roles, and the catalog. Raises LabError."""
    with connected(clouds) as cloud:
        _make_users(cloud.identity, secret)
        for item in endpoints.of(topology)[1:]:
            _make_service(cloud.identity, item)


def _make_users(identity: Any, secret: Passwords) -> None:
    project = identity.create_project(name="service", domain_id="default")
    roles = {role.name: role for role in identity.roles()}
    # Some releases' bootstrap makes it, some do not.
    service = roles.get("service") or identity.create_role(name="service")
    for name in ("glance", "placement", "nova", "neutron", "cinder"):
        password = secret.users[name]
        user = identity.create_user(name=name, password=password, domain_id="default")
        for role in (roles["admin"], service):
            identity.assign_project_role_to_user(project, user, role)


def _make_service(identity: Any, item: endpoints.Endpoint) -> None:
    entry = identity.create_service(name=item.name, type=item.kind)
    for kind in ("public", "internal", "admin"):
        identity.create_endpoint(
            service_id=entry.id,
            interface=kind,
            url=item.url,
            region_id=openstack_settings.REGION,
        )


def wait_for_agents(topology: Topology, clouds: Path) -> None:
    """Wait until Nova and Cinder see their own services up. Raises LabError."""
    wanted = {("nova-compute", host.name) for host in topology.running("nova-compute")}
    for name in ("cinder-volume", "cinder-scheduler"):
        wanted |= {(name, host.name) for host in topology.running(name)}
    deadline = time.monotonic() + _AGENT_SECONDS
    with connected(clouds) as cloud:
        while missing := wanted - _up(cloud):
            if time.monotonic() > deadline:
                names = ", ".join(" on ".join(item) for item in sorted(missing))
                raise LabError(f"not up after {_AGENT_SECONDS} s: {names}")
            time.sleep(1)


def _up(cloud: Any) -> set[tuple[str, str]]:
    services = (*cloud.compute.services(), *cloud.block_storage.services())
    # Cinder's are called host@backend.
    return {(x.binary, x.host.split("@")[0]) for x in services if x.state == "up"}


def make_first_contents(clouds: Path) -> None:
    """What "it stays" is shown with: an image in files, a volume on the old backend."""
    say(f"openstack: {FLAVOR}, {FILE_IMAGE}, {OLD_VOLUME}")
    with connected(clouds) as cloud:
        cloud.compute.create_flavor(name=FLAVOR, vcpus=1, ram=192, disk=1)
        _make_image(cloud)
        _make_volume(cloud.block_storage)


def _make_volume(storage: Any) -> None:
    kind = storage.create_type(name=OLD_TYPE)
    backend = openstack_settings.OLD_BACKEND
    storage.update_type_extra_specs(kind, volume_backend_name=backend)
    volume = storage.create_volume(name=OLD_VOLUME, size=1, volume_type=OLD_TYPE)
    storage.wait_for_status(volume, "available", failures=["error"], interval=1, wait=120)


def _make_image(cloud: Any) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"stackrbd lab: an image that was here before\n")
        file.truncate(_FILE_IMAGE_BYTES)
        file.flush()
        cloud.create_image(
            FILE_IMAGE,
            filename=file.name,
            disk_format="raw",
            container_format="bare",
            wait=True,
        )
