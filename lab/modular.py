"""A compute whose libvirt is in modules: virtqemud, virtsecretd and their like, for libvirtd.

Debian's packages leave the modules out. They are built here of Debian's own source package; the
drivers and the library that they load stay the packages' own. Kept in the cache.
"""

import uuid
from pathlib import Path

from lab import beside, cache_key, debian_sources, hosts, images, layers, places, remote
from lab.errors import LabError
from lab.generation import Generation
from lab.images import Image
from lab.programs import run
from lab.progress import say
from lab.topology import LabHost

DAEMONS = (
    *("virtqemud", "virtsecretd", "virtnodedevd", "virtstoraged", "virtnetworkd"),
    # What Debian's clients ask, and what another host's migration comes by.
    *("virtnwfilterd", "virtproxyd"),
)
_NEEDS = (
    *("dpkg-dev", "meson", "ninja-build", "gcc", "pkgconf", "gettext", "xsltproc", "rpcsvc-proto"),
    *("libxml2-utils", "python3-docutils", "libglib2.0-dev", "libxml2-dev", "libgnutls28-dev"),
    *("libtirpc-dev", "libsasl2-dev", "libyajl-dev", "libpciaccess-dev", "libudev-dev"),
    *("libcap-ng-dev", "libacl1-dev", "libattr1-dev", "libnuma-dev", "libselinux1-dev"),
    *("libapparmor-dev", "libaudit-dev", "libblkid-dev", "libpcap0.8-dev", "libnl-route-3-dev"),
    *("libdevmapper-dev", "libparted-dev", "libssh-dev", "libssh2-1-dev"),
)
# As Debian's rules have them, where the daemons or what they share with libvirt.so differ by it.
_OPTIONS = (
    *("--prefix=/usr", "--sysconfdir=/etc", "--localstatedir=/var", "--buildtype=plain"),
    *("--libdir=lib/x86_64-linux-gnu", "--libexecdir=/usr/lib/libvirt", "-Drunstatedir=/run"),
    *("-Dauto_features=disabled", "-Dremote_default_mode=legacy", "-Dinit_script=systemd"),
    *("-Dqemu_user=libvirt-qemu", "-Dqemu_group=libvirt-qemu"),
)
_FEATURES = (
    *("driver_qemu", "driver_libvirtd", "driver_remote", "driver_network", "driver_secrets"),
    *("storage_fs", "storage_dir", "sasl", "yajl", "libssh", "libssh2", "udev", "numactl"),
    *("selinux", "apparmor", "apparmor_profiles", "capng", "libnl", "audit", "attr"),
    *("pciaccess", "polkit", "blkid", "libpcap"),
)
_BUILD = f"""\
cd /srv/libvirt-*/
meson setup b {" ".join(_OPTIONS)} {" ".join(f"-D{name}=enabled" for name in _FEATURES)}
nice ninja -C b {" ".join(f"src/{name}" for name in DAEMONS)}
mkdir -p /srv/made/usr/sbin /srv/made/usr/lib/systemd/system
for name in {" ".join(DAEMONS)}; do
    strip -o /srv/made/usr/sbin/$name b/src/$name
    cp b/src/$name.service b/src/$name*.socket /srv/made/usr/lib/systemd/system
done
"""
_SWITCH = f"""\
cd /usr/lib/systemd/system
monolithic=$(ls libvirtd.service libvirtd*.socket)
systemctl -q disable --now $monolithic
systemctl -q mask $monolithic
systemctl daemon-reload
for name in {" ".join(DAEMONS)}; do
    systemctl -q enable $name.service
    systemctl start $name.socket $name-ro.socket $name-admin.socket
done
systemctl -q enable --now virtproxyd-tcp.socket
systemctl restart nova-compute
"""


def build(generation: Generation) -> Path:
    """Make the daemons and their units, where the cache has none; returns their layer."""
    image = Image(generation, "compute")
    key = cache_key.of([*_NEEDS, _BUILD, images.key(image)])
    target = places.CACHE / "modular" / f"{generation.name}-{key}"
    if target.is_dir():
        return target
    say("libvirt's modules: built of Debian's source package")
    part = places.BUILDS / "modular"
    layers.remove_tree(part)
    part.mkdir(parents=True)
    archives = places.DOWNLOADS / generation.name / "modular"
    with layers.chroot(images.layers_of(image), part, archives) as root:
        debian_sources.write(root, generation, source=True)
        images.apt(root, image, "update")
        images.apt(root, image, "install", *_NEEDS)
        # Of the version that the image has: the drivers are of that one alone.
        version = run(["chroot", root, "dpkg-query", "-Wf", "${Version}", "libvirt-daemon"])
        fetch = f"cd /srv && apt-get -q source libvirt={version}"
        log = places.LOGS / f"modular-{generation.name}.log"
        run([*beside.outside(), "chroot", root, "sh", "-ec", fetch], log=log)
        run(["chroot", root, "sh", "-euc", _BUILD], log=log)
    layers.keep(part / "upper/srv/made", target)
    layers.remove_tree(part)
    return target


def move(host: LabHost) -> None:
    """Switch a compute that runs from libvirtd to libvirt's modules. Raises LabError."""
    if "nova-compute" not in host.runs:
        raise LabError(f"{host.name}: expected a host that runs nova-compute")
    made = build(host.generation)
    say(f"{host.name}: its libvirt is in modules from now on")
    run(["cp", "-a", f"{made}/.", hosts.root(host.name)])
    own = uuid.uuid5(uuid.NAMESPACE_DNS, host.name)
    # As libvirtd.conf has them: lab/openstack_settings.py says why.
    lines = "".join(
        f"echo 'host_uuid = \"{own}\"' > /etc/libvirt/{name}.conf\n" for name in DAEMONS
    )
    tcp = "echo 'auth_tcp = \"none\"' >> /etc/libvirt/virtproxyd.conf\n"
    remote.script(host, lines + tcp + _SWITCH)
