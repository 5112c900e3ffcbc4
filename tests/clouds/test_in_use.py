"""What a running cloud means stays: what is in use is adopted, or refused with the way on.

On a cloud that was integrated by hand; a test each puts something into use, plans, and looks
whether what could be read before can be read after.
"""

import contextlib
import hashlib

import pytest

from fabfile.cloud import connection
from lab import openstack_objects
from tests.lab.conftest import ACCESS, inv, on, result

from . import handmade
from .handmade import CEPH, CONTROLLER

pytestmark = pytest.mark.lab
CINDER, GLANCE = "/etc/cinder/cinder.conf", "/etc/glance/glance-api.conf"
REFUSED = 3


@pytest.fixture(scope="module")
def api(lab):
    if "[rbd]" not in on(CONTROLLER, "cat", CINDER):
        handmade.integrate_by_hand()
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as opened:
        yield opened


@contextlib.contextmanager
def put_back(*files, restart=(), then=""):
    """The files as they were afterwards, whatever a test made of them."""
    copies = "; ".join(f"cp -a {file} {file}.of-the-test" for file in files)
    on(CONTROLLER, script=f"set -e; {copies}")
    try:
        yield
    finally:
        back = "; ".join(f"mv {file}.of-the-test {file}" for file in files)
        units = f"systemctl restart {' '.join(restart)}" if restart else "true"
        on(CONTROLLER, script=f"{back}; {then or 'true'}; systemctl daemon-reload; {units}")


def made(api, name, kind="rbd"):
    volume = api.block_storage.create_volume(name=name, size=1, volume_type=kind)
    return api.block_storage.wait_for_status(volume, "available", ["error"], 2, 180)


def is_readable(api, volume):
    """cinder-volume finds it: a snapshot is made of it and removed."""
    storage = api.block_storage
    snapshot = storage.create_snapshot(volume_id=volume.id, name="readable")
    storage.wait_for_status(snapshot, "available", ["error"], 2, 120)
    storage.delete_snapshot(snapshot)
    storage.wait_for_delete(snapshot, 2, 120)


def deleted(api, volume):
    api.block_storage.delete_volume(volume)
    api.block_storage.wait_for_delete(volume, 2, 120)


def read(api, name):
    """The digest of an image's bytes, as a user downloads them."""
    image = api.image.find_image(name, ignore_missing=False)
    return hashlib.sha256(api.image.download_image(image).content).hexdigest()


def refused(*words):
    """What is said where nothing may be planned; it is said before anything is written."""
    said = inv("plan", *words, expect=REFUSED, also_errors=True)
    assert "Traceback" not in said
    return " ".join(said.split())


def changed(said):
    """{file: its diff} of a plan's JSON."""
    return {c["thing"]: "\n".join(c["diff"]) for c in result(said)["changes"]}


def test_a_backend_in_a_pool_of_another_name(api, site):
    """Refused, with the site's line that adopts it; adopted with that line."""
    on(
        CEPH,
        script="""
        ceph osd pool create cinder-volumes 32 2> /dev/null; rbd pool init cinder-volumes
        ceph auth caps client.volumes mon 'profile rbd' \\
          osd 'profile rbd pool=cinder-volumes, profile rbd pool=volumes, profile rbd-read-only pool=images' \\
          mgr 'profile rbd pool=cinder-volumes, profile rbd pool=volumes' 2> /dev/null""",  # noqa: E501
    )
    with put_back(CINDER, restart=["cinder-volume"]):
        on(
            CONTROLLER,
            script=f"sed -i 's/^rbd_pool = .*/rbd_pool = cinder-volumes/' {CINDER}; "
            "systemctl restart cinder-volume",
        )
        volume = made(api, "in-another-pool")
        told = refused()
        assert "cinder-volumes" in told and "rbd_pool" in told
        is_readable(api, volume)
        words = site(
            ("\nvolumes = { size", "\ncinder-volumes = { size"),
            ('rwx = ["volumes"]', 'rwx = ["cinder-volumes"]'),
            ('backend = "rbd"', 'backend = "rbd"\npool = "cinder-volumes"'),
        )
        planned = changed(inv("plan", "--json", *words, expect=(0, 2)))
        assert "rbd_pool" not in planned.get(CINDER, "")
        done = result(inv("integrate", "--yes", "--json", *words))
        is_readable(api, volume)
        deleted(api, volume)
        inv("undo", "--yes", "--run", done["run"], *words)


def test_lvm_by_default_with_a_volume(api, site):
    """Until Newton LVM is started from [DEFAULT] where nothing is named: it is not orphaned."""
    volume = made(api, "of-lvm")
    move = "cinder-manage volume update_host --currenthost {} --newhost {}"
    old = api.block_storage.get_volume(volume.id).host
    own = old.partition("@")[0]
    words = site(('release = "auto"', 'release = "newton"'))
    with put_back(CINDER, restart=["cinder-volume"]):
        on(CONTROLLER, script=f"sed -i 's/^enabled_backends/#&/; s/^volume_driver/#&/' {CINDER}")
        on(
            CONTROLLER,
            script=f"sed -i 's/^\\[DEFAULT\\]/&\\nvolume_group = vg-old/' {CINDER}; "
            + move.format(old, own),
        )
        try:
            told = refused(*words)
        finally:
            on(CONTROLLER, script=move.format(own, old))
        assert "volume_group = vg-old" in told and volume.id in told and "[DEFAULT]" in told
    is_readable(api, volume)
    deleted(api, volume)


def test_a_swift_store_beside_the_file_store(api):
    """Every store that is in force stays, with its options; the images are as before."""
    before = read(api, openstack_objects.FILE_IMAGE)
    with put_back(GLANCE, restart=["glance-api"]):
        on(
            CONTROLLER,
            script=f"""
            set -e
            sed -i 's/^enabled_backends = .*/enabled_backends = file:file, swift:swift/' {GLANCE}
            sed -i 's/^default_backend = rbd/default_backend = file/' {GLANCE}
            cat >> {GLANCE} <<'CONF'

[swift]
swift_store_auth_address = http://198.18.53.21:5000/v3
swift_store_user = service:glance
swift_store_key = secret
swift_store_create_container_on_put = True
CONF
            systemctl restart glance-api""",
        )
        done = result(inv("integrate", "--yes", "--json"))
        now = on(CONTROLLER, "cat", GLANCE)
        (listed,) = [line for line in now.splitlines() if line.startswith("enabled_backends")]
        stores = {one.strip() for one in listed.split("=")[1].split(",")}
        assert stores == {"file:file", "swift:swift", "rbd:rbd"}
        assert "swift_store_user = service:glance" in now
        assert read(api, openstack_objects.FILE_IMAGE) == before
        inv("integrate", "--check")
        inv("undo", "--yes", "--run", done["run"])


OVERRIDE = "/etc/systemd/system/cinder-volume.service.d"


def test_a_folder_that_shadows_our_options(api):
    """cinder-volume without --config-file reads cinder.conf.d after cinder.conf."""
    folder = "/etc/cinder/cinder.conf.d"
    with put_back(CINDER, restart=["cinder-volume"], then=f"rm -rf {OVERRIDE} {folder}"):
        on(
            CONTROLLER,
            script=f"""
            set -e
            mkdir -p {OVERRIDE} {folder}
            printf '[Service]\\nExecStart=\\nExecStart=/usr/bin/cinder-volume\\n' \\
              > {OVERRIDE}/x.conf
            printf '[rbd]\\nrbd_user = somebody\\n' > {folder}/50-site.conf
            systemctl daemon-reload
            systemctl restart cinder-volume""",
        )
        told = refused()
        assert f"{folder}/50-site.conf" in told and "rbd_user" in told


def test_a_keyring_that_ceph_conf_names(api):
    """librados looks there and not in ours: a key that is not the cluster's is refused."""
    conf = "/etc/ceph/ceph.conf"
    volume = made(api, "of-a-keyring")
    with put_back(conf):
        on(
            CONTROLLER,
            script=f"printf '\\n[client]\\nkeyring = /etc/ceph/everybody.keyring\\n' >> {conf}",
        )
        told = refused()
        assert "/etc/ceph/everybody.keyring" in told and "keyring" in told
    is_readable(api, volume)
    deleted(api, volume)
