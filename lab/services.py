"""Which systemd units a service of the topology stands for."""

from lab.topology import LabHost

# In the order in which they start.
UNITS = {
    "database": ("mariadb",),
    "queue": ("epmd", "rabbitmq-server"),
    "keystone": ("keystone",),
    "glance": ("glance-api",),
    "placement": ("placement-api",),
    "neutron": ("neutron-api",),
    "nova": ("nova-api", "nova-conductor", "nova-scheduler"),
    "cinder-api": ("cinder-api",),
    "cinder-scheduler": ("cinder-scheduler",),
    "cinder-volume": ("lab-cinder-share", "cinder-volume"),
    # The first: what live migration goes by.
    "nova-compute": ("libvirtd-tcp.socket", "libvirtd", "nova-compute"),
    "apt-repository": ("lab-apt-repository",),
}


def units(host: LabHost) -> list[str]:
    """The units of all that a host runs (Ceph's are named in `ceph`)."""
    return [unit for name in UNITS if name in host.runs for unit in UNITS[name]]
