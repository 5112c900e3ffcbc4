"""init --cloud on the lab: without RBD, integrated, and integrated by hand with other names.

Takes some minutes: `make several`.
"""

import os
from pathlib import Path

import pytest
import tomli

from tests.clouds import handmade

from .conftest import ACCESS, inv, on, result

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_SEVERAL" not in os.environ, reason="minutes: make several"),
]
OURS = (
    *("--cloud", "stackrbd-lab", "--ceph", "ceph01"),
    *("--clouds-yaml", str(ACCESS / "clouds.yaml"), "--ssh-config", str(ACCESS / "ssh_config")),
    *("--sudo-password-command", f"cat {ACCESS}/operator.password"),
)
ROLES = {
    "ceph01": ["ceph"],
    "controller01": ["glance", "cinder", "database"],
    "compute01": ["compute"],
    "compute02": ["compute"],
}
OTHER_NAMES = {"volumes": "block-ssd", "images": "pictures"}


@pytest.fixture
def adopted(tmp_path):
    """Writes a site file in an empty folder: (what was told, the file's tables, its --site)."""

    def act(*more, expect=0):
        path = tmp_path / "adopted.toml"
        told = result(inv("init", *OURS, *more, "--out", str(path), "--json", expect=expect))
        return told, tomli.loads(path.read_text()), ("--site", str(path))

    return act


def test_a_cloud_that_only_has_nfs(lab, adopted):
    inv("lab.reset", timeout=300)
    told, raw, words = adopted()
    assert {name: table["roles"] for name, table in raw["hosts"].items()} == ROLES
    assert not told["connected"] and told["doubts"] == [] and told["refused"] == []
    assert set(told["trips"].values()) == {2}
    text = Path(words[1]).read_text()
    assert "other backends stay as they are: nfs" in text
    assert text.count("has nothing on RBD yet") == 2
    planned = result(inv("plan", "--json", *words))["changes"]
    # Restarts, and what is noted of them, follow from the rest.
    own = [c for c in planned if c["sign"] != "!" and "was restarted" not in c["sentence"]]
    assert len(own) == told["changes"] > 10


def test_the_cloud_as_stackrbd_integrates_it(lab, adopted):
    inv("integrate", "--yes", timeout=1800)
    told, raw, words = adopted()
    assert (told["changes"], told["refused"], told["doubts"]) == (0, [], [])
    assert told["connected"] and told["seconds"] < 120
    assert "Nothing to do" in inv("integrate", "--check", *words)
    assert raw["cinder"]["backends"]["rbd"]["volume_type"] == "rbd"
    assert "recommended" not in raw and "packages" not in raw
    said = inv("init", *OURS, "--out", words[1], expect=3, also_errors=True)
    assert "is there already; name another file by --out" in said


def test_a_cloud_integrated_by_hand_with_other_names(lab, adopted, monkeypatch):
    inv("lab.reset", timeout=300)
    number = by_hand_with_other_names(monkeypatch)
    before = handmade.state()
    told, raw, words = adopted()
    assert (told["changes"], told["refused"]) == (0, [])
    assert {name: table["roles"] for name, table in raw["hosts"].items()} == ROLES
    (backend,) = raw["cinder"]["backends"].items()
    assert backend[0] == "ceph-ssd"
    assert backend[1]["pool"] == OTHER_NAMES["volumes"]
    assert backend[1]["volume_type"] == "ssd"
    assert raw["clients"][backend[1]["client"]]["secret_uuid"] == number
    assert list(raw["glance"]["stores"]) == ["ceph"]
    assert "Nothing to do" in inv("integrate", "--check", *words)
    assert handmade.state() == before
    guest = f'[verify]\nflavor = "lab.tiny"\nguest = "{ACCESS}/guest"\n'
    with Path(words[1]).open("a") as file:
        file.write(guest)
    inv("verify", *words, timeout=1800)


def by_hand_with_other_names(monkeypatch):
    """The procedure, each name in other words; the secret's UUID."""
    volumes, images = OTHER_NAMES["volumes"], OTHER_NAMES["images"]
    swapped = (
        ("ceph osd pool create volumes", f"ceph osd pool create {volumes}"),
        ("ceph osd pool create images", f"ceph osd pool create {images}"),
        ("rbd pool init volumes", f"rbd pool init {volumes}"),
        ("rbd pool init images", f"rbd pool init {images}"),
        ("pool=volumes", f"pool={volumes}"),
        ("pool=images", f"pool={images}"),
        ("client.volumes", "client.cinder-ssd"),
        ("client.images", "client.glance-rbd"),
        ("rbd_pool = volumes", f"rbd_pool = {volumes}"),
        ("rbd_user = volumes", "rbd_user = cinder-ssd"),
        ("rbd_store_pool = images", f"rbd_store_pool = {images}"),
        ("rbd_store_user = images", "rbd_store_user = glance-rbd"),
        ("enabled_backends = nfs,rbd", "enabled_backends = nfs,ceph-ssd"),
        ("\n[rbd]\nvolume_driver", "\n[ceph-ssd]\nvolume_driver"),
        ("volume_backend_name = rbd", "volume_backend_name = SSD"),
        ("file:file, rbd:rbd", "file:file, ceph:rbd"),
        ("default_backend = rbd", "default_backend = ceph"),
        ("\n[rbd]\nrbd_store_pool", "\n[ceph]\nrbd_store_pool"),
    )

    def other(host, *argv, script=None):
        words = [_swapped(word, swapped) for word in argv]
        return on(host, *words, script=script and _swapped(script, swapped))

    monkeypatch.setattr(handmade, "on", other)
    for step in ("pools", "sudoers", "packages", "ceph_conf", "users", "keyrings"):
        getattr(handmade, step)()
    number = handmade.secrets()
    handmade.glance()
    handmade.cinder(number)
    handmade.restart()
    with handmade.openstack_objects.connected(ACCESS / "clouds.yaml") as api:
        kind = api.block_storage.create_type(name="ssd")
        api.block_storage.update_type_extra_specs(kind, volume_backend_name="SSD")
    monkeypatch.setattr(handmade, "on", on)
    return number


def _swapped(text, pairs):
    for old, new in pairs:
        text = text.replace(old, new)
    return text
