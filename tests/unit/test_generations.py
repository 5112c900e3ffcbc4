"""The lab's generations: what their files say, what is made of it, and what is refused."""

import datetime
import os
import re
import subprocess
import sys
import types

import pytest

from lab import (
    debian_sources,
    generation,
    guest,
    hosts,
    images,
    kept,
    openstack_settings,
    remote,
    topology,
)
from lab.errors import LabError
from lab.generation import tomllib
from lab.images import Image
from tests.generations import __main__ as walker
from tests.generations import steps, table

SMALL = topology.FOLDER / "small.toml"
MIRROR, SECURITY = "http://mirror/debian", "http://mirror/security"
MACHINES = (
    (MIRROR, "bookworm", "main"),
    (MIRROR, "bookworm-updates", "main"),
    (MIRROR, "bookworm-backports", "main"),
    (SECURITY, "bookworm-security", "main"),
)


@pytest.fixture
def machine(monkeypatch):
    """A machine whose APT has these rows of URI, suite and component."""

    def has(*rows):
        monkeypatch.setattr(debian_sources, "_rows", lambda: rows)

    has(*MACHINES)
    return has


@pytest.fixture
def written(monkeypatch, tmp_path):
    """Generations in files of our own."""

    def write(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.toml").write_text(text)

    monkeypatch.setattr(generation, "FOLDER", tmp_path)
    generation.load.cache_clear()
    yield write
    generation.load.cache_clear()


@pytest.mark.parametrize("name", ["bullseye", "bookworm", "trixie", "sid"])
def test_each_has_a_file_that_says_all_that_a_lab_asks(name, machine):
    made = generation.load(name)
    assert name in generation.names()
    assert made.suite == name
    hosts = topology.load(SMALL, name).hosts
    assert {host.generation for host in hosts} == {made}
    services = {service for host in hosts for service in host.runs}
    # Ceph's units are named by host and number.
    assert services - set(made.units) == {"ceph-mon", "ceph-mgr", "ceph-osd"}
    assert all(made.packages[kind] for kind in (*generation.KINDS, "base", "ceph_client"))
    assert debian_sources.lines(made)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "bookworm",
            [
                f"{MIRROR} bookworm main",
                f"{MIRROR} bookworm-updates main",
                f"{SECURITY} bookworm-security main",
            ],
        ),
        (
            "trixie",
            [
                f"{MIRROR} trixie main",
                f"{MIRROR} trixie-updates main",
                f"{SECURITY} trixie-security main",
            ],
        ),
        ("sid", [f"{MIRROR} sid main"]),
        ("bullseye", [f"{MIRROR} bullseye main"]),
    ],
)
def test_the_mirrors_are_the_machines_own(name, lines, machine):
    made = generation.load(name)
    options = f"[{made.source_options}] " if made.source_options else ""
    assert debian_sources.lines(made) == tuple(f"deb {options}{line}" for line in lines)


def test_a_machine_that_calls_its_suite_stable_keeps_its_word_for_itself_alone(machine):
    machine((MIRROR, "stable", "main"), (SECURITY, "stable-security", "main"))
    ours = debian_sources.lines(generation.load("bookworm"))
    assert ours == (f"deb {MIRROR} stable main", f"deb {SECURITY} stable-security main")
    (line, _) = debian_sources.lines(generation.load("trixie"))
    assert line.endswith(f"{MIRROR} trixie main")


def test_a_machine_without_a_mirror_is_told_which_is_missing(machine):
    machine()
    with pytest.raises(LabError, match="no APT source of Debian bookworm.*no mirror for sid"):
        debian_sources.lines(generation.load("sid"))


WHOLE = generation.FOLDER.joinpath("bookworm.toml").read_text()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ('like = "base"\nsuits = ["x"]\n', "'suits'"),
        ('like = "base"\n[units]\nnova_api = ["x"]\n', "'nova_api'"),
        ('like = "base"\n[guest]\nmbr = true\n', "'mbr'"),
        ('like = "none"\n', "none.toml: No such file"),
        ('like = "other"\n', "is like itself: other -> other"),
        ("suites = [\n", "not TOML"),
        ('suites = ["x"]\n', "the key 'source_options' is missing"),
    ],
)
def test_a_file_that_would_say_nothing_is_refused(other, said, written):
    written(base=WHOLE, other=other)
    with pytest.raises(LabError, match=said):
        generation.load("other")


def test_a_file_says_what_differs_and_keys_of_its_own_where_they_are_free(written):
    written(
        base=WHOLE,
        other='like = "base"\n[units]\ndatabase = ["mysql"]\n[nspawn]\nenvironment = { A = "1" }\n'
        '[settings."etc/nova/nova.conf".spice]\nenabled = "true"\nmore = "x"\n',
    )
    base, other = generation.load("base"), generation.load("other")
    assert other.units == {**base.units, "database": ("mysql",)}
    assert other.nspawn_environment == {"A": "1"}
    host = topology.load(SMALL, "other").host("compute01")
    nova = openstack_settings.files(host, topology.load(SMALL, "other"), _Passwords())
    assert nova["etc/nova/nova.conf"]["spice"] == {"enabled": "true", "more": "x"}
    plain = openstack_settings.files(
        topology.load(SMALL, "base").host("compute01"), topology.load(SMALL, "base"), _Passwords()
    )
    assert plain["etc/nova/nova.conf"]["spice"] == {"enabled": "false"}
    assert set(nova) == set(plain)


class _Passwords:
    queue = "q"
    users = databases = dict.fromkeys(
        ("keystone", "glance", "placement", "nova", "neutron", "cinder"), "p"
    )


def test_a_name_that_no_file_has_is_answered_with_those_that_there_are():
    with pytest.raises(LabError, match="no generation 'buster', expected one of .*trixie"):
        generation.load("buster")


@pytest.mark.parametrize("name", ["../x", "", "bookworm.toml"])
def test_a_name_is_no_path(name):
    with pytest.raises(LabError, match="no generation"):
        generation.load(name)


def test_the_environment_names_the_generation_where_no_flag_does(monkeypatch):
    monkeypatch.setenv(generation.VARIABLE, "trixie")
    assert topology.load(SMALL).generations == "trixie"
    assert topology.load(SMALL, "sid").generations == "sid"
    monkeypatch.delenv(generation.VARIABLE)
    assert topology.load(SMALL).generations == generation.DEFAULT


def test_a_ceph_of_one_and_an_openstack_of_another(machine, monkeypatch):
    monkeypatch.setattr(kept.access, "fingerprint", lambda _: "f")
    mixed = topology.load(SMALL, "bookworm", "trixie")
    assert mixed.generations == "ceph of trixie, else bookworm"
    assert mixed.host("ceph01").generation.name == "trixie"
    assert mixed.host("compute01").generation.name == "bookworm"
    places = {kept.place(topology.load(SMALL, *of)).name for of in SORTS}
    assert len(places) == len(SORTS)  # each is kept by itself
    assert kept.place(mixed).name.startswith("bookworm-trixie-small-")
    # An image is of its own generation alone: a lab of two shares them with labs of one.
    alone = topology.load(SMALL, "trixie")
    assert kept.image_of(mixed.host("ceph01")) == kept.image_of(alone.host("ceph01"))


SORTS = (("bookworm", ""), ("trixie", ""), ("bookworm", "trixie"), ("trixie", "bookworm"))


def test_images_and_downloads_of_generations_are_apart(machine):
    made = [Image(generation.load(name), "ceph") for name in ("bookworm", "trixie", "sid")]
    assert len({images.key(image) for image in made}) == 3
    assert len({images.downloads(image) for image in made}) == 3


@pytest.mark.parametrize(("signed", "last"), [(True, b"\x55\xaa"), (False, b"\0\0")])
def test_the_guests_kernel_is_no_boot_sector_where_nova_takes_it_for_one(signed, last, tmp_path):
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"x" * 510 + b"\x55\xaa" + b"HdrS")
    if not signed:
        guest._without_mbr_signature(kernel)
    assert kernel.read_bytes() == b"x" * 510 + last + b"HdrS"


def test_a_host_is_started_as_its_generation_asks(monkeypatch, tmp_path):
    started = {}

    def popen(argv, env, **_):
        started.update(argv=argv, env=env)
        return types.SimpleNamespace(pid=os.getpid())

    monkeypatch.setattr(hosts.subprocess, "Popen", popen)
    monkeypatch.setattr(hosts.network, "remove_link", lambda _: None)
    monkeypatch.setattr(hosts, "folder", lambda _: tmp_path)
    resolver = tmp_path / "root/etc/resolv.conf"
    resolver.parent.mkdir(parents=True)
    small = topology.load(SMALL, "sid")
    hosts.start(small.host("ceph01"), small)
    assert not resolver.exists()
    assert started["env"]["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] == "1"
    assert started["env"]["PATH"] == os.environ["PATH"]
    small = topology.load(SMALL, "bookworm")
    hosts.start(small.host("ceph01"), small)
    assert "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY" not in started["env"]
    small = topology.load(SMALL, "bullseye")
    hosts.start(small.host("ceph01"), small)
    assert resolver.read_text() == "nameserver 127.0.0.1\n"


def test_an_image_keeps_no_way_out_and_nothing_in_tmp(tmp_path):
    for name in ("etc/apt/sources.list.d", "etc/apt/apt.conf.d", "var/lib/apt/lists", "tmp/.X11"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("etc/apt/sources.list.d/x", "etc/apt/apt.conf.d/99x", "tmp/a.deb", "tmp/.X11/0"):
        (tmp_path / name).touch()
    images._without_way_out(tmp_path)
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert left == {"etc/apt/sources.list"}
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_login_that_takes_too_long_is_asked_for_again(monkeypatch):
    def slow(argv, timeout, **_):
        raise subprocess.TimeoutExpired(argv, timeout)

    monkeypatch.setattr(remote.subprocess, "run", slow)
    assert remote.answers(topology.load(SMALL).host("ceph01")) is False


def test_the_tasks_words_reach_the_topology():
    """`--generation` is refused by name before anything is started."""
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "lab.up", "--generation", "buster"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no generation 'buster'" in done.stderr
    assert "Traceback" not in done.stderr


def _run(name, *statuses):
    outcomes = tuple(
        table.Outcome(f"step {n}", status, 1.4 * n, "a | b\nc") for n, status in enumerate(statuses)
    )
    return table.Run(name, "2026-11-27", "abcdef0", outcomes)


@pytest.mark.parametrize(
    ("statuses", "good", "last"),
    [
        ((table.OK, table.OK), True, "2 ok in 1 s"),
        ((table.OK, table.FAILED, table.LEFT_OUT), False, "1 ok, 1 FAILED, 1 not run in 4 s"),
        ((table.OK, table.LEFT_OUT), False, "1 ok, 1 not run in 1 s"),
        ((), False, " in 0 s"),
    ],
)
def test_a_walk_is_good_when_every_step_was_run_and_passed(statuses, good, last):
    run = _run("sid", *statuses)
    assert (run.good, run.last) == (good, last)


def test_a_walks_section_is_put_in_the_place_of_its_older_one():
    page = "# Title\n\nwords\n"
    first = [_run("sid", table.FAILED), _run("trixie", table.OK)]
    page = table.replaced(page, first)
    page = table.replaced(page, [_run("sid", table.OK)])
    assert page.startswith("# Title\n\nwords\n\n## sid\n")
    assert page.count("## sid\n") == page.count("## trixie\n") == 1
    assert table.FAILED not in page
    assert "| step 0 | ok | 0 | a \\| b c |\n" in page
    assert table.replaced(page, [_run("sid", table.OK)]) == page
    # Another one's name that begins alike is another one's section.
    more = table.replaced(page, [_run("sid, Ceph of trixie", table.OK)])
    assert more.startswith(page.rstrip("\n")) and more.count("## sid") == 2


def test_what_a_step_needs_stands_before_it():
    seen = set()
    for step in steps.STEPS:
        assert set(step.needs) <= seen, step.name
        seen.add(step.name)


def test_a_step_that_needs_a_failed_one_is_not_run_and_the_walk_goes_on(tmp_path, capsys):
    def fails(_walk):
        raise AssertionError("found 2, expected 3")

    walked = (
        steps.Step("a", (), lambda _walk: "fine"),
        steps.Step("b", ("a",), fails),
        steps.Step("c", ("b",), lambda _walk: "never"),
        steps.Step("d", ("a",), lambda _walk: "fine too"),
    )
    found = list(walker.outcomes(steps.Walk("trixie", "", "", tmp_path), walked))
    assert [(o.step, o.status, o.said) for o in found] == [
        ("a", table.OK, "fine"),
        ("b", table.FAILED, "AssertionError: found 2, expected 3"),
        ("c", table.LEFT_OUT, "needs b"),
        ("d", table.OK, "fine too"),
    ]
    assert "Traceback" in capsys.readouterr().err


def test_the_day_chooses_each_that_passed_its_walk_in_its_turn(monkeypatch):
    days = [datetime.date(2026, 12, 31) + datetime.timedelta(n) for n in range(4)]
    assert set(map(walker.of_day, days)) == set(walker.BY_DAY)
    assert not {generation.DEFAULT, "sid"} & set(walker.BY_DAY) and walker.BY_DAY
    page = walker.PAGE.read_text()
    for name in walker.BY_DAY:  # the page has its walk, without a failure
        assert re.search(rf"^## {name}\n\n[^\n]*`\d+ ok in \d+ s`$", page, re.MULTILINE), name
    monkeypatch.setattr(walker, "BY_DAY", ("a", "b"))
    chosen = [walker.of_day(day) for day in days]
    assert chosen[:2] == chosen[2:] and chosen[0] != chosen[1]


def test_the_main_job_is_a_walk_of_its_own(monkeypatch, tmp_path):
    """What its steps need of the steps that are left out is not asked for."""
    said = []
    monkeypatch.setattr(
        walker, "outcomes", lambda walk, walked: said.append((walk.generation, walked)) or []
    )
    monkeypatch.setattr(walker, "commit", lambda: "abc")
    monkeypatch.setattr(sys, "argv", ["tests.generations", "--today", "--main"])
    monkeypatch.setenv(generation.VARIABLE, "bookworm")
    walker.main()
    ((name, walked),) = said
    assert name in walker.BY_DAY
    names = [step.name for step in walked]
    assert names[0] == "lab.up" and names[-1] == "lab.down"
    assert {"integrate", "second run", "verify"} <= set(names)
    monkeypatch.undo()
    done = [steps.Step(s.name, s.needs, lambda _walk: "fine", s.main) for s in walked]
    found = walker.outcomes(steps.Walk("trixie", "", "", tmp_path), tuple(done))
    assert {one.status for one in found} == {table.OK}


LARGE = str(topology.FOLDER / "large.toml")


@pytest.mark.parametrize(
    ("argv", "up", "site", "computes", "title"),
    [
        ([], ("--generation", "trixie"), "site.toml", 2, "trixie"),
        (
            ["--topology", LARGE],
            ("--topology", LARGE, "--generation", "trixie"),
            "site.large.toml",
            3,
            "trixie, topology large",
        ),
        (
            ["--ceph", "sid", "--topology", LARGE],
            ("--topology", LARGE, "--generation", "trixie", "--ceph-generation", "sid"),
            "site.large.toml",
            3,
            "trixie, Ceph of sid, topology large",
        ),
    ],
)
def test_what_a_walk_tells_the_lab_and_of_which_site_it_is(
    argv, up, site, computes, title, monkeypatch, capsys
):
    seen, said = [], []
    monkeypatch.setattr(walker, "outcomes", lambda walk, _steps: seen.append(walk) or [])
    monkeypatch.setattr(walker, "commit", lambda: "abc")
    monkeypatch.setattr(sys, "argv", ["tests.generations", "trixie", *argv])
    monkeypatch.setenv(generation.VARIABLE, "bookworm")
    assert walker.main() == 1  # of no step at all nothing is proved
    (walk,) = seen
    assert f"## {title}\n" in capsys.readouterr().out
    monkeypatch.setattr(steps, "inv", lambda *words, **_: said.append(words))
    monkeypatch.delenv("STACKRBD_LAB", raising=False)
    steps._up(walk)
    assert said == [("lab.down",), ("lab.up", *up)]
    assert walk.site.name == site and walk.site.is_file() and walk.at == ("--site", str(walk.site))
    assert len(walk.computes) == computes
    # What the walk looks at is there, once, whatever the topology.
    hosts = {host for name in (*steps.ASKED, *steps.UNITS) for host in walk.topology.running(name)}
    assert all(walk.topology.running(name) for name in (*steps.ASKED, *steps.UNITS))
    assert {host.image for host in hosts} == set(generation.KINDS)


@pytest.mark.parametrize("name", ["small", "large"])
def test_each_topology_has_the_site_file_that_a_walk_takes(name):
    """Roles where the services run, and a table for the backups' keys."""
    walk = steps.Walk("bookworm", "", str(topology.FOLDER / f"{name}.toml"), SMALL.parent)
    found = tomllib.loads(walk.site.read_text())
    runs = {"glance": "glance", "cinder": "cinder-volume", "compute": "nova-compute"}
    for role, service in {**runs, "database": "database", "ceph": "ceph-mon"}.items():
        there = {host for host, table in found["hosts"].items() if role in table["roles"]}
        assert there == {host.name for host in walk.topology.running(service)}, role
    assert walk.site.read_text().count("[backup]") == 1
    assert walk.cloud == found["name"]
    assert not found["backup"].get("recipients")


def test_no_image_of_bullseye_asks_for_what_it_has_not():
    """swtpm came to Debian with bookworm."""
    made = generation.load("bullseye")
    words = [*made.standin["compute"]["depends"].split(", "), *made.packages["compute"]]
    assert "swtpm" not in words
    assert {"libvirt-daemon-system", "qemu-system-x86", "nova-compute"} <= set(words)
    bookworm = generation.load("bookworm")
    assert made.standin["compute"]["provides"] == bookworm.standin["compute"]["provides"]
