"""A whole healthy cloud, as its hosts answer a doctor; tests break it in one place."""

import base64
import copy
import json
from types import SimpleNamespace as Thing

from fabfile.core import site_file
from fabfile.core.contract import CLOUD, Facts
from fabfile.doctor import checks
from fabfile.doctor.observation import Looked
from fabfile.model import releases
from fabfile.resources import auth, service_config

from .states import (
    DEBIAN,
    FSID,
    KEY,
    VIRSH_READS_FILES,
    ZED,
    answer,
    cluster,
    conf,
    connected,
    file,
    secret,
    site,
    sources,
    user,
)

IMAGES = "sha256:" + "b" * 64
VERSION = "16.2.15+ds-0+deb12u1"
MONITOR = "10.0.0.1"
INSTANCE = "0d1a0000-0000-4000-8000-000000000001"
VOLUME = "0f1e0000-0000-4000-8000-000000000001"
CEPH_CONF = f"[global]\nfsid = {FSID}\nmon_host = {MONITOR}:6789\n"
RELEASES = tuple(releases.names(site_file.releases()))
HAZARDS = tuple(site_file.hazards())
FOLDER = {"kind": "directory", "mode": "0755", "owner": "root", "group": "root"}
BEGAN = 1000.0
"""When every service began (Unix time); files are of the second 0."""


def said(text="", code=0, **more):
    """A command's answer."""
    return {"code": code, "out": text, "err": "", **more}


def pool(name, **more):
    made = {"pool_name": name, "type": 1, "size": 3, "min_size": 2, "pg_num": 32}
    return {**made, "pg_autoscale_mode": "on", "application_metadata": {"rbd": {}}, **more}


def machine(number):
    return {
        "os": "debian",
        "like": [],
        "version": "12",
        "codename": "bookworm",
        "name": "Debian 12",
        "machine_id": f"m{number}",
        "boot_id": f"b{number}",
        "python": "3.11",
        "hostname": f"h{number}",
        "sudo_keeps": [],
        "sudo_unknown": "",
        "monotonic": 5000.0,
        "time": BEGAN + 4000.0,
    }


def units(*names):
    state = {"LoadState": "loaded", "ActiveState": "active", "Result": "success"}
    return {name: {**state, "ActiveEnterTimestampMonotonic": "1000000000"} for name in names}


def options(service, known=None):
    """A file of options with all that the site wants in force."""
    seen = {f"{service}.conf": conf(), "cinder.head": None}
    host = "n1" if service == "nova" else "ctl"
    facts = Facts({host: seen}, known or {"uuid.volumes": FSID}, ZED)
    (change,) = getattr(service_config, service).plan(site(), facts)
    described = {"kind": "file", "mode": "0640", "owner": "root", "group": service, "mtime": 0.0}
    return {**described, **conf(*change.args["edits"])}


DAEMONS = {"libvirtd.service": "active", "libvirtd.socket": "active"}


ABSENT = {
    name: {"LoadState": "not-found", "ActiveState": "inactive"}
    for name in DEBIAN["daemons"]["libvirt"]
}


def daemons(**states):
    """What units were seen; libvirtd__socket stands for libvirtd.socket.

    A state is active's, with whether it is enabled where that counts, or 'masked'.
    """
    told = {name.replace("__", "."): state for name, state in states.items()} or DAEMONS
    return {name: _unit(*state.split()) for name, state in told.items()}


def _unit(state, enabled=""):
    if state == "masked":
        return {"LoadState": "masked", "UnitFileState": "masked", "ActiveState": "inactive"}
    return {"LoadState": "loaded", "UnitFileState": enabled, "ActiveState": state}


def disk_xml(uuid=FSID, user_="volumes", monitors=(MONITOR,), image=f"volumes/volume-{VOLUME}"):
    """What is kept of a guest's XML: a local disk, and one on RBD."""
    hosts = "\n".join(f"<host name='{m}' port='6789'" for m in monitors)
    return (
        f"<disk \n<disk \n<auth username='{user_}'\n<secret type='ceph' uuid='{uuid}'/>\n"
        f"<source protocol='rbd' name='{image}' index='1'\n{hosts}"
    )


CLIENT = {"ceph-common": VERSION, "python3-rbd": VERSION, "qemu-block-extra": "1:7.2+dfsg-7"}
LIBRARIES = {"librados2": VERSION, "librbd1": VERSION}
DISK = {"/": [10**10, 2 * 10**10, 10**6, 2 * 10**6], "/etc": [10**10, 2 * 10**10, 10**6, 2 * 10**6]}


NAMED = [
    f"{kind}.{client}" for kind in ("keyrings", "keyfiles") for client in ("images", "volumes")
]
MADE = 1700000000


def kinds(made):
    """What is read of a key: its type, and when it was made."""
    head = base64.b64encode(b"\1\0" + made.to_bytes(4, "little")).decode()
    return said(f'"entity":"client.volumes"\n"key":"{head}')


DAEMONS_OF_CEPH = (
    "ceph-mon@ceph01.service loaded active\nceph-mgr@ceph01.service loaded active\n"
    "ceph-osd@0.service loaded active"
)
RATIOS = '"full_ratio":0.95\n"backfillfull_ratio":0.9\n"nearfull_ratio":0.85'


def service_host(number, **more):
    return {
        "host": machine(number),
        "packages": {**CLIENT, **LIBRARIES},
        "kolla": {"/etc/kolla": False},
        "ceph.folder": FOLDER,
        "ceph.conf": file(CEPH_CONF),
        "pending_restarts": [],
        "disk": DISK,
        "ceph.keyrings": said(),
        "confinement": {"selinux": "off", "labels": [], "denials": []},
        **more,
    }


def compute(number):
    return service_host(
        number,
        **{
            "nova.conf": options("nova"),
            "nova.sources": sources("nova"),
            "libvirt.secrets": secret(FSID),
            "virsh.secret-set-value": VIRSH_READS_FILES,
            "guests": said("instance-1\n"),
            "units": units("nova-compute"),
            "libvirt.daemons": {**ABSENT, **daemons()},
            "domains": {INSTANCE: {"disks": said(disk_xml())}},
        },
    )


def hosts():
    """{host: {read id: value}} of the healthy cloud."""
    clients = auth.clients(site(), Thing(users={}, pools={}, release=16), ZED)
    users = [
        user("volumes", KEY, auth.wanted_caps(clients["volumes"], 16)),
        user("images", IMAGES, auth.wanted_caps(clients["images"], 16)),
    ]
    pools = [pool("volumes"), pool("images")]
    ceph = cluster(pools=pools, users=users, mons=(f"{MONITOR}:6789/0",))
    openstack = {
        **dict.fromkeys(releases.PACKAGES),
        "nova-common": None,
        "glance-common": "2:25.1.0-2",
        "cinder-common": "2:21.3.1-1",
    }
    made = {
        "ceph01": {
            **ceph,
            **connected("luminous", required="mimic"),
            "pending_restarts": [],
            "host": machine(0),
            "disk": DISK,
            "ceph.ratios": said(RATIOS),
            "ceph.kinds": kinds(MADE),
            "ceph.df": answer({"pools": []}),
            "ceph.daemons": said(DAEMONS_OF_CEPH),
            "ceph.orchestrator": said(code=2),
            "programs": said(code=1),
        },
        "ctl": service_host(
            1,
            **{
                "keyring.images": file(f"[client.images]\n\tkey = {IMAGES}\n", "glance", "0640"),
                "keyring.volumes": file(f"[client.volumes]\n\tkey = {KEY}\n", "cinder", "0640"),
                **dict.fromkeys(NAMED, {}),
                "cinder.conf": options("cinder"),
                "cinder.sources": sources("cinder"),
                "cinder.head": None,
                "glance.conf": options("glance"),
                "glance.sources": sources("glance"),
                "units": units("glance-api", "cinder-volume"),
                "glance.files": said("/var/lib/glance/images/1\n"),
                "cinder.defaults": said(code=1),
            },
        ),
        "n1": compute(2),
        "n2": compute(3),
    }
    made["ctl"]["packages"] |= openstack
    for name in ("n1", "n2"):
        made[name]["packages"] |= {**dict.fromkeys(openstack), "nova-common": "2:26.2.2-1"}
    return made


API = {
    "volume_types": {"rbd": {"volume_backend_name": "rbd"}},
    "volumes": [{"id": VOLUME, "name": "v", "host": "ctl@rbd#rbd", "status": "in-use"}],
    "volume_services": [{"host": "ctl@rbd", "up": True, "enabled": True}],
    "attachments": [
        {
            "volume": VOLUME,
            "instance": INSTANCE,
            "user": "volumes",
            "uuid": FSID,
            "monitors": [MONITOR],
        }
    ],
}


def looked(change=lambda cloud: None, known=None, **more):
    """A look at the healthy cloud, after change(its answers)."""
    answers = copy.deepcopy({**hosts(), CLOUD: API})
    change(answers)
    uuid = {"uuid.volumes": FSID} if known is None else known
    facts = Facts(answers, uuid, ZED)
    clocks = dict.fromkeys(site().hosts, (-0.1, 0.9))
    given = {
        "clocks": clocks,
        "here": {},
        "releases": RELEASES,
        "release": "zed",
        "hazards": HAZARDS,
        **more,
    }
    return Looked(facts, **given)


def found(change=lambda cloud: None, site_=None, **more):
    """The findings of a cloud that was changed."""
    return checks.findings(site_ or site(), looked(change, **more))[0]


def altered(cloud, host, read, change):
    """Changes the JSON that a command answered."""
    document = json.loads(cloud[host][read]["out"])
    change(document)
    cloud[host][read] = answer(document)
