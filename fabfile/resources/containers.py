"""What a service's container copies at its start: that Ceph's files are among it.

Kolla's containers read nothing of their host but what config.json names.  Where a cloud was
deployed without Ceph, its entries are missing, and are written beside the others; each is
optional, so that a container starts with or without the file.
Source: set_configs.py of Kolla; the templates of kolla-ansible's roles glance, cinder, nova-cell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from fabfile.core.contract import Change, Facts, Failed, Host, Json, Read, Refused
from fabfile.model import services
from fabfile.model.deployment import Binding
from fabfile.model.phases import Leaving
from fabfile.model.site import Site
from fabfile.resources import ceph_conf
from fabfile.resources.client_packages import client_hosts
from fabfile.resources.resource import Leaves, Resource

SOURCES = "/var/lib/kolla/config_files"
"""Where a container has its folder of the host."""
SECRETS = "/etc/libvirt/secrets"
ALWAYS = "COPY_ALWAYS"
Entry = Mapping[str, Json]


def containers_of(site: Site, host: Host) -> Mapping[str, Mapping[str, str]]:
    """{a container's name: its row of the platform}, of the services of a host."""
    here = {service.name for service in services.on(host)}
    if not here:
        return {}
    rows = site.platform_of(host).containers.items()
    return {name: row for name, row in rows if row["service"] in here}


def reads(site: Site, host: Host) -> list[Read]:
    """The containers, what each copies, and whether its image has the Ceph client."""
    rows = containers_of(site, host)
    if not rows:
        return []
    found = [Read("containers", "containers", {"names": list(rows)})]
    for name, row in rows.items():
        path = {"path": f"{row['folder']}/config.json", "text": True}
        argv = site.platform_of(host).command(f"client-of-{name}")
        found.append(Read(f"copies.{name}", "file", path))
        found.append(Read(f"client.{name}", "argv", {"argv": argv, "ok": list(range(256))}))
    return found


def plan(site: Site, facts: Facts) -> list[Change]:
    """The entries that are missing.  Raises Refused for what a container cannot be given."""
    changes: list[Change] = []
    for host in client_hosts(site):
        if host.name in facts.hosts:
            for name, row in containers_of(site, host).items():
                changes += _of(site, facts, host, name, row)
    return changes


def _of(
    site: Site, facts: Facts, host: Host, name: str, row: Mapping[str, str]
) -> Iterator[Change]:
    seen, path = facts.hosts[host.name], f"{row['folder']}/config.json"
    _refuse(host.name, name, row, seen["containers"][name])
    bindings = _bindings(site, host, row)
    if seen[f"client.{name}"]["code"] and _needs_client(row, bindings):
        raise Refused(
            host=host.name,
            subject=name,
            expected="the Ceph client in its image",
            found="none",
            why="nothing is installed into a container",
            advice="deploy an image that has it (Kolla's own have), then run this again",
        )
    file = seen[f"copies.{name}"]
    told = _told(host.name, path, file)
    has = told["config_files"]
    wanted = _wanted(row, bindings)
    new = [one for one in wanted if not any(_covers(e, one) for e in has)]
    _refuse_others(host.name, name, path, has, new)
    if not new:
        return
    service = next(one for one in services.on(host) if one.name == row["service"])
    # libvirt gets its secrets live, and has the files at its next start.
    unit = (site.platform_of(host).unit(service),) if row["takes"] == "ceph" else ()
    sentence = f"{name} copies {_names(new)} at its start"
    change = _with(host.name, path, file, {**told, "config_files": [*has, *new]}, sentence)
    yield replace(change, wave=service.phase, restarts=unit)


def _with(host: str, path: str, file: Json, told: Json, sentence: str) -> Change:
    """A config.json that tells something else."""
    text = json.dumps(told, indent=4) + "\n"
    args = {
        "path": path,
        "content": ceph_conf.parts(file["text"], text),
        **{key: file[key] for key in ("mode", "owner", "group")},
        "before": file["sha256"],
    }
    diff = ceph_conf.changed(file["text"], text)
    return Change(
        host, path, sentence, "~", "write", args, Leaving.KEYS, diff, kind="copies", subject=path
    )


def leaving(site: Site, rest: Site, facts: Facts) -> Leaves:
    """The entries of our form whose files go; a container starts without these, too."""
    found: list[Change] = []
    for host in client_hosts(site):
        seen = facts.hosts.get(host.name, {})
        for name, row in containers_of(site, host).items():
            file, path = seen.get(f"copies.{name}"), f"{row['folder']}/config.json"
            kept = list(_wanted(row, _bindings(rest, rest.host(host.name), row)))
            gone = [one for one in _wanted(row, _bindings(site, host, row)) if one not in kept]
            told = _told(host.name, path, file) if file and gone else {"config_files": []}
            out = [one for one in told["config_files"] if one in gone]
            if out:
                left = [one for one in told["config_files"] if one not in gone]
                sentence = f"{name} copies {_names(out)} no more"
                found.append(_with(host.name, path, file, {**told, "config_files": left}, sentence))
    return found


def _bindings(site: Site, host: Host, row: Mapping[str, str]) -> list[Binding]:
    return [one for one in site.bindings_of(host) if one.service.name == row["service"]]


def _names(entries: Sequence[Entry]) -> str:
    return ", ".join(_last(one["source"]) for one in entries)


def _refuse(host: str, name: str, row: Mapping[str, str], seen: Json) -> None:
    """Raises Refused for a container that would not get what is written on the host."""
    if seen is None:
        raise Refused(
            host=host,
            subject=name,
            expected="a container of that name",
            found="none",
            advice="deploy it with Kolla-Ansible, or take the role from this host",
        )
    if seen["folder"] != row["folder"]:
        raise Refused(
            host=host,
            subject=name,
            expected=f"{row['folder']} mounted at {SOURCES}",
            found=seen["folder"] or "nothing there",
            why="what is written would not be read",
            advice="name the folders that it has in platform_changes",
        )
    if seen["strategy"] != ALWAYS:
        raise Refused(
            host=host,
            subject=name,
            expected=f"KOLLA_CONFIG_STRATEGY={ALWAYS}",
            found=seen["strategy"] or "none",
            why="it copies its files at its first start alone",
            advice=f'deploy it with config_strategy: "{ALWAYS}"',
        )


def _refuse_others(
    host: str, name: str, path: str, has: Sequence[Entry], new: Sequence[Entry]
) -> None:
    """Raises Refused where another file of the host is copied to the place of one of ours."""
    for one in new:
        for other in (entry for entry in has if entry["dest"] == one["dest"]):
            raise Refused(
                host=host,
                subject=path,
                expected=f"{one['dest']} from {one['source']}",
                found=str(other["source"]),
                why=f"{name} would have two files in one place; up to 2023.1 Kolla-Ansible has "
                "Ceph's files beside the others, without a folder of their own",
                advice="name the folder of that entry in [platform_changes.kolla.ceph_folders] "
                "(docs/platforms.md)",
            )


def _needs_client(row: Mapping[str, str], bindings: Sequence[Binding]) -> bool:
    """QEMU opens what is attached; nova-compute itself only its own disks."""
    return row["takes"] != "ceph" or any(one.keyring for one in bindings)


def _told(host: str, path: str, file: Json) -> dict[str, Json]:
    """A config.json.  Raises Failed for what is none."""
    try:
        told = json.loads(file["text"]) if file else None
    except ValueError:
        told = None
    listed = told.get("config_files", []) if isinstance(told, dict) else None
    entries = listed if isinstance(listed, list) else [None]
    if not isinstance(told, dict) or not all(map(_is_entry, entries)):
        raise Failed(
            host=host,
            subject=path,
            expected="what the container is to copy (config_files, each with source and dest)",
            found="no such file" if file is None else "something else",
            advice="let Kolla-Ansible write it anew (reconfigure)",
        )
    return {**told, "config_files": entries}


def _is_entry(one: Json) -> bool:
    return isinstance(one, dict) and all(type(one.get(key)) is str for key in ("source", "dest"))


def _wanted(row: Mapping[str, str], bindings: Sequence[Binding]) -> Iterator[dict[str, Json]]:
    more: dict[str, Json] = {"owner": row["user"], "perm": "0600", "optional": True}
    if row["takes"] == "secrets":
        yield {"source": f"{SOURCES}/secrets", "dest": SECRETS, **more, "merge": True}
        return
    paths = {one.conf: one.named_conf for one in bindings}
    paths |= {one.keyring_path: one.named_keyring for one in bindings if one.keyring}
    for path, dest in paths.items():
        source = SOURCES + path.removeprefix(row["folder"])
        yield {"source": source, "dest": dest, **more}


def _covers(there: Entry, wanted: Entry) -> bool:
    """Whether an entry copies what another one would, to the same place."""
    source, dest = str(there["source"]), str(there["dest"])
    if fnmatchcase(str(wanted["source"]), source):
        name = _last(str(wanted["source"])) if dest.endswith("/") else ""
        return dest + name == str(wanted["dest"])
    folder = source.rstrip("/")
    rest = str(wanted["source"]).removeprefix(folder)
    below = rest.startswith("/") and rest != wanted["source"]
    return below and dest.rstrip("/") + rest == str(wanted["dest"])


def _last(path: Json) -> str:
    return str(path).rpartition("/")[2]


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """That somebody else writes these files too."""
    kolla = [host.name for host in client_hosts(site) if site.platform_of(host).containers]
    hosts = [name for name in kolla if any(c.host == name for c in changes)]
    if not hosts:
        return []
    return [
        f"{', '.join(hosts)}: kolla-ansible reconfigure and deploy write what is below /etc/kolla "
        "anew, without what is written here: give its deploy host the same (docs/platforms.md)"
    ]


_TASK = "hosts.packages"
RESOURCE = Resource(_TASK, reads, plan, leaving=leaving)
TOLD = Resource(_TASK, lambda _site, _host: (), notes=notes)
"""Behind all else that is planned."""
