"""Which clouds.yaml is read, and what is said where it or the cloud is not there."""

import os

import pytest
from openstack.config import loader

from fabfile.cloud import connection
from fabfile.core.contract import BadInput
from fabfile.flow.inspect import adopting
from fabfile.flow.terminal.screen import Screen

CLOUD = "clouds: {%s: {auth: {auth_url: 'http://x', username: u, password: p, project_name: n}}}"
FLAG, KEY = "--clouds-yaml FILE", "clouds_yaml in the site file"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The two folders in which openstacksdk looks; nothing of the environment's."""
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    found = [tmp_path / "here", tmp_path / "mine"]
    for folder in found:
        folder.mkdir()
    for kind, files in (("clouds", "CONFIG"), ("secure", "SECURE"), ("clouds-public", "VENDOR")):
        names = [str(p / f"{kind}{end}") for p in found for end in (".yaml", ".yml", ".json")]
        monkeypatch.setattr(loader, f"{files}_FILES", names)
    return found


def by_init(name, file=""):
    with pytest.raises(BadInput) as found:
        adopting._cloud(adopting.Asked("x.toml", cloud=name, clouds_yaml=file), Screen(True))
    return str(found.value)


def by_site_file(name, file=None):
    with pytest.raises(BadInput) as found:
        connection.connect(name, file)
    return str(found.value)


@pytest.mark.parametrize("name", ["lab", "defaults"])
def test_no_file_at_all_says_where_it_is_looked_for(places, name):
    said = by_init(name)
    assert said == (
        f"clouds.yaml: expected one with the cloud {name!r}, found none in {places[0]} or "
        f"{places[1]}; name one by {FLAG}"
    )
    assert by_site_file(name) == said.replace(FLAG, KEY)


def test_a_file_that_the_environment_names_is_one_of_the_places(places, monkeypatch, tmp_path):
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "other" / "c.yaml"))
    assert f"found none in {tmp_path / 'other'}, {places[0]} or {places[1]}" in by_init("lab")


@pytest.mark.parametrize(
    "text, known", [(CLOUD % "mine", "mine"), ("clouds: {}", "none"), ("", "none")]
)
def test_a_cloud_that_a_file_does_not_have(places, text, known):
    file = places[1] / "clouds.yaml"
    file.write_text(text)
    said = by_init("lab")
    assert said == (
        f"{file}: no cloud 'lab'; expected one of: {known}; correct --cloud, or name another file "
        f"by {FLAG}"
    )
    assert by_init("lab", str(file)) == said
    expected = f"expected one of: {known}; correct the name in the site file, or name another file"
    assert expected in by_site_file("lab") and KEY in by_site_file("lab", str(file))


def test_a_cloud_of_that_very_name_is_the_operators(places):
    (places[1] / "clouds.yaml").write_text(CLOUD % "defaults")
    assert connection._region("defaults", None).get_auth_args()["auth_url"] == "http://x"
    assert "expected one of: defaults;" in by_init("lab")


def test_a_file_that_is_named_and_not_there(places):
    said = by_init("lab", str(places[0] / "no.yaml"))
    assert said == f"{places[0] / 'no.yaml'}: expected a clouds.yaml, there is no such file"
