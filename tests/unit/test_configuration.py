"""Which files a service reads, held against oslo.config's own search; and what leaves the host."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from fabfile.core import answers
from fabfile.core.remote import configuration, processes, units

VENV = "/openstack/venvs/cinder-29/bin"
SECTION = "[DEFAULT]\nenabled_backends = {}\n"
OF_GLANCE = {"names": ["paste.ini", "glance-import.conf", "glance-api.conf"], "folder": "G_DIR"}


class Place:
    """A file system of a test: /etc and a home below a temporary folder."""

    def __init__(self, tmp_path, monkeypatch):
        self.root, self.home = tmp_path, tmp_path / "home"
        self.process = {"running": True, "environment": {}, "folder": str(tmp_path)}
        self.process["home"] = str(self.home)
        real = configuration._places
        monkeypatch.setattr(
            configuration,
            "_places",
            lambda process, project: [self.below(p) for p in real(process, project)],
        )
        monkeypatch.setattr(units, "process", lambda unit: self.process)

    def below(self, path):
        return path if path.startswith(str(self.root)) else str(self.root) + path

    def file(self, path, text=None):
        path = self.below(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as stream:
            stream.write(SECTION.format(path) if text is None else text)
        return path

    def order(self, words, project="cinder", main="/etc/cinder/cinder.conf", **more):
        """The files in their order, as paths of a host."""
        self.process["words"] = words
        found = configuration.sources("u", project, self.below(main), **more)
        assert answers.fits("sources", found)
        return [path.replace(str(self.root), "") for path, _ in found["files"]]


@pytest.fixture
def place(tmp_path, monkeypatch):
    return Place(tmp_path, monkeypatch)


MAIN, COMMON, OWN = (
    "/etc/cinder/cinder.conf",
    "/etc/cinder/cinder.conf.d/50-local.conf",
    "/etc/cinder/cinder-volume.conf.d/50-local.conf",
)
PROGRAM = "/etc/cinder/cinder-volume.conf"
FILES = [
    MAIN,
    PROGRAM,
    COMMON,
    OWN,
    "/etc/cinder/cinder.conf.d/10-first.conf",
    "/etc/cinder/cinder.conf.d/.hidden.conf",
    "/etc/cinder/cinder.conf.d/50-local.conf.dpkg-old",
    "/opt/a.conf",
    "/opt/d/1.conf",
    "/opt/d/2.conf",
    "/opt/e/1.conf",
]
FIRST = "/etc/cinder/cinder.conf.d/10-first.conf"
FOLDERS = [FIRST, COMMON, OWN]


@pytest.mark.parametrize(
    "words, expected",
    [
        ([f"{VENV}/python3", f"{VENV}/cinder-volume"], [MAIN, PROGRAM, *FOLDERS]),
        (["/usr/bin/cinder-volume"], [MAIN, PROGRAM, *FOLDERS]),
        (["python3.11", "-s", "/usr/bin/cinder-volume.py", "--debug"], [MAIN, PROGRAM, *FOLDERS]),
        (["cinder-volume", "--config-file={}" + MAIN], [*FOLDERS, MAIN]),
        (["cinder-volume", "--config-file", "{}" + MAIN], [*FOLDERS, MAIN]),
        (
            ["cinder-volume", "--config-file", "{}/opt/a.conf", "--config-file=opt/d/1.conf"],
            [*FOLDERS, "/opt/a.conf", "/opt/d/1.conf"],
        ),
        (
            ["cinder-volume", "--config-dir", "{}/opt/d"],
            [MAIN, PROGRAM, "/opt/d/1.conf", "/opt/d/2.conf"],
        ),
        (
            ["cinder-volume", "--config-dir={}/opt/e", "--config-dir={}/opt/d"],
            [MAIN, PROGRAM, "/opt/e/1.conf", "/opt/d/1.conf", "/opt/d/2.conf"],
        ),
        (
            ["cinder-volume", "--config-dir={}/opt/e", "--config-file={}" + MAIN],
            ["/opt/e/1.conf", MAIN],
        ),
        (
            ["cinder-volume", "--config-file={}" + MAIN, "--config-dir={}/opt/e"],
            [MAIN, "/opt/e/1.conf"],
        ),
        (["cinder-volume", "--config-dir={}/nowhere"], [MAIN, PROGRAM]),
        (["cinder-volume", "--config-fi={}/opt/a.conf"], [MAIN, PROGRAM, *FOLDERS, "/opt/a.conf"]),
    ],
)
def test_the_order_of_what_is_read(place, words, expected):
    for path in FILES:
        place.file(path)
    assert place.order([word.format(place.root) for word in words]) == expected


@pytest.mark.parametrize(
    "there, expected",
    [
        (["~/.cinder/cinder.conf", MAIN], ["/home/.cinder/cinder.conf"]),
        (["~/cinder.conf", MAIN, "/etc/cinder.conf"], ["/home/cinder.conf"]),
        (["/etc/cinder.conf", "/etc/cinder-volume.conf"],) * 2,
        (
            [MAIN, "~/.cinder/cinder.conf.d/x.conf", COMMON],
            [MAIN, "/home/.cinder/cinder.conf.d/x.conf"],
        ),
        ([MAIN, "/etc/cinder.conf.d/x.conf"], [MAIN, "/etc/cinder.conf.d/x.conf"]),
        ([MAIN, "/snap/common/etc/cinder/cinder-volume.conf"],) * 2,
    ],
)
def test_the_first_folder_that_has_it_counts(place, there, expected):
    place.process["environment"] = {"SNAP_COMMON": place.below("/snap/common")}
    for path in there:
        place.file(path.replace("~", str(place.home)))
    assert place.order(["cinder-volume"]) == expected


GLANCE = "/etc/glance/glance-api.conf"


@pytest.mark.parametrize(
    "words, environment, expected",
    [
        (
            ["/usr/bin/uwsgi_python311", "--ini", "/etc/glance/uwsgi.ini"],
            {},
            ["/etc/glance/paste.ini", GLANCE, "/etc/glance/glance.conf.d/x.conf"],
        ),
        (
            ["apache2", "-k", "start"],
            {"G_DIR": "{}/opt "},
            ["/opt/glance-api.conf", "/etc/glance/glance.conf.d/x.conf"],
        ),
        (
            ["/usr/bin/python3", "/usr/bin/glance-api"],
            {},
            [GLANCE, "/etc/glance/glance.conf.d/x.conf", "/etc/glance/glance-api.conf.d/y.conf"],
        ),
        (
            ["/bin/sh", "-c", "exec $DAEMON"],
            {},
            [GLANCE, "/etc/glance/glance.conf.d/x.conf", "/etc/glance/glance-api.conf.d/y.conf"],
        ),
        (
            ["glance-api", "--config-file={}" + GLANCE],
            {},
            ["/etc/glance/glance.conf.d/x.conf", "/etc/glance/glance-api.conf.d/y.conf", GLANCE],
        ),
    ],
)
def test_an_application_of_a_wsgi_server_names_its_files_itself(
    place, words, environment, expected
):
    for path in ("/opt/glance-api.conf", GLANCE, "/etc/glance/glance.conf.d/x.conf"):
        place.file(path)
    place.file(
        "/etc/glance/paste.ini", "[composite:rootapp]\nuse = egg:Paste#urlmap\n/: apiversions\n"
    )
    place.file("/etc/glance/glance-api.conf.d/y.conf")
    place.process["environment"] = {k: v.format(place.root) for k, v in environment.items()}
    words = [word.format(place.root) for word in words]
    assert place.order(words, "glance", GLANCE, wsgi=OF_GLANCE) == expected


def test_what_uwsgi_hands_over_is_read(place):
    for path in FILES:
        place.file(path)
    ini = place.file("/etc/nova/uwsgi.ini", f"[uwsgi]\npyargv = --config-dir={place.root}/opt/e\n")
    assert place.order(["uwsgi", "--ini", ini]) == [MAIN, "/opt/e/1.conf"]


def test_what_stands_in_a_folder_that_nobody_named_counts(place):
    place.file(MAIN, "[DEFAULT]\nenabled_backends = rbd\n")
    place.file(
        COMMON, "[DEFAULT]\nenabled_backends = lvm\n[database]\nconnection = mysql://u:p@h/c\n"
    )
    place.process["words"] = [f"{VENV}/python3", f"{VENV}/cinder-volume", ""]
    found = configuration.sources("cinder-volume", "cinder", place.below(MAIN))
    (_, ours), (path, lines) = found["files"]
    assert ours == [] and path == place.below(COMMON)
    assert lines[0] == ["DEFAULT", "enabled_backends", "lvm"]
    assert "u:p@h" not in str(found)


def test_of_the_environment_only_what_counts_leaves_the_host(place):
    key = "AQBsb2NrZWQgaW4gYSB0ZXN0IGZpbGU/AAAA+A=="
    place.process["environment"] = {
        "OS_RBD__RBD_POOL": "x",
        "OS_DATABASE__CONNECTION": "mysql://u:hunter2@h/c",
        "OS_PASSWORD": "hunter2",
        "OS_RBD__RBD_SECRET_UUID": "u",
        "CEPH_ARGS": f"--id volumes --key={key} --keyring /k --keyfile=/f",
        "HOME": "/root",
    }
    place.process["words"] = ["cinder-volume"]
    found = configuration.sources(
        "u", "cinder", "/x", plain=["rbd_secret_uuid"], variables=["CEPH_ARGS"]
    )["environment"]
    assert "hunter2" not in str(found) and key not in str(found)
    assert found["OS_RBD__RBD_POOL"] == "x" and found["OS_RBD__RBD_SECRET_UUID"] == "u"
    assert found["CEPH_ARGS"] == (
        f"--id volumes --key={processes.fingerprint(key)} --keyring /k --keyfile=/f"
    )
    assert set(found) == {
        "OS_RBD__RBD_POOL",
        "OS_DATABASE__CONNECTION",
        "OS_RBD__RBD_SECRET_UUID",
        "CEPH_ARGS",
    }


def test_a_file_that_oslo_refuses_is_named(place):
    place.file(MAIN)
    place.file(COMMON, "no section\n")
    with pytest.raises(processes.Failed, match="50-local.conf: line 1"):
        place.order(["cinder-volume"])


chosen = st.lists(st.sampled_from([p for p in FILES if "hidden" not in p]), unique=True)
arguments = st.lists(
    st.sampled_from(
        [
            ["--config-file", "{}/opt/a.conf"],
            ["--config-file={}/opt/d/2.conf"],
            ["--config-file={}/etc/cinder/cinder.conf"],
            ["--config-dir", "{}/opt/d"],
            ["--config-dir={}/opt/e"],
            ["--debug"],
        ]
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(there=chosen, words=arguments)
def test_any_files_and_arguments_as_oslo_reads_them(tmp_path_factory, there, words):
    """The last file that is read names the value that oslo.config gives."""
    root = tmp_path_factory.mktemp("oslo")
    with pytest.MonkeyPatch.context() as patch:
        place = Place(root, patch)
        for path in [*there, "/opt/a.conf", "/opt/d/2.conf", "/opt/e/1.conf", MAIN]:
            place.file(path)
        given_words = [word.format(root) for one in words for word in one]
        places = [place.below(p) for p in ("/etc/cinder", "/etc")]
        patch.setattr(cfg, "_get_config_dirs", lambda project=None: places)
        conf = cfg.ConfigOpts()
        conf.register_opt(cfg.StrOpt("enabled_backends"))
        conf.register_cli_opt(cfg.BoolOpt("debug"))
        conf(given_words, project="cinder", prog="cinder-volume")
        found = place.order(["/usr/bin/cinder-volume", *given_words])
        assert str(root) + found[-1] == conf.enabled_backends


def test_a_folder_that_its_owner_filled_is_refused_in_words(place):
    for number in range(257):
        place.file(f"/etc/cinder/cinder.conf.d/{number}.conf")
    with pytest.raises(processes.Failed, match="cinder.conf.d: more than 256 files of options"):
        place.order(["cinder-volume"])


def test_more_files_than_any_service_reads_are_refused_in_words(place):
    with pytest.raises(processes.Failed, match="u reads more than 256 files of options"):
        place.order(["cinder-volume", *["--config-file=/etc/x"] * 257])


@pytest.mark.parametrize("size, count", [(100_000, 12), (1, 5000)])
def test_a_process_that_shows_more_than_a_service_has_is_refused_in_words(size, count):
    argv = [sys.executable, "-c", "input()", *["x" * size] * count]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        try:
            with pytest.raises(processes.Failed, match="cmdline: more than 1048576 bytes or 4096"):
                for _ in range(100):  # until it is that program
                    units._looked_at(str(process.pid))
                    time.sleep(0.05)
        finally:
            process.kill()
