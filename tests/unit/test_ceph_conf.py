"""ceph.conf on the clients: written once, then only its monitors and mode are minded."""

import json
import random

import pytest

from fabfile.core import journal
from fabfile.core.contract import BadInput, Facts, Refused
from fabfile.core.remote import processes, reads, steps
from fabfile.resources import ceph_conf
from fabfile.resources.cluster import Cluster

from .states import DIGEST, FSID, HOSTS, OTHER, answer, cluster, file, site

MONS = ("10.0.0.1:6789/0", "10.0.0.2:6789/0")
FOLDER = {"kind": "directory", "mode": "0755", "owner": "root", "group": "root"}
CLUSTER = Cluster(FSID, ("10.0.0.1:6789",), (), 16, {}, {})
HEAD = f"[global]\nfsid = {FSID}\n"


def plan(found, host="n1", folder=FOLDER, mons=MONS):
    hosts = {"ceph01": cluster(mons=mons), host: {"ceph.folder": folder, "ceph.conf": found}}
    return ceph_conf.plan(site(), Facts(hosts))


def written(text):
    (change,) = plan(file(text))
    assert change.verb == "write"
    return steps.joined("r1", change.args["content"], text.encode())


@pytest.mark.parametrize(
    "host, wave, units", [("n1", 2, ()), ("ctl", 1, ("glance-api", "cinder-volume"))]
)
def test_a_missing_file_is_written_readable_by_all(host, wave, units):
    (change,) = plan(None, host)
    text = (
        "# written by stackrbd from the cluster's monitor map\n"
        f"[global]\nfsid = {FSID}\nmon_host = 10.0.0.1:6789 10.0.0.2:6789\n"
    )
    assert change.args == {
        "path": "/etc/ceph/ceph.conf",
        "content": [text],
        "mode": "0644",
        "owner": "root",
        "group": "root",
        "before": None,
    }
    assert (change.host, change.sign, change.wave, change.restarts) == (host, "+", wave, units)


def test_a_missing_folder_is_made_before_the_file():
    folder, conf = plan(None, folder=None)
    assert (folder.verb, folder.args["path"], folder.args["mode"]) == (
        "folder",
        "/etc/ceph",
        "0755",
    )
    assert conf.verb == "write"


@pytest.mark.parametrize(
    "mons",
    [MONS, ("[2001:db8::1]:6789/0",), ("[2001:db8::1]:6789/0", "[2001:db8::2]:6789/0")],
)
def test_what_is_written_is_right_the_next_time(mons):
    (change,) = plan(None, mons=mons)
    assert plan(file("".join(change.args["content"])), mons=mons) == []


@pytest.mark.parametrize(
    "mon_host",
    [
        "mon_host = 10.0.0.1:6789 10.0.0.2:6789",
        "mon_host = 10.0.0.1,10.0.0.2",
        "mon host=10.0.0.2, 10.0.0.1",
        'mon \t host = "10.0.0.1 10.0.0.2"',
        "mon_host = 10.0.0.1, \\\n  10.0.0.2",
        "mon_host = 10.0.0.1,10.0.0.2 ; and no 10.0.0.3",
        "mon_host = 10.0.0.1,10.0.0.2\n[client]\nmon_host = 10.0.0.2,10.0.0.1",
        "\tmon_host = [v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0] [v2:10.0.0.2:3300/0]",
    ],
)
def test_the_same_monitors_in_another_notation_stay(mon_host):
    assert plan(file(f"{HEAD}{mon_host}\n")) == []


@pytest.mark.parametrize(
    "fsid",
    [
        f"fsid = {FSID.upper()}\n",
        "",
        "fsid =\n",
        "fsid = # not yet\n",
        f"fsid = {FSID}  ; ours\n",
        f"fsid = {FSID} # ours\n",
        f"fsid={FSID};was {OTHER}\n",
        f'fsid = "{FSID}" # ours\n',
        f"fsid = '{FSID}'\n",
        f"# a comment \\\nfsid = {FSID}\n",
        f"# fsid = {OTHER}\n  ; fsid = {OTHER}\n",
    ],
)
def test_the_clusters_own_file_is_known(fsid):
    assert plan(file(f"[global]\n{fsid}mon_host = 10.0.0.1 10.0.0.2\n")) == []


@pytest.mark.parametrize(
    "fsid",
    [
        f"fsid = {OTHER}",
        f'fsid = "{OTHER}" ; not {FSID}',
        f"fsid = {FSID}\n[client]\nfsid={OTHER}",
        f"# \\\nfsid={OTHER}",
    ],
)
def test_a_file_of_another_cluster_is_refused(fsid):
    text = f"[global]\nmon_host = 10.0.0.1 10.0.0.2\n{fsid}\n"
    with pytest.raises(BadInput, match=f"^n1: /etc/ceph/ceph.conf: .*{FSID}, found {OTHER}"):
        plan(file(text))


@pytest.mark.parametrize(
    "before, after",
    [
        ("mon_host = 10.0.0.1\n", "mon_host = 10.0.0.1:6789 10.0.0.2:6789\n"),
        ("mon_host = 10.0.0.1 10.0.0.2 10.0.0.3\n", "mon_host = 10.0.0.1:6789 10.0.0.2:6789\n"),
        ("mon host = 192.0.2.1\n", "mon_host = 10.0.0.1:6789 10.0.0.2:6789\n"),
        ("mon_host =\n", "mon_host = 10.0.0.1:6789 10.0.0.2:6789\n"),
        ("mon_host = 10.0.0.1;10.0.0.2\n", "mon_host = 10.0.0.1:6789 10.0.0.2:6789\n"),
        ("mon_host = 10.0.0.1,\\\n 192.0.2.1\n", "mon_host = 10.0.0.1:6789 10.0.0.2:6789\n"),
    ],
)
def test_stale_monitors_alone_are_replaced(before, after):
    rest = "auth_client_required = cephx\n\n[client]\nrbd_cache = true\n# mine\n"
    assert written(HEAD + before + rest) == HEAD + after + rest


def test_absent_monitors_go_into_the_global_section():
    text = f"[client]\nrbd_cache = true\n{HEAD}# mon_host = 192.0.2.1\n"
    line = "mon_host = 10.0.0.1:6789 10.0.0.2:6789"
    assert written(text) == text.replace("[global]", f"[global]\n{line}")


LIVE = "mon_host = 10.0.0.1:6789 10.0.0.2:6789\n"


@pytest.mark.parametrize(
    "before, after",
    [
        ("[client]\nrbd_cache = true\n", f"[global]\n{LIVE}[client]\nrbd_cache = true\n"),
        (f"fsid = {FSID}\n", f"[global]\n{LIVE}fsid = {FSID}\n"),
        (f" [global] ; ours\n fsid = {FSID}\n", f" [global] ; ours\n{LIVE} fsid = {FSID}\n"),
        ("[ global ]\nx = y\n", f"[global]\n{LIVE}[ global ]\nx = y\n"),
        (
            f"{HEAD}mon-host = 10.0.0.1 10.0.0.2\n",
            f"[global]\n{LIVE}{HEAD[9:]}mon-host = 10.0.0.1 10.0.0.2\n",
        ),
        ("[mon.a]\nmon_host = 10.0.0.9", f"[global]\n{LIVE}[mon.a]\n{LIVE}"),
        (
            f"{HEAD}mon_host = 10.0.0.9\n[client]\nmon host = 10.0.0.8\nx = 1\n",
            f"{HEAD}{LIVE}[client]\n{LIVE}x = 1\n",
        ),
        (
            f"{HEAD}mon_host = 10.0.0.9\nmon_host = 10.0.0.1 10.0.0.2\n",
            f"{HEAD}{LIVE}mon_host = 10.0.0.1 10.0.0.2\n",
        ),
    ],
)
def test_wherever_monitors_are_named_they_are_the_live_ones_once_and_for_all(before, after):
    assert written(before) == after
    assert plan(file(after)) == []


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_written_as_a_missing_one(text):
    (missing,), (empty,) = plan(None), plan(file(text))
    assert empty.args == {**missing.args, "before": DIGEST}


def test_a_replaced_file_is_the_one_that_was_seen():
    (change,) = plan(file(HEAD + "mon_host = 192.0.2.1\n"), "ctl")
    assert (change.sign, change.args["before"], change.args["mode"]) == ("~", DIGEST, "0644")
    assert change.restarts == ("glance-api", "cinder-volume")


@pytest.mark.parametrize(
    "mode, fits",
    [("0644", True), ("0664", True), ("0444", True), ("0640", False), ("0604", False)],
)
def test_qemu_can_read_it(mode, fits):
    changes = plan(file(HEAD + "mon_host = 10.0.0.1 10.0.0.2\n", "ceph", mode))
    assert bool(changes) != fits
    for change in changes:
        assert change.verb == "attributes"
        args = {"mode": "0644", "owner": "ceph", "group": "ceph"}
        assert change.args == {"path": "/etc/ceph/ceph.conf", **args}


def test_the_folder_is_to_be_a_folder_and_the_file_a_file():
    asked = {read.id: read.args for read in ceph_conf.reads(site(), site().host("n1"))}
    assert asked["ceph.folder"] == {"path": "/etc/ceph", "kind": "directory"}
    wanted = {"path": "/etc/ceph/ceph.conf", "text": True, "mask": ceph_conf.CREDENTIALS}
    assert asked["ceph.conf"] == wanted


def test_a_ceph_host_keeps_its_own_file():
    both = site(hosts={**HOSTS, "ceph01": {"roles": ["ceph", "compute"]}})
    assert ceph_conf.plan(both, Facts({"ceph01": cluster()})) == []
    asked = [read.id for read in ceph_conf.reads(both, both.admin)]
    assert "ceph.monmap" in asked
    assert "ceph.conf" not in asked


KEY = "AQBsb2NrZWQgaW4gYSB0ZXN0IGZpbGU/AAAA+A=="
OF_OTHERS = (
    f"# \u00dcberwacht\n[global]\nfsid = {FSID}\nmon_host = 10.9.9.9\nkeyring = /etc/ceph/k\n"
    f"[client.rgw.ctl]\nrgw_keystone_admin_password = hunter2\n"
    f"some_secret = \\\n  hunter2a \\\n  hunter2b\n[client.x]\n\tkey = {KEY}"
).encode("latin-1")


def test_lines_that_stay_never_leave_their_host(tmp_path):
    path = tmp_path / "ceph.conf"
    path.write_bytes(OF_OTHERS)
    args = {**ceph_conf.read_of(site(), site().host("n1")).args, "path": str(path)}
    seen = reads.file(**args)
    (change,) = plan(seen)
    for shown in (str(seen), json.dumps(journal.as_data([change]))):
        assert "hunter2" not in shown and KEY not in shown
    assert "keyring = /etc/ceph/k" in seen["text"]
    content = steps.joined("r1", change.args["content"], OF_OTHERS)
    new = content.encode("utf-8", "surrogateescape")
    assert new == OF_OTHERS.replace(b"10.9.9.9", b"10.0.0.1:6789 10.0.0.2:6789")
    path.write_bytes(new)
    assert plan(reads.file(**args)) == []


SECRET = "rgw_keystone_admin_password = hunter2\n"
STALE = "mon_host = 10.9.9.9, \\\n\n"
"""Of two lines, of which the other one is empty."""


def as_it_comes_back(real, options=()):
    """The text that a host then has: what of it is secret, it has shown to nobody."""
    live = ceph_conf.Monitors(CLUSTER, CLUSTER.monitors)
    seen = processes.masked(real, ceph_conf.CREDENTIALS)
    new = ceph_conf.text_of("n1", "/etc/ceph/ceph.conf", {"text": seen}, live, options)
    return steps.joined("r1", ceph_conf.parts(seen, new), real.encode())


@pytest.mark.parametrize(
    "before",
    [
        f"{HEAD}{STALE}{SECRET}",
        f"{STALE}{SECRET}{SECRET}\n[client]\n",
        f"{HEAD}{STALE}{SECRET}\n\n[client.volumes]\nx = y\n{SECRET}",
    ],
)
def test_a_secret_between_lines_that_are_alike_stays_what_it_is(before):
    after = as_it_comes_back(before, [("volumes", "rbd_default_data_pool", "data")])
    assert "sha256:" not in after
    assert after.count(SECRET) == before.count(SECRET)
    assert "rbd_default_data_pool = data\n" in after


def test_no_fingerprint_is_written_whatever_is_alike():
    chance = random.Random(7)  # noqa: S311
    lines = [
        "\n",
        "   \n",
        SECRET,
        "rgw_token = a\n",
        STALE,
        "mon host = x\n",
        "[client.volumes]\n",
    ]
    for _ in range(3000):
        before = HEAD + "".join(chance.choices(lines, k=chance.randint(2, 12)))
        after = as_it_comes_back(before, [("volumes", "rbd_default_data_pool", "data")])
        assert "sha256:" not in after, before
        assert after.count(SECRET) == before.count(SECRET), before


@pytest.mark.parametrize(
    "before, after",
    [
        ("{}[client.rgw]\nx = y\n", "[client.rgw]\nx = y\n"),
        ("a = b\n{}[client.rgw]\n", "a = b\n[client.rgw]\n"),
        ("a = b\n\n{}[client.rgw]\n", "a = b\n[client.rgw]\n"),
        ("a = b\n\n{}\n[client.rgw]\n", "a = b\n\n[client.rgw]\n"),
        ("a = b\n\n{}", "a = b\n"),
        ("a = b\n{}", "a = b\n"),
        ("a = b \\\n\n{}[client.rgw]\n", "a = b \\\n\n[client.rgw]\n"),
        ("{}keyring = x\n[client.rgw]\n", "[client.volumes]\nkeyring = x\n[client.rgw]\n"),
    ],
)
def test_a_clients_section_goes_and_the_next_one_keeps_its_line(before, after):
    option = ("volumes", "rbd_default_data_pool", "data")
    text = before.replace("{}", "[client.volumes]\nrbd_default_data_pool = data\n")
    assert ceph_conf._without_options(text, [option]) == after


def test_a_diff_has_the_lines_that_change():
    (change,) = plan(file(HEAD + "mon_host = 10.9.9.9\n[client]\nrbd_cache = true\n"))
    assert change.diff == ("- mon_host = 10.9.9.9", "+ mon_host = 10.0.0.1:6789 10.0.0.2:6789")


# A client that knows no addresses of v2

VECTOR = (
    {"type": "v2", "addr": "10.0.0.1:3300", "nonce": 0},
    {"type": "v1", "addr": "10.0.0.1:6789", "nonce": 0},
)
SECOND = ({"type": "v1", "addr": "10.0.0.2:6789", "nonce": 0},)
BOTH = "[v2:10.0.0.1:3300,v1:10.0.0.1:6789] [v1:10.0.0.2:6789]"
OLDER = "10.0.0.1:6789 10.0.0.2:6789"
BUSTER = {"os": "debian", "version": "10", "name": "Debian 10"}


def client(found, librados, system=None, vectors=(VECTOR, SECOND)):
    """The plan of a host with that librados, for monitors with those addresses."""
    mons = [
        {"rank": n, "addr": f"{v[0]['addr']}/0", "public_addrs": {"addrvec": list(v)}}
        for n, v in enumerate(vectors)
    ]
    live = {**cluster(major=14), "ceph.monmap": answer({"fsid": FSID, "mons": mons})}
    host = {
        "ceph.folder": FOLDER,
        "ceph.conf": found,
        "packages": {"librados2": librados},
        "host": system or {"os": "debian", "version": "12", "name": "Debian 12"},
    }
    return ceph_conf.plan(site(), Facts({"ceph01": live, "n1": host}))


@pytest.mark.parametrize(
    "librados, system, mon_host",
    [
        ("12.2.13-0ubuntu0.18.04.11", None, OLDER),
        ("10.2.11-2", None, OLDER),
        ("0.80.11-1", None, OLDER),
        ("1:13.2.8-0ubuntu0.19.04.1", None, OLDER),
        ("14.0.1-1", None, OLDER),
        ("mimic", None, OLDER),
        (None, BUSTER, OLDER),
        (None, {"os": "ubuntu", "version": "18.04", "name": "Ubuntu 18.04"}, OLDER),
        ("14.2.21-1", BUSTER, BOTH),
        ("16.2.15+ds-0+deb12u1", None, BOTH),
        ("2:17.2.6-pve1", None, BOTH),
        (None, {"os": "ubuntu", "version": "20.04", "name": "Ubuntu 20.04"}, BOTH),
        (None, {"os": "debian", "version": "", "name": "sid"}, BOTH),
    ],
)
def test_monitors_are_written_as_the_hosts_librados_reads_them(librados, system, mon_host):
    (change,) = client(None, librados, system)
    text = "".join(change.args["content"])
    assert text.splitlines()[-1] == f"mon_host = {mon_host}"
    assert client(file(text), librados, system) == []


@pytest.mark.parametrize(
    "mon_host, reads",
    [
        (BOTH, False),
        ("v1:10.0.0.1:6789 v1:10.0.0.2:6789", False),
        ("10.0.0.1:3300 10.0.0.2", False),
        ("[V2:10.0.0.1:3300/0] 10.0.0.2", False),
        ("10.0.0.1:6789/0,10.0.0.2:6789/0", True),
        ("10.0.0.2 10.0.0.1", True),
        ("10.0.0.1", False),
    ],
)
def test_what_an_older_client_cannot_read_is_replaced(mon_host, reads):
    text = f"{HEAD}mon_host = {mon_host}\n[client]\nmon host = {mon_host}\nrbd_cache = true\n"
    changes = client(file(text), "12.2.13")
    assert bool(changes) != reads
    for change in changes:
        new = steps.joined("r1", change.args["content"], text.encode())
        assert new == f"{HEAD}mon_host = {OLDER}\n[client]\nmon_host = {OLDER}\nrbd_cache = true\n"
        assert "v1" in change.sentence
    known = client(file(text), "14.2.22")
    assert bool(known) == (mon_host == "10.0.0.1")


def test_monitors_that_an_older_client_cannot_reach_are_refused_there():
    alone = (VECTOR[:1], VECTOR[:1])
    with pytest.raises(Refused, match="^n1: librados2: expected 14.1.0 or later, found .*12.2.13"):
        client(None, "12.2.13", vectors=alone)
    assert client(None, "14.2.22", vectors=alone)
    (change,) = client(None, "12.2.13", vectors=(VECTOR[:1], SECOND))
    assert "".join(change.args["content"]).endswith("mon_host = 10.0.0.2:6789\n")


def test_ipv6_as_an_older_client_reads_it():
    address = "[2001:db8::1]"
    vector = tuple({**one, "addr": one["addr"].replace("10.0.0.1", address)} for one in VECTOR)
    (change,) = client(None, "12.2.13", vectors=(vector,))
    assert "".join(change.args["content"]).endswith(f"mon_host = {address}:6789\n")
