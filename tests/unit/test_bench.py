"""What make bench compares and how it counts; the fleet itself needs root."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET

import pytest

from bench import critical_path, latency, points, report, wanted, ways, within
from bench.places import PROJECT
from fabfile.core import site_file
from fabfile.core.contract import Facts, Host
from fabfile.core.ssh import Fleet, connecting
from fabfile.doctor import checks
from fabfile.model import site as sites
from fabfile.resources import auth, ceph_conf, cluster, libvirt_secret, pools

FIGURES = {
    "wall": 2.0,
    "control_cpu": 10.0,
    "host_cpu": 50.0,
    "peak": 40.0,
    "kilobytes": 9.0,
    "packets": 40.0,
    "connections": 1.0,
    "sessions": 1.0,
}


def doubled(factor):
    return {name: value * factor for name, value in FIGURES.items()}


def document(*factors):
    """Rounds in which pyinfra takes so many times what stackrbd takes."""
    ours = {"cold": FIGURES, "converged": FIGURES}
    rounds = [
        {"stackrbd": ours, "pyinfra": {"cold": doubled(f), "converged": doubled(f)}}
        for f in factors
    ]
    return {"hosts": 4, "forks": 2, "rounds": rounds}


def seen():
    site = sites.check(
        {"name": "b", "hosts": {"ceph01": {"roles": ["ceph"]}}}, "test", site_file.platforms()
    )
    files = {
        "ceph.health": "health",
        "ceph.monmap": "monmap",
        "ceph.version": "version",
        "ceph.versions": "versions",
        "ceph.pools": "pools",
        "ceph.users": "users",
    }
    answers = wanted.answers()
    out = {r: {"code": 0, "out": answers[f"{name}.json"]} for r, name in files.items()}
    return site, Facts({"ceph01": out})


def test_the_peers_write_the_file_that_the_product_makes():
    live = cluster.seen(*seen())
    assert ceph_conf.minimal(ceph_conf.Monitors(live, live.monitors)) == wanted.ceph_conf()


def test_the_cluster_behind_it_needs_nothing():
    assert [*pools.plan(*seen()), *auth.plan(*seen())] == []


def test_what_the_peers_read_is_json_and_the_secret_is_xml():
    assert json.loads(json.dumps(wanted.as_data())) == wanted.as_data()
    assert ET.fromstring(wanted.SECRET_XML).findtext("uuid") == wanted.FSID  # noqa: S314 (ours)


def test_ratios_are_those_within_a_round():
    rows = [line for line in report.table(document(2, 3, 9)).splitlines() if "pyinfra" in line]
    assert [row.split(" | ")[-2:] for row in rows] == [["3.00", "3.00 |"]] * 2


def test_what_falls_short_of_an_aim_is_marked():
    rows = [line for line in report.aims(document(8, 8)).splitlines() if "pyinfra" in line]
    assert [row.count("**") for row in rows] == [0, 0]
    rows = [line for line in report.aims(document(3, 3)).splitlines() if "pyinfra" in line]
    assert "at least 2.2 | 3.00 | at least 1.6 | 3.00 |" in rows[0]
    assert "at least 7.5 | **3.00** | at least 5 | **3.00** |" in rows[1]


def test_what_another_command_measured_stays_in_the_page(tmp_path):
    page = tmp_path / "speed.md"
    assert report.costs(page) == ""
    page.write_text(
        "# Speed\n\n## What one host's time goes into\n\n| a |\n\n## Hosts\n\n| b |\n\n"
        "## What was tried, and\n"
    )
    kept = "\n| a |\n\n## Hosts\n\n| b |\n\n"
    assert report.costs(page) == kept
    report.write(document(2), tmp_path)
    assert f"{kept}## What was tried" in page.read_text()
    assert report.costs(page) == kept


def test_another_checkout_is_one_more_way(tmp_path):
    way, ours = ways.before(tmp_path), ways.stackrbd(4)
    assert (way.name, way.cwd) == ("before", tmp_path)
    assert (way.argv, way.env) == (ours.argv, ours.env)


def test_the_plot_is_xml_with_a_bar_for_each_figure():
    plot = ET.fromstring(report.plot(document(2)))  # noqa: S314 (ours)
    assert len(plot.findall("{http://www.w3.org/2000/svg}rect")) == 1 + 2 * 2 * 2


def test_what_is_left_in_a_process_is_found():
    over, before = threading.Event(), within.left_over(0)
    thread = threading.Thread(target=over.wait, name="left")
    thread.start()
    with socket.socket():
        found = within.left_over(0)
    over.set()
    thread.join()
    assert found["sockets"] == before["sockets"] + 1
    assert set(found["threads"]) - set(before["threads"]) == {"left"}


def test_a_text_in_a_processes_memory_is_found():
    argv = [sys.executable, "-c", "kept = input(); print(flush=True); input()"]
    key, other = os.urandom(16).hex(), os.urandom(16).hex()
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        child.stdin.write(key + "\n")
        child.stdin.flush()
        child.stdout.readline()
        assert points._holds(child.pid, key)
        assert not points._holds(child.pid, other)
        child.kill()


@pytest.mark.parametrize("verb", ["secret-dumpxml", "secret-get-value", "secret-undefine"])
def test_the_virsh_stand_in_says_that_a_secret_is_absent_as_an_undo_knows_it(verb):
    virsh = PROJECT / "bench" / "standins" / "virsh"
    done = subprocess.run(
        ["sh", virsh, "-q", verb, wanted.FSID], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert re.search(libvirt_secret.ABSENT, done.stderr, re.IGNORECASE)


def test_the_virsh_stand_in_reads_a_value_from_a_file_and_says_so():
    virsh = PROJECT / "bench" / "standins" / "virsh"
    words = ["sh", str(virsh), "-q", "help", "secret-set-value"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "--file" in said


def test_the_ceph_stand_in_knows_all_that_is_asked_of_it():
    known = (PROJECT / "bench" / "standins" / "ceph").read_text()
    hosts = {"ceph01": {"roles": ["ceph"]}, "n1": {"roles": ["compute"]}}
    site = sites.check({"name": "b", "hosts": hosts}, "test", site_file.platforms())
    asked = {
        " ".join(read.args["argv"][5:])
        for stage in checks.STAGES
        for read in stage.reads(site, site.admin)
        if read.verb == "argv" and read.args["argv"][0] == "ceph"
    }
    assert asked and {words for words in asked if f'*" {words}")' not in known} == set()


# Hosts that answer with latency


STEPS = [
    {"id": 7, "verb": "write", "thing": "/etc/a", "sentence": "write"},
    {"id": 9, "verb": "restart", "thing": "nova-compute", "sentence": "restart"},
]
READS = [{"id": "host", "verb": "host", "args": {}}]
IS = {"os": "debian", "machine_id": "0" * 32, "time": 1.0}


def script(done=False):
    """What one host said, as a recorder notes it."""

    def read(os):
        return {"host": [{"t": "read", "id": "host", "value": {**IS, "os": os}}]}

    steps = {
        latency._named(step): [{"t": kind, "step": number} for kind in ("begin", "done")]
        for number, step in enumerate(STEPS)
    }
    steps[latency._named(STEPS[1])][0]["waits"] = True
    host = "compute00001"
    cold = {"reads": {host: read("cold")}, "then": {host: read("after")}, "steps": {host: steps}}
    return latency.Script(cold, {"reads": {host: read("converged")}, "steps": {}}, done)


@pytest.mark.parametrize(
    ("size", "round_trips"),
    [(0, 1), (14480, 1), (14481, 2), (43440, 2), (43441, 3), (50_000, 3), (101_361, 4)],
)
def test_what_is_long_takes_more_round_trips(size, round_trips):
    assert latency.flights(size) == round_trips


def five(monkeypatch, work, said):
    """({host: its messages}, faults, seconds) of five hosts with latency, two at a time."""
    monkeypatch.setattr(latency, "ROUND_TRIP", 0.002)
    monkeypatch.setattr(latency, "RESTART", 0.1)
    monkeypatch.setattr(latency, "WATCHING", 0.2)
    monkeypatch.setattr(latency.Client, "script", said, raising=False)
    monkeypatch.setattr(connecting, "Client", latency.Client)
    hosts = [Host(f"c{n}", ("compute",), f"127.1.0.{n + 2}", "root") for n in range(5)]
    heard, start = {host.name: [] for host in hosts}, time.monotonic()
    fleet = Fleet(hosts, forks=2)
    works = {host.name: {"deadline": 60, **work} for host in hosts}
    faults = fleet.work(works, lambda host, message: heard[host].append(message))
    fleet.close()
    return heard, faults, time.monotonic() - start


@pytest.mark.parametrize(("done", "answer"), [(False, "cold"), (True, "converged")])
def test_five_hosts_answer_as_the_one_did_each_with_its_own_identity(monkeypatch, done, answer):
    heard, faults, _ = five(monkeypatch, {"reads": READS}, script(done))
    assert faults == {}
    values = [message["value"] for said in heard.values() for message in said]
    assert [value["os"] for value in values] == [answer] * 5
    assert len({value["machine_id"] for value in values}) == 5
    assert all(abs(value["time"] - time.time()) < 60 for value in values)


def test_five_hosts_do_their_steps_and_wait_beside_each_other(monkeypatch):
    heard, faults, took = five(monkeypatch, {"steps": STEPS, "then": READS}, script())
    assert faults == {}
    for said in heard.values():
        told = [(message["t"], message.get("step")) for message in said]
        assert told == [("begin", 7), ("done", 7), ("begin", 9), ("done", 9), ("read", None)]
        assert said[-1]["value"]["os"] == "converged"
    assert 0.3 <= took < 5 * 0.3


def test_a_host_that_holds_a_lock_lives_until_it_is_let_go(monkeypatch):
    monkeypatch.setattr(latency, "ROUND_TRIP", 0.002)
    channel = latency.Channel(script(), "127.1.0.1")
    channel.settimeout(0.02)
    channel.sendall(b'{"hold": true, "nonce": "n"}\n')
    assert b'"held"' in channel.recv(65536)
    assert b'"beat"' in channel.recv(65536)
    channel.shutdown_write()
    assert b'"end"' in channel.recv(65536)
    assert channel.recv(65536) == b""


@pytest.mark.parametrize(
    ("hosts", "forks", "cold", "seconds"),
    [
        # By hand: the lock and the cluster's look take 15 trips; a look takes 10, in rounds of
        # `forks`; the key's is one, the work another; then 2 + 4 s stand, 8 times forks at once.
        (5, 32, False, 15 * 0.02 + 10 * 0.02),
        (64, 32, False, 15 * 0.02 + 2 * 10 * 0.02),
        (5, 32, True, 15 * 0.02 + 10 * 0.02 + 0.02 + 0.02 + 6),
        (512, 32, True, 15 * 0.02 + 16 * 10 * 0.02 + 0.02 + 2 * 6.02),
    ],
)
def test_the_critical_path_is_as_by_hand(hosts, forks, cold, seconds):
    assert critical_path.Path(hosts, forks, cold).overlapped() == pytest.approx(seconds)
