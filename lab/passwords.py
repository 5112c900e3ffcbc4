"""The passwords of a cloud: random, made at its bootstrap, written nowhere but in
the files of the services that need them (and the admin's into clouds.yaml)."""

import secrets
from dataclasses import dataclass, field


def _fresh() -> str:
    # Letters and digits alone: it stands in URLs, SQL and YAML.
    return secrets.token_hex(16)


def _of_services() -> dict[str, str]:
    names = ("keystone", "glance", "placement", "nova", "neutron", "cinder")
    return {name: _fresh() for name in names}


@dataclass(frozen=True)
class Passwords:
    """One for the admin, one for the queue, two for each service."""

    admin: str = field(default_factory=_fresh, repr=False)
    queue: str = field(default_factory=_fresh, repr=False)
    users: dict[str, str] = field(default_factory=_of_services, repr=False)
    databases: dict[str, str] = field(default_factory=_of_services, repr=False)
