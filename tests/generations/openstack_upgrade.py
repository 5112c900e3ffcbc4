"""OpenStack's half of an upgrade: the control services' packages and databases, then the computes.

As an operator goes from one Debian to the next, over several of Nova's releases at once: until the
last compute is upgraded, Nova calls them too old. Knows what is typed; the order is `upgrade`'s.
"""

import time
from collections.abc import Callable
from typing import Any

from lab.topology import LabHost, Topology
from tests.lab.conftest import inv, on

from .writers import Writer

SECONDS = 900.0  # of patience with a migration, and with services that start
# The queue and the databases stay on while OpenStack is down.
_OTHERS = {"mariadb", "epmd", "rabbitmq-server", "lab-cinder-share"}
_AS = 'as() { su -s /bin/sh "$1" -c "$2" < /dev/null > /dev/null; }'
# RabbitMQ 3.10 does not become 4.0: its queues are made anew; users and passwords are kept.
_BEFORE = """\
as nova 'nova-manage db online_data_migrations'
as cinder 'cinder-manage db online_data_migrations'
kept=/var/lib/rabbitmq/definitions.json
(umask 077; rabbitmqctl -q export_definitions $kept < /dev/null)
chown rabbitmq $kept
echo "load_definitions = $kept" > /etc/rabbitmq/rabbitmq.conf
systemctl stop $units rabbitmq-server
rm -rf /var/lib/rabbitmq/mnesia
"""
# From 11.5 on MariaDB gives a new table another collation than the old ones have, and refuses its
# foreign keys to them ("incorrectly formed", errno 150).
_MIGRATIONS = """\
systemctl stop $units
systemctl start mariadb
mariadb -e "SET GLOBAL character_set_collations = ''"
as keystone 'keystone-manage db_sync'
as glance 'glance-manage db_sync'
as placement 'placement-manage db sync'
as nova 'nova-manage api_db sync'
as nova 'nova-manage db sync'
as neutron 'neutron-db-manage --config-file /etc/neutron/neutron.conf \
    --config-file /etc/neutron/plugins/ml2/ml2_conf.ini upgrade heads'
as cinder 'cinder-manage db sync'
mariadb -e "SET GLOBAL character_set_collations = DEFAULT"
systemctl start --no-block $units
"""
_NOVA = "nova-api nova-conductor nova-scheduler"
_CHECK_OFF = "disable_compute_service_check_for_ffu = true"


def control(topology: Topology, to: str) -> str:
    """All control services' packages, and their databases, on the one host that has them."""
    host = topology.home("nova")
    _typed(host, _BEFORE)
    inv("lab.upgrade", "--generation", to, "--hosts", host.name, timeout=3600)
    _typed(host, _MIGRATIONS)
    nova = "journalctl -u nova-conductor -n 200 -o cat --no-pager; tail -n 50 /var/log/nova/*"
    until("Nova that refuses", lambda: "TooOldComputeService" in on(host.name, script=nova))
    return on(host.name, script="dpkg-query -W -f '${Version}' nova-common")


def _typed(host: LabHost, script: str) -> None:
    units = " ".join(unit for unit in host.units if unit not in _OTHERS)
    on(host.name, script=f"set -e\ncd /\nunits='{units}'\n{_AS}\n{script}", timeout=1200)


def check_off(topology: Topology, api: Any) -> None:
    """Nova's services start beside computes that are too old, as Nova has it for this case.

    A nova-compute that is new asks too: the option is there before its packages come.
    """
    _edited(topology, api, f"s/^\\[workarounds\\]/&\\n{_CHECK_OFF}/")


def check_on(topology: Topology, api: Any) -> None:
    """As before `check_off`."""
    _edited(topology, api, f"/^{_CHECK_OFF}$/d")


def _edited(topology: Topology, api: Any, sed: str) -> None:
    home = topology.home("nova")
    for host in (home, *topology.running("nova-compute")):
        on(host.name, script=f"sed -i '{sed}' /etc/nova/nova.conf")
    began = _now(topology)
    on(home.name, script=f"systemctl reset-failed; systemctl restart --no-block {_NOVA}")
    names = {f"nova-{kind}" for kind in ("conductor", "scheduler", "compute")}
    until("Nova's services", lambda: _reported(api, began) >= names)


def compute(topology: Topology, name: str, to: str, api: Any) -> str:
    """A compute's packages, where no guest runs."""
    assert on(name, script="virsh -q list").strip() == "", name
    inv("lab.upgrade", "--generation", to, "--hosts", name, timeout=3600)
    began = _now(topology)
    until(f"nova-compute of {name}", lambda: "nova-compute" in _reported(api, began, name))
    return on(name, script="dpkg-query -W -f '${Version}' nova-compute")


def _now(topology: Topology) -> str:
    return on(topology.home("nova").name, script="date -u +%FT%T").strip()


def _reported(api: Any, since: str, host: str = "") -> set[str]:
    """Nova's services of which some has reported since then, in UTC."""
    return {
        one.binary
        for one in api.compute.services()
        if one.state == "up" and one.updated_at > since and host in ("", one.host)
    }


def moved(api: Any, one: Writer, to: str) -> None:
    """A guest goes to that compute while it runs."""
    if one.host(api) == to:
        return
    api.compute.live_migrate_server(one.id, host=to, block_migration="auto")
    until(f"{one.name} on {to}", lambda: one.host(api) == to and not _busy(api, one))


def _busy(api: Any, one: Writer) -> bool:
    server = api.compute.get_server(one.id)
    assert server.status != "ERROR", server
    return bool(server.task_state)


def until(what: str, condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Waits for something; it is asked for again where the cloud does not answer yet."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(3)
