"""What a deployer is told of Ceph on its own host: where its files are edited, services come right.

For a cloud whose containers and files another program writes: what is written beside it is lost at
its next run.  So its variables, secrets' UUIDs, ceph.conf, keyrings and overrides are planned, on
its deploy host; config/deployers has what it makes of them by itself, and overrides say the rest of
what the release's tables want.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from fabfile.core.contract import INV, Change, Facts, Host, Json, Read, Refused
from fabfile.model.site import Site
from fabfile.resources import by_cluster, ceph_conf, cluster, keyrings
from fabfile.resources.deployer_files import (
    BOM,
    CREDENTIALS,
    GLOBALS,
    IN_INVENTORY,
    KIND,
    LATER,
    PASSWORDS,
    VAULT,
    Told,
    beside_of,
    conf_of,
    folder_of,
    folders,
    inventory_of,
    is_asked,
    keyring_of,
    made_folders,
    opens,
    passwords_change,
    refuse_later,
    refuse_unclear,
    sealed_keyrings,
    variables_change,
    variables_of,
)
from fabfile.resources.deployer_kolla import Kolla
from fabfile.resources.deployer_openstack_ansible import OpenStackAnsible
from fabfile.resources.in_force import PLAIN
from fabfile.resources.resource import Resource

_KINDS: Mapping[str, type[Told]] = {"kolla": Kolla, "openstack-ansible": OpenStackAnsible}


def reads(site: Site, host: Host) -> list[Read]:
    """The deployer's files, with what is secret in them masked; the clusters' side."""
    found = by_cluster.reads(site, host, cluster.reads)
    own = site.written_by
    if not own or not is_asked(site, host):
        return found
    base = folder_of(site)
    text = {"text": True}
    names = "|".join([*sorted(variables_of(own)), *own.watched])
    later = rf"^({BOM})?[[:space:]{{]*[\"']?({names})[\"']?[[:space:]]*:|^\{VAULT}"
    said = rf"^([^#;]*[[:space:]{{])?[\"']?({names})[\"']?[[:space:]]*[:=]"
    uuids = "|".join(own.uuids.values())
    not_ours = rf"^(?![\ufeff \t]*[\"']?(?:{uuids})[\"']?[ \t]*:|\{VAULT})[\ufeff \t]*[#{{]?(.*\S)"
    found += [
        Read(GLOBALS, "file", {"path": f"{base}/{own.globals}", **text, "mask": list(CREDENTIALS)}),
        Read(PASSWORDS, "file", {"path": f"{base}/{own.passwords}", **text, "mask": [not_ours]}),
        _search(LATER, later, [word.format(folder=base) for word in own.later_in]),
        _search(IN_INVENTORY, said, beside_of(site, own)),
    ]
    for path in folders(site, own):
        found.append(Read(path, "file", {"path": path, "kind": "directory"}))
    for path in dict.fromkeys(path for paths in own.overrides.values() for path in paths):
        found.append(_read_of(site, path, "options", {"plain": PLAIN}))
    for one in site.handed:
        masks = {**text, "mask": ceph_conf.CREDENTIALS}
        found.append(_read_of(site, conf_of(own, one), "file", masks))
        if opens(one):
            found.append(
                _read_of(site, keyring_of(own, one), "file", {**text, "mask": list(keyrings.MASK)})
            )
    return found


def _search(name: str, pattern: str, where: Sequence[str]) -> Read:
    """What matches in files and folders, links too; 2 is where one is not there.

    What stands before a name may be another one's password, and stays there.
    """
    before = r"^(.*\S)[ \t{]+[\"']?\w+[\"']?[ \t]*[:=]$"
    argv = ["grep", "-RIhoE", pattern, *where]
    return Read(name, "argv", {"argv": argv, "ok": [0, 1, 2], "mask": [before]})


def _read_of(site: Site, path: str, verb: str, args: Mapping[str, Json]) -> Read:
    below = site.written_by.below if site.written_by else ""
    return Read(f"{below}/{path}", verb, {"path": f"{folder_of(site)}/{below}/{path}", **args})


def plan(site: Site, facts: Facts) -> list[Change]:
    """What the deployer's files lack.  Raises Refused for what it cannot carry out."""
    told = _told(site, facts)
    if not told:
        return []
    refuse_unclear(told)
    refuse_later(told)
    told.refuse()
    return [
        *made_folders(told),
        *variables_change(told),
        *passwords_change(told),
        *_handed_on(told),
    ]


def _told(site: Site, facts: Facts) -> Told | None:
    """None where there is no deployer, or its host was left out.  Raises Refused."""
    own = site.written_by
    host = site.with_role("deploy")[0].name if own else ""
    if not own or host not in facts.hosts:
        return None
    seen = facts.hosts[host]
    for read, name in ((GLOBALS, own.globals), (PASSWORDS, own.passwords)):
        if seen[read] is None:
            raise Refused(
                host=host,
                subject=f"{folder_of(site)}/{name}",
                expected=f"a file of {own.name}'s",
                found="no such file",
                advice=f"name its folder ([deploy] folder), or make it as {own.name}'s guide says",
            )
    return _KINDS[own.name](site, facts, own, facts.release["form"], seen)


def _handed_on(told: Told) -> Iterator[Change]:
    """Each file once, whichever services share it."""
    done: set[str] = set()
    for one in told.site.handed:
        for path, make in told.files_of(one):
            if path not in done:
                done.add(path)
                yield from make(told, one, path)


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """What a person does then: the deployer's own command puts it onto the hosts."""
    mine = [change for change in changes if change.kind == KIND]
    told = _told(site, facts)
    if not told:
        return []
    sealed = sealed_keyrings(told)
    if not mine:
        return sealed
    words = [word.format(inventory=inventory_of(site)) for word in told.form.command]
    return [
        *sealed,
        f"{told.host}: no host of the cloud is touched and nothing is restarted: then run "
        f"{shlex.join(words)} there, and {INV} verify",
        *told.notes(changes),
    ]


RESOURCE = Resource("hosts.deployer", reads, plan, notes)
