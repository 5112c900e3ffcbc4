"""Each backend, store, client and cluster of the site of several of everything goes again.

They come one after the other; each is refused while it is in use, and leaves nothing when it is
free. Takes half an hour, on the lab of tests/lab/test_whole_site.py: `make several`.
"""

import os
import re
from pathlib import Path

import pytest

from .conftest import PROJECT, inv, on
from .test_remove import glance_answers, services, stored, wait_for
from .test_whole_site import BACKENDS, CEPH, CONTROLLER, SITE, api, state, whole

__all__ = ["api", "whole"]  # fixtures
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif("STACKRBD_SEVERAL" not in os.environ, reason="half an hour: make several"),
]
# What of the site file is of what: tables, and of those that stay lines, by how they begin.
BIG = ("[cinder.backends.big]", "[clusters.west.pools] big", "[clusters.west.clients] big")
BIG += ("[clusters.west.pools] data",)
STORE = ("[glance.stores.west]", "[clusters.west.pools] images", "[clusters.west.clients] images")
WEST = ("[cinder.backends.west]", "[clusters.west.", "[hosts] west")
RBD, RBD_STORE = (
    ("[cinder.backends.rbd]", "[clients] volumes"),
    ("[glance.stores.rbd]", "[clients] images"),
)
BACKUPS = "[cinder.backup]"
STAYED = set()
"""Users of which a plan said that they stay."""


@pytest.fixture
def site(tmp_path):
    """Writes the site file without some of it; its --site words."""

    def write(*without, backups="saved"):
        text = (PROJECT / SITE[1]).read_text()
        # Cinder lets nobody delete its default type.
        text = text.replace('default_volume_type = "rbd"\n', "")
        text = text.replace(BACKUPS, f'{BACKUPS}\nclient = "{backups}"')
        if RBD_STORE[0] in without:
            text = text.replace('default_store = "rbd"', 'default_store = "west"')
        text = text.replace("backups = {}\n", f"{backups} = {{}}\n")
        kept = [less(one, without) for one in text.split("\n\n") if not one.startswith(without)]
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.toml"
        path.write_text("\n\n".join(kept))
        return ("--site", str(path))

    return write


def less(table, without):
    """A table of the site file without some of its lines."""
    head, *lines = table.splitlines()
    name = head.partition("#")[0].strip()
    return "\n".join([head, *(one for one in lines if not f"{name} {one}".startswith(without))])


def left(api):
    """All that is to be as it was: files to the byte, secrets, types, services; users by name."""
    found = {what: one for what, one in state(api).items() if not what.startswith("users of")}
    del found["sudoers of west01"]  # it stays, as the plan says
    for host in CEPH.values():
        users = on(host, script="ceph auth ls 2> /dev/null | grep ^client").split()
        found[f"users of {host}"] = set(users)
    return {**found, "services": services(api)}


def came(api, words, *backends):
    """Integrated; what is there then."""
    inv("integrate", "--yes", *words, timeout=1800)
    inv("integrate", "--check", *words)
    for one in backends:
        wait_for(lambda name=one: f"{CONTROLLER}@{name}" in services(api), f"{one}'s first report")
    wait_for(lambda: glance_answers(api), "Glance after its restart")
    print(f"came: {words[1]}", flush=True)
    return left(api)


def gone(api, words, *what, rest, was=None):
    """Removed; what is there then.  rest: the site file without it, which has nothing to do.

    was: what was there before it came, of which nothing differs but users that the plan says to
    stay: they were given more than the site file says when others came.
    """
    said = inv("remove", *what, "--yes", *words, timeout=900)
    assert ("90-stackrbd-operator stays" in said) == ("--cluster" in what)
    STAYED.update(re.findall(r"user (client\.\S+) stays: it has caps on pool", said))
    wait_for(lambda: glance_answers(api), "Glance after its restart")
    assert "Nothing to do" in inv("remove", *what, "--check", *words)
    inv("integrate", "--check", *rest)
    print(f"gone: {' '.join(what)}; users that stay: {sorted(STAYED)}", flush=True)
    now = left(api)
    for name, before in (was or {}).items():
        more = now[name] - before if name.startswith("users of") else set()
        assert now[name] == (before | more if more else before) and more <= STAYED, name
    return now


def test_each_of_them_is_refused_while_in_use_and_leaves_nothing_when_free(api, site):
    first, with_west, with_big = site(*BIG, *STORE, *WEST), site(*BIG, *STORE), site(*STORE)
    with_store, all_of_it = site(), site(backups="backups")
    was_first = came(api, first, "rbd")
    was_west = came(api, with_west, "west")
    was_big = came(api, with_big, "big")
    was_store = came(api, with_store)
    came(api, all_of_it)

    refused_while_in_use(api, all_of_it)

    # The client of cinder-backup, for which another one comes.
    between = backups_by_another(site)
    inv("integrate", "--yes", *between)
    gone(api, between, "--client", "backups", rest=with_store, was=was_store)
    gone(api, with_store, "--store", "west", rest=with_big, was=was_big)
    gone(api, with_big, "--backend", "big", rest=with_west, was=was_west)
    gone(api, with_west, "--cluster", "west", rest=first, was=was_first)

    # The first store and the first backend, which come to a site that has others.
    both = site(*BIG)
    without, without_both = site(*BIG, *RBD_STORE), site(*BIG, *RBD_STORE, *RBD)
    came(api, both, "west")
    before = gone(api, both, "--store", "rbd", rest=without)
    came(api, both)
    gone(api, both, "--store", "rbd", rest=without, was=before)
    before = gone(api, without, "--backend", "rbd", rest=without_both)
    came(api, without, "rbd")
    gone(api, without, "--backend", "rbd", rest=without_both, was=before)


def backups_by_another(site):
    """The site file in which the client is still there, and cinder-backup has another one."""
    words = site(backups="backups")
    path, text = Path(words[1]), Path(words[1]).read_text()
    text = text.replace('client = "backups"', 'client = "saved"')
    # As much as it has: a user that may do more is somebody else's too, and stays.
    caps = '{ rwx = ["backups"], rx = ["volumes"] }'
    path.write_text(text.replace("backups = {}", f"saved = {{}}\nbackups = {caps}"))
    return words


def refused_while_in_use(api, words):
    """Volumes on each backend, an image in each store: nothing goes or is touched."""
    volumes = {}
    for kind in BACKENDS:
        volume = api.block_storage.create_volume(name=kind, size=1, volume_type=kind)
        volumes[kind] = api.block_storage.wait_for_status(volume, "available", ["error"], 2, 120)
    images = {store: stored(api, store) for store in ("rbd", "west")}
    before = left(api)
    in_use = (
        *((("--backend", kind), {one.id}) for kind, one in volumes.items()),
        *((("--store", store), {one}) for store, one in images.items()),
        (("--client", "backups"), {"the site file has it for cinder-backup (backups)"}),
        (("--cluster", "west"), {volumes["west"].id, volumes["big"].id, images["west"]}),
    )
    for what, expected in in_use:
        said = inv("remove", *what, "--yes", *words, expect=3, also_errors=True)
        assert all(one in said for one in expected), said
        print(f"refused: {' '.join(what)}", flush=True)
    assert left(api) == before
    for image in images.values():
        api.image.delete_image(image)
    for volume in volumes.values():
        api.block_storage.delete_volume(volume)
    for volume in volumes.values():
        api.block_storage.wait_for_delete(volume, 2, 120)
    said = inv("reconcile", *words)
    assert "cluster ceph: 0 findings" in said and "cluster west: 0 findings" in said
