"""The OpenStack release: named, or told by the packages of all hosts together.

That every release's own numbers are known is test_releases.py's to hold.
"""

import re

import pytest

from fabfile.core.contract import BadInput, Facts
from fabfile.model import releases

from .states import site

NEW = {
    "versions": {"25": "yoga", "26": "zed"},
    "cinder": {"unit": "cinder-volume", "options": {"DEFAULT": {"a": "1", "b": "2"}, "rbd": {}}},
    "nova": {"unit": "nova-compute"},
}
OLD = {
    "versions": {"24": "xena"},
    "like": "zed",
    "cinder": {"options": {"DEFAULT": {"b": "3", "c": "4"}, "rbd": False}},
}
OLDER = {"versions": {"2013.1": "grizzly"}, "like": "xena", "cinder": {"unit": False}}
TABLES = [OLDER, NEW, OLD]
NOVA, GLANCE, CINDER = (
    {"nova-common": "3:26.0.0-0ubuntu1"},
    {"glance-common": "2:25.1.0-1"},
    {"cinder-common": "2:21.3.2-2~bpo1"},
)


NEWEST = {
    "versions": {"34": "2026.2"},
    "like": "zed",
    "codenames": {"hibiscus": "2026.2"},
    "cinder": {"options": {"new": {}}},
}


def choose(setting="auto", tables=TABLES, **packages):
    hosts = {h: {releases.READ.id: p} if p is not None else {} for h, p in packages.items()}
    return releases.choose(site(release=setting), Facts(hosts), tables)


@pytest.mark.parametrize(
    "packages",
    [
        {"n1": NOVA},
        {"ctl": GLANCE},
        {"ctl": CINDER},
        {"ctl": {**CINDER, "nova-common": None}, "n1": {"nova-common": None}},
        {"ceph01": None, "ctl": {**CINDER, **GLANCE}, "n1": NOVA, "n2": NOVA},
        {"n1": {"nova-common": "26.2.0-3"}},
    ],
)
def test_auto_is_told_by_any_of_the_packages(packages):
    assert choose(**packages) == releases.Chosen("zed", NEW)


def test_a_name_in_the_site_file_counts_more_than_the_packages():
    chosen = choose("yoga", n1=NOVA)
    assert (chosen.name, chosen.table) == ("yoga", NEW)


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("1:34.0.0~rc1-2", "34"),
        ("3:34.0.0~b1-0ubuntu1", "34"),
        ("3:32.0.0+git2025100112.abcd-0ubuntu1", "32"),
        ("1:34.0.0~0.20260801123456.abc.el9", "34"),  # RDO's of master
        ("34-1", "34"),
        ("34", "34"),
        ("v34.0.0", "34"),
        ("2015.1~rc1-1", "2015.1"),
        ("1:2014.2.4-0ubuntu1~cloud4", "2014.2"),
        ("1:2026.2.0-1", "2026.2"),
        ("20261101.1-1", None),  # a date is no number of Nova's
        ("12345.0-1", None),
        ("unknown", None),
        ("", None),
        ("3:", None),
        ("1:~rc1", None),
        ("34a.0", None),
    ],
)
def test_versions_as_they_are_written(version, number):
    found = releases._NUMBER.match(version)
    assert (found and found.group(1)) == number


NOVA_34 = {"nova-common": "1:34.0.0~rc1-2"}
SID = {"glance-common": "2:33.0.0-1", "cinder-common": "2:29.0.0-1"}
NOVA_35 = {"nova-common": "3:35.0.0-1"}


@pytest.mark.parametrize(
    ("setting", "packages", "name", "kind", "said"),
    [
        ("auto", {"n1": NOVA_34, "ctl": SID}, "2026.2", None, ""),
        ("2026.2", {"n1": NOVA_34, "ctl": SID}, "2026.2", None, ""),
        ("hibiscus", {"n1": NOVA_34}, "2026.2", None, ""),
        ("Hibiscus", {}, "2026.2", None, ""),
        ("zed", {"n1": NOVA}, "zed", None, ""),
        ("zed", {}, "zed", None, ""),
        ("zed", {"n1": {"nova-common": "odd"}}, "zed", None, ""),
        # Newer than all: taken as the newest, and said.
        ("auto", {"n1": NOVA_35}, "2026.2", "newer", "Nova 35 is newer .* taken as 2026.2"),
        ("auto", {"ctl": {"cinder-common": "2:30.0.0~rc1-1"}}, "2026.2", "newer", "Nova 35"),
        ("auto", {"n1": {"nova-common": "2027.1-1"}}, "2026.2", "newer", "Nova 2027.1"),
        ("auto", {"n1": {"nova-common": "54.0.0"}}, "2026.2", "newer", "Nova 54"),
        ("2027.1", {"n1": NOVA_35}, "2026.2", "newer", "2027.1 is newer"),
        ("2031.2", {}, "2026.2", "newer", "2031.2 is newer"),
        # Named by hand: called by that name, and what is there is said.
        ("zed", {"n1": NOVA_34}, "zed", "stale", "names the release zed, .* of 2026.2: nova-c"),
        ("zed", {"n1": NOVA_35}, "zed", "stale", "of Nova 35: nova-common on n1"),
        ("yoga", {"n1": NOVA, "n2": {"nova-common": "25.1"}}, "yoga", "mixed", "of zed: nova"),
        ("2026.2", {"n1": NOVA_34, "n2": NOVA}, "2026.2", "mixed", "of zed: nova-common on n2"),
        ("zed", {"n1": {"nova-common": "3:11.0.0"}}, "zed", "stale", "of Nova 11"),
    ],
)
def test_which_release_counts_and_what_is_said_of_it(setting, packages, name, kind, said):
    chosen = choose(setting, [*TABLES, NEWEST], **packages)
    assert chosen.name == name and name in chosen.table["versions"].values()
    assert (chosen.other and chosen.other.kind) == kind
    assert re.search(said, chosen.other.text if chosen.other else "")


def test_a_table_without_years_knows_no_year_to_come():
    with pytest.raises(BadInput, match="found '2027.1'"):
        choose("2027.1")


@pytest.mark.parametrize(
    "setting, packages, said",
    [
        ("auto", {}, "name the release in the site file"),
        ("auto", {"n1": {"nova-common": None}}, "name the release in the site file"),
        ("auto", {"n1": {"nova-common": "unknown"}}, "name the release in the site file"),
        ("auto", {"n1": {"nova-common": "3:23.0.0"}}, "grizzly to zed .*, found Nova 23; name the"),
        ("auto", {"n1": {"nova-common": "1:2012.2.4-1"}}, "grizzly to zed .* found Nova 2012.2"),
        ("auto", {"n1": {"nova-common": "9.0.0"}}, "grizzly to zed .* found Nova 9"),
        ("auto", {"n1": {"nova-common": "47.0.0"}}, "grizzly to zed .* found Nova 47"),
        ("auto", {"n1": {"nova-common": "20261101.1"}}, "name the release in the site file"),
        ("folsom", {"n1": NOVA}, "grizzly to zed .* found 'folsom'"),
        ("zedd", {"n1": NOVA}, r"\(grizzly, yoga, zed, xena\), found 'zedd'"),
        (
            "auto",
            {"n2": {"nova-common": "3:25.0.0"}, "n1": NOVA},
            "found several: of zed: nova-common on n1; of yoga: nova-common on n2; finish",
        ),
        (
            "auto",
            {"ctl": {"cinder-common": "2:20.0.0"}, "n1": NOVA},
            "found several: of yoga: cinder-common on ctl; of zed: nova-common on n1; finish",
        ),
        (
            "auto",
            {"ctl": {"cinder-common": "2:20.0.0", **NOVA}},
            "found several: of yoga: cinder-common on ctl; of zed: nova-common on ctl; finish",
        ),
        (
            "auto",
            {"ctl": {**NOVA, "cinder-common": "2:20.0.0"}, "n1": NOVA},
            "of zed: nova-common on ctl, nova-common on n1; finish",
        ),
    ],
)
def test_a_release_that_cannot_be_told_is_refused(setting, packages, said):
    with pytest.raises(BadInput, match=f"^release: .*{said}"):
        choose(setting, **packages)


def test_a_release_that_is_like_another_has_the_rest_of_it():
    assert choose("xena").table == {
        "versions": {"24": "xena"},
        "like": "zed",
        "cinder": {
            "unit": "cinder-volume",
            "options": {"DEFAULT": {"a": "1", "b": "3", "c": "4"}},
        },
        "nova": {"unit": "nova-compute"},
    }


def test_likeness_goes_on_and_takes_nothing_from_the_model():
    table = choose("grizzly").table
    assert table["versions"] == {"2013.1": "grizzly"}
    assert table["cinder"] == {"options": {"DEFAULT": {"a": "1", "b": "3", "c": "4"}}}
    assert choose("zed").table["cinder"]["options"] == {"DEFAULT": {"a": "1", "b": "2"}, "rbd": {}}
