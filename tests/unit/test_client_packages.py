"""The client's packages: what is missing, from a signed source where one is named."""

import shutil
import subprocess

import pytest

from fabfile.core.contract import BadInput, Facts, Refused
from fabfile.core.remote import apt
from fabfile.resources import backup_tools, client_packages

from .states import DIGEST, HOSTS, site

ALL_THERE = {"ceph-common": "16.2.15", "python3-rbd": "16.2.15", "qemu-block-extra": "1:7.2"}
SOURCE = "deb [arch=amd64 signed-by=/etc/apt/keyrings/ceph.asc] https://mirror/ceph bookworm main"
KEY = "/etc/apt/keyrings/ceph.asc"
SIGNED = {"packages": {"source": SOURCE, "key": "release.asc"}}
UNLISTED = {"own": [], "entries": [], "arch": "amd64", "refused": ""}
NOT_YET = {"packages.key": None, "packages.source": None, "apt.repository": UNLISTED}


def system(os="debian", like=(), name="Debian 12"):
    return {"os": os, "like": list(like), "name": name}


DEBIAN = system()


def plan(missing=(), host="n1", seen=NOT_YET, kolla=False, system=DEBIAN, **more):
    answers = {
        "host": system,
        "kolla": {"/etc/kolla": kolla},
        "packages": {**ALL_THERE, **dict.fromkeys(missing)},
        **seen,
    }
    return client_packages.plan(site(**more), Facts({host: answers}, {"packages.key": "KEY\n"}))


@pytest.mark.parametrize("more", [{}, SIGNED])
def test_what_is_installed_is_left_alone(more):
    assert plan(**more) == []


@pytest.mark.parametrize(
    "host, roles, needed",
    [
        ("ctl", ["cinder"], False),
        ("ctl", ["glance"], False),
        ("ctl", ["glance", "cinder", "database"], False),
        ("n1", ["compute"], True),
        ("ctl", ["cinder", "compute"], True),
    ],
)
def test_qemus_driver_is_needed_where_guests_run(host, roles, needed):
    """Cinder and Glance use librbd; a controller without the driver lacks nothing."""
    hosts = {**HOSTS, host: {**HOSTS.get(host, {}), "roles": roles}}
    changes = plan(["qemu-block-extra"], host, hosts=hosts)
    assert bool(changes) == needed


@pytest.mark.parametrize(
    "host, wave, missing",
    [
        ("ctl", 1, ["python3-rbd"]),
        ("ctl", 1, ["ceph-common", "python3-rbd"]),
        ("n1", 2, ["python3-rbd"]),
        ("n1", 2, list(ALL_THERE)),
    ],
)
def test_only_what_is_missing_is_installed(host, wave, missing):
    (change,) = plan(missing, host)
    assert (change.host, change.verb, change.sign, change.wave) == (host, "install", "+", wave)
    assert change.args == {"packages": missing, "source": None}
    assert change.sentence == "install " + " ".join(missing)


def test_nothing_is_installed_where_the_site_says_no():
    assert plan(list(ALL_THERE), packages={"install": False}) == []


def test_key_and_source_come_before_the_packages():
    key, source, install = plan(["ceph-common"], **SIGNED)
    assert key.args["path"] == "/etc/apt/keyrings/ceph.asc"
    assert key.args["content"] == ["KEY\n"]
    assert source.args["content"] == [SOURCE + "\n"]
    assert install.args == {"packages": ["ceph-common"], "source": source.args["path"]}
    for change in (key, source):
        assert (change.verb, change.sign, change.args["before"]) == ("write", "+", None)
        assert (change.args["mode"], change.args["owner"]) == ("0644", "root")


@pytest.mark.parametrize(
    ("signed_by", "there", "made"),
    [
        ("/etc/apt/keyrings/c.asc", ("/etc", "/etc/apt"), ["/etc/apt/keyrings"]),
        ("/etc/apt/keyrings/c.asc", ("/etc", "/etc/apt", "/etc/apt/keyrings"), []),
        ("/usr/share/keyrings/c.asc", ("/usr", "/usr/share", "/usr/share/keyrings"), []),
        ("/opt/keys/of/c.asc", ("/opt",), ["/opt/keys", "/opt/keys/of"]),
        ("/c.asc", (), []),
    ],
)
def test_folders_that_a_host_does_not_have_come_before_the_key(signed_by, there, made):
    """Debian 11 and Ubuntu 20.04 have no /etc/apt/keyrings."""
    more = {"packages": {**SIGNED["packages"], "source": SOURCE.replace(KEY, signed_by)}}
    (asked,) = [
        read.args["paths"]
        for read in client_packages.reads(site(**more), site().host("n1"))
        if read.id == "packages.folders"
    ]
    seen = {**NOT_YET, "packages.folders": {path: path in there for path in asked}}
    changes = plan(["ceph-common"], seen=seen, **more)
    assert [change.subject for change in changes[:-2]] == [*made, signed_by]
    for change in changes[: len(made)]:
        assert (change.verb, change.kind, change.args["mode"]) == ("folder", "source", "0755")
    before = plan(["ceph-common"], "ctl", seen=seen, **more)
    assert [change.verb for change in tools(seen, before, **more)[0]] == ["install"]
    assert len(tools(seen, **more)[0]) == len(made) + 3


def test_an_older_key_and_source_are_replaced_as_seen():
    old = {"sha256": DIGEST}
    key, source, _ = plan(["ceph-common"], seen={**NOT_YET, "packages.key": old}, **SIGNED)
    assert (key.sign, key.args["before"]) == ("~", DIGEST)
    assert (source.sign, source.args["before"]) == ("+", None)


@pytest.mark.parametrize("signed_by", ["ceph.asc", "", "~/ceph.asc"])
def test_a_source_without_the_path_of_its_key_is_refused(signed_by):
    source = f"deb [signed-by={signed_by}] https://mirror/ceph bookworm main"
    with pytest.raises(BadInput, match="^packages.source: expected .signed-by=/path/to/key"):
        plan(["ceph-common"], packages={"source": source, "key": "release.asc"})


@pytest.mark.parametrize("missing", [[], ["ceph-common"]])
@pytest.mark.parametrize(
    "more, said",
    [
        ({"system": system("rocky", ["rhel", "fedora"], "Rocky 9")}, "found Rocky 9"),
        ({"system": system("", [], "an unknown system")}, "found an unknown system"),
        ({"kolla": True}, 'platform = "kolla" for n1'),
    ],
)
def test_other_systems_are_refused_before_anything_is_planned(missing, more, said):
    with pytest.raises(BadInput, match=f"^n1: .*{said}"):
        plan(missing, **more)


@pytest.mark.parametrize(
    "known", [system("ubuntu", ["debian"]), system("linuxmint", ["ubuntu", "debian"])]
)
def test_relatives_of_debian_are_known(known):
    assert plan(system=known) == []


def test_only_clients_are_asked():
    signed = site(hosts={**HOSTS, "ceph02": {"roles": ["ceph"]}}, **SIGNED)
    asked = {
        host.name: {read.id: read.args for read in client_packages.reads(signed, host)}
        for host in signed.all_hosts()
    }
    assert [name for name, reads in asked.items() if reads] == ["ctl", "n1", "n2"]
    assert asked["n1"]["packages"] == {"names": list(ALL_THERE)}
    assert asked["n1"]["packages.key"] == {"path": "/etc/apt/keyrings/ceph.asc"}
    assert "packages.key" not in {r.id for r in client_packages.reads(site(), site().host("n1"))}


# The same repository in another file of the host.
# Each row was asked of apt 2.6 too; test_apt_itself_says_the_same does it again where there is one.

OWN_FILE = "/etc/apt/sources.list.d/stackrbd-ceph.list"
X = "/usr/share/keyrings/x.gpg"


def stanza(*more, types="deb", uris="https://mirror/ceph", suites="bookworm", components="main"):
    fields = (f"Types: {types}", f"URIs: {uris}", f"Suites: {suites}", f"Components: {components}")
    return "\n".join([*fields, *more]) + "\n"


TWICE = [
    # file, what it holds, what comes of it: "both" are listed, "theirs" is taken, "neither"
    ("a.list", "", "both"),
    ("a.list", f"deb [signed-by={X}] https://mirror/ceph bookworm main", "theirs"),
    ("z.list", f"deb [signed-by={X}] https://mirror/ceph bookworm main", "theirs"),
    ("a.list", f"  deb\t[ signed-by={X} ]\thttps://mirror/ceph/\tbookworm\tmain x", "theirs"),
    ("a.list", f"deb [arch=amd64 signed-by={X}] https://mirror/ceph/ bookworm main", "theirs"),
    ("a.list", f"deb [arch=i386,amd64 signed-by={X}] https://mirror/ceph bookworm main", "theirs"),
    ("a.list", f"deb [arch=i386 signed-by={X}] https://mirror/ceph bookworm main", "neither"),
    ("a.list", f"deb [signed-by={X}] http://mirror/ceph bookworm main", "theirs"),
    ("a.list", f"deb [signed-by={X}] https://u:pass@mirror/ceph bookworm main", "theirs"),
    ("a.list", f'deb [signed-by={X}] "https://mirror/%63eph" bookworm main', "theirs"),
    ("a.list", f"deb [signed-by={X}] https://mirror/ceph bookworm main # by hand", "theirs"),
    ("a.list", f"deb [signed-by={X}] https://mirror/ceph bookworm contrib", "neither"),
    ("a.list", f"deb-src [signed-by={X}] https://mirror/ceph bookworm main", "neither"),
    ("a.list", f"deb [trusted=yes signed-by={X}] https://mirror/ceph bookworm main", "neither"),
    ("a.list", "deb [trusted=yes] https://mirror/ceph bookworm main", "neither"),
    ("z.list", "deb [trusted=yes] https://mirror/ceph bookworm main", "neither"),
    ("a.list", f"deb [check-valid-until=no signed-by={X}] https://mirror/ceph bookworm main", "no"),
    ("a.list", "deb https://mirror/ceph bookworm main", "both"),
    ("a.list", "deb [arch=amd64] https://mirror/ceph bookworm main", "both"),
    ("z.list", "deb https://mirror/ceph bookworm main", "neither"),
    ("a.list", f"#deb [signed-by={X}] https://mirror/ceph bookworm main", "both"),
    ("a.list", f"# deb [signed-by={X}] https://mirror/ceph bookworm main", "both"),
    ("a.list", f"deb [signed-by={X}] https://mirror/ceph trixie main", "both"),
    ("a.list", f"deb [signed-by={X}] https://mirror/ceph bookworm-updates main", "both"),
    ("a.list", f"deb [signed-by={X}] https://mirror/other bookworm main", "both"),
    ("a.list", f"deb [signed-by={X}] https://mirror:8443/ceph bookworm main", "both"),
    ("a.list", SOURCE, "both"),
    ("z.list", SOURCE.replace("arch=amd64 ", ""), "both"),
    ("a.list.save", f"deb [signed-by={X}] https://mirror/ceph bookworm main", "both"),
    ("a b.list", f"deb [signed-by={X}] https://mirror/ceph bookworm main", "both"),
    (".a.list", f"deb [signed-by={X}] https://mirror/ceph bookworm main", "both"),
    ("a.sources", stanza(f"Signed-By: {X}"), "theirs"),
    ("z.sources", "# by hand\n\n" + stanza(f"signed-by: {X}", "# x", "Enabled: yes"), "theirs"),
    ("a.sources", stanza(f"Signed-By: {X}", suites="trixie bookworm"), "theirs"),
    (
        "a.sources",
        stanza(f"Signed-By: {X}", uris="\n https://mirror/a\n https://mirror/ceph/"),
        "t",
    ),
    ("a.sources", stanza("Signed-By:", " -----BEGIN PGP-----", " .", " m=", " -----END-----"), "t"),
    ("a.sources", stanza("Signed-By: 0123456789ABCDEF0123456789ABCDEF01234567"), "theirs"),
    ("a.sources", stanza(suites="trixie") + "\n" + stanza(f"Signed-By: {X}"), "theirs"),
    ("a.sources", stanza(f"Signed-By: {X}", types="deb-src"), "neither"),
    ("a.sources", stanza(f"Signed-By: {X}", "Architectures: arm64 i386"), "neither"),
    ("a.sources", stanza("Trusted: yes"), "neither"),
    ("a.sources", stanza(), "both"),
    ("z.sources", stanza(), "neither"),
    *[("a.sources", stanza(f"Signed-By: {X}", f"Enabled: {no}"), "both") for no in ("no", "False")],
    ("a.sources", stanza(f"Signed-By: {X}", suites="trixie"), "both"),
    ("a.list", stanza(f"Signed-By: {X}"), "unread"),  # no list of the one-line form
]


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """Another file of the host, and what the agent then says; apt's own word is left out."""
    (tmp_path / "sources.list.d").mkdir()
    monkeypatch.setattr(apt, "_SOURCES", str(tmp_path / "sources.list"))
    monkeypatch.setattr(apt, "_PARTS", str(tmp_path / "sources.list.d"))
    monkeypatch.setattr(apt, "call", lambda argv, **how: (0, "", ""))
    monkeypatch.setattr(apt, "expect", lambda argv, *ok, **how: (0, "amd64\n", ""))

    def seen(name, text):
        there = tmp_path / ("sources.list" if name == "sources.list" else f"sources.list.d/{name}")
        there.write_text(text + "\n")
        own = str(tmp_path / "sources.list.d" / "stackrbd-ceph.list")
        found = apt.repository(SOURCE, own)
        for entry in [*found["own"], *found["entries"]]:
            entry["file"] = entry["file"].replace(str(tmp_path), "/etc/apt")
        return found

    return seen


def outcome(found):
    """What the plan makes of it."""
    try:
        changes = plan(["ceph-common"], seen={**NOT_YET, "apt.repository": found}, **SIGNED)
    except Refused as refusal:
        assert refusal.host == "n1" and refusal.advice
        assert refusal.subject in {entry["file"] for entry in found["entries"]}
        return "neither"
    source = changes[-1].args["source"]
    assert len(changes) == (3 if source == OWN_FILE else 1)
    return "both" if source == OWN_FILE else "theirs"


@pytest.mark.parametrize("name, text, expected", TWICE)
def test_a_repository_is_listed_once(listed, name, text, expected):
    """APT reads no source of a host where two entries of one repository differ."""
    meant = {"no": "neither", "t": "theirs", "unread": "both"}.get(expected, expected)
    assert outcome(listed(name, text)) == meant


@pytest.mark.parametrize(
    "text, expected",
    [
        (f"deb [signed-by={X}] https://mirror/ceph bookworm main", "theirs"),
        ("deb https://mirror/ceph bookworm main", "both"),
        ("deb [trusted=yes] https://mirror/ceph bookworm main", "neither"),
    ],
)
def test_the_list_of_all_sources_counts_too(listed, text, expected):
    assert outcome(listed("sources.list", text)) == expected


@pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt here")
@pytest.mark.parametrize("name, text, expected", TWICE)
def test_apt_itself_says_the_same(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text + "\n")
    (tmp_path / "stackrbd-ceph.list").write_text(SOURCE + "\n")
    where = ("-o", "Dir::Etc::sourcelist=/dev/null", "-o", f"Dir::Etc::sourceparts={tmp_path}")
    argv = ["apt-get", *where, "--print-uris", "update"]
    done = subprocess.run(argv, capture_output=True, text=True, env={"LC_ALL": "C"}, check=False)
    assert (done.returncode == 0) == (expected == "both"), done.stderr


def test_what_apt_cannot_read_already_is_said_before_anything_is_written():
    found = {**UNLISTED, "refused": "E: Malformed entry 1 in list file /etc/apt/sources.list"}
    with pytest.raises(Refused, match="^n1: APT: .* Malformed entry 1") as refusal:
        plan(["ceph-common"], seen={**NOT_YET, "apt.repository": found}, **SIGNED)
    assert "mend the file" in refusal.value.advice
    assert plan(seen={**NOT_YET, "apt.repository": found}, **SIGNED) == []


def test_a_source_of_ours_beside_another_is_no_way_on(listed):
    """Neither is taken away by itself."""
    found = listed("a.list", f"deb [signed-by={X}] https://mirror/ceph bookworm main")
    with pytest.raises(Refused, match="one way of listing"):
        seen = {**NOT_YET, "packages.source": {"sha256": DIGEST}, "apt.repository": found}
        plan(["ceph-common"], seen=seen, **SIGNED)


def test_a_plan_says_whose_source_it_takes(listed):
    found = listed("a.list", f"deb [signed-by={X}] https://mirror/ceph bookworm main")
    changes = plan(["ceph-common"], seen={**NOT_YET, "apt.repository": found}, **SIGNED)
    (note,) = client_packages.notes(site(**SIGNED), Facts({}), changes)
    assert note.startswith("n1: /etc/apt/sources.list.d/a.list lists the repository")
    changes = plan(["ceph-common"], **SIGNED)
    assert client_packages.notes(site(**SIGNED), Facts({}), changes) == []


# What makes backups comes from the same source

BACKED = {"backup": {"recipients": ["age1" + "q" * 58]}, **SIGNED}
LISTED = {
    "file": "/etc/apt/sources.list.d/mirror.list",
    "type": "deb",
    "components": ["main"],
    "options": {"arch": "amd64", "signed-by": "/usr/share/keyrings/other.gpg"},
}
OWN = {**LISTED, "file": "/x", "options": {"arch": "amd64", "signed-by": "/etc/apt/keyrings/c.asc"}}
BY_ANOTHER = {**UNLISTED, "own": [OWN], "entries": [LISTED]}


def tools(seen=NOT_YET, before=(), installed=None, **more):
    answers = {backup_tools.INSTALLED.id: {"age": installed, "zstd": installed}, **seen}
    here = site(**{**BACKED, **more})
    asked = {read.id for read in backup_tools.reads(here, here.host("ctl"))}
    facts = Facts(
        {"ctl": {k: v for k, v in answers.items() if k in asked}}, {"packages.key": "KEY\n"}
    )
    changes = backup_tools.RESOURCE.planned(here, facts, before)
    return changes, backup_tools.RESOURCE.notes(here, facts, changes)


@pytest.mark.parametrize("roles", [["database"], ["glance", "cinder", "database"]])
def test_what_makes_backups_brings_the_sites_source_where_it_is_not(roles):
    """Also to a host with no client of Ceph's, and where the client came from elsewhere."""
    hosts = {**HOSTS, "ctl": {**HOSTS["ctl"], "roles": roles}}
    if "cinder" not in roles:
        hosts["two"] = {"roles": ["glance", "cinder"]}
    (key, source, install), notes = tools(hosts=hosts)
    assert [one.args["path"] for one in (key, source)] == [
        "/etc/apt/keyrings/ceph.asc",
        install.args["source"],
    ]
    assert key.args["content"] == ["KEY\n"] and source.args["content"] == [SOURCE + "\n"]
    assert install.args["packages"] == ["age", "zstd"]
    assert {one.wave for one in (key, source, install)} == {1} and notes == []


def test_without_a_source_of_the_sites_it_is_the_hosts_own():
    (install,), _ = tools(packages={})
    assert install.args["source"] is None


def test_the_source_that_the_client_brings_is_brought_once():
    before = plan(["ceph-common"], "ctl", **SIGNED)
    assert [change.kind for change in before] == ["source", "source", "packages"]
    (install,), _ = tools(before=before)
    assert install.args["source"] == before[-1].args["source"]
    elsewhere = plan(["ceph-common"], "n1", **SIGNED)
    assert len(tools(before=elsewhere)[0]) == 3


def test_an_older_source_is_replaced_as_seen_and_nothing_is_written_for_nothing():
    (key, source, _), _ = tools({**NOT_YET, "packages.source": {"sha256": DIGEST}})
    assert (key.sign, source.sign, source.args["before"]) == ("+", "~", DIGEST)
    assert tools(installed="1.0") == ([], [])
    assert tools(packages={**SIGNED["packages"], "install": False}) == ([], [])


def test_a_repository_that_is_listed_by_another_key_is_used_as_it_is_and_said():
    (install,), notes = tools({**NOT_YET, "apt.repository": BY_ANOTHER})
    assert install.args["source"] == LISTED["file"]
    (note,) = notes
    assert note.startswith(f"ctl: {LISTED['file']} lists the repository")


def test_a_source_that_apt_cannot_read_beside_the_hosts_is_refused_for_tools_too():
    refused = {**NOT_YET, "apt.repository": {**UNLISTED, "refused": "E: Conflicting values"}}
    with pytest.raises(Refused, match="Conflicting values"):
        tools(refused)
