"""The OpenStack release: named, or told by the packages of all hosts together.

That every release's own numbers are known is test_releases.py's to hold.
"""

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


def choose(setting="auto", **packages):
    hosts = {h: {releases.READ.id: p} if p is not None else {} for h, p in packages.items()}
    return releases.choose(site(release=setting), Facts(hosts), TABLES)


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
    assert choose(**packages) == ("zed", NEW)


def test_a_name_in_the_site_file_counts_more_than_the_packages():
    assert choose("yoga", n1=NOVA) == ("yoga", NEW)


@pytest.mark.parametrize(
    "setting, packages, said",
    [
        ("auto", {}, "name the release in the site file"),
        ("auto", {"n1": {"nova-common": None}}, "name the release in the site file"),
        ("auto", {"n1": {"nova-common": "unknown"}}, "name the release in the site file"),
        ("auto", {"n1": {"nova-common": "3:23.0.0"}}, "Nova 23 is not known"),
        ("zedd", {"n1": NOVA}, "expected one of grizzly, yoga, zed, xena, found 'zedd'"),
        (
            "auto",
            {"n2": {"nova-common": "3:25.0.0"}, "n1": NOVA},
            "found several .* of 25: nova-common on n2; of 26: nova-common on n1; finish",
        ),
        (
            "auto",
            {"ctl": {"cinder-common": "2:20.0.0"}, "n1": NOVA},
            "found several .* of 25: cinder-common on ctl; of 26: nova-common on n1; finish",
        ),
        (
            "auto",
            {"ctl": {"cinder-common": "2:20.0.0", **NOVA}},
            "found several .* of 25: cinder-common on ctl; of 26: nova-common on ctl; finish",
        ),
        (
            "auto",
            {"ctl": {**NOVA, "cinder-common": "2:20.0.0"}, "n1": NOVA},
            "of 26: nova-common on ctl, nova-common on n1; finish",
        ),
    ],
)
def test_a_release_that_cannot_be_told_is_refused(setting, packages, said):
    with pytest.raises(BadInput, match=f"^release: .*{said}"):
        choose(setting, **packages)


def test_a_release_that_is_like_another_has_the_rest_of_it():
    assert choose("xena")[1] == {
        "versions": {"24": "xena"},
        "like": "zed",
        "cinder": {
            "unit": "cinder-volume",
            "options": {"DEFAULT": {"a": "1", "b": "3", "c": "4"}},
        },
        "nova": {"unit": "nova-compute"},
    }


def test_likeness_goes_on_and_takes_nothing_from_the_model():
    table = choose("grizzly")[1]
    assert table["versions"] == {"2013.1": "grizzly"}
    assert table["cinder"] == {"options": {"DEFAULT": {"a": "1", "b": "3", "c": "4"}}}
    assert choose("zed")[1]["cinder"]["options"] == {"DEFAULT": {"a": "1", "b": "2"}, "rbd": {}}
