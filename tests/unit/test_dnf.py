"""The EL family's packages: what dnf and rpm say (dnf 4.14 and rpm 4.18 said it), and the plan.

Real ones are asked by tests/el.
"""

import subprocess

import pytest

from fabfile.core.contract import BadInput, Facts, Read, Refused
from fabfile.core.remote import dnf
from fabfile.core.remote.processes import Failed
from fabfile.model.openpgp import fingerprints
from fabfile.resources import backup_tools, client_packages

from .states import DIGEST, HOSTS, site

TABLE = """\
Last metadata expiration check: 0:00:10 ago on Sat Nov 28 03:18:55 2026.
Dependencies resolved.
================================================================================
 Package           Architecture Version               Repository           Size
================================================================================
Installing:
 ceph-common       noarch       2:18.2.4-1.el9        stackrbd-ceph       5.4 k
     replacing  old-client.noarch 2:1-1.el9
Installing dependencies:
 librados2         noarch       2:18.2.4-1.el9        stackrbd-ceph       5.4 k
 a-very-long-name-of-a-package-for-which-a-line-is-not-enough
                   noarch       9.1.0+with.a.long.version-1.el9
                                                      stackrbd-ceph       5.6 k
Upgrading:
 librbd1           x86_64       2:18.2.4-1.el9        baseos              3.0 M

Transaction Summary
================================================================================
Install  3 Packages
Upgrade  1 Package

Total size: 22 k
Operation aborted.
"""
LONG = "a-very-long-name-of-a-package-for-which-a-line-is-not-enough"


def row(name, version="2:18.2.4-1.el9", repository="stackrbd-ceph", does="install"):
    return {"does": does, "name": name, "version": version, "repository": repository}


def test_a_transaction_is_read_row_by_row():
    assert dnf.transaction(TABLE) == [
        row("ceph-common"),
        row("old-client", "2:1-1.el9", "@System", "remove"),
        row("librados2"),
        row(LONG, "9.1.0+with.a.long.version-1.el9"),
        row("librbd1", repository="baseos", does="upgrade"),
    ]
    assert dnf.transaction("Dependencies resolved.\nNothing to do.\nComplete!\n") == []


def test_a_transaction_of_another_form_is_no_transaction():
    with pytest.raises(Failed, match="expected a package's name"):
        dnf.transaction("Installing:\n ceph-common noarch\n\n")


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Its files, what rpm and dnf answer ({a word of the call: answer}), and what was called."""
    called, answers = [], {}

    def call(argv, **how):
        called.append(argv)
        return next((answers[word] for word in argv if word in answers), (0, "", ""))

    def expect(argv, ok=(0,), **how):
        code, out, err = call(argv)
        if code not in ok:
            raise Failed(f"exit code {code}")
        return code, out, err

    monkeypatch.setattr(dnf, "call", call)
    monkeypatch.setattr(dnf, "expect", expect)
    monkeypatch.setattr(dnf.time, "sleep", lambda seconds: None)
    for name in ("_CONF", "_REPOS", "_LOCKED"):
        monkeypatch.setattr(dnf, name, str(tmp_path / name))
    (tmp_path / "_REPOS").mkdir()
    return tmp_path, answers, called


@pytest.mark.parametrize(
    "code, out, expected",
    [
        (1, "a 2:1-1\npackage b is not installed\n", {"a": "2:1-1", "b": None}),
        (0, "a 1-1\nb 2-1\n", {"a": "1-1", "b": "2-1"}),
        (2, "package b is not installed\npackage a is not installed\n", {"a": None, "b": None}),
        (2, "", "rpm does not say whether a is installed"),
        (1, "a 1-1\n", "rpm does not say whether b is installed"),
        (3, "", "exit code 3"),
    ],
)
def test_what_rpm_does_not_say_is_not_absent(host, code, out, expected):
    host[1]["rpm"] = (code, out, "error: cannot open Packages database in /var/lib/rpm")
    if isinstance(expected, dict):
        assert dnf.versions(["a", "b"]) == expected
        return
    with pytest.raises(Failed, match=expected):
        dnf.versions(["a", "b"])


@pytest.mark.parametrize(
    "main, repo, expected",
    [
        ("", "", [False]),
        ("gpgcheck=1", "", [True]),
        ("gpgcheck=1", "gpgcheck=0", [False]),
        ("gpgcheck=0", "gpgcheck = True", [True]),
        ("gpgcheck=1", "enabled=0", []),
        ("gpgcheck=1", "enabled=1\nbaseurl=http://x/%name%/$releasever", [True]),
        ("", "gpgcheck=maybe", [False]),
    ],
)
def test_whether_a_repositorys_packages_are_checked(host, main, repo, expected):
    at, _, _ = host
    (at / "_CONF").write_text(f"[main]\n{main}\n")
    (at / "_REPOS" / "a.repo").write_text(f"[a]\nname=x\n{repo}\n")
    (at / "_REPOS" / "b.repo.rpmsave").write_text("[b]\n")
    assert [one["gpgcheck"] for one in dnf.enabled()] == expected


def test_no_login_of_a_repository_leaves_the_host(host):
    at, answers, _ = host
    (at / "_REPOS" / "a.repo").write_text("[a]\nbaseurl=https://u:pass@mirror/x\n")
    answers["rpm"] = (0, "a 1-1\n", "")
    assert "pass" not in str(dnf.repositories(["a"]))
    (at / "_REPOS" / "a.repo").write_text("password=pass\n")
    with pytest.raises(Failed, match="section") as caught:
        dnf.enabled()
    assert "pass" not in str(caught.value).replace(str(at), "")


@pytest.mark.parametrize(
    "where, said, held",
    [
        ("_LOCKED", "# a-1\na-2:17.*\n", True),
        ("_LOCKED", "a-0:17.2.7-1.el9.*", True),
        ("_LOCKED", "!a-0:18.2.4-1.el9.*", True),
        ("_LOCKED", "2:a-17.2.7-1.el9.*", True),
        ("_LOCKED", "ab-0:1.*\n# a-0:1.*\n", False),
        ("_CONF", "[main]\nexclude=x, a*", True),
        ("_CONF", "[main]\nexcludepkgs=b\n", False),
    ],
)
def test_what_is_locked_or_excluded_is_named(host, where, said, held):
    at, answers, _ = host
    (at / where).write_text(said)
    answers["rpm"] = (1, "package a is not installed\n", "")
    found = dnf.repositories(["a"])["held"]
    assert list(found) == (["a"] if held else [])
    assert not held or str(at / where) in found["a"]


@pytest.mark.parametrize(
    "answer, expected",
    [
        ((1, TABLE, ""), 5),
        ((0, "Nothing to do.\n", ""), 0),
        ((1, "", "Error: Cache-only enabled but no cache for 'x'"), None),
        ((1, "No match for argument: a\n", "Error: Unable to find a match: a"), None),
        ((200, "", "RPMDB already locked by 7"), None),
    ],
)
def test_a_plan_asks_the_cache_alone(host, answer, expected):
    _, answers, called = host
    answers["rpm"] = (1, "package a is not installed\n", "")
    answers["dnf"] = answer
    would = dnf.repositories(["a"])["would"]
    assert (would if would is None else len(would)) == expected
    assert "-C" in called[-1] and "--assumeno" in called[-1] and "-y" not in called[-1]


def test_what_is_installed_asks_dnf_nothing(host):
    host[1]["rpm"] = (0, "a 1-1\n", "")
    assert dnf.repositories(["a"]) == {"enabled": [], "held": {}, "would": None}
    assert [argv[0] for argv in host[2]] == ["rpm"]


CHECKED = "[stackrbd-ceph]\ngpgcheck=1\n[baseos]\ngpgcheck=1\n"
SAFE = TABLE.replace("     replacing  old-client.noarch 2:1-1.el9\n", "")


@pytest.mark.parametrize(
    "table, repos, said",
    [
        (SAFE, CHECKED, ""),
        (TABLE, CHECKED, "it would remove old-client"),
        (SAFE.replace("Upgrading", "Downgrading"), CHECKED, "it would downgrade librbd1"),
        (SAFE, "[stackrbd-ceph]\ngpgcheck=1\n", "librbd1 would come from the repository baseos"),
        (SAFE, "", "repository stackrbd-ceph, which has no gpgcheck=1"),
    ],
)
def test_a_dry_run_comes_first_and_can_refuse(host, table, repos, said):
    at, answers, called = host
    (at / "_REPOS" / "a.repo").write_text(repos)
    answers["--assumeno"] = (1, table, "")
    if said:
        with pytest.raises(Failed, match=f"{said}.*nothing was installed"):
            dnf.install(["ceph-common"], "/etc/yum.repos.d/stackrbd-ceph.repo")
        assert not any("--setopt=*.gpgcheck=1" in argv for argv in called)
        return
    dnf.install(["ceph-common"], "/etc/yum.repos.d/stackrbd-ceph.repo")
    fetch, dry, real = called
    assert "--repo=stackrbd-ceph" in fetch and "makecache" in fetch
    assert "--assumeno" in dry and "-y" not in dry
    assert real[-3:] == ["install", "--", "ceph-common"] and "--setopt=*.gpgcheck=1" in real


def test_a_fault_of_dnf_is_said_in_its_own_words(host):
    _, answers, _ = host
    answers["--assumeno"] = (0, "", "")
    unsigned = "Running\nPackage x.rpm is not signed\nError: GPG check FAILED\n"
    answers["-y"] = (1, "", unsigned)
    with pytest.raises(Failed, match=r"^dnf: Package x.rpm is not signed . Error: GPG check FA"):
        dnf.install(["x"])


def test_another_dnf_at_work_is_waited_for_and_not_for_ever(host, monkeypatch):
    _, _, called = host
    answers = [(200, "", "locked")] * 2 + [(1, "Operation aborted.", ""), (0, "", "")]
    monkeypatch.setattr(dnf, "call", lambda argv, **how: called.append(argv) or answers.pop(0))
    dnf.install(["x"])
    assert len(called) == 4 and all("--setopt=exit_on_lock=1" in argv for argv in called)
    clock = iter(range(0, 10_000, 50))
    monkeypatch.setattr(dnf.time, "monotonic", lambda: next(clock))
    answers += [(200, "", "RPMDB already locked by 7")] * 4
    with pytest.raises(Failed, match="already locked by 7"):
        dnf.install(["x"])


# The plan

BASEURL = "https://mirror/rpm/el9/x86_64"
SIGNED = {"packages": {"baseurl": BASEURL, "key": "release.asc"}}
EL = {**HOSTS, "n1": {"roles": ["compute"], "platform": "el"}}
KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-stackrbd-ceph"
REPO = "/etc/yum.repos.d/stackrbd-ceph.repo"
OURS = {"id": "stackrbd-ceph", "file": REPO, "gpgcheck": True}
UNCHECKED = {"id": "odd", "file": "/etc/yum.repos.d/odd.repo", "gpgcheck": False}
ALL_THERE = dict.fromkeys(("ceph-common", "python3-rbd", "qemu-kvm-block-rbd"), "2:18.2.4-1.el9")
ROCKY = {"os": "rocky", "like": ["rhel", "centos", "fedora"], "name": "Rocky Linux 9.4"}


def seen(missing=(), system=ROCKY, **told):
    return {
        "host": system,
        "kolla": {"/etc/kolla": False},
        "packages": {**ALL_THERE, **dict.fromkeys(missing)},
        "packages.source": None,
        "packages.key": None,
        "dnf.repositories": {"enabled": [OURS], "held": {}, "would": None, **told},
    }


def plan(missing=("ceph-common",), hosts=EL, system=ROCKY, more=SIGNED, **told):
    facts = Facts({"n1": seen(missing, system, **told)}, {"packages.key": "KEY\n"})
    return client_packages.plan(site(hosts=hosts, **more), facts)


def test_the_el_familys_names_are_asked_for():
    it = site(hosts=EL, **SIGNED)
    asked = {read.id: read.args for read in client_packages.reads(it, it.host("n1"))}
    assert asked["packages"] == asked["dnf.repositories"] == {"names": list(ALL_THERE)}
    assert asked["packages.source"] == {"path": REPO}
    assert asked["packages.key"] == {"path": KEY}


@pytest.mark.parametrize("checked", [False, True])
def test_key_and_repository_come_before_the_packages(checked):
    more = {"packages": {**SIGNED["packages"], "repo_gpgcheck": checked}}
    key, repo, install = plan(more=more)
    assert (key.args["path"], key.args["content"]) == (KEY, ["KEY\n"])
    assert key.sentence == "the source's key; dnf takes it into rpm's keys"
    assert repo.args["path"] == REPO
    assert repo.args["content"] == [
        f"[stackrbd-ceph]\nname=Ceph client\nbaseurl={BASEURL}\nenabled=1\ngpgcheck=1\n"
        f"repo_gpgcheck={int(checked)}\ngpgkey=file://{KEY}\n"
    ]
    assert install.args == {"packages": ["ceph-common"], "source": REPO}
    assert install.stays


def test_without_a_source_of_the_sites_packages_come_from_the_hosts_own():
    (install,) = plan(more={})
    assert install.args == {"packages": ["ceph-common"], "source": None}
    assert plan(missing=()) == []


@pytest.mark.parametrize(
    "told, subject",
    [
        ({"held": {"ceph-common": "/etc/dnf/dnf.conf: ceph*"}}, "ceph-common"),
        ({"would": [row("ceph-common", repository="odd")], "enabled": [UNCHECKED]}, "odd.repo"),
        ({"would": [row("ceph-common", repository="gone")]}, "gone"),
        ({"would": [row("old-client", does="remove")]}, "old-client"),
        ({"would": [row("librbd1", does="downgrade")]}, "librbd1"),
    ],
)
def test_what_dnf_may_not_do_is_refused_before_anything_is_written(told, subject):
    with pytest.raises(Refused) as refused:
        plan(**told)
    assert refused.value.subject.endswith(subject) and refused.value.advice
    assert plan(missing=(), **told) == []


def test_what_is_locked_and_not_missing_is_no_matter():
    assert plan(missing=["python3-rbd"], held={"ceph-common": "a: b"})


def test_a_plan_names_all_that_would_come():
    it = site(hosts=EL, **SIGNED)
    facts = Facts({"n1": seen(["ceph-common"], would=[row("ceph-common"), row("librados2")])})
    changes = plan()
    (note,) = client_packages.notes(it, facts, changes)
    assert note == (
        "n1: dnf would install ceph-common 2:18.2.4-1.el9 (stackrbd-ceph), "
        "librados2 2:18.2.4-1.el9 (stackrbd-ceph)"
    )


@pytest.mark.parametrize(
    "hosts, system, expected",
    [
        (EL, {"os": "centos", "like": ["rhel", "fedora"], "name": "x"}, None),
        (EL, {"os": "almalinux", "like": [], "name": "x"}, None),
        (EL, {"os": "debian", "like": [], "name": "Debian 12"}, 'platform = "debian"'),
        (HOSTS, ROCKY, 'platform = "el"'),
        (EL, {"os": "fedora", "like": [], "name": "Fedora 44"}, "found Fedora 44"),
    ],
)
def test_a_system_of_another_platform_is_refused_and_its_own_is_named(hosts, system, expected):
    if expected is None:
        assert plan(hosts=hosts, system=system)
        return
    with pytest.raises(BadInput) as refused:
        plan(hosts=hosts, system=system, more={})
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    "more, said",
    [
        ({"baseurl": BASEURL}, "baseurl needs a key file"),
        ({"baseurl": "mirror/rpm", "key": "k"}, "expected to be a URL"),
        ({"baseurl": "https://mirror/a\ngpgcheck=0", "key": "k"}, "packages.baseurl"),
        ({"baseurl": "https://u:hunter2@mirror/a", "key": "k"}, "a URL without a login"),
        ({"repo_gpgcheck": True}, "repo_gpgcheck needs baseurl"),
        ({"source": "deb [signed-by=/k] https://x y z", "key": "k"}, "expected a host whose pack"),
    ],
)
def test_a_source_that_cannot_be_meant_is_refused(more, said):
    with pytest.raises(BadInput, match=said):
        site(platform="el", packages=more)


def test_a_site_of_both_families_has_both_sources():
    apt = "deb [signed-by=/etc/apt/keyrings/c.asc] https://mirror/deb bookworm main"
    it = site(hosts=EL, packages={**SIGNED["packages"], "source": apt})
    files = {
        name: [read.args["path"] for read in client_packages.reads(it, it.host(name))[3:5]]
        for name in ("n1", "n2")
    }
    assert files == {
        "n1": [REPO, KEY],
        "n2": ["/etc/apt/sources.list.d/stackrbd-ceph.list", "/etc/apt/keyrings/c.asc"],
    }


def test_what_makes_backups_comes_by_dnf_too():
    hosts = {**HOSTS, "ctl": {"roles": ["glance", "cinder"], "platform": "el"}}
    it = site(hosts=hosts, backup={"recipients": ["age1" + "q" * 58]}, **SIGNED)
    reads = {read.id: read for read in backup_tools.reads(it, it.host("ctl"))}
    client = {read.id: read for read in client_packages.reads(it, it.host("ctl"))}
    both = reads["dnf.repositories"].together(client["dnf.repositories"])
    assert both == Read(
        "dnf.repositories",
        "repositories",
        {"names": sorted({"age", "zstd", "ceph-common", "python3-rbd"})},
    )
    told = {**seen(), "packages.records": {"age": None, "zstd": "1"}}
    facts = Facts({"ctl": told}, {"packages.key": "KEY\n"})
    changes = backup_tools.plan(it, facts)
    assert [change.verb for change in changes] == ["write", "write", "install"]
    assert changes[-1].args == {"packages": ["age"], "source": REPO}


# Whose a key is


@pytest.mark.parametrize("kind", ["rsa2048", "ed25519"])
def test_a_keys_fingerprint_is_the_one_that_gpg_says(tmp_path, kind):
    gpg = ["gpg", "--homedir", str(tmp_path), "--batch", "-q"]
    try:
        make = [*gpg, "--passphrase", "", "--quick-gen-key", "a@example.org", kind, "sign", "never"]
        subprocess.run(make, check=True, capture_output=True)
        armoured = subprocess.run(
            [*gpg, "--armor", "--export"], check=True, capture_output=True, text=True
        ).stdout
        listed = subprocess.run(
            [*gpg, "--with-colons", "--list-keys"], check=True, capture_output=True, text=True
        ).stdout
    except FileNotFoundError:
        pytest.skip("no gpg here")
    finally:
        subprocess.run(["gpgconf", "--homedir", str(tmp_path), "--kill", "all"], check=False)
    said = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    assert [one.replace(" ", "") for one in fingerprints(armoured)] == [said]
    assert len(fingerprints(f"Some words.\n{armoured}\n{armoured}")) == 2
    assert len(fingerprints(armoured.replace("\n", "\r\n"))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "KEY\n",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!!\n-----END PGP PUBLIC KEY BLOCK-----\n",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmP8A\n-----END PGP PUBLIC KEY BLOCK-----\n",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQABAw==\n-----END PGP PUBLIC KEY BLOCK-----\n",
    ],
)
def test_what_is_no_key_has_no_fingerprint(text):
    assert fingerprints(text) == []


def test_a_plan_replaces_an_older_repository_as_it_was_seen():
    told = {**seen(["ceph-common"]), "packages.source": {"sha256": DIGEST}}
    facts = Facts({"n1": told}, {"packages.key": "KEY\n"})
    _, repo, _ = client_packages.plan(site(hosts=EL, **SIGNED), facts)
    assert (repo.sign, repo.args["before"]) == ("~", DIGEST)
