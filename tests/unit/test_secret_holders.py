"""The truth table of secrets: which places there are, and which is the odd one."""

from dataclasses import asdict

import pytest

from fabfile.core.contract import CLOUD
from fabfile.doctor import secret_holders
from fabfile.report import text

from .clouds import IMAGES, INSTANCE, altered, disk_xml, looked, said
from .states import FSID, KEY, OTHER, secret, site


def table(change=lambda cloud: None, **more):
    return secret_holders.table(site(), looked(change, **more))


def odd(change, **more):
    return [(row.kind, row.hosts, row.odd) for row in secret_holders.odd(table(change, **more))]


def test_every_place_of_a_healthy_cloud_is_there_and_none_is_odd():
    rows = table()
    assert secret_holders.odd(rows) == []
    assert [(row.kind, row.hosts) for row in rows if row.client == "volumes"] == [
        ("Ceph", ("ceph01",)),
        ("keyring", ("ctl",)),
        ("cinder.conf", ("ctl",)),
        ("nova.conf", ("n1", "n2")),
        ("libvirt", ("n1", "n2")),
        ("guest", ("n1", "n2")),
        ("attachment", (CLOUD,)),
    ]
    assert [(row.kind, row.value) for row in rows if row.client == "images"] == [
        ("Ceph", IMAGES),
        ("keyring", IMAGES),
    ]


@pytest.mark.parametrize("owner, group, mode", [("root", "root", "0600"), ("nova", "nova", "0600")])
def test_a_keyring_that_its_service_cannot_open_holds_its_key_all_the_same(owner, group, mode):
    """Whose it is, is another finding's: the key is not the odd one."""
    rights = {"owner": owner, "group": group, "mode": mode}
    assert odd(lambda c: c["ctl"]["keyring.volumes"].update(rights)) == []


def rotated(cloud):
    new = "sha256:" + "c" * 64
    altered(cloud, "ceph01", "ceph.users", lambda d: d["auth_dump"][0].update(key=new))


@pytest.mark.parametrize(
    "change, expected",
    [
        (
            rotated,
            [("keyring", ("ctl",), "another value"), ("libvirt", ("n1", "n2"), "another value")],
        ),
        (
            lambda c: c["n2"].update({"libvirt.secrets": {}}),
            [("libvirt", ("n2",), "no such secret")],
        ),
        (
            lambda c: c["n2"].update({"libvirt.secrets": secret(FSID, value=None)}),
            [("libvirt", ("n2",), "no value")],
        ),
        (
            lambda c: c["n2"].update({"libvirt.secrets": secret(OTHER)}),
            [("libvirt", ("n2",), "no such secret")],
        ),
        (lambda c: c["n2"]["libvirt.secrets"].update(secret(OTHER, value="other")), []),
        (
            lambda c: c["n1"].update(domains={"d": {"disks": said(disk_xml(OTHER))}}),
            [("guest", ("n1",), "another UUID")],
        ),
        (
            lambda c: c[CLOUD]["attachments"][0].update(uuid=OTHER),
            [("attachment", (CLOUD,), "another UUID")],
        ),
        (lambda c: c["ctl"].update({"keyring.volumes": None}), [("keyring", ("ctl",), "no key")]),
    ],
)
def test_the_odd_one(change, expected):
    assert odd(change) == expected


def test_where_nobody_knows_the_truth_the_most_count():
    def change(cloud):
        cloud["ceph01"].clear()
        cloud["n2"]["libvirt.secrets"] = secret(OTHER)

    assert odd(change, known={}) == [("libvirt", ("n2",), "another UUID")]


def test_upper_case_is_no_other_uuid():
    def change(cloud):
        cloud["n2"]["libvirt.secrets"] = secret(FSID.upper())

    assert odd(change) == []


def shown_of(change):
    return list(text.places([asdict(row) for row in table(change)]))


@pytest.mark.parametrize("client", ["images", "west/volumes", "a-client-of-" + "x" * 40])
def test_what_is_in_a_row_stands_apart(client):
    row = {"kind": "libvirt", "hosts": ["n1", "n2"], "name": "secret", "client": client}
    row |= {"uuid": FSID, "value": KEY, "odd": ""}
    head, line = text.places([row])
    assert line.split() == ["ok", "libvirt", "n1,", "n2", client, text.short(KEY), FSID]
    if len(client) < 40:
        assert head.index("secret UUID") == line.index(FSID)


def test_the_table_shows_no_more_than_the_beginning_of_a_fingerprint():
    shown = "\n".join(shown_of(rotated))
    assert KEY not in shown and KEY[:19] in shown
    assert "NOT libvirt" in shown and "<- another value" in shown


def test_guests_that_are_right_are_a_number_and_the_odd_one_is_named():
    def change(cloud):
        right, wrong = ({"disks": said(disk_xml(uuid))} for uuid in (FSID, OTHER))
        cloud["n1"]["domains"] = {INSTANCE: right, "d-2": wrong, "d-3": right}

    lines = [line for line in shown_of(change) if " guest " in line]
    assert len(lines) == 2
    assert "n1 d-2" in lines[0] and "<- another UUID" in lines[0]
    assert "2 guests" in lines[1]
