"""The source's procedure, done by hand on the lab's hosts, as a careful operator of today does it.

Ceph's own manual (rbd-openstack) for caps, Cinder's and Glance's for their options; only what these
ask for is set. One step of the source's list a function, in its order; a command on a host is a
root's at its shell.
"""

import json
import uuid

from lab import openstack_objects
from tests.lab.conftest import ACCESS, on

CEPH, CONTROLLER, COMPUTES = "ceph01", "controller01", ("compute01", "compute02")
CLIENTS = (CONTROLLER, *COMPUTES)
OWNERS = {"images": "glance", "volumes": "cinder"}
SOURCE = (
    "deb [signed-by=/etc/apt/keyrings/ceph.asc] http://198.18.53.11:8080 stackrbd main"  # the lab's
)


def integrate_by_hand():
    """All of it; the libvirt secret's UUID."""
    pools()
    sudoers()
    packages()
    ceph_conf()
    users()
    keyrings()
    number = secrets()
    glance()
    cinder(number)
    restart()
    volume_type()
    return number


def pools():
    for pool in ("volumes", "images"):
        on(
            CEPH,
            script=f"ceph osd pool create {pool} 32 && rbd pool init {pool}",
        )


def sudoers():
    for host in CLIENTS:
        on(
            host,
            script="""
            umask 227
            echo 'operator ALL = (root) NOPASSWD: ALL' > /etc/sudoers.d/operator.new
            visudo -cqf /etc/sudoers.d/operator.new
            mv /etc/sudoers.d/operator.new /etc/sudoers.d/operator""",
        )


def packages():
    key = (ACCESS / "release.asc").read_text()
    for host in CLIENTS:
        more = "" if host == CONTROLLER else "qemu-block-extra"
        on(
            host,
            script=f"""
            set -e
            mkdir -p /etc/apt/keyrings
            cat > /etc/apt/keyrings/ceph.asc <<'KEY'
{key}KEY
            echo '{SOURCE}' > /etc/apt/sources.list.d/ceph.list
            export DEBIAN_FRONTEND=noninteractive
            apt-get -qq update < /dev/null
            apt-get -qqy --no-install-recommends install ceph-common python3-rbd {more} < /dev/null
            """,
        )


def ceph_conf():
    text = on(CEPH, "cat", "/etc/ceph/ceph.conf")
    for host in CLIENTS:
        on(
            host,
            script=f"""
            install -d -m 755 /etc/ceph
            cat > /etc/ceph/ceph.conf <<'CONF'
{text}CONF
            chmod 644 /etc/ceph/ceph.conf""",
        )


def users():
    on(
        CEPH,
        script="""
        ceph auth get-or-create client.volumes mon 'profile rbd' \\
          osd 'profile rbd pool=volumes, profile rbd-read-only pool=images' \\
          mgr 'profile rbd pool=volumes' > /dev/null
        ceph auth get-or-create client.images mon 'profile rbd' \\
          osd 'profile rbd pool=images' mgr 'profile rbd pool=images' > /dev/null""",
    )


def keyrings():
    for client, owner in OWNERS.items():
        text = on(CEPH, "ceph", "auth", "get-or-create", f"client.{client}")
        path = f"/etc/ceph/ceph.client.{client}.keyring"
        on(
            CONTROLLER,
            script=f"""
            umask 077
            cat > {path} <<'KEYRING'
{text}KEYRING
            chown {owner}:{owner} {path}
            chmod 640 {path}""",
        )


def secrets():
    """The same UUID on every compute: cinder.conf can name only one."""
    number = str(uuid.uuid4())
    key = on(CEPH, "ceph", "auth", "get-key", "client.volumes").strip()
    for host in COMPUTES:
        on(
            host,
            script=f"""
            set -e
            umask 077
            cat > /root/secret.xml <<'XML'
<secret ephemeral='no' private='no'>
  <uuid>{number}</uuid>
  <usage type='ceph'><name>client.volumes secret</name></usage>
</secret>
XML
            cat > /root/client.volumes.key <<'KEY'
{key}
KEY
            virsh -q secret-define --file /root/secret.xml < /dev/null > /dev/null
            tr -d '\\n' < /root/client.volumes.key |
              virsh -q secret-set-value --secret {number} --file /dev/stdin > /dev/null
            rm /root/client.volumes.key /root/secret.xml""",
        )
    return number


def glance():
    """The file store stays beside it: there is an image in it."""
    on(
        CONTROLLER,
        script=r"""
        set -e
        file=/etc/glance/glance-api.conf
        stores='enabled_backends = file:file, rbd:rbd'
        sed -i "0,/^\[DEFAULT\]/s//[DEFAULT]\n$stores\nshow_image_direct_url = True/" $file
        sed -i '0,/^\[glance_store\]/s//[glance_store]\ndefault_backend = rbd/' $file
        cat >> $file <<'CONF'

[file]
filesystem_store_datadir = /var/lib/glance/images

[rbd]
rbd_store_pool = images
rbd_store_user = images
rbd_store_ceph_conf = /etc/ceph/ceph.conf
CONF
        """,
    )


def cinder(number):
    on(
        CONTROLLER,
        script=rf"""
        set -e
        file=/etc/cinder/cinder.conf
        sed -i 's/^enabled_backends = nfs$/enabled_backends = nfs,rbd/' $file
        cat >> $file <<'CONF'

[rbd]
volume_driver = cinder.volume.drivers.rbd.RBDDriver
volume_backend_name = rbd
rbd_pool = volumes
rbd_user = volumes
rbd_ceph_conf = /etc/ceph/ceph.conf
rbd_secret_uuid = {number}
CONF
        """,
    )


def restart():
    on(CONTROLLER, "systemctl", "restart", "glance-api", "cinder-volume")
    for host in COMPUTES:
        on(host, "systemctl", "restart", "nova-compute")


def volume_type():
    with openstack_objects.connected(ACCESS / "clouds.yaml") as api:
        storage = api.block_storage
        kind = storage.create_type(name="rbd")
        storage.update_type_extra_specs(kind, volume_backend_name="rbd")


FOLDERS = "/etc/ceph /etc/glance /etc/cinder /etc/nova /etc/sudoers.d /etc/apt /etc/libvirt/secrets"


def state():
    """What an undo has to bring back: files with their owners, users, pools, types."""
    found = {}
    for host in (CEPH, *CLIENTS):
        found[host] = on(
            host,
            script=f"""
            find {FOLDERS} -type f -exec sha256sum {{}} + 2> /dev/null | sort
            find {FOLDERS} -printf '%p %m %u %g %l\\n' 2> /dev/null | sort
            dpkg-query --show""",
        )
    found["users"] = on(CEPH, script="ceph auth ls 2> /dev/null")
    # Without what work on the pools itself counts up there.
    counts = "s/ (last_change|lfor|removed_snaps_queue) [^ ]+//g; s/,selfmanaged_snaps//"
    found["pools"] = on(CEPH, script=f"ceph osd pool ls detail | sed -E '{counts}'")
    with openstack_objects.connected(ACCESS / "clouds.yaml") as api:
        kinds = api.block_storage.types()
        found["types"] = json.dumps(sorted([k.name, k.extra_specs] for k in kinds))
    return found
