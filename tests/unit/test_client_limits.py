"""What a host's librados cannot do with the cluster, known before anything is written."""

import base64

import pytest

from fabfile.core.contract import Change, Facts, Failed, Refused
from fabfile.model.advice import shown
from fabfile.resources import chain, client_limits

from . import clouds
from .clouds import found
from .states import FSID, answer, cluster, said_by, site


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


def cipher(name, **more):
    """What 'mon dump' of 20.2.4 says of the kind of keys that are made."""
    said = {"fsid": FSID, "mons": [{"rank": 0, "addr": "10.0.0.1:6789/0"}], **more}
    if name:
        said |= {"auth_preferred_cipher": {"name": name, "value": 2}}
    return {"ceph.monmap": answer(said)}


def user(name, sign="+"):
    return Change("ceph01", "it", "is done", sign, "run", {}, 0, kind="user", subject=name)


@pytest.mark.parametrize("version", ["16.2.15+ds-0+deb12u2", "18.2.7-1", "20.2.3-1"])
def test_a_user_that_is_yet_to_be_made_gets_a_key_that_the_host_would_refuse(version):
    seen = facts(version, kinds(), cipher("aes256k"))
    with pytest.raises(Refused, match="n1: librados2.*new kind.*client.volumes, yet to be made"):
        client_limits.plan(site(), seen, [user("volumes"), *LED])


@pytest.mark.parametrize(
    "version, told, changes",
    [
        ("20.2.4-1", cipher("aes256k"), [user("volumes"), *LED]),
        ("16.2.15", cipher("aes"), [user("volumes"), *LED]),
        ("16.2.15", cipher(None), [user("volumes"), *LED]),  # before 20.2.4
        ("16.2.15", cipher("aes256k"), [user("images"), *LED]),  # not the computes'
        ("16.2.15", cipher("aes256k"), [user("volumes", "~"), *LED]),  # it has its key
        ("16.2.15", cipher("aes256k"), [user("volumes")]),  # and nobody is led there
        (None, cipher("aes256k"), [user("volumes"), *LED]),
    ],
)
def test_a_new_users_key_that_the_host_takes_or_does_not_use_is_no_matter(version, told, changes):
    assert client_limits.plan(site(), facts(version, told), changes) == []


@pytest.mark.parametrize("said", ["aes256k", 2, [], {"value": 2}])
def test_a_cipher_in_another_form_is_no_answer_of_ceph(said):
    seen = facts("16.2.15", cipher(None, auth_preferred_cipher=said))
    with pytest.raises(Failed, match="ceph monmap: expected JSON as Ceph writes it"):
        client_limits.plan(site(), seen, [user("volumes"), *LED])


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


@pytest.mark.parametrize(
    ("client", "hosts"),
    [("volumes", {"ctl", "n1", "n2"}), ("images", {"ctl"}), ("others", set())],
)
def test_doctor_names_the_hosts_that_log_in_by_a_key_of_the_new_kind(client, hosts):
    def new(cloud):
        cloud["ceph01"] |= kinds(**{client: 2})
        for name in ("ctl", "n1", "n2"):
            cloud[name].setdefault("packages", {}).update(librados2="16.2.15", librbd1="16.2.15")

    some = [one for one in found(new) if one.code == "library.aes256k"]
    assert {host for one in some for host in one.hosts} == hosts
