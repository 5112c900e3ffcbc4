"""What a host's librados cannot do with the cluster, known before anything is written."""

import base64

import pytest

from fabfile.core.contract import Change, Facts, Refused
from fabfile.model.advice import shown
from fabfile.resources import chain, client_limits

from . import clouds
from .clouds import found
from .states import cluster, said_by, site


def head(kind):
    """What is read of a key of that type."""
    return base64.b64encode(bytes([kind, 0]) + clouds.MADE.to_bytes(4, "little")).decode()


def kinds(**clients):
    lines = [f'"entity":"client.{name}"\n"key":"{head(kind)}' for name, kind in clients.items()]
    return {client_limits.KINDS: said_by("\n".join(lines))}


def needs(name, required="luminous"):
    text = f'"require_min_compat_client":"{required}"\n"min_compat_client":"{name}"'
    return {"ceph.required": said_by(text)}


def facts(version, *told):
    admin = {**cluster(), **kinds(volumes=1, images=1), **needs("jewel")}
    for more in told:
        admin |= more
    library = {"packages": {"librados2": version}}
    return Facts({"ceph01": admin, "ctl": library, "n1": library, "n2": library})


def change(host, kind):
    return Change(host, "it", "is done", "~", "write", {}, 1, kind=kind)


LED = [change("n1", "secret_value")]


@pytest.mark.parametrize(
    "version, told, expected",
    [
        ("18.2.7-1", [kinds(volumes=2)], "19.2.6, 20.2.4 or 21.2.0"),
        ("20.2.3-1", [kinds(images=1, volumes=2)], "aes256k.*client.volumes"),
        ("20.2.4~rc1", [kinds(volumes=2)], "aes256k"),
        ("10.2.11-2", [needs("luminous")], r"Ceph 12 \(luminous\) or later"),
        ("16.2.15", [needs("squid")], r"Ceph 19 \(squid\)"),
        ("12.2.13", [needs("reef", required="squid")], r"Ceph 18 \(reef\)"),
    ],
)
def test_a_host_that_could_not_log_in_is_refused_before_the_first_write(version, told, expected):
    with pytest.raises(Refused, match=rf"(?s)n1: librados2: expected .*{expected}") as stop:
        client_limits.plan(site(), facts(version, *told), LED)
    assert tuple(map(shown, stop.value.mend)) == (
        "apt-get install --only-upgrade -y librados2 librbd1",
    )


@pytest.mark.parametrize(
    "version, told",
    [
        ("19.2.6-1", [kinds(volumes=2)]),
        ("20.2.4-1", [kinds(volumes=2)]),
        ("18.2.7", [kinds(images=2)]),  # not the key that computes have
        ("18.2.7", [kinds(other=2)]),  # somebody else's
        ("16.2.15", [needs("luminous", required="squid")]),  # required, and not in use yet
        ("12.2.13", [needs("luminous")]),
        ("10.2.11", [needs("a-release-to-come")]),
        ("odd", [kinds(volumes=2)]),
        (None, [kinds(volumes=2), needs("squid")]),  # not installed yet
    ],
)
def test_what_fits_or_is_not_known_is_not_refused(version, told):
    assert client_limits.plan(site(), facts(version, *told), LED) == []


@pytest.mark.parametrize("kind", ["packages", "ceph.conf", "restart", "folder"])
def test_a_host_that_is_not_led_to_the_cluster_is_left_alone(kind):
    seen = facts("10.2.11", needs("squid"))
    assert client_limits.plan(site(), seen, [change("n1", kind)]) == []
    assert client_limits.plan(site(), seen, [change("ceph01", "options")]) == []
    assert client_limits.plan(site(), seen) == []


def test_it_looks_at_all_that_leads_there():
    at = [one.task for one in chain.RESOURCES]
    led = max(at.index(task) for task in ("compute.secret", "compute.nova"))
    assert chain.RESOURCES.index(client_limits.RESOURCE) > led


def test_doctor_says_it_once():
    def new(cloud):
        cloud["ceph01"] |= kinds(volumes=2)
        cloud["n2"]["libvirt.secrets"] = {}

    codes = [one.code for one in found(new)]
    assert codes.count("library.aes256k") == 1 and "refused.ceph.keyrings" not in codes
