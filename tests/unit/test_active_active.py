"""Several cinder-volumes that serve one backend at once: looked at, and never set or moved."""

import pytest

from fabfile.core.contract import BadInput, Facts, Refused
from fabfile.resources import service_config, volume_hosts
from fabfile.resources.active_active import cluster

from .states import KEY, release
from .test_volume_hosts import OLD, PLACE, controller, facts, here, section, volume

ETCD = ("coordination", "backend_url", "etcd3+http://etcd:2379")
MINE = {"active_active": "volumes"}


def host(*lines, url=ETCD, name="volumes", own="ctl", enabled="rbd"):
    told = [line for line in (url, ("DEFAULT", "cluster", name) if name else None) if line]
    return controller(*section(), *told, *lines, own=own, enabled=enabled)


def seen(ctl, *places, of="zed", **more):
    found = facts(ctl, map(volume, places), ["ctl@rbd"], **more)
    return Facts(found.hosts, found.known, release(of))


def test_what_is_as_it_has_to_be_is_left_so():
    for told in (seen(host(name=" volumes ")), seen(host(), ctl2=host(own="ctl2"))):
        where = here(two="ctl2" in told.hosts, **MINE)
        for change in service_config.cinder.plan(where, told):
            assert "cluster" not in [key for _, key, _ in change.args["edits"]]
        assert volume_hosts.plan(where, told) == []
    assert cluster({("DEFAULT", "cluster"): ""}) == ""


@pytest.mark.parametrize(
    "ctl, more, words",
    [
        (host(name=""), {}, r"cluster = volumes, found none.*on one host after the other"),
        (host(name="other"), {}, "found other.*cinder-manage cluster rename"),
        (host(url=None), {}, r"found file://\$state_path"),
        (host(url=("coordination", "backend_url", "file:///locks")), {}, "found file:///locks"),
        (host(("rbd", "backend_host", "all")), {}, "backend_host = all"),
        (
            host(("nfs", "volume_driver", "x.NfsDriver"), enabled="nfs,rbd"),
            {},
            r"\[nfs\] volume_driver = x.NfsDriver",
        ),
        (host(enabled="lvm,rbd"), {}, r"\[lvm\] volume_driver = cinder.*LVM"),
        (
            host(),
            {"ctl2": host(url=("coordination", "backend_url", "redis://r"), own="ctl2")},
            "backend_url: expected the same as on ctl2",
        ),
        # with a login in it, nobody sees more than that they differ
        (
            host(url=("coordination", "backend_url", KEY)),
            {"ctl2": host(own="ctl2")},
            "backend_url: expected the same as on ctl2",
        ),
        (host(), {"ctl2": host(own="ctl")}, "expected another name than on ctl2"),
        (host(), {"ctl2": host(name="", own="ctl2")}, "ctl2.*found none"),
    ],
)
def test_what_is_refused(ctl, more, words):
    with pytest.raises(Refused, match=words):
        service_config.cinder.plan(here(two=bool(more), **MINE), seen(ctl, **more))


@pytest.mark.parametrize("of, works", [("queens", 0), ("rocky", 1), ("2026.2", 1)])
def test_since_rocky(of, works):
    if works:
        service_config.cinder.plan(here(**MINE), seen(host(), of=of))
    else:
        with pytest.raises(BadInput, match="expected none before Rocky"):
            service_config.cinder.plan(here(**MINE), seen(host(), of=of))


@pytest.mark.parametrize("said", [{"backend_host": "all"}, {"replaces": "old"}])
def test_what_the_site_file_may_not_say(said):
    with pytest.raises(BadInput, match="active_active: expected no"):
        here(**MINE, **said)


@pytest.mark.parametrize(
    "said",
    [{"backend": "ceph", "replaces": "rbd"}, {"backend_host": "all"}, {"replaces": "far@rbd"}],
)
def test_no_backend_of_a_cluster_is_renamed(said):
    """Its volumes go by cluster_name, in which the old name stays."""
    told = seen(host(), PLACE, "far@rbd#rbd")
    with pytest.raises(Refused, match="update_host and cluster rename"):
        volume_hosts.plan(here(**said), told)
    apart = seen(host(name=""), PLACE, "far@rbd#rbd")
    assert volume_hosts.plan(here(**said), apart)


def test_a_cluster_that_nobody_asked_for_stays_as_it_is():
    assert volume_hosts.plan(here(), seen(host(url=None), PLACE)) == []
    assert OLD and service_config.cinder.plan(here(), seen(host(url=None), PLACE)) is not None
