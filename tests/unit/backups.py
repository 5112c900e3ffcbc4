"""Backups as this tool makes them, and stores of them, for tests of what is believed of one."""

import copy
import hashlib
import time

from fabfile.backup import signature
from fabfile.backup.signature import Trust
from fabfile.backup.store import Incoming, Store

from .states import FSID

FILES = {
    "/etc/nova": ["directory", "0755", "root", "root", ""],
    "/etc/nova/nova.conf": ["file", "0640", "root", "nova", "f" * 64],
    "/etc/mysql": ["directory", "0755", "root", "root", ""],
    "/etc/mysql/my.cnf": ["link", "0777", "root", "root", "/etc/alternatives/my.cnf"],
}
DATABASE = {
    "version": "10.11.19-MariaDB-0+deb12u1",
    "schemas": ["nova"],
    "tables": {"nova.a": [1, "a" * 64], "nova.": [0, "b" * 64]},
    "heads": {"nova": ["c92a3e68beed"]},
    "unsafe": ["nova.m (MyISAM)"],
    "loose": ["nova.l"],
    "space": 1000,
    "size": 100,
    "first": "/*M!999999\\- enable the sandbox mode */",
}
HELD = {
    "files": FILES,
    "versions": {"nova-common": "2:26.2.2-1~deb12u3", "mariadb-server": "1:10.11.19-0+deb12u1"},
    "units": ["mariadb", "nova-api", "cinder-volume@a"],
    "database": DATABASE,
    "left": [],
    "size": 6,
    "sha256": hashlib.sha256(b"sealed").hexdigest(),
}


def manifest(name="r", **more):
    """A backup's manifest, whole."""
    head = {"format": 1, "site": "lab", "fsid": FSID, "record": name, "time": int(time.time())}
    return copy.deepcopy({**head, "who": "o", "ceph": {}, "hosts": {"ctl": HELD}, **more})


def a_signer(folder):
    """A new key that signs."""
    signature.save_key(folder / "key.sign")
    return signature.load_key(folder / "key.sign")


def a_store(folder, signer=None, unsigned=False):
    """A store that believes that signer."""
    signers = frozenset([signer.public] if signer else [])
    return Store(str(folder / "records"), "lab", Trust(signers, unsigned))


def keep(store, name, signer=None, data=b"sealed", **more):
    """Puts a backup into a store; its folder."""
    part = store.begin(name)
    stream = Incoming(part / "ctl.age")
    stream.take(data)
    held = {**HELD, **stream.close()}
    return store.finish(part, manifest(name, **{"hosts": {"ctl": held}, **more}), signer)
