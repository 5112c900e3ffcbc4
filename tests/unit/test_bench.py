"""What make bench compares and how it counts; the fleet itself needs root."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET

import pytest

from bench import points, report, wanted, ways, within
from bench.places import PROJECT
from fabfile.core import site_file
from fabfile.core.contract import Facts
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
        "# Speed\n\n## What one host's time goes into\n\n| a |\n\n## What was tried, and\n"
    )
    assert report.costs(page) == "\n| a |\n\n"
    report.write(document(2), tmp_path)
    assert "\n| a |\n\n## What was tried" in page.read_text()
    assert report.costs(page) == "\n| a |\n\n"


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
