"""The host's service manager and package manager, against programs that answer as theirs do."""

import pytest

from fabfile.core.remote import packages, processes, steps, units

SHOWN = """Id=glance-api.service
LoadState=loaded
ActiveState=active

Id=libvirtd.socket
LoadState=not-found
ActiveState=inactive
"""
LISTED = """glance-api.service loaded active running OpenStack Image
getty@tty1.service loaded active running Getty
"""


@pytest.fixture
def programs(monkeypatch):
    """What was called, and what each first word of a question answers."""
    called, answers = [], {}

    def call(argv, **how):
        called.append(argv)
        return answers.get(argv[1], (0, "", ""))

    def expect(argv, ok=(0,), **how):
        code, out, err = call(argv)
        if code not in ok:
            raise processes.Failed(f"exit code {code}")
        return code, out, err

    for module in (units, packages):
        monkeypatch.setattr(module, "expect", expect)
    monkeypatch.setattr(units, "call", call)
    return called, answers


def test_units_are_shown_by_the_names_they_were_asked_by(programs):
    called, answers = programs
    answers["show"] = (0, SHOWN, "")
    seen = units.show(["glance-api", "libvirtd.socket"])
    assert {name: unit["ActiveState"] for name, unit in seen.items()} == {
        "glance-api": "active",
        "libvirtd.socket": "inactive",
    }
    assert called[0][-2:] == ["glance-api.service", "libvirtd.socket"]


def test_running_services_are_named_without_their_kind(programs):
    programs[1]["list-units"] = (0, LISTED, "")
    assert units.running() == ["glance-api", "getty@tty1"]


@pytest.mark.parametrize("said, pid", [("MainPID=0\n", ""), ("MainPID=17\n", "17"), ("", "")])
def test_main_process(programs, said, pid):
    programs[1]["show"] = (0, said, "")
    assert units.main_process("nova-compute") == pid


def test_a_step_that_stops_units_says_how_they_are_started_again(programs):
    step = steps.stop("run", ["nova-api"])
    back = next(step)
    assert back["verb"] == "restart" and back["args"] == {"units": ["nova-api"]}
    assert programs[0] == []  # first it is noted, then done
    assert list(step) == []
    assert programs[0] == [["systemctl", "stop", "--", "nova-api.service"]]


def test_packages_that_are_removed_but_configured_are_not_installed(programs):
    programs[1]["-W"] = (1, "ii  ceph-common 17.2.7\nrc  python3-rbd 16.2\n", "")
    found = packages.versions(["ceph-common", "python3-rbd", "absent"])
    assert found == {"ceph-common": "17.2.7", "python3-rbd": None, "absent": None}


def test_only_the_named_source_list_is_refreshed(programs):
    packages.install(["ceph-common"], "/etc/apt/sources.list.d/a.list")
    update, install = programs[0]
    assert "Dir::Etc::sourcelist=/etc/apt/sources.list.d/a.list" in update
    assert install[-3:] == ["install", "--", "ceph-common"]
