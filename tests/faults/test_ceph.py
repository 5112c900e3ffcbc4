"""Faults E: Ceph and libvirt."""

import json

import pytest

from tests.lab.conftest import inv, on, result

from .conftest import done_and_undone, mended, refused

pytestmark = pytest.mark.lab
COMPUTES = ("compute01", "compute02")


def ceph(*words):
    return on("ceph01", "ceph", *words)


def caps(user):
    return json.loads(ceph("auth", "get", user, "--format", "json"))[0]["caps"]


def pools():
    """{name: (type, profile, applications)}: what nobody else alters by itself."""
    found = json.loads(ceph("osd", "pool", "ls", "detail", "--format", "json"))
    return {
        p["pool_name"]: (p["type"], p["erasure_code_profile"], sorted(p["application_metadata"]))
        for p in found
    }


def secret(host):
    """(uuid, value) of the one secret."""
    uuid = on(host, "virsh", "-q", "secret-list").split()[0]
    return uuid, on(host, "virsh", "-q", "secret-get-value", uuid).strip()


def test_46_narrower_caps_are_shown_and_widened(cloud):
    before = caps("client.volumes")
    on("ceph01", script="ceph auth caps client.volumes mon 'profile rbd' osd 'allow r pool=odd'")
    shown = inv("ceph.auth", "--check", "--diff", expect=2)
    assert "- osd: allow r pool=odd" in shown
    assert caps("client.volumes")["osd"] == "allow r pool=odd"
    inv("ceph.auth", "--yes")
    after = caps("client.volumes")
    assert after["osd"].startswith("allow r pool=odd, ")  # what others granted stays
    inv("undo", "--yes")
    assert caps("client.volumes")["osd"] == "allow r pool=odd"
    words = [w for d in sorted(before) for w in (d, f"'{before[d]}'")]
    on("ceph01", script=f"ceph auth caps client.volumes {' '.join(words)}")
    mended()


@pytest.mark.parametrize(
    "make, said",
    [
        ("ceph osd pool create {p} 8 8; ceph osd pool application enable {p} cephfs", "cephfs"),
        (
            "ceph osd erasure-code-profile set odd k=2 m=1 crush-failure-domain=osd --force; "
            "ceph osd pool create {p} 8 8 erasure odd",
            "erasure-coded",
        ),
    ],
)
def test_47_a_pool_of_another_kind_is_refused(cloud, site, make, said):
    pool = "odd" + said[:3]
    words = site(("[pools]\n", f"[pools]\n{pool} = {{ size = 1 }}\n"))
    on("ceph01", script=make.format(p=pool))
    before = pools()
    try:
        assert said in refused(3, "ceph.pools", "--yes", *words)
        assert pools() == before
    finally:
        remove = f"ceph osd pool rm {pool} {pool} --yes-i-really-really-mean-it"
        on(
            "ceph01",
            script=f"ceph config set mon mon_allow_pool_delete true; {remove}; "
            "ceph config rm mon mon_allow_pool_delete",
        )


def test_47_an_existing_pools_size_stays(cloud, site):
    words = site(("volumes = { size = 1, pg_num = 32 }", "volumes = { size = 3, pg_num = 128 }"))
    inv("ceph.pools", "--check", *words)


def test_48_a_new_key_in_ceph_reaches_every_place(cloud):
    caps_now = "".join(f'\\tcaps {d} = "{c}"\\n' for d, c in caps("client.volumes").items())
    new = "ceph-authtool -g -n client.volumes /root/new --create-keyring >/dev/null; "
    new += f"printf '{caps_now}' >> /root/new; "
    on("ceph01", script=f"umask 077; {new} ceph auth import -i /root/new; rm /root/new")
    shown = result(inv("integrate", "--check", "--json", expect=2))
    things = {(c["host"], c["thing"].split()[0]) for c in shown["changes"]}
    assert {(h, "libvirt") for h in COMPUTES} <= things
    assert ("controller01", "/etc/ceph/ceph.client.volumes.keyring") in things
    inv("integrate", "--yes")
    key = ceph("auth", "get-key", "client.volumes").strip()
    assert {secret(host)[1] for host in COMPUTES} == {key}
    mended()


def test_49_a_usage_name_that_is_taken_is_left_alone(cloud):
    """Our secret is gone, and somebody else's has its usage name."""
    uuid, _ = secret("compute02")
    other = "99999999-8888-4777-8666-555555555555"
    xml = (
        f'<secret ephemeral="no" private="no"><uuid>{other}</uuid><usage type="ceph">'
        "<name>client.volumes secret</name></usage></secret>"
    )
    on(
        "compute02",
        script=f"virsh -q secret-undefine {uuid}; echo '{xml}' > /root/x.xml; "
        "virsh -q secret-define /root/x.xml; rm /root/x.xml",
    )
    inv("compute.secret", "--yes")
    listed = on("compute02", "virsh", "-q", "secret-list")
    assert uuid in listed and other in listed
    assert f"client.volumes secret {uuid}" in on("compute02", "virsh", "secret-dumpxml", uuid)
    on("compute02", script=f"virsh -q secret-undefine {other}; virsh -q secret-undefine {uuid}")
    mended()


def test_49_a_setting_against_the_uuid_in_use_is_refused(cloud, site):
    other = "99999999-8888-4777-8666-555555555555"
    words = site(
        (
            'volumes = { rwx = ["volumes"], rx = ["images"] }',
            f'volumes = {{ rwx = ["volumes"], rx = ["images"], secret_uuid = "{other}" }}',
        )
    )
    said = refused(3, "integrate", "--check", *words)
    assert "a UUID in use is never replaced" in said


def test_50_a_secret_that_is_set_anew_shows_in_no_process(cloud):
    """The scan around this test looks at every program that is started."""
    uuid, _ = secret("compute01")
    on("compute01", script=f"echo bm90IGl0 | virsh -q secret-set-value {uuid} --file /dev/stdin")
    inv("compute.secret", "--yes")
    mended()


def test_51_libvirt_that_is_down_is_not_an_absent_secret(cloud):
    stop = "systemctl stop 'libvirtd*.socket' libvirtd; systemctl mask --runtime libvirtd.service"
    undo = "systemctl unmask --runtime libvirtd.service; systemctl start libvirtd.socket libvirtd; "
    with done_and_undone("compute01", stop, undo + "systemctl restart nova-compute"):
        said = refused(1, "compute.secret", "--check")
    assert "could not look" in said and "compute01" in said and "virsh" in said
    mended()


def test_51_a_private_secret_is_said(cloud):
    uuid, _ = secret("compute01")
    xml = (
        f'<secret ephemeral="no" private="yes"><uuid>{uuid}</uuid><usage type="ceph">'
        "<name>client.volumes secret</name></usage></secret>"
    )
    on(
        "compute01",
        script=f"virsh -q secret-undefine {uuid}; echo '{xml}' > /root/x.xml; "
        "virsh -q secret-define /root/x.xml; rm /root/x.xml",
    )
    assert "is private" in refused(3, "compute.secret", "--check")
    on("compute01", script=f"virsh -q secret-undefine {uuid}")
    mended()


def test_52_the_secret_outlives_libvirts_restart(cloud):
    on("compute01", script="systemctl restart libvirtd; systemctl restart nova-compute")
    inv("integrate", "--check")


def test_53_no_quorum(cloud):
    mon = "$(systemctl list-units --plain --no-legend 'ceph-mon@*' | awk '{print $1}')"
    with done_and_undone(
        "ceph01",
        f"u={mon}; echo $u > /root/mon; systemctl stop $u",
        "systemctl start $(cat /root/mon); timeout 60 ceph -s >/dev/null",
    ):
        said = refused(1, "integrate", "--check", timeout=120)
    assert "ceph01" in said and "could not look" in said
    inv("integrate", "--check")


def test_53_a_full_cluster_is_not_altered(cloud):
    full = "ceph osd set-nearfull-ratio 0.00001; ceph osd set-backfillfull-ratio 0.00002; "
    full += "ceph osd set-full-ratio 0.00003; for i in $(seq 60); do "
    full += "ceph health detail | grep -q OSD_FULL && break; sleep 1; done"
    undo = "ceph osd set-full-ratio 0.95; ceph osd set-backfillfull-ratio 0.90; "
    undo += "ceph osd set-nearfull-ratio 0.85; for i in $(seq 60); do "
    undo += "ceph health detail | grep -q _FULL || break; sleep 1; done"
    with done_and_undone("ceph01", full, undo):
        said = refused(1, "integrate", "--check")
    assert "the cluster says" in said and "FULL" in said
    inv("integrate", "--check")


def test_54_a_keyring_that_others_may_read(cloud):
    path = "/etc/ceph/ceph.client.volumes.keyring"
    on("controller01", script=f"chmod 644 {path}; chown root:root {path}")
    shown = inv("ceph.keyrings", "--check", "--diff", expect=2)
    assert "- root:root 0644" in shown
    mended()
    assert on("controller01", "stat", "-c", "%a,%U,%G", path).strip() == "640,cinder,cinder"


def test_55_a_computes_key_opens_no_more_than_it_must(cloud):
    """What the key of the volumes may do, tried with the key itself."""
    rbd = "rbd -n client.volumes --keyring /root/k"
    on(
        "ceph01",
        script="umask 077; ceph auth get client.volumes > /root/k 2>/dev/null; "
        "rbd create -s 1M images/probe; rbd create -s 1M volumes/probe",
    )
    ceph_as = "ceph -n client.volumes --keyring /root/k"
    allowed = [f"{rbd} ls volumes", f"{rbd} info images/probe", f"{rbd} rm volumes/probe"]
    forbidden = [
        f"{rbd} rm images/probe",
        f"{rbd} create -s 1M images/more",
        f"{ceph_as} auth ls",
        f"{ceph_as} osd pool create more 8",
    ]
    try:
        for command in allowed:
            on("ceph01", script=f"{command} >/dev/null 2>&1")
        for command in forbidden:
            on("ceph01", script=f"! timeout 60 {command} >/dev/null 2>&1")
    finally:
        on("ceph01", script="rbd rm images/probe >/dev/null 2>&1; rm -f /root/k; true")
