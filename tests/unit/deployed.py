"""A site whose services a deployer writes: what its host answers, what a plan makes of it."""

import hashlib
import re

import pytest

from fabfile.core.contract import BadInput, Facts, Ref
from fabfile.core.remote import options, steps
from fabfile.core.remote.processes import masked
from fabfile.flow import gather
from fabfile.flow.settle import settle
from fabfile.resources import by_cluster, deployer

from . import states

DEPLOY = "deploy01"
HOSTS = {"ceph01": {"roles": ["ceph"]}, DEPLOY: {"roles": ["deploy"]}}
CINDER, NOVA = "22222222-2222-4222-8222-222222222222", "33333333-3333-4333-8333-333333333333"
GLOBALS = (
    '---\n# mine\nkolla_base_distro: "debian"\nenable_cinder: "yes"\nenable_cinder_backup: "no"\n'
)
PASSWORDS = (
    f"---\nadmin_password: hunter2\nrbd_secret_uuid: {NOVA}\ncinder_rbd_secret_uuid: {CINDER}\n"
)
SECRET = "AQDkeyOfATestAndOfNothingElse0000000000=="


VARIABLES = "---\n# mine\ndebug: false\n"
SECRETS = "---\nadmin_password: hunter2\ncinder_ceph_client_uuid:\nz_password: hunter2\n"


def site(release="zed", **more):
    table = {"deployer": "kolla", "deploy": {"inventory": "/etc/kolla/multinode"}}
    if more.get("deployer") == "openstack-ansible":
        table = {"deployer": more.pop("deployer")}
    return states.site(hosts=more.pop("hosts", HOSTS), release=release, **table, **more)


def elsewhere(disks=True):
    """Tables of a site file: images on its own cluster; volumes, backups, disks on another."""
    names = dict.fromkeys(["volumes", "backups", *(["vms"] if disks else [])], {})
    found = {
        "pools": {"images": {}},
        "clients": {"images": {}},
        "clusters": {"west": {"pools": names, "clients": names}},
        "cinder": {"backend": "rbd-1", "cluster": "west", "backup": {"cluster": "west"}},
    }
    nova = {"ephemeral": True, "client": "vms", "pool": "vms", "cluster": "west"}
    return {**found, "nova": nova} if disks else found


def users(site_):
    """All clients of a part, each with a key of its own."""
    return [states.user(name, key=key_of(name)) for name in site_.clients]


def admins(site_):
    """What each cluster of a site answers."""
    fsids = {"ceph": states.FSID, "west": states.OTHER}
    found = {}
    for part in site_.parts:
        told = states.cluster(users=users(part)) | states.connected("luminous")
        monmap = {"fsid": fsids[part.label], "mons": [{"rank": 0, "addr": "10.0.0.1:6789/0"}]}
        told["ceph.monmap"] = states.answer(monmap)
        named = {by_cluster.tagged(part, name): value for name, value in told.items()}
        found.setdefault(part.admin.name, {}).update(named)
    return found


def key_of(name):
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


def files(texts=None):
    """{path below /etc/kolla: text} of a deploy host before anything is written."""
    return {"globals.yml": GLOBALS, "passwords.yml": PASSWORDS, **(texts or {})}


def of_osa(texts=None):
    """As files(), of OpenStack-Ansible's deploy host."""
    return {"user_variables.yml": VARIABLES, "user_secrets.yml": SECRETS, **(texts or {})}


def _below(path):
    return path.removeprefix("/etc/kolla/").removeprefix("/etc/openstack_deploy/")


def _answer(read, texts):
    path = read.args.get("path", "")
    name = _below(path)
    if read.verb == "argv":
        folder = {
            "code": 2,
            "out": "",
            "err": "grep: /etc/kolla/globals.d: No such file or directory",
        }
        return {**folder, "out": texts.get(read.id.replace("deployer.later", "globals.d"), "")}
    if read.args.get("kind") == "directory":
        there = name == "" or any(one.startswith(f"{name}/") for one in texts)
        return (
            {"kind": "directory", "mode": "0755", "owner": "kolla", "group": "kolla"}
            if there
            else None
        )
    if name not in texts:
        return None
    text = texts[name]
    owned = {"kind": "file", "mode": "0640", "owner": "kolla", "group": "kolla"}
    owned["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    if read.verb == "options":
        return {**owned, "active": [list(one) for one in options.active(text)]}
    if name.endswith(".yml"):
        return {**owned, "text": masked(text, read.args["mask"])}
    return {**owned, "text": text.replace(SECRET, key_of(_client(name)))}


def _client(name):
    return name.removesuffix(".keyring").rpartition("/")[2].rpartition(".")[2]


def facts(site_, texts, told=None):
    """What is known of such a site; told: {host: its cluster's answers}."""
    host = site_.host(DEPLOY)
    reads = gather.questions(site_, [deployer.RESOURCE], host)
    seen = {read.id: _answer(read, texts) for read in reads if read.verb != "host"}
    told = {DEPLOY: seen, **(told or admins(site_))}
    settled = settle(site_, Facts(told))
    return Facts(told, settled.known, settled.table)


def _before(site_, texts):
    return of_osa(texts) if site_.deployer == "openstack-ansible" else files(texts)


def planned(site_, texts=None, **more):
    return deployer.plan(site_, facts(site_, _before(site_, texts), **more))


def is_refused(site_, texts, said):
    """In these words, with a way on, and without a password; None for a file that is not there."""
    there = {name: text for name, text in _before(site_, texts).items() if text is not None}
    told = facts(site_, there)
    with pytest.raises(BadInput, match=re.escape(said)) as caught:
        deployer.plan(site_, told)
    assert caught.value.advice or caught.value.why
    assert "hunter2" not in str(caught.value)


def carried_out(changes, texts):
    """The texts after these changes, made by the agent's own code."""
    found = dict(texts)
    for change in changes:
        name, args = _below(change.args["path"]), change.args
        old = found.get(name, "")
        if change.verb == "edit":
            found[name] = options.edit(old, args["edits"])
        elif change.verb == "write":
            parts = [{"secret": SECRET} if isinstance(p, Ref) else p for p in args["content"]]
            found[name] = steps.joined("run", parts, old.encode())
    return found
