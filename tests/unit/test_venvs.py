"""Services that run from source, in venvs: which version it is, is told by the unit's own Python.

The layout is OpenStack-Ansible's: /openstack/venvs/NAME-VERSION, an old one beside it after an
upgrade, units named as packages have them (its systemd_service and python_venv_build roles).
"""

import subprocess
import sys

import pytest

from fabfile.core.remote import packages, processes, reads

from .states import DEBIAN, PLATFORMS

SHOWN = "ExecStart={{ path={0} ; argv[]={0} ; ignore_errors=no ; start_time=[n/a] ; pid=0 }}\n"
SYSTEMCTL = """#!/bin/sh
echo "$*" >> {0}/../asked
while [ "$1" != -- ]; do shift; done
shift
gap=
for unit; do echo "${{gap}}Id=$unit"; cat "{0}/$unit" 2>/dev/null; gap='
'; done
"""


def venv(folder, name, version, program, knows=True):
    """A venv whose Python says that version."""
    place = folder / "openstack/venvs" / name
    (place / "bin").mkdir(parents=True)
    (place / "pyvenv.cfg").write_text("home = /usr/bin\n")
    text = f"#!/bin/sh\necho {version}\n" if knows else "#!/bin/sh\nexit 1\n"
    for one in ("python3", program):
        (place / "bin" / one).write_text(text)
        (place / "bin" / one).chmod(0o755)
    return place / "bin" / program


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host on which nothing of OpenStack is a package; units: {unit: its program}."""
    shown = tmp_path / "shown"
    shown.mkdir()
    systemctl = tmp_path / "bin/systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(SYSTEMCTL.format(shown))
    systemctl.chmod(0o755)
    monkeypatch.setitem(processes.ENVIRONMENT, "PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setitem(processes.WAYS, packages.VENVS, DEBIAN["ways"]["venvs"])
    there = {}
    manager = type(
        "", (), {"versions": staticmethod(lambda names: {n: there.get(n) for n in names})}
    )
    monkeypatch.setattr(packages, "manager", lambda: manager)

    def of(**units):
        for unit, program in units.items():
            (shown / f"{unit.replace('_', '-')}.service").write_text(SHOWN.format(program))
        return there

    return of


NAMES = ["cinder-common", "glance-common", "librados2", "nova-common", "openstack-nova-common"]


def test_the_venv_of_a_units_program_counts_and_not_an_old_one(tmp_path, host):
    venv(tmp_path, "nova-29.0.1", "29.0.1", "nova-compute")
    host(nova_compute=venv(tmp_path, "nova-31.0.0", "31.0.0", "nova-compute"))
    found = packages.versions(NAMES)
    assert {name: version for name, version in found.items() if version} == {
        "nova-common": "31.0.0"
    }


def test_a_unit_in_uwsgis_venv_says_nothing_and_another_unit_is_asked(tmp_path, host):
    uwsgi = venv(tmp_path, "uwsgi-31.0.0", "", "uwsgi", knows=False)
    scheduler = venv(tmp_path, "cinder-26.0.0", "26.0.0", "cinder-scheduler")
    host(glance_api=uwsgi, cinder_volume="/usr/bin/cinder-volume", cinder_scheduler=scheduler)
    found = packages.versions(NAMES)
    assert (found["glance-common"], found["cinder-common"]) == (None, "26.0.0")


def test_a_package_counts_and_no_unit_is_asked(tmp_path, host):
    there = host(nova_compute=venv(tmp_path, "nova-31.0.0", "31.0.0", "nova-compute"))
    there["nova-common"] = "3:29.0.1-0ubuntu1"
    found = packages.versions(["nova-common", "openstack-nova-common"])
    assert found == {"nova-common": "3:29.0.1-0ubuntu1", "openstack-nova-common": None}
    assert not (tmp_path / "asked").exists()


def test_the_units_of_all_projects_are_asked_of_one_program(tmp_path, host):
    host()
    packages.versions(NAMES)
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert asked.endswith(" ".join(unit for _, unit in DEBIAN["ways"]["venvs"]))


def test_a_look_asks_one_program_of_services_and_of_venvs(tmp_path, host):
    venv(tmp_path, "nova-31.0.0", "31.0.0", "nova-compute")
    host(nova_compute=tmp_path / "openstack/venvs/nova-31.0.0/bin/nova-compute")
    main = str(tmp_path / "nova.conf")
    sources = {"unit": "nova-compute.service", "project": "nova", "main": main}
    asked = {"packages": {"names": NAMES}, "sources": sources}
    said = {}
    talk = type("", (), {"flush": lambda self: None})()
    talk.say_soon = lambda id, value, **more: said.update({id: value})
    for version in ("31.0.0", "32.0.0"):
        work = [{"id": verb, "verb": verb, "args": args} for verb, args in asked.items()]
        reads.answer(work, talk, lambda: False)
        assert said["packages"]["nova-common"] == version and said["sources"]["main"] == main
        newer = venv(tmp_path, "nova-32.0.0", "32.0.0", "nova-compute") if version < "32" else ""
        host(nova_compute=newer or "/usr/bin/nova-compute")
    assert len((tmp_path / "asked").read_text().splitlines()) == 2


def test_a_host_without_systemd_or_with_a_broken_venv_says_nothing(tmp_path, host, monkeypatch):
    program = venv(tmp_path, "nova-31.0.0", "31.0.0", "nova-compute")
    (program.parent / "python3").unlink()
    host(nova_compute=program)
    assert packages.versions(["nova-common"]) == {"nova-common": None}
    monkeypatch.setitem(processes.ENVIRONMENT, "PATH", str(tmp_path))
    assert packages.versions(["nova-common"]) == {"nova-common": None}


def test_a_python_knows_the_version_of_what_is_in_it():
    argv = [sys.executable, "-I", "-c", packages._VERSIONS, "pytest"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == pytest.__version__


def test_each_platform_of_packages_names_the_same_units():
    ways = {table["name"]: table["ways"].get("venvs") for table in PLATFORMS}
    assert ways["el"] == ways["debian"]
