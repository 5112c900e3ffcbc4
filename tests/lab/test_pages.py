"""The tables that the pages of several backends, stores, pools and clusters print: integrated as
they are printed, and taken back.

On the lab of two clusters; takes half an hour: `make several`.
"""

import os
import re
import textwrap
from typing import NamedTuple

import pytest

from fabfile.cloud import connection

from .conftest import ACCESS, PROJECT, inv, on, result
from .test_whole_site import CONTROLLER, state, whole  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_SEVERAL" not in os.environ, reason="half an hour: make several"),
]
SITE = (PROJECT / "config" / "site.two-clusters.toml").read_text()
CINDER, GLANCE = "/etc/cinder/cinder.conf", "/etc/glance/glance-api.conf"
OWN = "volumes = {}\nimages = {}\n"
AN_OSD_A_HOST = "for n in 0 1 2; do ceph osd crush rm-device-class osd.$n; done\n"


class Page(NamedTuple):
    """What a page prints, and what the reader has beside it.

    table: one of the block that is meant; more: {a table's head: lines that go in there too};
    typed: {what is printed: what a reader types in its place, or "FSID OF" and a host}; by_hand: a
    script on the cluster's host first; west: the second cluster is the site's own; host, path,
    lines: what is there afterwards.
    """

    name: str
    table: str
    host: str
    path: str
    lines: tuple[str, ...]
    more: dict[str, str] = {}
    typed: dict[str, str] = {}
    by_hand: str = ""
    west: bool = False


PAGES = [
    Page(
        "several",
        "[cinder.backends.fast]",
        CONTROLLER,
        CINDER,
        (
            r"enabled_backends = nfs,rbd,fast",
            r"default_volume_type = rbd",
            r"backend_availability_zone = az2",
            r"rbd_pool = fast",
            r"rbd_user = fast",
        ),
    ),
    Page(
        "stores",
        "[glance.stores.fast]",
        CONTROLLER,
        GLANCE,
        (r"enabled_backends = .*rbd:rbd,fast:rbd", r"rbd_store_pool = images-fast"),
        {"[pools]": f"{OWN}images-fast = {{}}\n", "[clients]": OWN},
    ),
    Page(
        "clusters",
        "[cinder.backends.west]",
        CONTROLLER,
        CINDER,
        (r"rbd_ceph_conf = /etc/ceph/west.conf", r"rbd_cluster_name = west"),
        {"[pools]": OWN, "[clients]": OWN},
        {"11111111-2222-4333-8444-555555555555": "FSID OF west01"},
    ),
    Page(
        "volume-backups",
        "[cinder.backup]",
        CONTROLLER,
        CINDER,
        (r"backup_driver = .*Ceph.*", r"backup_ceph_user = backups"),
        {"[pools]": OWN, "[clients]": OWN},
    ),
    Page(
        "replication",
        "[cinder.backends.rbd]",
        CONTROLLER,
        CINDER,
        (r"replication_device = backend_id:west,conf:/etc/ceph/west.conf,user:volumes,.*",),
        {"[pools]": OWN, "[clients]": OWN},
    ),
    Page(
        "pools",
        "[pools.fast]",
        "west01",
        "ceph osd pool get fast all",
        (r"size: 3", r"min_size: 2", r"crush_rule: replicated_ssd", r"target_size_ratio: 0.4"),
        {"[pools]": OWN, "[clients]": OWN},
        by_hand=f"{AN_OSD_A_HOST}ceph osd crush set-device-class ssd osd.0 osd.1 osd.2",
        west=True,
    ),
    Page(
        "pools",
        "[pools.data.erasure]",
        CONTROLLER,
        "/etc/ceph/ceph.conf",
        (r"rbd_default_data_pool = data",),
        {"[pools]": "images = {}\nbig = {}\n", "[clients]": "images = {}\nbig = {}\n"},
        {"k = 4": "k = 2", "m = 2": "m = 1"},  # the cluster has three hosts
        by_hand=f"{AN_OSD_A_HOST}ceph osd crush set-device-class hdd osd.0 osd.1 osd.2",
        west=True,
    ),
]


@pytest.fixture(scope="module")
def api(whole):  # noqa: F811
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


def block(page):
    """The tables that a page prints: what is indented around the one that is named."""
    text = (PROJECT / "docs" / f"{page.name}.md").read_text()
    blocks = re.findall(r"(?:^ {4}.*\n|^\n)+", text, re.MULTILINE)
    (found,) = [one for one in blocks if f"    {page.table}" in one]
    return textwrap.dedent(found)


def site(page):
    """A whole site file: the lab's hosts and how they are reached, and what the page prints."""
    head, _, tail = SITE.partition("[pools]")
    body = block(page)
    for printed, typed in page.typed.items():
        assert printed in body
        host = typed.partition("FSID OF ")[2]
        body = body.replace(printed, on(host, "ceph", "fsid").strip() if host else typed)
    for table, lines in page.more.items():
        body, there = re.subn(rf"^{re.escape(table)}.*\n", rf"\g<0>{lines}", body, flags=re.M)
        body += "" if there else f"\n{table}\n{lines}"
    others = r"^ceph01 = .*\n" if page.west else r"^west0\d = .*\n"
    head = re.sub(others, "", head, flags=re.MULTILINE)
    head = head.replace(', cluster = "west"', "")
    return head + body + "\n\n" + tail[tail.index("[packages]") :]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.name} {page.table}")
def test_what_a_page_prints_is_integrated_and_taken_back(api, tmp_path, page):
    path = tmp_path / "site.toml"
    path.write_text(site(page))
    path.chmod(0o600)
    words = ("--site", str(path))
    if page.by_hand:
        on("west01", script=page.by_hand)
    before = state(api)
    done = result(inv("integrate", "--yes", "--json", *words, timeout=1800))
    inv("integrate", "--check", *words)
    text = on(page.host, script=f"cat {page.path}" if page.path[0] == "/" else page.path)
    for line in page.lines:
        assert re.search(rf"^{line}$", text, re.MULTILINE), (line, text)
    said = result(inv("doctor", "--json", *words, expect=(0, 3)))["findings"]
    assert [
        f for f in said if f["severity"] == "error" and not f["code"].startswith("mirror.")
    ] == []
    inv("undo", "--yes", "--run", done["run"], *words, timeout=1800)
    assert state(api) == before


def detail(name):
    """What the second cluster says of one of its pools."""
    said = on("west01", "ceph", "osd", "pool", "ls", "detail")
    (line,) = [one for one in said.splitlines() if f" '{name}' " in one]
    return line


def test_a_pool_that_is_there_is_altered_by_manage_and_set_back(api, tmp_path):
    """Its min_size goes with its size both ways, and its placement groups while they are split."""
    made = "ceph osd pool create there 8 8\nceph osd pool set there pg_autoscale_mode off"
    on("west01", script=made)
    assert "size 3 min_size 2" in detail("there")
    altered = "there = { size = 2, min_size = 2, pg_num = 16, manage = true }\n"
    page = next(page for page in PAGES if page.table == "[pools.fast]")
    path = tmp_path / "site.toml"
    path.write_text(site(page).replace("[pools]\n", f"[pools]\n{altered}"))
    path.chmod(0o600)
    words = ("--site", str(path))
    done = result(inv("integrate", "--yes", "--json", *words, timeout=1800))
    inv("integrate", "--check", *words)
    assert "size 2 min_size 2" in detail("there")
    assert re.search(r"pg_num(_target)? 16 ", detail("there"))
    inv("undo", "--yes", "--run", done["run"], *words, timeout=1800)
    assert "size 3 min_size 2" in detail("there")
    assert re.search(r"pg_num_target 8 |pg_num 8 (?!.*pg_num_target)", detail("there"))
