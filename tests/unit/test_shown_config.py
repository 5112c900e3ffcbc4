"""`inv config` shows all that the planner writes, and every key of the site file: nothing is left
out that a release, a table or a default adds."""

import functools
import re

import pytest

from fabfile.core import site_file
from fabfile.core.contract import BadInput, Facts
from fabfile.flow.inspect import effective as showing
from fabfile.model import effective, site_schema
from fabfile.model.site_tables import CinderBackend
from fabfile.resources import service_config, shown_config

from . import deployed
from .states import BACKED_UP, EPHEMERAL, FSID, release, site
from .test_releases import HEAD, conf
from .test_volume_backups import asked

STORES = {"glance": {"stores": {"a": {"pool": "images"}, "b": {"pool": "images"}}}}
BACKENDS = {
    "cinder": {
        "backends": {
            "fast": {"pool": "volumes"},
            "slow": {"pool": "volumes", "volume_type": "slow"},
        }
    }
}
SITES = {
    "plain": {},
    "nova's disks": EPHEMERAL,
    "of a zone, by default": {
        "cinder": {"availability_zone": "z1", "default_volume_type": "rbd", "backend_host": "h"}
    },
    "several": STORES | BACKENDS,
    "as it is": {"glance": {"keep_default": True}, "recommended": False},
    "asked": {"options": {"cinder": {"rbd": {"rbd_max_clone_depth": 4}}}},
    "a secret": {
        "clients": {
            "volumes": {"rwx": ["volumes"], "rx": ["images"], "secret_uuid": FSID},
            "images": {"rwx": ["images"]},
        }
    },
    "no urls": {"glance": {"show_image_direct_url": False}, "recommended": False},
    "backups": {**BACKED_UP, "cinder": {"backup": {"replaces": "swift", "chunk_size": 1 << 27}}},
}
RELEASES = [next(iter(table["versions"].values())) for table in site_file.releases()]
"""One of each file of config/releases/."""
OPEN = re.compile(r"<\w+ from the hosts>")


table_of = functools.cache(release)


def planned(it, name):
    """{(file or 'head', section, key): value} that the planner writes into empty files."""
    own = {"cinder.conf": conf(), "glance.conf": conf(), "cinder.head": HEAD}
    hosts = {"ctl": {**own, **asked([])}, "n1": {"nova.conf": conf(), "nova.disks": {}}}
    facts = Facts(hosts, {"uuid.volumes": FSID, "uuid.vms": FSID}, table_of(name))
    found = {}
    for one in (service_config.glance, service_config.cinder, service_config.nova):
        for change in one.plan(it, facts):
            for section, key, value in change.args.get("edits", ()):
                found[change.thing, section, key] = value
            if change.kind == "head":
                found[change.thing, "", "first line"] = change.diff[0].removeprefix("+ ")
    return found


def shown(it, name):
    """The same, as `inv config` shows it: {place: the values that are shown there}."""
    found = {}
    for one in shown_config.of_release(it, table_of(name), name):
        file, section, key = re.fullmatch(r"(\S+?),? (?:\[(\S+)\] )?(.+)", one.key).groups("")
        found.setdefault((file, section, key), []).append(one.shown)
    return found


def outcome(act, *given):
    try:
        return act(*given)
    except BadInput as stop:
        return str(stop)


@pytest.mark.parametrize("more", SITES.values(), ids=list(SITES))
@pytest.mark.parametrize("name", RELEASES)
def test_nothing_that_is_written_is_missing(name, more):
    it = site(release=name, **more)
    wanted, found = outcome(planned, it, name), outcome(shown, it, name)
    if isinstance(wanted, str):
        assert found == wanted  # what this release cannot have is refused in the same words
        return
    assert wanted and set(found) == set(wanted)
    for place, values in found.items():
        told = re.escape(",".join(values)).replace(r"\ ", " ")
        assert re.fullmatch(OPEN.sub(".+", told), wanted[place]), place


@pytest.mark.parametrize("more", SITES.values(), ids=list(SITES))
def test_every_key_of_the_site_file_is_shown_or_named(more):
    it = site(**more)
    said = {one.key for one in effective.of_site(it, {}, "site.toml")} | set(effective.not_said(it))
    for one in site_schema.settings():
        key = re.escape(one.key).replace("NAME", r"[^.]+")
        parents = [one.key.split(".NAME")[0], one.key.rpartition(".")[0]]
        there = any(re.fullmatch(rf"{key}(\..+)?", known) for known in said)
        whole = any(p in said for p in parents)  # `clusters = {}`, or sudoers: not said at all
        assert there or whole or one.key in _of_one(it), one.key


def _of_one(it):
    """What is said of the one store or backend: it does not count where there are several."""
    of_store = {f"glance.{name}" for name in ("client", "pool", "cluster", "store")}
    backend = {*CinderBackend.model_fields, "backend"}
    of_backend = {f"cinder.{name}" for name in backend}
    return (of_store if it.glance.stores else set()) | (of_backend if it.cinder.backends else set())


def test_what_does_not_count_is_not_shown_and_what_others_give_is():
    it = site(**SITES["several"])
    found = {one.key: one.shown for one in effective.of_site(it, {}, "site.toml")}
    assert not _of_one(it) & {*found, *effective.not_said(it)}
    assert found["glance.default_store"] == '"a"'
    assert found["cinder.backends.fast.volume_type"] == '"fast"'
    assert found["cinder.backends.slow.volume_type"] == '"slow"'
    untyped = site(cinder={"backends": {"fast": {"pool": "volumes", "without_type": True}}})
    found = {one.key for one in effective.of_site(untyped, {}, "site.toml")}
    assert "cinder.backends.fast.volume_type" not in found | {*effective.not_said(untyped)}


def test_only_some_of_many_hosts_are_named():
    hosts = {f"n{n}": {"roles": ["compute"]} for n in range(30)}
    hosts |= {"ceph01": {"roles": ["ceph"]}, "ctl": {"roles": ["glance", "cinder"]}}
    more = {**EPHEMERAL, "nova": {"ephemeral": True, "hosts": [f"n{n}" for n in range(20)]}}
    found = list(shown_config.of_release(site(hosts=hosts, **more), release("zed"), "zed"))
    (pool,) = [one for one in found if one.key.endswith("images_rbd_pool")]
    assert pool.hosts == tuple(f"n{n}" for n in range(20))
    line, *more = showing._lines([pool], 0, 0)
    assert line.endswith("on n0, n1, n2, n3, n4, n5, n6, n7 and 12 more") and not more


def test_what_a_deployer_writes_names_no_stores_of_an_older_list():
    found = list(shown_config.of_release(deployed.site(), release("zed"), "zed"))
    (stores,) = [one for one in found if one.key.endswith("enabled_backends") and "gl" in one.key]
    assert (stores.shown, stores.origin) == (
        "rbd:rbd",
        "zed, as the site says, added to what is there, through kolla",
    )


def test_what_is_not_said_is_named_once():
    it = site()
    found = list(effective.not_said(it))
    assert {"cloud", "fsid", "hosts.NAME.address", "pools.NAME.pg_num"} <= set(found)
    assert "platform" not in found
