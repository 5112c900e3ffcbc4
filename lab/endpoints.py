"""Where the APIs of a cloud answer: pure data from a topology."""

from dataclasses import dataclass

from lab.topology import Topology


@dataclass(frozen=True)
class Endpoint:
    """One API: the topology's service, the catalog's name and type, its URL."""

    service: str
    name: str
    kind: str
    address: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """As the catalog has it."""
        return f"http://{self.address}:{self.port}{self.path}"

    @property
    def root(self) -> str:
        """What answers without a token."""
        return f"http://{self.address}:{self.port}/"


_KNOWN = (
    ("keystone", "keystone", "identity", 5000, "/v3"),
    ("glance", "glance", "image", 9292, ""),
    ("placement", "placement", "placement", 8778, ""),
    ("neutron", "neutron", "network", 9696, ""),
    ("nova", "nova", "compute", 8774, "/v2.1"),
    # Nova looks for this name and type (cinder.catalog_info).
    ("cinder-api", "cinderv3", "volumev3", 8776, "/v3/%(project_id)s"),
)


def of(topology: Topology) -> list[Endpoint]:
    """All APIs of a cloud."""
    return [
        Endpoint(service, name, kind, topology.home(service).address, port, path)
        for service, name, kind, port, path in _KNOWN
    ]
