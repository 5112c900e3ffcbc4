"""The picture: what is a box, what is an arrow, and that nothing lies over anything else."""

import functools
import itertools
import re

import pytest

from fabfile.core.contract import Unreachable
from fabfile.report.picture import NARROW, WIDE, picture
from fabfile.report.topology import MOST, in_words, topology

from .clouds import altered
from .reports import a_thousand, broken, told
from .states import EPHEMERAL, FSID, HOSTS, conf, secret, site


def many_states(cloud):
    """Computes of four kinds: right, without a secret, with another value, and not seen."""
    for number in range(3, 9):
        cloud[f"n{number}"] = {**cloud["n1"], "host": {**cloud["n1"]["host"], "hostname": "x"}}
    cloud["n3"]["libvirt.secrets"] = {}
    cloud["n4"]["libvirt.secrets"] = secret(FSID, value="sha256:" + "c" * 64)
    del cloud["n5"]["libvirt.secrets"]


CROWD = site(hosts={**HOSTS, **{f"n{n}": HOSTS["n1"] for n in range(3, 9)}})
NAME = "a_name_as_long_as_any_may_be_in_a_site_file_that_is_63_letters_"
LONG = site(
    hosts={**{n: h for n, h in HOSTS.items() if n != "n1"}, NAME: HOSTS["n1"]},
    pools={NAME: {}, "images": {}},
    cinder={"pool": NAME, "client": NAME},
    clients={NAME: {"rwx": [NAME], "rx": ["images"]}, "images": {"rwx": ["images"]}},
)
MANY = site(
    pools={name: {} for name in ("volumes", "images", "a", "b", "c", "d", "e")},
    clients={
        "volumes": {"rwx": ["volumes", "a", "b"], "rx": ["images", "c", "d", "e"]},
        "images": {"rwx": ["images"]},
        "backup": {"rwx": ["e"], "rx": ["volumes"]},
    },
)
DOCUMENTS = {
    "healthy": told,
    "broken": lambda: told(broken),
    "ephemeral": lambda: told(site_=site(**EPHEMERAL)),
    "of many states": lambda: told(many_states, CROWD),
    "long names": lambda: told(lambda c: c.update({NAME: c.pop("n1")}), LONG),
    "many pools": lambda: told(site_=MANY),
    "nothing seen": lambda: told(lambda cloud: cloud.clear(), known={}, release=""),
    "a thousand": a_thousand,
}
every = pytest.mark.parametrize(
    "made", [functools.cache(made) for made in DOCUMENTS.values()], ids=list(DOCUMENTS)
)
sizes = pytest.mark.parametrize("pen, most", [(WIDE, MOST), (NARROW, 1)], ids=["wide", "narrow"])


def number(element, name):
    return float(element.get(name))


def rectangles(drawn, kind):
    found = []
    for group in drawn.iter("g"):
        if group.get("class").split()[0] == kind:
            rect = group.find("rect")
            x, y = number(rect, "x"), number(rect, "y")
            found.append((x, y, x + number(rect, "width"), y + number(rect, "height")))
    return found


def apart(one, other):
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@every
@sizes
def test_nothing_lies_over_anything_else(made, pen, most):
    drawn = picture(topology(made(), most), pen, "x")
    wide, high = number(drawn, "width"), number(drawn, "height")
    boxes, labels = rectangles(drawn, "box"), rectangles(drawn, "label")
    for one, other in itertools.combinations([*boxes, *labels], 2):
        assert apart(one, other), (one, other)
    for left, top, right, bottom in [*boxes, *labels]:
        assert left >= 0 and top >= 0 and right <= wide and bottom <= high


@every
@sizes
def test_text_is_within_its_box(made, pen, most):
    """By the widths that are reckoned with: a real font's are looked at in the browser."""
    drawn = picture(topology(made(), most), pen, "x")
    sizes = {"title": pen.title, "said": pen.text, "small": pen.small}
    for group in drawn.iter("g"):
        if group.get("class").startswith("box"):
            rect = group.find("rect")
            right = number(rect, "x") + number(rect, "width")
            bottom = number(rect, "y") + number(rect, "height")
            for text in group.iter("text"):
                end = number(text, "x") + 0.6 * sizes[text.get("class")] * len(text.text)
                assert end <= right and number(text, "y") < bottom, text.text


@every
def test_each_arrow_goes_from_a_box_to_a_box_below(made):
    seen = topology(made())
    rows = {box.id: n for n, row in enumerate(seen.rows) for box in row}
    assert all(rows[link.target] == rows[link.source] + 1 for link in seen.links)
    drawn = picture(seen, WIDE, "x")
    arrows = [p for p in drawn.iter("path") if (p.get("class") or "").startswith("arrow")]
    assert len(arrows) == len(seen.links)
    heads = {m.get("id") for m in drawn.iter("marker")}
    assert {re.search("#([^)]*)", a.get("marker-end")).group(1) for a in arrows} <= heads
    for arrow in arrows:
        numbers = [float(n) for n in re.findall(r"[\d.]+", arrow.get("d"))]
        assert numbers[-1] > numbers[1]


def links(document, most=MOST):
    return {(x.source, x.target): (x.label, x.state) for x in topology(document, most).links}


def test_a_healthy_site():
    assert links(told()) == {
        ("glance 0", "key images"): ("keyring", "ok"),
        ("cinder 0", "key volumes"): ("keyring", "ok"),
        ("compute 0", "key volumes"): ("libvirt secret", "ok"),
        ("key images", "pool images"): ("rwx", "ok"),
        ("key volumes", "pool volumes"): ("rwx", "ok"),
        ("key volumes", "pool images"): ("rx", "ok"),
    }
    seen = topology(told())
    assert [[box.title for box in row] for row in seen.rows] == [
        ["Glance", "Cinder", "Nova compute"],
        ["client.images", "client.volumes"],
        ["images", "volumes"],
    ]
    assert seen.rows[0][2].lines == ("2 hosts: n1, n2", "nova-compute active", "nova 26.2.2")
    assert seen.cluster.title == "Ceph 16.2.15 (1 daemon)"


def test_an_odd_host_has_a_box_of_its_own():
    found = links(told(broken))
    assert found["compute 0", "key volumes"] == ("libvirt secret", "ok")
    assert found["compute 1", "key volumes"] == ("libvirt secret: another value", "odd")
    boxes = topology(told(broken)).rows[0]
    assert [box.state for box in boxes] == ["ok", "ok", "ok", "odd"]


def test_where_there_is_no_room_the_worst_is_said_with_its_number():
    found = links(told(broken), most=1)
    told_ = found["compute 0", "key volumes"]
    assert told_ == ("libvirt secret: another value on 1 of 2", "odd")


def test_more_states_than_boxes():
    document = told(many_states, CROWD)
    boxes = [box for box in topology(document).rows[0] if box.id.startswith("compute")]
    assert [box.state for box in boxes] == ["ok", "odd", "odd"]
    assert boxes[2].lines[0] == "2 hosts: n4, n5"


def test_ephemeral_disks_are_a_second_key_of_the_computes():
    found = links(told(lambda c: c["n1"].update({"keyring.vms": None}), site(**EPHEMERAL)))
    mine = {(source, target) for source, target in found if source.startswith("compute")}
    assert {target for _, target in mine} == {"key volumes", "key vms"}


@pytest.mark.parametrize(
    "change, box, lines, state",
    [
        (
            lambda c: altered(c, "ceph01", "ceph.pools", lambda d: d.pop(0)),
            "pool volumes",
            ("no such pool",),
            "odd",
        ),
        (lambda c: c["ceph01"].pop("ceph.pools"), "pool volumes", ("not seen",), "not seen"),
        (
            lambda c: altered(c, "ceph01", "ceph.users", lambda d: d["auth_dump"].pop(0)),
            "key volumes",
            ("no key in Ceph",),
            "odd",
        ),
        (lambda c: c.pop("ceph01"), "key volumes", ("not seen",), "not seen"),
        (
            lambda c: c["n1"].update(units={}),
            "compute 0",
            ("2 hosts: n1, n2", "nova-compute active", "nova 26.2.2"),
            "ok",
        ),
        (
            lambda c: c["n1"]["units"]["nova-compute"].update(ActiveState="failed"),
            "compute 0",
            ("2 hosts: n1, n2", "nova-compute 1 of 2 active", "nova 26.2.2"),
            "ok",
        ),
        (
            lambda c: c["ctl"].update({"cinder.conf": conf()}),
            "cinder 0",
            ("ctl", "cinder-volume active", "cinder 21.3.1"),
            "ok",
        ),
    ],
)
def test_what_a_box_says(change, box, lines, state):
    boxes = {b.id: b for row in topology(told(change)).rows for b in row}
    assert (boxes[box].lines, boxes[box].state) == (lines, state)


def test_silent_hosts():
    gone = {"n2": Unreachable("n2: no")}
    boxes = topology(told(lambda c: c.pop("n2"), unreachable=gone)).rows[0]
    assert [(b.lines[0], b.state) for b in boxes[2:]] == [("n1", "ok"), ("n2", "not seen")]
    assert boxes[3].lines[1] == "does not answer"


def test_the_same_in_words():
    words = in_words(told(broken))
    for said in (
        "Glance on ctl holds the key of client.images by a keyring.",
        "Nova compute on n1 holds the key of client.volumes by a libvirt secret.",
        "Nova compute on n2 holds the key of client.volumes by a libvirt secret, but: another "
        "value.",
        "client.volumes writes volumes and reads images.",
        "client.images writes images.",
    ):
        assert said in words


def test_a_network_that_ceph_conf_names():
    def change(cloud):
        cloud["ctl"]["ceph.conf"]["text"] += "public_network = 10.9.0.0/16\n"

    assert topology(told(change)).network == "Ceph's public network 10.9.0.0/16"
