"""The end state that every way has to reach on each compute, and the cluster behind it."""

from __future__ import annotations

import json
from typing import Any

FSID = "92cc3b4f-3ac6-47eb-971b-7184c8e38ebf"
KEY = "AQB8yDhnAAAAABAAbenchmarkAAAAAAAAAAAAA=="
"""In the form of a cephx key, and the key of nothing."""
CLIENT = "volumes"
MONITORS = ("192.0.2.11", "192.0.2.12", "192.0.2.13")
PACKAGES = {
    "ceph-common": "16.2.15+ds-0+deb12u1",
    "python3-rbd": "16.2.15+ds-0+deb12u1",
    "qemu-block-extra": "1:7.2+dfsg-7+deb12u7",
    "nova-common": "2:26.2.2-1~deb12u3",
}
CLIENT_PACKAGES = ("ceph-common", "python3-rbd", "qemu-block-extra")
UNIT = "nova-compute"
NOVA_CONF = "/etc/nova/nova.conf"
OPTIONS = {"rbd_user": CLIENT, "rbd_secret_uuid": FSID}
"""Of [libvirt]; each goes below its commented default, '#NAME = <None>'."""
SECRET_XML = (
    f'<secret ephemeral="no" private="no"><uuid>{FSID}</uuid>'
    f'<usage type="ceph"><name>client.{CLIENT} secret</name></usage></secret>'
)


def ceph_conf() -> str:
    """The client's ceph.conf, as the product makes it of the monitor map."""
    hosts = " ".join(f"[v2:{m}:3300,v1:{m}:6789]" for m in MONITORS)
    return (
        "# written by stackrbd from the cluster's monitor map\n"
        f"[global]\nfsid = {FSID}\nmon_host = {hosts}\n"
    )


def as_data() -> dict[str, Any]:
    """All of it for the peers' own files, which read it as JSON."""
    return {
        "fsid": FSID,
        "key": KEY,
        "client": CLIENT,
        "ceph_conf": ceph_conf(),
        "packages": list(CLIENT_PACKAGES),
        "unit": UNIT,
        "nova_conf": NOVA_CONF,
        "options": OPTIONS,
        "secret_xml": SECRET_XML,
    }


def answers() -> dict[str, str]:
    """{file: text} of what the ceph stand-in says: a healthy Pacific, nothing left to do."""
    version = "ceph version 16.2.15 (618f4408) pacific (stable)"
    return {
        "key": KEY,
        "health.json": json.dumps({"status": "HEALTH_OK", "checks": {}, "mutes": []}),
        "monmap.json": json.dumps({"fsid": FSID, "mons": [_mon(*m) for m in enumerate(MONITORS)]}),
        "version.json": json.dumps({"version": version}),
        "versions.json": json.dumps({"mon": {version: 3}, "overall": {version: 3}}),
        "pools.json": json.dumps([_pool(name) for name in ("volumes", "images")]),
        "rules.json": json.dumps([_RULE]),
        "osds.json": json.dumps(
            {
                "full_ratio": 0.95,
                "backfillfull_ratio": 0.9,
                "nearfull_ratio": 0.85,
                "require_min_compat_client": "mimic",
                "min_compat_client": "jewel",
            }
        ),
        "features.json": json.dumps({"mon": [], "osd": [], "client": [], "mgr": []}),
        "df.json": json.dumps({"pools": []}),
        "users.json": json.dumps(
            {"auth_dump": [_user("volumes", "images"), _user("images", "volumes")]}
        ),
    }


_RULE = {
    "rule_id": 0,
    "rule_name": "replicated_rule",
    "type": 1,
    "steps": [
        {"op": "take", "item": -1, "item_name": "default"},
        {"op": "chooseleaf_firstn", "num": 0, "type": "host"},
        {"op": "emit"},
    ],
}


def _mon(rank: int, address: str) -> dict[str, Any]:
    vector = [{"type": "v2", "addr": f"{address}:3300"}, {"type": "v1", "addr": f"{address}:6789"}]
    addresses = {"addr": f"{address}:6789/0", "public_addrs": {"addrvec": vector}}
    return {"rank": rank, "name": f"mon{rank}", **addresses}


def _pool(name: str) -> dict[str, Any]:
    return {
        "pool_name": name,
        "type": 1,
        "size": 3,
        "min_size": 2,
        "pg_num": 32,
        "application_metadata": {"rbd": {}},
    }


def _user(name: str, reads: str = "") -> dict[str, Any]:
    osd = f"profile rbd pool={name}" + (f", profile rbd-read-only pool={reads}" if reads else "")
    caps = {"mon": "profile rbd", "osd": osd, "mgr": f"profile rbd pool={name}"}
    return {"entity": f"client.{name}", "key": KEY, "caps": caps}
