"""Which machines OpenStack's API knows: the services of Nova and Cinder, and the hypervisors.

Knows the API's own fields; what a host is for is not known here.
"""

from __future__ import annotations

from fabfile.cloud import qos, volume_types
from fabfile.cloud.connection import Cloud, reading
from fabfile.cloud.leftovers import PREFIX
from fabfile.cloud.volume_types import refuse_other
from fabfile.core.contract import Json
from fabfile.core.shapes import LINE, Shape

_SHAPE: Shape = {
    "services": [{"binary": LINE, "host": LINE, "up": bool}],
    "hypervisors": [{"host": LINE, "address": LINE}],
}


def read(connection: Cloud) -> dict[str, Json]:
    """{'services': [{'binary', 'host', 'up'}], 'hypervisors': [{'host', 'address'}]}.

    host: as the service calls itself, with @BACKEND of a cinder-volume; address: '' for none.
    Raises Failed.
    """
    up = "nova-api and cinder-api are up, and that the account is an admin"
    with reading("the cloud's services", up):
        told = [*connection.compute.services(), *connection.block_storage.services()]
        hypervisors = list(connection.compute.hypervisors(details=True))
    found: dict[str, Json] = {
        "services": [
            {"binary": one.binary, "host": one.host, "up": one.state == "up"} for one in told
        ],
        "hypervisors": [
            {"host": _service(one), "address": one.host_ip or ""} for one in hypervisors
        ],
    }
    refuse_other(found, _SHAPE)
    return found


def typed(connection: Cloud) -> dict[str, Json]:
    """{'volume_types': ..., 'qos_specs': ...}, as the resources ask for them.  Raises Failed.

    Without what a proof has left there.
    """
    kinds = volume_types.read(connection).items()
    types = {name: specs for name, specs in kinds if not name.startswith(PREFIX)}
    return {"volume_types": types, "qos_specs": qos.read(connection)}


def _service(hypervisor: object) -> str:
    """By what its nova-compute calls itself; the hypervisor's own name may be another."""
    details = getattr(hypervisor, "service_details", None) or {}
    named = details.get("host") if isinstance(details, dict) else None
    return str(named or getattr(hypervisor, "name", "") or "")
