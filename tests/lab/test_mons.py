"""Three monitors move to new addresses, one after the other, while an instance runs.

Takes minutes on the larger topology: `make mons`.
"""

import json
import os
import time

import pytest

from fabfile.cloud import connection

from .conftest import ACCESS, inv, on, result

SITE = ("--site", "config/site.large.toml")
TOPOLOGY = ("--topology", "lab/topologies/large.toml")
MONITORS = {"ceph01": "198.18.53.51", "ceph02": "198.18.53.52", "ceph03": "198.18.53.53"}
CLIENTS = ("controller01", "controller02", "compute01", "compute02", "compute03")
CONTROL = "controller01"
GUEST = ACCESS / "guest"
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_MONS" not in os.environ, reason="minutes: make mons"),
]

MOVE = """
ip addr add {new}/24 dev host0
printf '[mon.{host}]\\npublic_addr = {new}\\n' >> /etc/ceph/ceph.conf
ceph auth get mon. -o /root/mon.keyring 2> /dev/null
systemctl stop ceph-mon@{host}
ceph mon remove {host}
ceph mon getmap -o /root/monmap
mv /var/lib/ceph/mon/ceph-{host} /root/mon.before
mkdir /var/lib/ceph/mon/ceph-{host}
ceph-mon --mkfs -i {host} --monmap /root/monmap --keyring /root/mon.keyring
chown -R ceph:ceph /var/lib/ceph/mon
rm /root/mon.keyring /root/monmap
systemctl reset-failed ceph-mon@{host}
systemctl start ceph-mon@{host}
for i in $(seq 120); do
    ceph --connect-timeout 5 mon stat --format json | grep -q '"quorum":.*"{host}"' && exit 0
    sleep 1
done
ceph mon stat; exit 1
"""
"""A monitor that leaves the map, gets another address and comes back (Ceph's manual, "Changing
a monitor's IP address")."""


@pytest.fixture(scope="module")
def large():
    """The larger lab, integrated."""
    if os.environ.get("STACKRBD_LAB") != "running":
        inv("lab.down", timeout=300)
        inv("lab.up", *TOPOLOGY, timeout=2400)
    inv("integrate", "--yes", *SITE)
    yield
    if os.environ.get("STACKRBD_LAB") != "running":
        inv("lab.down", timeout=300)


@pytest.fixture(scope="module")
def api(large):
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


@pytest.fixture(scope="module")
def image(api):
    """The guest, which writes to every disk that comes and reads it back."""
    made = []

    def uploaded(name, form, file, **properties):
        one = api.image.create_image(
            name=f"mons-{name}", disk_format=form, filename=str(GUEST / file), wait=True,
            container_format="bare" if form == "raw" else form, validate_checksum=False,
            **properties,
        )  # fmt: skip
        made.append(one)
        return one

    kernel, ramdisk = uploaded("kernel", "aki", "vmlinuz"), uploaded("ramdisk", "ari", "initrd")
    yield uploaded("disk", "raw", "disk.raw", kernel_id=kernel.id, ramdisk_id=ramdisk.id)
    for one in reversed(made):
        api.image.delete_image(one)


class Guest:
    """An instance with a volume."""

    def __init__(self, api, image, name):
        self.api = api
        flavor = api.compute.find_flavor("lab.tiny")
        self.volume = api.block_storage.create_volume(name=name, size=1, volume_type="rbd")
        api.block_storage.wait_for_status(self.volume, "available", ["error"], 2, 120)
        server = api.compute.create_server(
            name=name, flavor_id=flavor.id, image_id=image.id, networks="none"
        )
        self.server = api.compute.wait_for_server(server, "ACTIVE", ["ERROR"], 2, 300)
        self.said("stackrbd-guest: up")
        api.compute.create_volume_attachment(server, volume_id=self.volume.id)
        api.block_storage.wait_for_status(self.volume, "in-use", ["error"], 2, 120)
        self.said("read back equal")
        self.id = self.server.id
        self.compute = api.compute.get_server(self.server).hypervisor_hostname.split(".")[0]

    def said(self, words, times=1):
        """Waits until the guest's console has the words."""
        until = time.monotonic() + 300
        while True:
            told = self.api.compute.get_server_console_output(self.server)["output"]
            if told.count(words) >= times:
                return
            assert time.monotonic() < until and ": DIFFERENT" not in told, told[-2000:]
            time.sleep(3)

    def status(self):
        return self.api.compute.get_server(self.id).status

    def writes(self, byte):
        """QEMU writes through the very disk that the guest has, and Ceph has what it wrote."""
        disk = "/machine/peripheral/virtio-disk1/virtio-backend"
        for order in (f"write -P {byte} 0 64k", "flush", f"read -P {byte} 0 64k"):
            said = on(self.compute, script=f"timeout 60 virsh qemu-monitor-command {self.id} "
                      f"--hmp 'qemu-io -d {disk} \"{order}\"'")  # fmt: skip
            assert "error" not in said.lower() and "failed" not in said.lower(), said
        wrote = on("ceph01", script=f"rbd export --no-progress volumes/volume-{self.volume.id} - "
                   "2> /dev/null | head -c 65536 | od -An -tu1 -v | tr -s ' ' '\\n' "
                   "| sort -u | tr -d '\\n'")  # fmt: skip
        assert wrote == str(byte)

    def watchers(self):
        said = on("ceph01", "rbd", "status", f"volumes/volume-{self.volume.id}",
                  "--format", "json")  # fmt: skip
        return json.loads(said)["watchers"]

    def away(self):
        self.api.compute.delete_server(self.server)
        self.api.compute.wait_for_delete(self.server, 2, 120)
        self.api.block_storage.wait_for_status(self.volume, "available", ["error"], 2, 120)
        self.api.block_storage.delete_volume(self.volume)
        self.api.block_storage.wait_for_delete(self.volume, 2, 120)


@pytest.fixture(scope="module")
def running(api, image):
    guest = Guest(api, image, "mons-runs")
    yield guest
    guest.away()


@pytest.fixture(scope="module")
def stopped(api, image):
    guest = Guest(api, image, "mons-stands")
    api.compute.stop_server(guest.server)
    api.compute.wait_for_server(guest.server, "SHUTOFF", ["ERROR"], 2, 300)
    yield guest
    guest.away()


def notes(said):
    """What is said of instances: {id: sentence}."""
    found = [n for n in result(said)["notes"] if n.startswith("instance ")]
    return {note.split()[1]: note for note in found}


HOSTS = "COALESCE(JSON_EXTRACT(connection_info, '$.data.hosts'), " \
    "JSON_EXTRACT(connection_info, '$.hosts'))"  # fmt: skip
TABLES = {"nova": "nova.block_device_mapping", "cinder": "cinder.volume_attachment"}


def kept(guest):
    """{side: monitors} of a guest's attachment in both databases."""
    found = {}
    for side, table in TABLES.items():
        where = f"WHERE deleted = 0 AND volume_id = '{guest.volume.id}'"
        sql = f"SELECT {HOSTS} FROM {table} {where}"  # noqa: S608 (our own words)
        found[side] = set(json.loads(on(CONTROL, script=f"mariadb -NB <<'SQL'\n{sql}\nSQL\n")))
    return found


def monitors_of(host):
    return on(host, "grep", "^mon_host", "/etc/ceph/ceph.conf")


def test_before_anything_moves_there_is_nothing_to_do(running, stopped):
    said = inv("ceph.mons", "--check", "--json", *SITE)
    assert notes(said) == {}
    assert kept(running)["nova"] == kept(running)["cinder"] == {
        "198.18.53.11", "198.18.53.12", "198.18.53.13",
    }  # fmt: skip
    running.writes(11)


@pytest.mark.parametrize("number, host", enumerate(MONITORS, 1))
def test_each_monitor_moves_while_the_instance_runs(running, stopped, number, host):
    new = MONITORS[host]
    on(host, script="set -e\n" + MOVE.format(host=host, new=new))
    done = result(inv("ceph.mons", "--yes", "--json", *SITE))
    assert {c["host"] for c in done["changes"] if c["thing"] == "/etc/ceph/ceph.conf"} == {
        *MONITORS, *CLIENTS,
    }  # fmt: skip
    for name in (*MONITORS, *CLIENTS):
        assert new in monitors_of(name)
    inv("ceph.mons", "--check", *SITE)
    told = notes(inv("ceph.mons", "--check", "--json", *SITE))
    some = "none of its monitors is left" if number == len(MONITORS) else "some of its monitors"
    assert some in told[running.id] and f"--hard-reboot {running.id}" in told[running.id]
    assert some in told[stopped.id] and told[stopped.id].endswith("inv ceph.mons --refresh")
    assert running.status() == "ACTIVE"
    running.writes(20 + number)
    assert running.watchers()


def test_an_osd_that_restarts_is_found_again_by_the_guest_that_runs(running):
    """Its client has followed the map: what comes after is told by the new monitors."""
    before = running.watchers()
    on("ceph02", script="systemctl restart 'ceph-osd@*'; for i in $(seq 60); do "
       "ceph osd stat | grep -q '3 up' && exit 0; sleep 1; done; exit 1")  # fmt: skip
    running.writes(33)
    assert running.watchers()[0]["client"] == before[0]["client"]


def test_doctor_names_them_and_nova_manage_needs_an_account(running, stopped):
    found = result(inv("doctor", "--json", *SITE, expect=3))["findings"]
    named = {f["thing"].split()[-1] for f in found if f["code"] == "attachment.monitors"}
    assert named == {running.volume.id, stopped.volume.id}
    said = inv("ceph.mons", "--yes", "--refresh", *SITE, expect=3, also_errors=True)
    assert "[cinder] auth_type: expected the account by which nova-manage asks Cinder" in said
    on(
        CONTROL,
        script="""
        { echo '[cinder]'; sed -n '/^\\[placement\\]/,/^\\[/p' /etc/nova/nova.conf |
          grep -E '^(auth|user|pass|project)[a-z_]* *='; } > /root/options
        sed -i '/^\\[cinder\\]$/r /root/options' /etc/nova/nova.conf
        grep -q '^\\[cinder\\]$' /etc/nova/nova.conf || cat /root/options >> /etc/nova/nova.conf
        rm /root/options""",
    )


def test_a_stopped_instance_is_refreshed_and_starts(api, running, stopped):
    planned = inv("ceph.mons", "--check", "--refresh", "--json", *SITE, expect=2)
    assert [(c["host"], c["thing"]) for c in result(planned)["changes"]] == [
        (CONTROL, f"attachment of volume {stopped.volume.id} to instance {stopped.id}")
    ]
    inv("ceph.mons", "--yes", "--refresh", *SITE)
    assert kept(stopped)["nova"] == kept(stopped)["cinder"] == set(MONITORS.values())
    assert running.status() == "ACTIVE" and kept(running)["nova"] != set(MONITORS.values())
    assert set(notes(inv("ceph.mons", "--check", "--json", *SITE))) == {running.id}
    api.compute.start_server(stopped.server)
    api.compute.wait_for_server(stopped.server, "ACTIVE", ["ERROR"], 2, 300)
    stopped.said("read back equal")
    assert stopped.watchers()


def test_a_running_instance_by_its_id_is_stopped_refreshed_and_started(running):
    said = inv("ceph.mons", "--yes", "--hard-reboot", running.id, "--json", *SITE)
    assert [(c["host"], c["sentence"]) for c in result(said)["changes"]] == [
        ("cloud", "stop"),
        (CONTROL, "make it anew, with the live monitors"),
        ("cloud", "start, with the live monitors"),
    ]
    assert kept(running)["nova"] == set(MONITORS.values())
    running.said("read back equal")
    running.writes(44)
    assert notes(inv("ceph.mons", "--check", "--json", *SITE)) == {}
    assert [f for f in result(inv("doctor", "--json", *SITE, expect=(0, 3)))["findings"]
            if f["code"].endswith("monitors")] == []  # fmt: skip
    inv("integrate", "--check", *SITE)
