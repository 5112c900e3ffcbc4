"""Labs side by side: what a lab's name is in, and what is refused."""

import json
import os
import subprocess
import sys

import pytest

from lab import beside, network, places
from lab.errors import LabError

ASKED = """
import json
from lab import cgroups, network, places, topology
small = topology.load(topology.FOLDER / "small.toml")
print(json.dumps({
    "state": str(places.STATE), "lock": str(places.LOCK), "builds": str(places.BUILDS),
    "group": cgroups.LAB, "bridge": small.bridge, "machine": network.machine_of("compute01"),
    "cache": str(places.CACHE), "text": small.text,
}))
"""


def _names(name):
    done = subprocess.run(
        [sys.executable, "-c", ASKED],
        env={**os.environ, "STACKRBD_LAB_NAME": name},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def test_two_labs_share_their_cache_and_nothing_else():
    first, second = _names(""), _names("b")
    shared = {key for key in first if first[key] == second[key]}
    assert shared == {"cache", "text"}  # the text is part of a kept cloud's name
    assert len(_names("12345678")["bridge"]) <= 15


@pytest.mark.parametrize("name", ["", "B", "a-b", "../x", "b/c", "b c", "123456789", "ü", "b\n"])
def test_a_name_that_no_link_or_path_may_have_is_refused(name):
    with pytest.raises(LabError, match="eight letters and digits"):
        beside.argv(name, ["true"])


def test_a_named_lab_without_namespaces_of_its_own_is_refused(monkeypatch):
    from lab import machine  # noqa: PLC0415

    monkeypatch.setattr(machine, "_release", lambda: {"ID": "debian", "VERSION_ID": "12"})
    monkeypatch.setattr(machine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "succeeds", lambda _: True)
    monkeypatch.setattr(places, "NAME", "b")
    monkeypatch.setattr(beside, "is_apart", lambda: False)
    assert "-m lab.beside b inv lab.up" in machine.refusal()
    monkeypatch.setattr(beside, "is_apart", lambda: True)
    assert machine.refusal() is None


def test_a_lab_is_taken_down_before_its_namespaces(monkeypatch, tmp_path):
    monkeypatch.setattr(beside.os, "geteuid", lambda: 0)
    monkeypatch.setattr(beside, "Path", lambda *words: tmp_path.joinpath(*words[1:]))
    (tmp_path / "stackrbd-lab-b").mkdir()
    with pytest.raises(LabError, match="lab.beside b inv lab.down"):
        beside.end("b")


def test_the_links_name_is_the_kernels_where_it_fits():
    assert network.link_of("controller01") == "vb-controller01"
