"""A cloud that somebody integrated by hand, with names of their own, as its hosts answer."""

import copy
import json

import tomli

from fabfile.adopt import candidates, look, settled, site_text
from fabfile.adopt.draft import Heard, drafted
from fabfile.core import site_file
from fabfile.core.contract import CLOUD, Facts
from fabfile.flow.settle import Doubts, settle
from fabfile.model import releases
from fabfile.model import site as sites

from . import clouds
from .states import (
    KEY,
    OTHER,
    PLATFORMS,
    answer,
    cluster,
    conf,
    connected,
    file,
    secret,
    sources,
    user,
)

BACKEND, STORE = "ceph-ssd", "ceph_images"
POOL, IMAGES = "vol-ssd", "img"
CLIENT, READER = "cinder-rbd", "glance-rbd"
KEYS = {CLIENT: KEY, READER: clouds.IMAGES}
CAPS = {
    CLIENT: {
        "mon": "profile rbd",
        "osd": f"profile rbd pool={POOL}, profile rbd-read-only pool={IMAGES}",
        "mgr": f"profile rbd pool={POOL}",
    },
    READER: {"mon": "profile rbd", "osd": f"profile rbd pool={IMAGES}"},
}
CINDER = [
    ("DEFAULT", "enabled_backends", f"nfs,{BACKEND}"),
    ("nfs", "volume_driver", "cinder.volume.drivers.nfs.NfsDriver"),
    ("nfs", "volume_backend_name", "nfs"),
    (BACKEND, "volume_driver", "cinder.volume.drivers.rbd.RBDDriver"),
    (BACKEND, "volume_backend_name", "SSD"),
    (BACKEND, "rbd_pool", POOL),
    (BACKEND, "rbd_user", CLIENT),
    (BACKEND, "rbd_ceph_conf", "/etc/ceph/ceph.conf"),
    (BACKEND, "rbd_secret_uuid", OTHER),
]
GLANCE = [
    ("DEFAULT", "enabled_backends", f"file:file, {STORE}:rbd"),
    ("glance_store", "default_backend", STORE),
    ("file", "filesystem_store_datadir", "/var/lib/glance/images"),
    (STORE, "rbd_store_pool", IMAGES),
    (STORE, "rbd_store_user", READER),
    (STORE, "rbd_store_ceph_conf", "/etc/ceph/ceph.conf"),
]
TYPES = {
    "volume_types": {"fast": {"volume_backend_name": "SSD"}, "nfs": {"volume_backend_name": "nfs"}},
    "qos_specs": {},
}
SERVICES = [
    {"binary": "cinder-volume", "host": "ctl@nfs", "up": True},
    {"binary": "cinder-volume", "host": f"ctl@{BACKEND}", "up": True},
    {"binary": "cinder-scheduler", "host": "ctl", "up": True},
    {"binary": "nova-conductor", "host": "ctl", "up": True},
    {"binary": "nova-compute", "host": "n1", "up": True},
    {"binary": "nova-compute", "host": "n2", "up": True},
]
API = {
    "services": SERVICES,
    "hypervisors": [{"host": "n1", "address": "10.0.0.31"}, {"host": "n2", "address": "10.0.0.32"}],
}
OFFERED = {
    "flavors": [
        {"name": "big", "ram": 4096, "disk": 20},
        {"name": "lab.tiny", "ram": 192, "disk": 1},
    ],
    "images": [
        {"name": "cirros", "status": "active", "disk_format": "raw", "in_files": False},
        # It was there before RBD was, and proves nothing of it.
        {"name": "before", "status": "active", "disk_format": "raw", "in_files": True},
    ],
}
HEAD = {"name": "prod", "cloud": "prod"}
RELEASES = site_file.releases()


def edited(lines, *changes):
    """Lines of options with others in their place, or beside them; None takes one out."""
    found = {(section, key): value for section, key, value in lines}
    found |= {(section, key): value for section, key, value in changes}
    return [(s, k, v) for (s, k), v in found.items() if v is not None]


def units(*up):
    names = ("glance-api", "cinder-volume", "nova-compute", "mariadb", "mysql")
    states = {True: ("loaded", "active"), False: ("not-found", "inactive")}
    return {n: dict(zip(("LoadState", "ActiveState"), states[n in up], strict=True)) for n in names}


def keyring(client, owner):
    return file(f"[client.{client}]\n\tkey = {KEYS[client]}\n", owner, "0640")


def there(admin=False, kolla=False):
    return {"/etc/kolla": kolla, "/etc/ceph/ceph.client.admin.keyring": admin}


def unanswered(clients):
    return {f"{k}.{c}": {} for k in ("keyrings", "keyfiles") for c in clients}


def described(active):
    """A file of options as a host shows it."""
    return {**conf(*active), "kind": "file", "mode": "0640", "owner": "x", "group": "x"}


def compute(number, nova=(), uuid=OTHER, client=CLIENT):
    return {
        **clouds.compute(number),
        look.UNITS: units("nova-compute"),
        look.THERE: there(),
        "nova.conf": described(nova),
        "libvirt.secrets": secret(uuid, f"client.{client} secret", KEYS.get(client, KEY)),
        "nova.disks": {},
    }


def with_disks(pool):
    """What a compute answers otherwise whose own disks are on RBD."""
    own = [
        ("libvirt", "images_type", "rbd"),
        ("libvirt", "images_rbd_pool", pool),
        ("libvirt", "rbd_user", CLIENT),
        ("libvirt", "rbd_secret_uuid", OTHER),
    ]
    mine = {f"keyring.{CLIENT}": keyring(CLIENT, "nova"), **unanswered([CLIENT])}
    return {"nova.conf": described(own), **mine}


def controller(
    number=1, cinder=CINDER, glance=GLANCE, *, up=("glance-api", "cinder-volume", "mariadb")
):
    return {
        **clouds.service_host(number),
        look.UNITS: units(*up),
        look.THERE: there(),
        f"keyring.{READER}": keyring(READER, "glance"),
        f"keyring.{CLIENT}": keyring(CLIENT, "cinder"),
        **unanswered((READER, CLIENT)),
        "cinder.conf": described(cinder),
        "cinder.sources": sources("cinder"),
        "cinder.head": None,
        "glance.conf": described(glance),
        "glance.sources": sources("glance"),
        "units": clouds.units("glance-api", "cinder-volume"),
        "glance.files": clouds.said(""),
        "cinder.defaults": clouds.said(code=1),
    }


def hosts(caps=None, pools=None, **more):
    """{host: answers}, of both trips."""
    made = {name: {**CAPS, **(caps or {})}[name] for name in KEYS}
    users = [user(name, KEYS[name], text) for name, text in made.items()]
    listed = pools or [clouds.pool(POOL, crush_rule=0), clouds.pool(IMAGES, size=2, crush_rule=0)]
    rule = {
        "rule_id": 0,
        "rule_name": "replicated_rule",
        "steps": [{"op": "take", "item_name": "d"}],
    }
    ceph = clouds.hosts()["ceph01"]
    openstack = {
        **dict.fromkeys(releases.PACKAGES),
        "nova-common": None,
        "glance-common": "2:25.1.0-2",
        "cinder-common": "2:21.3.1-1",
    }
    found = {
        "ceph01": {
            **ceph,
            **cluster(listed, users, mons=(f"{clouds.MONITOR}:6789/0",)),
            **connected("luminous", required="luminous"),
            "ceph.rules": answer([rule]),
            "ceph.classes": answer(["hdd"]),
            look.UNITS: units(),
            look.THERE: there(admin=True),
            "packages": dict.fromkeys(openstack),
        },
        "ctl": controller(),
        "n1": compute(2),
        "n2": compute(3),
    }
    for name, answers in found.items():
        answers["host"] = {**answers["host"], "hostname": name}
        if name != "ceph01":
            own = (
                openstack
                if name == "ctl"
                else {**dict.fromkeys(openstack), "nova-common": "2:26.2.2-1"}
            )
            answers["packages"] = {**clouds.CLIENT, **clouds.LIBRARIES, **own}
    return copy.deepcopy({**found, **more})


VOLUMES = {
    "volumes": [],
    "volume_services": [{"host": f"ctl@{BACKEND}", "up": True, "enabled": True}],
    "attachments": [],
    "left_out": {},
}


def adopted(
    seen=None,
    api=API,
    types=TYPES,
    ceph=("ceph01",),
    listed=(),
    unreachable=(),
    errors=(),
    rows=None,
):
    """What init makes of a cloud; the site file's text too.

    The second look answers as the first one did.
    """
    seen = hosts() if seen is None else seen
    seen = {name: answers for name, answers in seen.items() if name not in dict(unreachable)}
    chosen = candidates.chosen(list(ceph), list(listed), api)
    site = sites.check(look.provisional(chosen, {}), "x", PLATFORMS)
    heard = Heard(chosen, seen, dict(unreachable), dict(errors), api, types, HEAD, RELEASES)
    draft = settled.loadable(drafted(heard, site), PLATFORMS)
    done = settled.settled(draft, looked(draft, seen, types, rows), PLATFORMS)
    text = site_text.written(done.draft, ["written in a test"])
    return done, text, sites.check(tomli.loads(text), "written", PLATFORMS)


def drafted_text(seen=None, api=API, types=TYPES):
    """The file as it is before the second look, and what it was made of."""
    seen = hosts() if seen is None else seen
    chosen = candidates.chosen(["ceph01"], [], api)
    site = sites.check(look.provisional(chosen, {}), "x", PLATFORMS)
    heard = Heard(chosen, seen, api=api, types=types, head=HEAD, tables=RELEASES)
    draft = settled.loadable(drafted(heard, site), PLATFORMS)
    text = site_text.written(draft, [])
    sites.check(tomli.loads(text), "written", PLATFORMS)
    return draft, text


def looked(draft, seen, types, rows=None):
    """The second look, at the hosts of the draft."""
    site = sites.check(draft.raw, "draft", PLATFORMS)
    answers = {name: answers for name, answers in seen.items() if name in site.hosts}
    answers[CLOUD] = {**(types or {}), **VOLUMES, **(rows or {})}
    doubts = Doubts()
    known = settle(site, Facts(answers), doubts.about)
    facts = Facts(answers, known.known, known.table)
    return clouds.Looked(facts, releases=clouds.RELEASES, doubts=tuple(doubts.kept))


def texts(done):
    return [one.text for one in done.draft.remarks]


def shown(done):
    """What the plan would still do."""
    changes = [f"{c.host}: {c.thing}: {c.sentence}" for c in done.changes]
    return changes + [f"refused: {text}" for text in done.refused]


def dumped(done):
    return json.dumps(done.draft.raw)
