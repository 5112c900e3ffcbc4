"""A backend with volumes is renamed, and renamed back: seen before, done, and undone."""

import os
import time

import pytest

from fabfile.cloud import connection

from .conftest import ACCESS, INTEGRATED, inv, on, result

pytestmark = pytest.mark.lab
LEAVES = INTEGRATED
CONTROLLER = "controller01"
OLD, NEW = "controller01@rbd", "controller01@ceph"


@pytest.fixture(scope="module")
def api(integrated):
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


def made(api, name, kind):
    one = api.block_storage.create_volume(name=name, size=1, volume_type=kind)
    return api.block_storage.wait_for_status(one, "available", ["error"], 2, 120)


def host_of(api, volume):
    return api.block_storage.get_volume(volume.id).host


def services(api):
    return {s.host for s in api.block_storage.services() if s.binary == "cinder-volume"}


def is_worked_on(api, volume):
    """A snapshot, and a clone of it: cinder-volume does both, and undoes both."""
    storage = api.block_storage
    snapshot = storage.create_snapshot(volume_id=volume.id, name="worked-on")
    storage.wait_for_status(snapshot, "available", ["error"], 2, 120)
    clone = storage.create_volume(name="worked-on", size=1, snapshot_id=snapshot.id)
    storage.wait_for_status(clone, "available", ["error"], 2, 120)
    for one, delete in ((clone, storage.delete_volume), (snapshot, storage.delete_snapshot)):
        delete(one)
        storage.wait_for_delete(one, 2, 120)


def deleted(api, *volumes):
    for volume in volumes:
        api.block_storage.delete_volume(volume)
        api.block_storage.wait_for_delete(volume, 2, 120)


def things(said):
    return [(c["host"], c["thing"]) for c in result(said)["changes"]]


RENAMED = ('backend = "rbd"', 'backend = "ceph"\nreplaces = "rbd"')
MOVE = [
    (CONTROLLER, "/etc/cinder/cinder.conf"),
    (CONTROLLER, f"volumes on {OLD}#rbd"),
    (CONTROLLER, f"service {OLD}"),
    (CONTROLLER, "cinder-volume"),
]


def test_a_name_that_comes_beside_the_old_one_moves_nothing(api, site):
    volume = made(api, "beside", "rbd")
    said = inv(
        "plan", "--json", *site(('backend = "rbd"', 'backend = "ceph"')), expect=3, also_errors=True
    )
    assert "say cinder.replaces = 'rbd'" in said
    deleted(api, volume)


def test_a_renamed_backend_keeps_its_volumes_and_undo_brings_it_back(api, site):
    volume, other = made(api, "kept", "rbd"), made(api, "deleted", "rbd")
    words = site(RENAMED)
    planned = inv("plan", "--json", *words)
    assert sorted(things(planned)) == sorted(MOVE)
    assert any(n.startswith(f"2 volumes on {OLD}#rbd") for n in result(planned)["notes"])
    assert host_of(api, volume) == f"{OLD}#rbd"  # nothing was done yet

    done = result(inv("integrate", "--yes", "--json", *words))
    assert sorted(things(inv("integrate", "--check", "--json", *words))) == []
    assert host_of(api, volume) == f"{NEW}#rbd"
    assert NEW in services(api) and OLD not in services(api)
    is_worked_on(api, volume)
    young = made(api, "young", "rbd")
    assert host_of(api, young) == f"{NEW}#rbd"
    deleted(api, other)
    inv("verify", *words)
    assert [
        f
        for f in result(inv("doctor", "--json", *words, expect=(0, 3)))["findings"]
        if f["code"].startswith("cinder.")
    ] == []

    inv("undo", "--yes", "--run", done["run"], *words)
    assert host_of(api, volume) == host_of(api, young) == f"{OLD}#rbd"
    # A row left there would be up for a minute: the scheduler gives volumes to it, for ever.
    assert OLD in services(api) and NEW not in services(api)
    inv("integrate", "--check")
    is_worked_on(api, volume)
    deleted(api, volume, young)


def test_a_run_that_ended_before_the_volumes_were_moved_is_brought_to_its_end(api, site):
    """The file is written, cinder-volume was restarted by somebody, the volumes are nobody's."""
    volume = made(api, "orphan", "rbd")
    words = site(RENAMED)
    on(
        CONTROLLER,
        script="""
        cp -a /etc/cinder/cinder.conf /root/cinder.conf.before
        sed -i 's/^\\(enabled_backends = .*\\)rbd/\\1ceph/' /etc/cinder/cinder.conf
        sed -n '/^\\[rbd\\]/,/^\\[/p' /etc/cinder/cinder.conf | grep '^[a-z]' > /root/options
        { echo '[ceph]'; cat /root/options
        } >> /etc/cinder/cinder.conf
        systemctl restart cinder-volume""",
    )
    found = {f["code"]: f for f in result(inv("doctor", "--json", *words, expect=3))["findings"]}
    assert found["cinder.renamed"]["found"] == f"{OLD}#rbd"
    assert found["cinder.renamed"]["mend"][0]["run"].startswith("inv controller.cinder")
    inv("controller.cinder", "--yes", *words)
    assert host_of(api, volume) == f"{NEW}#rbd"
    is_worked_on(api, volume)
    inv("integrate", "--check", *words)
    deleted(api, volume)
    # And back, by its name: the other way round is a rename like any other.
    inv("integrate", "--yes", *site(('backend = "rbd"', 'backend = "rbd"\nreplaces = "ceph"')))
    inv("integrate", "--check")


def test_backend_host_is_set_and_taken_back(api, site):
    volume = made(api, "shared", "rbd")
    words = site(('backend = "rbd"', 'backend = "rbd"\nbackend_host = "all"'))
    done = result(inv("integrate", "--yes", "--json", *words))
    assert (CONTROLLER, f"volumes on {OLD}#rbd") in [
        (c["host"], c["thing"]) for c in done["changes"]
    ]
    assert host_of(api, volume) == "all@rbd#rbd"
    is_worked_on(api, volume)
    inv("undo", "--yes", "--run", done["run"], *words)
    assert host_of(api, volume) == f"{OLD}#rbd"
    assert OLD in services(api) and "all@rbd" not in services(api)
    deleted(api, volume)


NO_BACKEND = (0, 1, 2, 6)
"""What an undo ends with: since Ocata cinder-volume ends itself where no backend is enabled."""
AS_NEWTON_LEFT_IT = r"""
import re, sys
path, section = "/etc/cinder/cinder.conf", sys.argv[1]
text = re.sub(r"(?m)^enabled_backends.*\n", "", open(path).read())
head, own, tail = re.fullmatch(rf"(?s)(.*)^\[{section}\]\n(.*?)(^\[.*|\Z)", text, re.M).groups()
head = head.replace("[DEFAULT]\n", "[DEFAULT]\n" + own.strip() + "\n", 1)
open(path, "w").write(head + tail)
"""


def as_newton_left_it(section):
    """A backend is put into [DEFAULT], and host#pool into the rows: no cinder-volume starts."""
    on(
        CONTROLLER,
        script=f"""
        cp -a /etc/cinder/cinder.conf /root/cinder.conf.before
        systemctl stop cinder-volume
        python3 - {section} <<'END'
{AS_NEWTON_LEFT_IT}
END
        run() {{ setpriv --reuid cinder --regid cinder --init-groups cinder-manage "$@"; }}
        run volume update_host --currenthost {CONTROLLER}@{section} --newhost {CONTROLLER}#{section}
        run service remove cinder-volume {CONTROLLER}@{section} || true
        systemctl reset-failed cinder-volume; systemctl start cinder-volume || true""",
    )


@pytest.fixture
def in_default():
    """Puts a backend there; afterwards the file is as before."""
    yield as_newton_left_it
    on(
        CONTROLLER,
        script="""
        cp -a /root/cinder.conf.before /etc/cinder/cinder.conf
        systemctl reset-failed cinder-volume; systemctl restart cinder-volume""",
    )


def test_a_backend_in_default_gets_a_section_with_its_volumes(api, site, in_default):
    """As after an upgrade from Newton: integrating brings cinder-volume up again."""
    volumes = [made(api, name, "rbd") for name in ("kept", "snapshotted", "deleted")]
    place = f"{CONTROLLER}#rbd"
    in_default("rbd")
    assert {host_of(api, one) for one in volumes} == {place}
    said = inv("plan", "--json", expect=3, also_errors=True)
    assert "cinder.replaces = 'DEFAULT'" in said and "3 volumes on it" in said
    words = site(('backend = "rbd"', 'backend = "rbd"\nreplaces = "DEFAULT"'))
    assert (CONTROLLER, f"volumes on {place}") in things(inv("plan", "--json", *words))

    done = result(inv("integrate", "--yes", "--json", *words))
    inv("integrate", "--check", *words)
    assert {host_of(api, one) for one in volumes} == {f"{OLD}#rbd"}
    is_worked_on(api, volumes[1])
    deleted(api, volumes[2])
    inv("verify", *words)

    # As it was: nothing starts a backend in [DEFAULT] here.
    inv("undo", "--yes", "--run", done["run"], *words, expect=NO_BACKEND)
    assert {host_of(api, one) for one in volumes[:2]} == {place}
    assert "enabled_backends" not in on(CONTROLLER, "cat", "/etc/cinder/cinder.conf")
    inv("integrate", "--yes", *words)
    assert {host_of(api, one) for one in volumes[:2]} == {f"{OLD}#rbd"}
    deleted(api, *volumes[:2])


@pytest.mark.skipif("STACKRBD_SEVERAL" not in os.environ, reason="minutes: make several")
def test_another_backend_in_default_gets_a_section_beside_ours(api, site, in_default):
    time.sleep(45)  # cinder-volume was restarted just now, and NFS takes its time
    volume, other = made(api, "on-nfs", "nfs"), made(api, "deleted", "nfs")
    in_default("nfs")
    assert host_of(api, volume) == f"{CONTROLLER}#nfs"
    words = site(('backend = "rbd"', 'backend = "rbd"\ndefault_section = "old"'))
    done = result(inv("integrate", "--yes", "--json", *words))
    inv("integrate", "--check", *words)
    assert host_of(api, volume) == f"{CONTROLLER}@old#nfs"
    time.sleep(45)
    deleted(api, other, made(api, "new", "nfs"))
    inv("undo", "--yes", "--run", done["run"], *words, expect=NO_BACKEND)
    assert host_of(api, volume) == f"{CONTROLLER}#nfs"
    inv("integrate", "--yes", *words)
    time.sleep(45)
    deleted(api, volume)
