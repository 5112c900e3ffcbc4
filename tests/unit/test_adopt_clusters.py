"""A running cloud of two clusters described: each place is of its own, and the plan is empty."""

import copy

import pytest

from fabfile.adopt import found, look
from fabfile.core.contract import CLOUD
from fabfile.model import releases

from . import adopted as a
from . import clouds
from . import test_clusters as c
from .states import FSID, OTHER, THIRD, answer, file, sources, user

RULE = {
    "rule_id": 0,
    "rule_name": "replicated_rule",
    "steps": [{"op": "take", "item_name": "default"}],
}
TYPES = {
    "volume_types": {
        "rbd": {"volume_backend_name": "rbd"},
        "west": {"volume_backend_name": "west"},
    },
    "qos_specs": {},
}
OPENSTACK = {
    **dict.fromkeys(releases.PACKAGES),
    "nova-common": None,
    "glance-common": "2:25.1.0-2",
    "cinder-common": "2:21.3.1-1",
}
NOVA = {**dict.fromkeys(OPENSTACK), "nova-common": "2:26.2.2-1"}
UP = {
    "ceph01": (),
    "west01": (),
    "ctl": ("glance-api", "cinder-volume", "mariadb"),
    "n1": ("nova-compute",),
    "n2": ("nova-compute",),
}
MONITOR = {FSID: c.MONITORS[FSID].partition(":")[0], OTHER: c.MONITORS[OTHER].partition(":")[0]}


def conf_of(fsid):
    return file(f"[global]\nfsid = {fsid}\nmon_host = {MONITOR.get(fsid)}\n")


def units(*up):
    state = {"LoadState": "not-found", "ActiveState": "inactive"}
    return {"cinder-backup": state, **a.units(*up)}


def seen(where=None):
    """The answers of all trips, of a cloud of two clusters that is integrated."""
    made = c.integrated(where)
    types = made.pop(CLOUD)
    assert types
    for name, answers in made.items():
        healthy = clouds.hosts()["ceph01" if name == "west01" else name]
        healthy = c.named("west", healthy) if name == "west01" else healthy
        for read in healthy.keys() - answers.keys():
            answers[read] = healthy[read]
        for read in [read for read, told in answers.items() if read.endswith(".conf") and told]:
            if "active" in answers[read]:
                answers[read] = a.described(answers[read]["active"])
        number = [*UP].index(name)
        answers |= {
            "host": {**clouds.machine(number), "hostname": name},
            look.UNITS: units(*UP[name]),
            look.THERE: a.there(admin=name in ("ceph01", "west01")),
        }
    for name, fsid in (("ceph01", FSID), ("west01", OTHER)):
        plain = {k.removeprefix("west/"): v for k, v in made[name].items()}
        extra = {"ceph.rules": answer([RULE]), "ceph.classes": answer(["hdd"])}
        made[name] |= {**plain, **extra, **c.named("west", extra), "ceph.conf": conf_of(fsid)}
        made[name]["packages"] = dict.fromkeys(OPENSTACK)
    for name in ("ctl", "n1", "n2"):
        made[name][f"{found.CONF}/etc/ceph/west.conf"] = made[name]["west/ceph.conf"]
        made[name]["west/ceph.keyrings"] = clouds.said()
        mine = OPENSTACK if name == "ctl" else NOVA
        made[name]["packages"] = {**clouds.CLIENT, **clouds.LIBRARIES, **mine}
    return copy.deepcopy(made)


def adopted(answers=None, ceph=("ceph01", "west01"), **more):
    return a.adopted(answers or seen(), types=TYPES, ceph=ceph, **more)


def test_two_clusters_are_described_and_nothing_is_planned():
    done, text, site = adopted()
    assert a.shown(done) == []
    assert [one.text for one in done.draft.remarks if one.doubtful] == []
    assert [(b.name, b.cluster) for b in site.cinder.all] == [("rbd", "ceph"), ("west", "west")]
    assert [(s.name, s.cluster) for s in site.glance.all] == [("rbd", "ceph"), ("west", "west")]
    assert site.hosts["west01"].cluster == "west"
    assert (site.fsid, site.clusters["west"].fsid) == (FSID, OTHER)
    assert site.clusters["west"].conf is None  # it is called by the label
    assert site.clusters["west"].clients["volumes"].secret_uuid == OTHER
    assert site.clients["volumes"].secret_uuid == FSID
    assert f'[clusters.west]\nfsid = "{OTHER}"\n\n[clusters.west.pools]\n' in text
    assert "sha256:" not in text


def of(one):
    """Where its backends and stores are: {name: cluster}."""
    return {b.name: b.cluster for b in (*one.cinder.all, *one.glance.all)}


def without_fsid(answers):
    for host in ("ceph01", "west01"):
        fsid = FSID if host == "ceph01" else OTHER
        answers[host]["ceph.conf"] = file(f"[global]\nmon_host = {MONITOR[fsid]}\n")


def silent(answers):
    """It says nothing: neither at its first, nor when it is asked for its cluster."""
    for read in [name for name in answers["west01"] if "ceph.m" in name]:
        del answers["west01"][read]


def of_nobody(answers):
    for host in ("ctl", "n1", "n2"):
        answers[host][f"{found.CONF}/etc/ceph/west.conf"] = conf_of(THIRD)


def unused(answers):
    """Only the first cluster is used."""
    only = {
        "cinder.conf": [x for x in answers["ctl"]["cinder.conf"]["active"] if x[0] != "west"],
        "glance.conf": [x for x in answers["ctl"]["glance.conf"]["active"] if x[0] != "west"],
    }
    for name, active in only.items():
        less = [[s, k, v.replace(",west:rbd", "").replace(",west", "")] for s, k, v in active]
        answers["ctl"][name] = a.described(less)


BOTH, ONE = {"rbd": "ceph", "west": "west"}, {"rbd": "ceph"}
CLOUDS = [
    # what is otherwise, who is named, {place: cluster}, what stands in the file
    (lambda _: None, ("ceph01",), ONE, "name one by --ceph"),
    (without_fsid, ("ceph01", "west01"), BOTH, "[clusters.west]"),
    (
        silent,
        ("ceph01", "west01"),
        ONE,
        "ceph is left out: its cluster could not be asked: ceph.monmap",
    ),
    (of_nobody, ("ceph01", "west01"), ONE, f"is of a cluster ({THIRD}) of which no host"),
    (unused, ("ceph01", "west01"), ONE, f"no service that is described uses its cluster ({OTHER})"),
]


@pytest.mark.parametrize(("change", "ceph", "places", "said"), CLOUDS)
def test_what_is_of_a_cluster_that_is_not_known_is_left_out(change, ceph, places, said):
    answers = seen()
    change(answers)
    done, text, site = adopted(answers, ceph=ceph)
    assert a.shown(done) == []
    assert of(site) == places
    assert said in " ".join(
        [text, *a.texts(done), *(why for _, why in done.draft.left_out.values())]
    )


def test_the_first_that_is_named_is_the_sites_own():
    done, _, site = adopted(ceph=("west01", "ceph01"))
    assert of(site) == {"rbd": "ceph01", "west": "ceph"}
    assert site.fsid == OTHER
    assert site.clusters["ceph01"].conf == "/etc/ceph/ceph.conf"


# cinder-backup


BACKUPS = [
    ("DEFAULT", "backup_driver", "cinder.backup.drivers.ceph.CephBackupDriver"),
    ("DEFAULT", "backup_ceph_user", "keeper"),
    ("DEFAULT", "backup_ceph_pool", "kept"),
]
KEEPER = "sha256:" + "e" * 64


def backing_up(*active, client="keeper"):
    """The cloud of one cluster by hand, whose cinder-backup has these options."""
    caps = {
        "mon": "profile rbd",
        "osd": f"profile rbd pool=kept, profile rbd-read-only pool={a.POOL}",
        "mgr": "profile rbd pool=kept",
    }
    pools = [clouds.pool(name, crush_rule=0) for name in (a.POOL, a.IMAGES, "kept")]
    answers = a.hosts(pools=pools)
    users = [user(name, a.KEYS[name], text) for name, text in a.CAPS.items()]
    answers["ceph01"] |= {"ceph.users": answer({"auth_dump": [*users, user(client, KEEPER, caps)]})}
    up = {"LoadState": "loaded", "ActiveState": "active"}
    described = a.described([*a.CINDER, *active])
    answers["ctl"] |= {
        look.UNITS: {**a.units("glance-api", "cinder-volume", "mariadb"), "cinder-backup": up},
        "cinder.conf": described,
        "cinder.backup.conf": described,
        "cinder.backup.sources": sources("cinder.backup"),
        "cinder.backup.unit": {"cinder-backup": up},
        f"keyring.{client}": file(f"[client.{client}]\n\tkey = {KEEPER}\n", "cinder", "0640"),
        **a.unanswered([client]),
    }
    return answers


def test_cinder_backup_is_described_where_cinder_runs():
    done, text, site = a.adopted(backing_up(*BACKUPS))
    assert a.shown(done) == []
    assert '[cinder.backup]\npool = "kept"\nclient = "keeper"\n' in text
    assert [h.name for h in site.with_role("cinder-backup")] == ["ctl"]
    assert '"cinder-backup"' not in text


@pytest.mark.parametrize(
    ("active", "said"),
    [
        ((), "backups of volumes go on as they do: swift"),
        (
            [("DEFAULT", "backup_driver", "cinder.backup.drivers.nfs.NFSBackupDriver")],
            "backups of volumes go on as they do: nfs",
        ),
        (
            [*BACKUPS[:1], ("DEFAULT", "backup_ceph_user", "admin")],
            "cinder-backup is left out: it logs in as client.admin",
        ),
        (
            [*BACKUPS[:1], ("DEFAULT", "backup_ceph_user", "a b")],
            "cinder-backup is left out: its client is 'a b'",
        ),
    ],
)
def test_other_backups_stay_as_they_are(active, said):
    done, text, site = a.adopted(backing_up(*active))
    assert a.shown(done) == []
    assert site.cinder.backup is None
    assert said in text
