"""Builders of what the hosts answer, for tests that turn a state into a plan."""

import json
from pathlib import Path

from fabfile.core import site_file
from fabfile.core.contract import Facts
from fabfile.model import releases, services
from fabfile.model import site as sites

RECORDED = Path(__file__).parents[1] / "contract" / "recorded"
FSID = "6238f9e6-0382-4cef-a3f3-795a22ddc50e"
OTHER = "11111111-2222-4333-8444-555555555555"
THIRD = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
KEY = "sha256:" + "a" * 64
DIGEST = "0" * 64
HOSTS = {
    "ceph01": {"roles": ["ceph"]},
    "ctl": {"roles": ["glance", "cinder"]},
    "n1": {"roles": ["compute"]},
    "n2": {"roles": ["compute"]},
}
EPHEMERAL = {
    "nova": {"ephemeral": True},
    "pools": {"volumes": {}, "images": {}, "vms": {}},
    "clients": {
        "volumes": {"rwx": ["volumes"], "rx": ["images"]},
        "images": {"rwx": ["images"]},
        "vms": {"rwx": ["vms"], "rx": ["images"]},
    },
}
PLATFORMS = site_file.platforms()
DEBIAN = next(table for table in PLATFORMS if table["name"] == "debian")


def site(**more):
    return sites.check(
        {"name": "test", "hosts": HOSTS, **more}, "site.toml", PLATFORMS, site_file.deployers()
    )


def release(name):
    """All that a release needs, as Facts hold it."""
    return releases.choose(site(release=name), Facts({}), site_file.releases()).table


ZED = release("zed")


def answer(value):
    return {"code": 0, "out": json.dumps(value), "err": ""}


def recorded(name):
    return {"code": 0, "out": (RECORDED / f"ceph16_{name}.json").read_text(), "err": ""}


def cluster(pools=(), users=(), major=16, checks=(), mons=("10.0.0.1:6789/0",)):
    monitors = [{"rank": n, "addr": a} for n, a in enumerate(mons)]
    version = f"ceph version {major}.2.15 (x) name (stable)"
    unknown = {"code": 22, "out": "", "err": "Error EINVAL: invalid command"}
    return {
        "ceph.health": answer({"checks": {c: {} for c in checks}}),
        "ceph.monmap": answer({"fsid": FSID, "mons": monitors}),
        "ceph.version": answer({"version": version}),
        "ceph.versions": answer({"mon": {version: 1}}) if major >= 12 else unknown,
        "ceph.pools": answer(list(pools)),
        "ceph.users": answer({"auth_dump": list(users)}),
    }


def said_by(text, code=0):
    """What a program says."""
    return {"code": code, "out": text, "err": ""}


def connected(*releases, required="luminous"):
    """What the cluster says of its clients: of these releases each, one."""
    groups = [{"features": "0x3f01", "release": name, "num": 1} for name in releases]
    return {
        "ceph.required": {"code": 0, "out": f'"require_min_compat_client":"{required}"', "err": ""},
        "ceph.features": answer({"mon": [], "osd": [], "client": groups, "mgr": []}),
    }


def user(client, key=KEY, caps=None):
    return {"entity": f"client.{client}", "key": key, "caps": caps or {}}


def secret(uuid, name="client.volumes secret", value=KEY, private="no"):
    xml = (
        f"<secret ephemeral='no' private='{private}'>\n  <uuid>{uuid}</uuid>\n"
        f"  <usage type='ceph'>\n    <name>{name}</name>\n  </usage>\n</secret>\n"
    )
    return {
        uuid: {
            "xml": {"code": 0, "out": xml, "err": ""},
            "value": {"code": 0 if value else 1, "out": value or "", "err": "", "peeled": ""},
        }
    }


VIRSH_READS_FILES = {"code": 0, "out": "    --file <string>  read secret from file\n", "err": ""}
"""What virsh says of its secret-set-value since libvirt 6.2."""


def conf(*active, digest=DIGEST):
    return {"sha256": digest, "active": [list(a) for a in active]}


def file(text, owner="root", mode="0644", group=None):
    return {
        "kind": "file",
        "text": text,
        "sha256": DIGEST,
        "owner": owner,
        "group": group or owner,
        "mode": mode,
    }


BACKED_UP = {
    "cinder": {"backup": {}},
    "pools": {"volumes": {}, "images": {}, "backups": {}},
    "clients": {"volumes": {}, "images": {}, "backups": {}},
}
"""A site with cinder-backup, on the hosts of cinder-volume."""


def sources(service, after=None, before=None, environment=None, read=True):
    """What a service reads beside its own file: {path: its active lines}."""
    named = next(one for one in services.SERVICES if one.key == service)
    main = DEBIAN["files"][named.name]

    def files(told):
        return [[path, [list(line) for line in lines]] for path, lines in (told or {}).items()]

    return {
        "main": main,
        "running": True,
        "files": [*files(before), *([[main, []]] if read else []), *files(after)],
        "environment": environment or {},
    }
