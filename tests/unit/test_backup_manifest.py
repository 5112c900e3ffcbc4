"""A manifest's form: whatever is damaged in it, one sentence says what."""

import copy
import json

import pytest

from fabfile.backup import contents
from fabfile.backup import manifest as manifests
from fabfile.core.contract import BadInput, Facts, Stop
from fabfile.flow.backup import create

from .backups import manifest
from .states import cluster
from .test_backup import a_site, at_rest, facts


def parsed(found):
    return manifests.parse(json.dumps(found).encode(), "m")


def test_what_is_made_is_what_is_read():
    assert parsed(manifest()) == manifest()


@pytest.mark.parametrize(
    "version",
    [
        "10.11.14-MariaDB-0+deb12u2",
        "11.8.9-MariaDB-0+deb13u1 from Debian",
        "10.6.16-MariaDB-1:10.6.16+maria~ubu2204-log",
        "11.4.2-MariaDB-ubu2404 (Ubuntu)",
        "5.5.5-10.3.39-MariaDB-0+deb10u2",
    ],
)
def test_a_server_says_its_version_in_its_own_words(version):
    found = manifest()
    found["hosts"]["ctl"]["database"]["version"] = version
    assert parsed(found) == found


def test_a_host_without_databases_is_whole():
    found = manifest()
    del found["hosts"]["ctl"]["database"]
    assert parsed(found) == found


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "data, cause",
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"\xff\xfe", "can't decode"),
        (b"null", "all of it"),
        (b"[]", "all of it"),
        (b"5", "all of it"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"time": NaN}', "NaN is no number"),
        (b'{"time": -Infinity}', "-Infinity is no number"),
        (b'{"time": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    ],
)
def test_what_is_no_manifest_is_said(data, cause):
    with pytest.raises(BadInput, match=f"^m: the backup is broken: .*{cause}"):
        manifests.parse(data, "m")


HELD = ("hosts", "ctl")
DATABASE = (*HELD, "database")
WRONG = {
    (): [None, [], 5, "x"],
    ("format",): [None, 0, 2, "1", True, 1.0],
    ("site",): [None, 5, "", "a/b", "../x", "a\nb"],
    ("fsid",): [None, 5, "", "a b"],
    ("record",): [None, 5, "", "../x"],
    ("time",): [None, "x", -1, 1.5, True, 10**30],
    ("hosts",): [None, [], {}, ["a"], {"a": {}}, {"a": 5}, {"../a": {}}, {"": {}}],
    (*HELD, "size"): [None, "x", -1, 1.5, True, 10**30],
    (*HELD, "sha256"): [None, 5, "", "x" * 64, "A" * 64, "a" * 63],
    (*HELD, "files"): [None, [], 5, {"/etc/x": ["file"]}, {"/etc/x": 5}, {"x": None}],
    (*HELD, "left"): [None, 5, [5], ["a\nb"], "x"],
    (*HELD, "units"): [None, 5, [5], ["-x"], ["a b"], ["a/b"], ["x\n"], "nova-api"],
    (*HELD, "versions"): [None, [], {"a": 5}, {"a": None}, {"a": "x"}, {"-a": "1"}, {"a": "1 2"}],
    DATABASE: [None, [], 5, {}],
    (*DATABASE, "version"): [None, 5, "", "MariaDB", "10", "10.11; x"],
    (*DATABASE, "schemas"): [None, 5, [5], ["--result-file=/etc/x"], ["-x"], [""], ["x" * 65]],
    (*DATABASE, "tables"): [None, [], {"t": 5}, {"t": [1]}, {"t": ["x", "a" * 64]}, {"t": [1, 2]}],
    (*DATABASE, "heads"): [None, [], {"a": 5}, {"a": [5]}],
    (*DATABASE, "unsafe"): [None, 5, [5], ["a\nb"]],
    (*DATABASE, "loose"): [None, 5, [5]],
    (*DATABASE, "space"): [None, "x", -1, 1e300],
    (*DATABASE, "size"): [None, "x", -1],
    (*DATABASE, "first"): [None, 5, "x" * 100_000],
}
MAY_LACK = {(*HELD, "left"), DATABASE, (*DATABASE, "heads")}


def changed(place, value):
    found = copy.deepcopy(manifest())
    if not place:
        return value
    inner = found
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return found


@pytest.mark.parametrize("place, value", [(p, v) for p, values in WRONG.items() for v in values])
def test_a_value_of_another_form_is_named_with_its_place(place, value):
    with pytest.raises(BadInput) as stop:
        parsed(changed(place, value))
    said = str(stop.value)
    assert "expected a backup of format 1, found another: " in said
    assert all(part in said for part in place[:3]) and len(said) < 2000


@pytest.mark.parametrize("place", [place for place in WRONG if place])
def test_a_value_that_is_missing_is_named_and_nothing_ends_in_a_traceback(place):
    found = changed(place, None)
    inner = found
    for name in place[:-1]:
        inner = inner[name]
    del inner[place[-1]]
    if place in MAY_LACK:
        parsed(found)
        used(found)
        return
    with pytest.raises(BadInput, match=place[-1]):
        parsed(found)


def used(found):
    """All that a restore and a list do with it before a host is asked."""
    site = a_site()
    found["site"] = "test"
    create.told(found)
    create.warnings(found)
    for names in ({}, {"ctl": {"folder": "/d.stackrbd-r", "staged": "/s", "live": "/d"}}):
        put = contents.PutBack(found, names, "r")
        for host in site.all_hosts():
            put.reads(site, host)
    contents.refuse_unfit(site, found, facts())
    rest = at_rest(**{"at /etc/mysql": None})
    put.plan(site, Facts({"ceph01": cluster(), "ctl": rest.hosts["ctl"]}))


def test_what_is_whole_can_be_used():
    used(parsed(manifest()))


def test_what_a_host_says_of_its_part_is_not_signed_unless_it_has_its_form():
    found = changed((*DATABASE, "tables"), {"t": 5})
    with pytest.raises(Stop, match="has not its form; nothing is kept"):
        create._refuse_unshaped(found)
    create._refuse_unshaped(manifest())


def test_so_many_files_as_a_host_may_have_are_checked_in_a_moment():
    files = {f"/etc/nova/{n}": ["file", "0644", "root", "root", "a" * 64] for n in range(20_000)}
    assert manifests.faults_of(changed((*HELD, "files"), files)) == []
