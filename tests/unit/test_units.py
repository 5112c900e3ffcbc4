"""The host's service manager and package manager, against programs that answer as theirs do."""

import subprocess
import sys
import time

import pytest

from fabfile.core.remote import apt, processes, steps, units

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


def shown(*units_of_host):
    """systemctl's answer to show, of {property: value} each."""
    usual = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running"}
    blocks = ({**usual, **one} for one in units_of_host)
    return "\n".join("".join(f"{k}={v}\n" for k, v in block.items()) for block in blocks)


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

    for module in (units, apt):
        monkeypatch.setattr(module, "expect", expect)
    monkeypatch.setattr(units, "call", call)
    return called, answers


URLS = [
    "Could not parse rfc1738 URL from string 'mysql+pymysql//cinder:S3cretPw@controller/cinder'",
    "amqp://openstack:S3cretPw@controller:5672/ is unreachable",
    "rabbit://a:S3cretPw@h1:5672,b:S3cretPw@h2:5672//nova",
    "mysql+pymysql://nova:S3cretPw/with@slash@db/nova?charset=utf8",
    "redis://:S3cretPw@h:6379",
    "git clone https://S3cretPw@host/x",
    "cannot reach nova:S3cretPw@db",
    "transport_url = rabbit:S3cretPw",
    "connection=S3cretPw",
    "--password=S3cretPw --host=h",
    '{"password": "S3cretPw with words", "user": "nova"}',
    "{'admin_password': 'S3cretPw with words'}",
    "os_password: S3cretPw",
    "X-Auth-Token: S3cretPw",
    "Authorization: Basic S3cretPw",
    "Authorization: Bearer S3cretPw",
    "api_key=S3cretPw",
    "client.volumes key = S3cretPw",
    "bad key AQDk3yZmAAAAABAAS3cretPwS3cretPwS3cretPw12==",
    "bad key AgDk3yZmAAAAACAAS3cretPwS3cretPwS3cretPwS3cretPwS3cretPwS3c=",
    "token gAAAAABmS3cretPwS3cretPwS3cretPwS3cretPw was refused",
]


@pytest.mark.parametrize("line", URLS)
def test_no_credential_is_in_what_a_program_said(line):
    for words in (line, f"before {line} after", f"{line}\n{line}", "x" * 590 + line):
        assert "S3cretPw" not in processes.said(words)


@pytest.mark.parametrize("line", ["", URLS[0], *URLS[10:16]])
@pytest.mark.parametrize(
    "long", [".", "//", "//a:", "password", "key = x ", "a:", "-gAAAA", "AQD", "x y ", "token \n"]
)
def test_long_words_take_no_time_and_show_no_credential(long, line):
    """64 KiB, as much as is kept of a program's words."""
    many = long * (65536 // len(long))
    begun = time.process_time()
    for words in (many + line, line + many[len(line) :], many[:61400] + line + many[:4080]):
        assert "S3cretPw" not in processes.said(words)
    assert time.process_time() - begun < 3  # of the whole text: up to 24 s


@pytest.mark.parametrize(
    "line",
    [
        "http://controller:5000/v3 answers 503",
        "Connection refused: controller:5672",
        "2026-11-27 06:53:01.123 4711 ERROR nova [req-1] no valid host, see /var/log/nova.log:12",
        "secret not found: no secret with matching uuid",
        "rbd: error opening image volume-1@snap: (2) No such file",
        "ctl@rbd-1#RBD is down",
        "[fe80::1]:6789 is down",
    ],
)
def test_words_without_credentials_stay(line):
    assert processes.said(line) == line


@pytest.mark.parametrize("line", URLS[:5])
def test_a_services_last_words_are_without_credentials(monkeypatch, line):
    monkeypatch.setattr(units, "last_lines", lambda unit: [line, "the end"])
    said = steps._last_words("cinder-volume")
    assert "S3cretPw" not in said and "the end" in said


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


SET_BY_THE_UNIT = (
    'Environment=OS_RBD__RBD_POOL=x "OS_RBD__RBD_USER=a b"\n'
    "EnvironmentFiles={0}/first (ignore_errors=no)\nEnvironmentFiles={0}/none (ignore_errors=yes)\n"
)
BEGUN = (
    "ExecStart={{ path=/usr/bin/cinder-volume ; argv[]=/usr/bin/cinder-volume --config-file "
    "/etc/a ; ignore_errors=no ; start_time=[n/a] ; pid=0 }}\nUser=root\n"
)


@pytest.mark.parametrize("pid", ["MainPID=0\n", "MainPID=\n", "MainPID=4194999\n", ""])
def test_a_service_that_does_not_run_is_told_by_its_unit(programs, tmp_path, pid):
    (tmp_path / "first").write_text(
        '# a comment\nOS_RBD__RBD_POOL="y"\n export no\nCEPH_ARGS=--id v\n'
    )
    programs[1]["show"] = (0, pid + (BEGUN + SET_BY_THE_UNIT).format(tmp_path), "")
    found = units.process("cinder-volume")
    assert found == {
        "running": False,
        "words": ["/usr/bin/cinder-volume", "--config-file", "/etc/a"],
        "environment": {"OS_RBD__RBD_POOL": "y", "OS_RBD__RBD_USER": "a b", "CEPH_ARGS": "--id v"},
        "home": "/root",
        "folder": "/",
    }


def test_a_service_that_runs_is_told_by_its_process_and_by_its_unit(programs, tmp_path):
    code = "import time; print(1, flush=True); time.sleep(60)"
    argv = [sys.executable, "-c", code, "--config-dir", "d"]
    given = {"OS_RBD__RBD_POOL": "of the process", "OS_A__B": "c", "HOME": "/h"}
    with subprocess.Popen(argv, cwd=tmp_path, env=given, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            shown = f"MainPID={process.pid}\nEnvironment=OS_RBD__RBD_POOL=x\n"
            programs[1]["show"] = (0, shown, "")
            found = units.process("cinder-volume")
        finally:
            process.kill()
    assert found["running"] and found["words"] == argv
    assert found["home"] == "/h" and found["folder"] == str(tmp_path)
    assert found["environment"] == {**given, "OS_RBD__RBD_POOL": "x"}


def test_a_service_of_which_nothing_is_known_is_told_by_its_name(programs):
    assert units.process("cinder-volume")["words"] == ["cinder-volume"]


def test_a_step_that_stops_units_says_how_they_are_started_again(programs):
    programs[1]["show"] = (0, shown({}), "")
    step = steps.stop("run", ["nova-api"])
    back = next(step)
    assert back["verb"] == "restart" and back["args"] == {"units": ["nova-api"]}
    assert programs[0] == []  # first it is noted, then done
    assert list(step) == []
    assert programs[0][-1] == ["systemctl", "stop", "--", "nova-api.service"]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("1min 30s", 90),
        ("3min 5s", 185),
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("1.500s", 1.5),
        ("1h 2min 3s", 3723),
        ("2d", 172800),
        ("1w", 604800),
        ("1month", 2629800),
        ("1y", 31557600),
        ("90s", 90),
        ("infinity", None),
        ("", 90),
        ("0", 90),
        ("[not set]", 90),
        ("soon", 90),
    ],
)
def test_a_span_of_systemds_in_seconds(span, expected):
    assert units.seconds(span) == expected


NOVA = {"TimeoutStopUSec": "3min 5s", "TimeoutStartUSec": "1min 30s"}


@pytest.mark.parametrize(
    ("seen", "starts", "expected", "said"),
    [
        # Nova 34 stops in up to 160 s, and its unit gives it 185.
        ({"nova-compute": NOVA}, True, 60 + 185 + 90, "own limits"),
        ({"nova-compute": NOVA}, False, 60 + 185, "own limits"),
        ({"nova-compute": {**NOVA, "ActiveState": "inactive"}}, True, 60 + 90, ""),
        ({"nova-compute": {**NOVA, "ActiveState": "failed"}}, True, 60 + 185 + 90, ""),
        ({"libvirtd": {"ActiveState": "active"}}, True, 60 + 90 + 90, ""),  # systemd of 2013
        ({"a": {}, "b": NOVA}, True, 60 + 180 + 275, ""),  # one may be ordered behind the other
        (
            {"a": {"TimeoutStopUSec": "infinity", "TimeoutStartUSec": "1s"}},
            True,
            60 + 900 + 1,
            "a says TimeoutStopUSec=infinity, and 900 s are waited",
        ),
        (
            {"a": {"TimeoutStopUSec": "2h", "TimeoutStartUSec": "infinity"}},
            True,
            60 + 1800,
            "a says TimeoutStopUSec=2h, a says TimeoutStartUSec=infinity, and 900 s",
        ),
        ({name: {"TimeoutStartUSec": "infinity"} for name in "abcdef"}, True, 3000, "f says"),
    ],
)
def test_a_unit_is_waited_for_as_long_as_it_says(seen, starts, expected, said):
    most, words = units.patience(seen, starts)
    assert most == expected and said in words


def test_a_restart_is_given_up_when_its_units_limits_are_over(programs, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(steps.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(steps.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    stopping = {"ActiveState": "deactivating", "SubState": "stop-sigterm", **NOVA}
    programs[1]["show"] = (0, shown(stopping), "")
    step = steps.restart("run", ["nova-compute"])
    next(step)
    with pytest.raises(processes.Failed, match=r"not up within 335 s .*nova-compute \(stop-sigt"):
        next(step)
    assert 335 <= now[0] < 340


def test_a_stop_that_takes_longer_says_what_is_not_at_rest(programs, monkeypatch):
    called, answers = programs
    stopping = {"ActiveState": "deactivating", "SubState": "stop-sigterm", **NOVA}
    answers["show"] = (0, shown(stopping, {"ActiveState": "inactive"}), "")
    given = []

    def expect(argv, ok=(0,), timeout=60, **how):
        if argv[1] != "stop":
            return answers[argv[1]]
        given.append(timeout)
        raise processes.Failed("systemctl stop --: no answer")

    monkeypatch.setattr(units, "expect", expect)
    with pytest.raises(
        processes.Failed, match=r"not at rest: nova-compute \(stop-sigterm\); 245 s"
    ):
        units.stop(["nova-compute", "libvirtd"])
    assert given == [245]


ABSENT = {"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead"}
WORK = {
    "restart": lambda names: list(steps.restart("run", names)),
    "stop": lambda names: list(steps.stop("run", names)),
    "enable": lambda names: list(steps.enable("run", names)),
}


@pytest.mark.parametrize("absent", [ABSENT, {"LoadState": "error"}, {"LoadState": ""}])
@pytest.mark.parametrize("verb", WORK)
def test_of_several_units_none_is_touched_when_one_is_not_known(programs, verb, absent):
    called, answers = programs
    answers["show"] = (0, shown({}, absent, ABSENT), "")
    with pytest.raises(
        processes.Failed, match=r"gone: no such unit here \(.*; lost: no such.*\(not-found"
    ):
        WORK[verb](["nova-compute", "gone", "lost"])
    assert {argv[1] for argv in called} == {"show"}


@pytest.mark.parametrize("verb", ["restart", "enable"])
def test_a_masked_unit_is_not_begun(programs, verb):
    programs[1]["show"] = (0, shown({"LoadState": "masked"}), "")
    with pytest.raises(processes.Failed, match=r"nova-compute: no such unit here \(masked\)"):
        WORK[verb](["nova-compute"])


def test_a_masked_unit_that_runs_can_be_stopped(programs):
    programs[1]["show"] = (0, shown({"LoadState": "masked"}), "")
    units.stop(["nova-compute"])
    assert programs[0][-1][1] == "stop"


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["active", "active"], True),
        (["active", "inactive"], False),  # is-active says yes when any of them is
        (["inactive", "active"], False),
        (["activating"], False),
        (["failed"], False),
    ],
)
def test_all_are_at_work_when_each_is(programs, states, expected):
    programs[1]["show"] = (0, shown(*({"ActiveState": state} for state in states)), "")
    programs[1]["is-active"] = (0, "active\n", "")
    assert units.all_active([f"unit{n}" for n, _ in enumerate(states)]) is expected


def test_packages_that_are_removed_but_configured_are_not_installed(programs):
    programs[1]["-W"] = (1, "ii  ceph-common 17.2.7\nrc  python3-rbd 16.2\n", "")
    found = apt.versions(["ceph-common", "python3-rbd", "absent"])
    assert found == {"ceph-common": "17.2.7", "python3-rbd": None, "absent": None}


def test_only_the_named_source_list_is_refreshed(programs):
    apt.install(["ceph-common"], "/etc/apt/sources.list.d/a.list")
    update, install = programs[0]
    assert "Dir::Etc::sourcelist=/etc/apt/sources.list.d/a.list" in update
    assert install[-3:] == ["install", "--", "ceph-common"]


class Dpkg:
    """dpkg's record in a folder, and how often it was asked what it holds."""

    def __init__(self, top, monkeypatch):
        self.status, self.updates, self.asked = top / "status", top / "updates", 0
        self.updates.mkdir()
        self.status.write_text("a")
        monkeypatch.setattr(apt, "STATUS", str(self.status))
        monkeypatch.setattr(apt, "_UPDATES", str(self.updates))
        monkeypatch.setattr(apt, "_known", {})
        monkeypatch.setattr(apt, "expect", self._expect)

    def _expect(self, argv, ok=(0,)):
        self.asked += 1
        return 0, "".join(f"ii  {name} {self.asked}\n" for name in argv[5:]), ""


def replaced(dpkg):
    new = dpkg.status.with_name("status-new")
    new.write_text("b")
    new.rename(dpkg.status)


@pytest.mark.parametrize(
    "happens, asked",
    [
        (lambda dpkg: None, 1),
        (replaced, 2),
        (lambda dpkg: (dpkg.updates / "0001").write_text("unpacked"), 2),
        (lambda dpkg: dpkg.status.write_text("a"), 2),
        (lambda dpkg: dpkg.status.write_text("ab"), 2),
        (lambda dpkg: dpkg.status.unlink(), 2),
        (lambda dpkg: dpkg.updates.rmdir(), 2),
    ],
)
def test_packages_are_asked_for_again_where_dpkg_changed_something(
    tmp_path, monkeypatch, happens, asked
):
    dpkg = Dpkg(tmp_path, monkeypatch)
    assert apt.versions(["a", "b"]) == {"a": "1", "b": "1"}
    apt.versions(["a", "b"])["a"] = "not what is kept"
    happens(dpkg)
    assert apt.versions(["a", "b"]) == {"a": str(asked), "b": str(asked)}
    assert dpkg.asked == asked


def test_other_packages_are_asked_for(tmp_path, monkeypatch):
    dpkg = Dpkg(tmp_path, monkeypatch)
    assert apt.versions(["a"]) == {"a": "1"}
    assert apt.versions(["b"]) == {"b": "2"}
    assert apt.versions(["a"]) == {"a": "1"}
    dpkg.status.unlink()
    assert [apt.versions(["a"])["a"] for _ in range(2)] == ["3", "4"]
