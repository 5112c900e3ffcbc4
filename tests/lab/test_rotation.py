"""Keys that are rotated under two guests that write and read all the time: `make rotation`.

Tickets live for a minute, so that each guest and service has to ask for new ones on the way. On a
generation whose Ceph makes keys of the new kind (STACKRBD_LAB_GENERATION=sid) clients begin with
keys of the old one, and the rotation is one to aes256k.
"""

import os
import re
import subprocess
import time

import pytest

from fabfile.cloud import connection
from fabfile.core.contract import Secret
from lab import generation
from tests.generations import writers

from . import guests
from .conftest import ACCESS, PROJECT, by_ssh, fresh_lab, inv, on, result, start

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_ROTATION" not in os.environ, reason="half an hour: make rotation"),
]
TICKETS = 60
PAUSE = 5000
"""Milliseconds for which a guest may wait for a disk, or be stopped by QEMU."""
NEW_KIND = ("--to", "aes256k") if generation.default() == "sid" else ()
COMPUTES, OTHERS = ("compute01", "compute02"), ("ceph01", "controller01")
CLIENTS = 'volumes = { rwx = ["volumes"], rx = ["images"] }\nimages = { rwx = ["images"] }\n'
KILLS = 12
"""So often, at least, a rotation is killed, each time at what it does next."""


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """Integrated, its tickets short, with two guests: one booted from a volume, one with one."""
    fresh_lab()
    if NEW_KIND:
        make_old_keys()
        computes_end_soon()
    inv("integrate", "--yes")
    for option in ("auth_service_ticket_ttl", "auth_mon_ticket_ttl"):
        on("ceph01", "ceph", "config", "set", "global", option, str(TICKETS))
    guests.give_nova_manage_an_account()
    folder = tmp_path_factory.mktemp("rotation")
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as api:
        image = guests.images_of(api, writers.initrd(folder))[-1]
        pair = [writers.from_volume(api, image, "root"), writers.with_volume(api, image, "volume")]
        yield Turned(api, pair, folder)
    if os.environ.get("STACKRBD_LAB") != "running":
        inv("lab.down", timeout=300)


def make_old_keys():
    """The cluster makes keys of the old kind and takes them, as one of an older release does."""
    on("ceph01", "ceph", "mon", "set", "auth_allowed_ciphers", "aes,aes256k")
    on("ceph01", "ceph", "mon", "set", "auth_preferred_cipher", "aes")
    on("ceph01", "ceph", "config", "set", "mon", "mon_auth_allow_insecure_key", "true")


def computes_end_soon():
    """2026's nova-compute waits for minutes before it ends (manager_shutdown_timeout: 160 s)."""
    options = "manager_shutdown_timeout = 10\\ngraceful_shutdown_timeout = 20"
    for host in COMPUTES:
        on(
            host,
            script=f"sed -i '/^\\[DEFAULT\\]/a {options}' /etc/nova/nova-compute.conf\n"
            "systemctl kill -s SIGKILL nova-compute; systemctl restart nova-compute",
        )


class Turned:
    """The cloud, its guests, and the site file of each stage."""

    def __init__(self, api, pair, folder):
        self.api, self.pair, self.folder = api, pair, folder
        self.turns, self.pauses, self.stops = {}, {}, []

    def site(self, number, replaces=True):
        """The --site words of a site file whose clients are of that number."""
        before = "" if number == 2 else f"-{number - 1}"
        tables = [
            f"{name}-{number} = {{ "
            + (f'replaces = "{name}{before}" ' if replaces else f"rwx = {list(pools)}, rx = {rx} ")
            + "}"
            for name, pools, rx in (
                ("volumes", ["volumes"], ["images"]),
                ("images", ["images"], []),
            )
        ]
        text = (PROJECT / "config" / "site.toml").read_text()
        assert CLIENTS in text
        text = text.replace(CLIENTS, "\n".join(tables) + "\n").replace("'", '"')
        for table, name in (("glance", "images"), ("cinder", "volumes")):
            text = text.replace(f"[{table}]\n", f'[{table}]\nclient = "{name}-{number}"\n')
        path = self.folder / f"site-{number}.toml"
        path.write_text(text)
        return ("--site", str(path))

    def at_work(self):
        """Both wrote and read since the last look, and no turn of any was wrong."""
        for one in self.pair:
            while self.api.compute.get_server(one.id).task_state:
                time.sleep(2)  # a migration that goes on without us
            where = one.host(self.api)
            turn = one.turn(self.api, self.turns.get(one.name, 0) + 1)
            self.turns[one.name], self.pauses[one.name] = turn.number, turn.pause
            self.stops += stopped(one, where)
            print(
                f"{one.name} on {where}: turn {turn.number}, the longest {turn.longest} s; waited "
                f"for its disk {turn.pause} ms at most; stopped by QEMU so far: {self.stops} ms",
                flush=True,
            )

    def migrated(self, one):
        """Moved live to the other compute, as any user of Nova does."""
        was = self.api.compute.get_server(one.id).hypervisor_hostname
        self.api.compute.live_migrate_server(one.id, host=None, block_migration="auto")
        until = time.monotonic() + 600
        while (now := self.api.compute.get_server(one.id)).hypervisor_hostname == was:
            assert time.monotonic() < until and now.status != "ERROR", now
            time.sleep(2)

    def no_pause(self, migrations, what):
        """No disk let a guest wait for longer than it may, and no migration stopped one so long."""
        longest, stops = max(self.pauses.values()), self.stops
        print(f"{what}: waited for a disk {longest} ms at most; stopped by QEMU {stops} ms")
        assert len(stops) == migrations
        assert max(longest, *stops) <= PAUSE

    def number(self, one):
        """Of the last turn that a guest has done."""
        told = self.api.compute.get_server_console_output(one.id)["output"]
        return writers.last(str(told)).number

    def users_of(self, one):
        """As which clients a guest has its disks open."""
        found = set()
        for host in COMPUTES:
            xml = on(host, script=f"virsh dumpxml {one.id} 2> /dev/null | grep username= || true")
            found |= set(re.findall(r"<auth username='([^']+)'", xml))
        return found


def stopped(one, host):
    """[milliseconds] for which QEMU had a guest stopped, where it came there by a migration.

    libvirt tells it once.
    """
    told = on(host, "virsh", "domjobinfo", one.id, "--completed")
    return [int(found) for found in re.findall(r"Total downtime:\s+(\d+)\s+ms", told)]


def key_of(client):
    return Secret(on("ceph01", "ceph", "auth", "get-key", f"client.{client}").strip())


def logs_in(client, key, host="compute01"):
    """Whether somebody who has the key gets in as the client."""
    script = (
        "umask 077; f=$(mktemp -p /dev/shm); "
        f"printf '[client.{client}]\\nkey = {key.reveal()}\\n' > $f; "
        f"timeout 30 rbd --id {client} --keyring $f ls volumes; code=$?; rm $f; exit $code"
    )
    done = subprocess.run(
        by_ssh(host, "bash", "-s"), input=script, text=True, capture_output=True, check=False
    )
    return done.returncode == 0


def users():
    return set(
        re.findall(r"^client\.((?:volumes|images)\S*)", on("ceph01", "ceph", "auth", "ls"), re.M)
    )


def planned(*words, site, expect=2):
    said = inv("ceph.rotate", "--check", "--json", *words, *site, expect=expect)
    return result(said)


def test_each_service_and_guest_goes_over_and_the_old_key_is_dead(turned):
    site, old = turned.site(2), key_of("volumes")
    assert logs_in("volumes", old)
    turned.at_work()
    for one in turned.pair:
        turned.migrated(one)
    turned.at_work()
    turned.no_pause(2, "migrated without a rotation")
    if NEW_KIND:
        to_the_new_kind(site)
    # The naive order is refused: computes could attach nothing as the new client.
    said = inv("integrate", "--yes", *site, expect=3, also_errors=True)
    assert "inv ceph.rotate does it in its order" in said
    said = inv("ceph.rotate", "--move", "migrate", "--yes", *site, expect=3, also_errors=True)
    assert "which is still due" in said and users() == {"volumes", "images"}

    inv("ceph.rotate", "--yes", *NEW_KIND, *site)  # the users, keyrings and secrets
    assert users() == {"volumes", "images", "volumes-2", "images-2"}
    assert {kind(name) for name in ("volumes-2", "images-2")} == {"Ag" if NEW_KIND else "AQ"}
    attached(turned, "volumes")
    turned.migrated(turned.pair[1])
    assert turned.users_of(turned.pair[1]) == {"volumes"}
    turned.at_work()
    inv("ceph.rotate", "--yes", *site)  # the services
    attached(turned, "volumes-2")
    inv("integrate", "--check", *site)
    turned.at_work()

    inv("ceph.rotate", "--yes", *site)  # Glance has no guests: its old client goes now
    assert users() == {"volumes", "volumes-2", "images-2"}
    told = planned(site=site, expect=0)["notes"]
    for one in turned.pair:
        assert any(
            one.id in note and f"--instance {one.id} --move migrate" in note for note in told
        )
    inv("ceph.rotate", "--yes", "--move", "migrate", "--instance", turned.pair[0].id, *site)
    assert turned.users_of(turned.pair[0]) == {"volumes-2"}
    assert turned.users_of(turned.pair[1]) == {"volumes"}
    turned.at_work()
    inv("ceph.rotate", "--yes", "--move", "migrate", *site)
    assert turned.users_of(turned.pair[1]) == {"volumes-2"}
    turned.at_work()
    inv("ceph.rotate", "--yes", *site)
    assert users() == {"volumes-2", "images-2"} and not logs_in("volumes", old)
    assert logs_in("volumes-2", key_of("volumes-2"))
    notes = planned(site=site, expect=0)["notes"]
    assert any("take clients.volumes-2.replaces out" in note for note in notes)

    turned.migrated(turned.pair[1])
    time.sleep(2 * TICKETS)
    turned.at_work()
    turned.no_pause(6, "a whole rotation, tickets run out")
    on("ceph01", "systemctl", "restart", "ceph-osd@0")  # everyone logs in to it anew
    turned.at_work()
    inv("integrate", "--check", *turned.site(2, replaces=False))


def to_the_new_kind(site):
    """Keys are of the old kind; it is refused to go on until the cluster makes the new one."""
    assert {kind(client) for client in users()} == {"AQ"}
    said = inv("ceph.rotate", *NEW_KIND, "--yes", *site, expect=3, also_errors=True)
    assert "auth_preferred_cipher aes256k" in said and users() == {"volumes", "images"}
    on("ceph01", "ceph", "mon", "set", "auth_preferred_cipher", "aes256k")


def kind(client):
    """How a key begins: AQ is aes, Ag is aes256k."""
    return key_of(client).reveal()[:2]


def attached(turned, client):
    """A volume that is attached now is opened as that client; the guest keeps it."""
    one, storage = turned.pair[0], turned.api.block_storage
    volume = storage.create_volume(name="now", size=1, volume_type="rbd")
    storage.wait_for_status(volume, "available", ["error"], 2, 120)
    before = turned.users_of(one)
    turned.api.compute.create_volume_attachment(one.id, volume_id=volume.id)
    storage.wait_for_status(volume, "in-use", ["error"], 2, 120)
    assert turned.users_of(one) == before | {client}


def test_killed_at_moments_of_each_stage_it_goes_on(turned):
    site, killed = turned.site(3), []
    move = ("--move", "migrate")
    # The users, the services, Glance's old client, the guests, and the other old client.
    for words, kills in (((), 5), ((), 4), ((), 2), (move, 2), ((), 3)):
        for _ in range(kills):
            if not planned(*words, site=site, expect=(0, 2))["pending"]:
                break
            killed.append(killed_at_once(words, site))
            turned.at_work()
        if planned(*words, site=site, expect=(0, 2))["pending"]:
            inv("ceph.rotate", "--yes", *words, *site)
    print("killed at:", *killed, sep="\n  ", flush=True)
    assert len(killed) >= KILLS
    assert {said.split()[1] for said in killed if said[0].isdigit()} == {*COMPUTES, *OTHERS}
    assert users() == {"volumes-3", "images-3"}
    assert {client for one in turned.pair for client in turned.users_of(one)} == {"volumes-3"}
    turned.at_work()
    inv("integrate", "--check", *turned.site(3, replaces=False))


def killed_at_once(words, site):
    """A run that is killed when it has done the first thing of its plan, or is migrating one."""
    run = start("ceph.rotate", "--yes", *words, *site)
    run.until("Plan: ")
    said = "a migration"
    if words:
        time.sleep(10)
    else:
        lines = (line for line in run.process.stdout if re.match(r"[\d:]{8} \S+ +[-+~!] ", line))
        said = next(lines, "its end").strip()
    run.process.kill()
    run.process.wait()
    return said


def test_with_a_compute_that_does_not_answer_no_service_goes_over(turned):
    site = turned.site(4)
    on(
        "compute02",
        script="systemctl stop ssh; (sleep 60; systemctl start ssh) > /dev/null 2>&1 &",
    )
    inv("ceph.rotate", "--yes", *site, expect=4)
    assert users() == {"volumes-3", "images-3"}
    time.sleep(65)
    inv("ceph.rotate", "--yes", *site)
    on(
        "compute02",
        script="systemctl stop ssh; (sleep 60; systemctl start ssh) > /dev/null 2>&1 &",
    )
    inv("ceph.rotate", "--yes", *site, expect=4)
    assert "volumes-3" in on("controller01", "grep", "^rbd_user", "/etc/cinder/cinder.conf")
    time.sleep(65)
    turned.at_work()
    # Taken back from the middle: the services, and then what was prepared.
    done = result(inv("ceph.rotate", "--yes", "--json", *site))
    inv("undo", "--yes", "--run", done["run"], *site)
    attached(turned, "volumes-3")
    turned.at_work()


def test_what_a_key_does_that_is_replaced_under_its_guests(turned):
    """The measurement: Ceph takes the new key at once, and the guests end at the next reconnect."""
    keyring = on("ceph01", "ceph", "auth", "get", "client.volumes-3")
    new = on("ceph01", "ceph-authtool", "--gen-print-key").strip()
    text = re.sub(r"key = \S+", f"key = {new}", keyring)
    on("ceph01", script=f"ceph auth import -i - <<'END'\n{text}\nEND\n")
    began, stood = time.monotonic(), {}
    time.sleep(2 * TICKETS)
    turned.at_work()
    print(f"replaced for {time.monotonic() - began:.0f} s: connections that are open go on")
    on("ceph01", "systemctl", "restart", "ceph-osd@0")
    time.sleep(30)
    for one in turned.pair:
        stood[one.name] = turned.number(one)
    time.sleep(60)
    for one in turned.pair:
        now = turned.number(one)
        print(f"{one.name}: turn {stood[one.name]} of 30 s after, turn {now} of 90 s after")
        assert now == stood[one.name]
