"""Makes the Ceph cluster inside its hosts, by hand as the manual has it.

No cephadm: it wants containers from a registry. Each OSD is a sparse file. Keys
are made on the hosts and travel on standard input alone.
"""

import uuid

from lab import remote
from lab.progress import say
from lab.topology import LabHost, Topology


def bootstrap(topology: Topology) -> None:
    """Make monitors, managers and OSDs and wait until all are in. Raises LabError."""
    monitors = topology.running("ceph-mon")
    fsid = str(uuid.uuid4())
    say(f"ceph: {len(monitors)} monitor(s), fsid {fsid}")
    keys = remote.script(monitors[0], _FIRST_KEYS)
    for host in _hosts(topology):
        remote.script(host, _configure(topology, fsid, keys))
    for host in monitors:
        remote.script(host, _monitor(topology, host, fsid))
    quorum = f"ceph -s | grep -q '{len(monitors)} daemons'"
    remote.script(monitors[0], _wait("monitors", quorum) + "ceph mon enable-msgr2\n")
    for host in topology.running("ceph-mgr"):
        remote.script(host, _manager(host))
    osds = topology.running("ceph-osd")
    for host in osds:
        remote.script(host, _osd(topology))
    say(f"ceph: waiting for {len(osds)} OSD(s)")
    up = f"ceph osd stat --format json | grep -q '\"num_up_osds\":{len(osds)}'"
    remote.script(monitors[0], _wait("OSDs", up))
    for host in _hosts(topology):
        remote.script(host, "rm -f /root/ceph.mon.keyring\n")


def _hosts(topology: Topology) -> list[LabHost]:
    return [host for host in topology.hosts if host.image == "ceph"]


def configuration(topology: Topology, fsid: str) -> str:
    """The cluster's ceph.conf."""
    monitors, osds = topology.running("ceph-mon"), len(topology.running("ceph-osd"))
    return f"""\
[global]
fsid = {fsid}
mon_initial_members = {", ".join(host.name for host in monitors)}
mon_host = {",".join(host.address for host in monitors)}
public_network = {topology.prefix}
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = {min(osds, 3)}
osd_crush_chooseleaf_type = {1 if osds > 1 else 0}
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_warn = 3
mon_data_avail_crit = 1
osd_memory_target = {topology.osd_memory_mib * 1024 * 1024}
"""


_FIRST_KEYS = """\
cd /root
ceph-authtool -C ceph.mon.keyring -g -n mon. --cap mon 'allow *' > /dev/null
ceph-authtool ceph.mon.keyring -g -n client.admin --cap mon 'allow *' \\
    --cap osd 'allow *' --cap mds 'allow *' --cap mgr 'allow *' > /dev/null
cat ceph.mon.keyring
"""


def _configure(topology: Topology, fsid: str, keys: str) -> str:
    admin = keys[keys.index("[client.admin]") :]
    return f"""\
cat > /etc/ceph/ceph.conf <<'END'
{configuration(topology, fsid)}END
chmod 644 /etc/ceph/ceph.conf
cat > /etc/ceph/ceph.client.admin.keyring <<'END'
{admin}END
cat > /root/ceph.mon.keyring <<'END'
{keys}END
systemctl enable -q ceph.target
"""


def _monitor(topology: Topology, host: LabHost, fsid: str) -> str:
    members = " ".join(f"--add {item.name} {item.address}" for item in topology.running("ceph-mon"))
    return f"""\
monmaptool --create --clobber --fsid {fsid} {members} /root/monmap > /dev/null
data=/var/lib/ceph/mon/ceph-{host.name}
mkdir -p $data
ceph-mon --mkfs -i {host.name} --monmap /root/monmap --keyring /root/ceph.mon.keyring
rm /root/monmap
chown -R ceph:ceph /var/lib/ceph/mon
systemctl enable -q --now ceph-mon.target ceph-mon@{host.name}
"""


def _manager(host: LabHost) -> str:
    return f"""\
data=/var/lib/ceph/mgr/ceph-{host.name}
mkdir -p $data
ceph auth get-or-create mgr.{host.name} mon 'allow profile mgr' osd 'allow *' \\
    mds 'allow *' -o $data/keyring
chown -R ceph:ceph /var/lib/ceph/mgr
systemctl enable -q --now ceph-mgr.target ceph-mgr@{host.name}
"""


def _osd(topology: Topology) -> str:
    # printf and echo are the shell's own: the key is in no argument list.
    return f"""\
uuid=$(cat /proc/sys/kernel/random/uuid)
secret=$(ceph-authtool --gen-print-key)
id=$(printf '{{"cephx_secret": "%s"}}' "$secret" | ceph osd new $uuid -i -)
data=/var/lib/ceph/osd/ceph-$id
mkdir -p $data
truncate -s {topology.osd_size_gib}G $data/block
printf '[osd.%s]\\n\\tkey = %s\\n' $id "$secret" > $data/keyring
ceph-osd -i $id --mkfs --osd-uuid $uuid > /dev/null 2>&1
chown -R ceph:ceph /var/lib/ceph/osd
systemctl enable -q --now ceph-osd.target ceph-osd@$id
"""


def _wait(what: str, condition: str) -> str:
    return f"""\
for i in $(seq 120); do
    if {condition}; then break; fi
    if [ $i = 120 ]; then
        ceph -s
        echo "the {what} did not come up within 60 s" >&2
        exit 1
    fi
    sleep 0.5
done
"""
