"""A program that is not on a host's path is begun in another way that is there: cephadm, a snap."""

import os
import re

import pytest

from fabfile.core.remote import processes
from fabfile.doctor.finding import commands
from fabfile.flow import gather

from . import clouds
from .states import DEBIAN, answer, site
from .test_agent import agent  # noqa: F401 (a fixture)

ECHO = '#!/bin/sh\necho "$0 $@"\n'


def put(folder, name, executable=True, when=0):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ECHO)
    path.chmod(0o755 if executable else 0o644)
    os.utime(path, (when, when))
    return path


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A path of one folder, and the platform's ways with all that is absolute below it."""
    monkeypatch.setitem(processes.ENVIRONMENT, "PATH", f"{tmp_path}/bin")
    below = [
        [f"{tmp_path}{word}" if word.startswith("/") else word for word in way]
        for way in DEBIAN["ways"]["ceph"]
    ]
    monkeypatch.setitem(processes.WAYS, "ceph", below)
    return tmp_path


FSID, OTHER = "6238f9e6-0382-4cef-a3f3-795a22ddc50e", "11111111-2222-4333-8444-555555555555"
BEGUN = [
    (["bin/ceph", "snap/bin/ceph", "bin/cephadm"], "ceph -s"),
    (["snap/bin/ceph", "bin/cephadm"], "{}/snap/bin/ceph -s"),
    (["snap/bin/microceph.ceph"], "{}/snap/bin/microceph.ceph -s"),
    (["bin/cephadm", "bin/python3"], "cephadm shell -- ceph -s"),
    (
        ["bin/python3", f"var/lib/ceph/{FSID}/cephadm.a1", f"var/lib/ceph/{FSID}/cephadm.0b"],
        f"python3 {{}}/var/lib/ceph/{FSID}/cephadm.0b shell -- ceph -s",
    ),
]


@pytest.mark.parametrize("there, expected", BEGUN, ids=[one[1] for one in BEGUN])
def test_the_first_way_that_is_there(path, there, expected):
    for when, name in enumerate(there):
        put(path, name, when=when)
    assert " ".join(processes.begun(["ceph", "-s"])) == expected.format(path)


IN_A_CONTAINER = """#!/bin/sh
# cephadm, whose container finds the folder that is mounted there; what it prints is logged.
test "$1 $2" = "shell --mount" && folder=${3%%:*} && inside=${3#*:} && shift 4
script=$(printf %s "$3" | sed "s#$inside#$folder#")
test "$1 $2" = "sh -c" && shift 3 && exec sh -c "$script" "$@"
"""


def test_what_a_container_says_is_in_no_log(path, monkeypatch):
    """podman has a container's output logged: it comes by a file, and nothing is left of that."""
    monkeypatch.setattr(processes, "_SHELLS", str(path))
    monkeypatch.setitem(processes.ENVIRONMENT, "PATH", f"{path}/bin:/usr/bin:/bin")
    put(path, "bin/cephadm").write_text(IN_A_CONTAINER)
    monkeypatch.setitem(processes.WAYS, "ceph", [["cephadm", "shell", "--", "sh"]])
    script = "echo key; echo not this >&2; exit 3"
    printed = []
    plain = processes._called
    monkeypatch.setattr(
        processes, "_called", lambda *words: printed.append(plain(*words)) or printed[-1]
    )
    assert processes.call(["ceph", "-c", script]) == (3, "key\n", "not this\n")
    assert printed == [(3, "", "not this\n")]
    assert [one.name for one in path.iterdir()] == ["bin"]


def test_what_is_no_file_is_no_way(path):
    mine = f"var/lib/ceph/{FSID}"
    put(path, "bin/python3")
    put(path, f"{mine}/cephadm.a1")
    (path / mine / "cephadm.z").symlink_to("gone")
    (path / mine / "cephadm.d").mkdir()
    (path / f"var/lib/ceph/{OTHER}/cephadm.d").mkdir(parents=True)
    assert processes.begun(["ceph"])[1] == f"{path}/{mine}/cephadm.a1"


ABSENT = [
    [],
    ["bin/python3"],
    [f"var/lib/ceph/{FSID}/cephadm.a1"],
    ["bin/python3", f"var/lib/ceph/{FSID}/cephadm.a1", f"var/lib/ceph/{OTHER}/cephadm.a1"],
]


@pytest.mark.parametrize("there", ABSENT)
def test_where_none_is_there_or_which_is_not_known_all_are_named(path, there):
    for name in there:
        put(path, name)
    with pytest.raises(processes.Failed, match="ceph: no such program here, nor .*snap/bin/ceph"):
        processes.begun(["ceph", "-s"])


def test_a_program_that_cannot_be_run_is_none(path):
    put(path, "snap/bin/ceph", executable=False)
    put(path, "bin/cephadm")
    assert processes.begun(["ceph"])[0] == "cephadm"


def test_other_programs_have_no_other_way(path):
    put(path, "bin/cephadm")
    with pytest.raises(processes.Failed, match="^virsh: no such program here$"):
        processes.begun(["virsh", "list"])


def test_an_agent_is_told_with_its_work_and_forgets_it_after(agent, tmp_path):  # noqa: F811
    program = str(put(tmp_path, "snap/bin/ceph"))
    read = {"id": "x", "verb": "argv", "args": {"argv": ["no-such-ceph", "-s"]}}
    one = agent(reads=[read], ways={"no-such-ceph": [["/nowhere/ceph"], [program]]})
    (told,) = one.all()
    assert told["value"]["out"] == f"{program} -s\n"
    one.give(reads=[read])
    (told,) = one.all()
    assert told["error"] == "no-such-ceph: no such program here"


def test_lines_that_have_no_bound_come_in_another_way_too(path):
    put(path, "snap/bin/ceph")
    assert list(processes.lines(["ceph", "-s"])) == [[f"{path}/snap/bin/ceph -s"]]


def test_a_host_says_what_it_begins_otherwise(path):
    assert processes.otherwise() == {}
    put(path, "bin/cephadm")
    assert processes.otherwise() == {"ceph": ["cephadm", "shell", "--", "ceph"]}
    put(path, "bin/ceph")
    assert processes.otherwise() == {}


SHELL = ["cephadm", "shell", "--", "ceph"]
COPY = ["python3", f"/var/lib/ceph/{FSID}/cephadm.0b", "shell", "--", "ceph"]
SEEN = [
    ({"ceph": SHELL}, [*SHELL, "status"]),
    ({"ceph": COPY}, [*COPY, "status"]),
    ({"ceph": ["/snap/bin/ceph"]}, ["/snap/bin/ceph", "status"]),
    # What no platform has is nobody's way, whatever a host says.
    ({"ceph": ["rm", "-rf", "/"]}, ["ceph", "status"]),
    (
        {"ceph": ["python3", "/var/lib/ceph/a-b-c-d-e/x/../cephadm.1", *COPY[2:]]},
        ["ceph", "status"],
    ),
    ({"ceph": [*SHELL, "-m"]}, ["ceph", "status"]),
    ({"ceph": [1, 2, 3, 4]}, ["ceph", "status"]),
    ({"ceph": "cephadm"}, ["ceph", "status"]),
    ({"rbd": [*SHELL[:3], "rbd"]}, ["ceph", "status"]),
    ({}, ["ceph", "status"]),
    (None, ["ceph", "status"]),
    (["ceph"], ["ceph", "status"]),
]


@pytest.mark.parametrize("begun, words", SEEN, ids=[str(one[0]) for one in SEEN])
def test_what_is_shown_is_begun_as_that_host_begins_it(begun, words):
    platform = site().platform_of(site().host("ceph01"))
    command = platform.by_hand("ceph", "status")
    there = platform.as_there(command, begun)
    assert list(there.argv) == words and there.deed == command.deed


def test_doctor_shows_it_so():
    def change(cloud):
        cloud["ceph01"]["host"]["begun"] = {"ceph": SHELL}
        cloud["ceph01"]["ceph.health"] = answer({"checks": {"OSD_NEARFULL": {}}})

    (one,) = (f for f in clouds.found(change) if f.code == "ceph.OSD_NEARFULL")
    runs = [step["run"] for step in commands(one, site(), "") if step["kind"] == "root"]
    assert runs and all(run.startswith("cephadm shell -- ceph ") for run in runs)


def test_every_work_of_a_session_says_the_platforms_ways():
    it = site()
    works = gather.works({it.host("ceph01"): []}, {}, it.platform_of)
    assert works["ceph01"]["ways"] == DEBIAN["ways"]


def test_a_site_file_has_other_ways():
    own = [["podman", "exec", "-i", "toolbox", "ceph"]]
    it = site(platform_changes={"ways": {"ceph": own}})
    ways = it.platform_of(it.host("ceph01")).ways
    assert ways["ceph"] == own and ways["rbd"] == DEBIAN["ways"]["rbd"]


def test_rbd_has_the_same_ways_as_ceph():
    ways = DEBIAN["ways"]
    named = [[*way[:-1], re.sub("ceph$", "rbd", way[-1])] for way in ways["ceph"]]
    assert ways["rbd"] == named
