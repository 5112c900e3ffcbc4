"""A Ceph host whose daemons are cephadm's: its own containers and units, no program of Ceph's.

The lab's one Ceph host is made anew with an empty cluster of its own, by Debian's cephadm; the
image has Debian's Ceph, and the manager's orchestrator works (its remoto is from PyPI).
"""

import shutil
import sys
from pathlib import Path

from lab import beside, cache_key, hosts, images, kept, layers, places, podman, remote, seed
from lab.errors import LabError
from lab.generation import Generation
from lab.images import Image
from lab.programs import run
from lab.progress import say
from lab.topology import LabHost, Topology

NAME = "localhost/ceph/ceph:v16"
_HOST = (*podman.ENGINE, "cephadm", "catatonit", "chrony")
_IN_IMAGE = ("ceph-mgr-cephadm", "python3-execnet")
_REMOTO = "remoto==1.2.1"
_UNWANTED = (
    *("lvm2-monitor.service", "lvm2-lvmpolld.socket", "dm-event.socket"),
    "blk-availability.service",
)
# As the images of the Ceph project have it: cephadm takes the owner of all files from there.
_UID = 167


def build(generation: Generation) -> Path:
    """Make what is missing of the host's layer and Ceph's image; returns their folder."""
    ceph = Image(generation, "ceph")
    words = [*_HOST, *_IN_IMAGE, _REMOTO, images.key(ceph)]
    key = cache_key.of(words, [podman])
    target = places.CACHE / "cephadm" / f"{generation.name}-{key}"
    if target.is_dir():
        return target
    part = places.BUILDS / "cephadm"
    layers.remove_tree(part)
    (part / "done").mkdir(parents=True)
    say("cephadm: a host with podman and cephadm, and an image of Ceph")
    base = images.layers_of(ceph)[-1:]
    with podman.installed(part / "host", base, _HOST, ceph) as root:
        run(["chroot", root, "systemctl", "--quiet", "disable", *_UNWANTED])
        # It asks nobody for the time, and sets no clock: this machine's is everybody's.
        (root / "etc/default/chrony").write_text('DAEMON_OPTS="-x"\n')
        (root / "etc/tmpfiles.d/lab-udev.conf").write_text("d /run/udev\n")
    with podman.installed(part / "ceph", images.layers_of(ceph), _IN_IMAGE, ceph) as root:
        _bring_remoto(root, part)
        podman.renumber(root, "ceph", _UID, _UID)
        podman.pack(root, part / "ceph.tar")
    lower = [part / "host/upper", *base]
    podman.bring(part, lower, part / "ceph.tar", NAME, ["LABEL ceph=True"])
    (part / "host/upper").rename(part / "done/host")
    layers.keep(part / "done", target)
    layers.remove_tree(part)
    return target


def _bring_remoto(root: Path, part: Path) -> None:
    """By which this release's orchestrator reaches hosts; Debian has it not."""
    argv = [*beside.outside(), sys.executable, "-m", "pip", "-q", "download", "--no-deps"]
    run([*argv, "--no-binary", "remoto", "-d", part / "pypi", _REMOTO])
    (source,) = (part / "pypi").glob("*.tar.gz")
    shutil.unpack_archive(source, part / "pypi", filter="data")
    (package,) = (part / "pypi").glob("*/remoto")
    shutil.copytree(package, root / "usr/lib/python3/dist-packages/remoto")


def move(host: LabHost, topology: Topology) -> None:
    """Make the one Ceph host anew, with a cluster of cephadm's. Raises LabError."""
    if topology.running("ceph-mon") != (host,):
        raise LabError(f"{host.name}: expected the one host with a monitor")
    made = build(host.generation)
    say(f"{host.name}: made anew, its cluster by cephadm")
    hosts.drop([host.name])
    root = hosts.mount(host, [made / "host", *images.layers_of(kept.image_of(host))[-1:]])
    seed.write(root, host, topology)
    if "apt-repository" in host.runs:
        kept.install_repository(root, host.generation)
    podman.configure(root)
    # For an OSD cephadm sets the kernel by it, and fails where it may not: it is this machine's.
    _program(root / "usr/local/sbin/sysctl", "#!/bin/sh\nexit 0\n")
    podman.start(host, topology, made / "store")
    remote.script(host, _bootstrap(host, topology))
    say(f"{host.name}: an OSD of cephadm's")
    remote.script(host, _osd(topology))


def _program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def _bootstrap(host: LabHost, topology: Topology) -> str:
    return f"""\
umask 022
cat > /root/initial.conf <<'END'
[global]
osd_pool_default_size = 1
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_warn = 3
mon_data_avail_crit = 1
auth_allow_insecure_global_id_reclaim = false
# Nobody is beside the one OSD to tell of its end.
mon_osd_report_timeout = 60
osd_beacon_report_interval = 10
END
cephadm --image {NAME} bootstrap --mon-ip {host.address} --config /root/initial.conf \\
    --skip-pull --skip-dashboard --skip-monitoring-stack --skip-firewalld \\
    --single-host-defaults > /root/bootstrap.log 2>&1 || {{
    tail -n 20 /root/bootstrap.log
    exit 1
}}
rm /root/initial.conf
# It logs the keys that it makes: a test is to see those alone that a run of ours left.
sed -i -E 's/(ceph-authtool: ).*/\\1***/' /var/log/ceph/cephadm.log
# There is no registry to ask for the image by its digest.
cephadm shell -- ceph config set mgr mgr/cephadm/use_repo_digest false
cephadm shell -- ceph config set osd osd_memory_target_autotune false
cephadm shell -- ceph config set osd osd_memory_target {topology.osd_memory_mib * 1024 * 1024}
"""


def _osd(topology: Topology) -> str:
    """An OSD on a sparse file, as cephadm has one that it adopted: no ceph-volume activates it."""
    # printf and echo are the shell's own: the key is in no argument list.
    return f"""\
fsid=$(cephadm shell -- ceph fsid)
uuid=$(cat /proc/sys/kernel/random/uuid)
secret=$(cephadm shell -- ceph-authtool --gen-print-key)
id=$(printf '{{"cephx_secret": "%s"}}' "$secret" | cephadm shell -- ceph osd new $uuid -i -)
data=/var/lib/ceph/$fsid/osd.$id
mkdir -p $data /etc/ceph/osd
truncate -s {topology.osd_size_gib}G $data/block
printf '[osd.%s]\\n\\tkey = %s\\n' $id "$secret" > $data/keyring
chown -R {_UID}:{_UID} $data
podman run --rm --net=host --entrypoint ceph-osd -v $data:/var/lib/ceph/osd/ceph-$id \\
    -v /etc/ceph/ceph.conf:/etc/ceph/ceph.conf:ro {NAME} \\
    -i $id --mkfs --osd-uuid $uuid --setuser ceph --setgroup ceph > /root/mkfs.log 2>&1
echo '{{}}' > /etc/ceph/osd/$id-$uuid.json.adopted-by-cephadm
cephadm --image {NAME} deploy --fsid $fsid --name osd.$id --osd-fsid $uuid \\
    -c /etc/ceph/ceph.conf --keyring $data/keyring
for i in $(seq 60); do
    if cephadm shell -- ceph osd stat --format json | grep -q '"num_up_osds":1'; then exit 0; fi
    sleep 1
done
echo "the OSD did not come up within a minute" >&2
exit 1
"""
