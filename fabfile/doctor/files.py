"""Findings about the form of ceph.conf and keyrings, and keyrings that are nobody's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fabfile.core.contract import Host, Seen, typed
from fabfile.doctor import uses
from fabfile.doctor.finding import NOTE, RESTART_ALL, WARNING, Finding, root, task
from fabfile.doctor.observation import Looked
from fabfile.model.deployment import Binding
from fabfile.model.site import Site
from fabfile.resources import ceph_conf, keyrings, sed


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    for host in site.all_hosts():
        seen = looked.facts.hosts.get(host.name, {})
        if seen.get("ceph.conf"):
            yield from _indented(
                ceph_conf.path_of(site, host), host.name, seen["ceph.conf"]["text"]
            )
        for binding in keyrings.wanted(site, host):
            client = binding.client
            file = seen.get(f"keyring.{client}")
            if file:
                yield from _unfinished(host.name, binding.keyring_path, file["text"])
            if f"keyring.{client}" in seen:
                yield from _key_for_all(binding, seen)
        if "ceph" not in host.roles:
            yield from _others(site, looked, host, seen)


def _indented(path: str, host: str, text: str) -> Iterator[Finding]:
    if re.search(r"^[ \t]+[^\s#;][^=\n]*=", text, re.M):
        yield Finding(
            NOTE,
            "ceph.conf.tabs",
            (host,),
            path,
            "indented lines",
            "none",
            "ceph config generate-minimal-conf writes them: Ceph reads them, other ini parsers "
            "take them for a continued value",
            (root(sed.edit("s/^[[:space:]]*//", path)),),
        )


def _unfinished(host: str, path: str, text: str) -> Iterator[Finding]:
    if text and not text.endswith("\n"):
        yield Finding(
            NOTE,
            "keyring.newline",
            (host,),
            path,
            "no newline at its end",
            "one",
            "what is appended to it ends up in the key's own line",
            (root(sed.edit("$a\\", path)),),
        )


def _key_for_all(binding: Binding, seen: Seen) -> Iterator[Finding]:
    """The key itself in ceph.conf, which QEMU and everybody else reads."""
    source, conf = keyrings.held_by(binding, seen).source, binding.conf
    if source.option == "key":
        yield Finding(
            WARNING,
            "ceph.conf.key",
            (binding.host.name,),
            f"{conf} [{source.place}]",
            f"the key of client.{binding.client}",
            f"it in {binding.keyring_path} alone",
            "ceph.conf is readable by all, so every user of the host can log in to Ceph with it; "
            "and librados looks into no keyring, where a new key would arrive",
            (
                root(
                    sed.without_in_ceph_conf(conf, source.place, "key", seen["ceph.conf"]["text"])
                ),
                task("ceph.keyrings"),
                RESTART_ALL,
            ),
        )


_OWNER = r"([A-Za-z0-9_.@$\\-]+)"
LISTED = re.compile(rf"([A-Za-z0-9_.@-]+) ([0-7]{{1,4}}) {_OWNER} {_OWNER}")
"""A file's name, mode, owner and group.  A name with blanks in it would be taken for another's."""


def _others(site: Site, looked: Looked, host: Host, seen: Seen) -> Iterator[Finding]:
    """Keyrings that no service of the host needs."""
    whole = site.whole.bindings_of(site.whole.host(host.name))
    ours = {binding.keyring_path for binding in whole if binding.keyring}
    for line in (seen.get("ceph.keyrings") or {}).get("out", "").splitlines():
        if not (told := LISTED.fullmatch(line)):
            continue
        name, mode, owner, group = told.groups()
        path = f"{site.platform_of(host).ceph['folder']}/{name}"
        if path in ours:
            continue
        if ".client.admin." in name:
            remove = typed("rm", path)
            # The cluster's own admin host has the key; here no service's file needs it.
            nobody = (
                path == site.platform_of(host).keyring("admin")  # else it is another cluster's
                and looked.seen(site.admin.name, "ceph.users") is not None
                and uses.files_seen(site, looked, host.name)
                and not uses.admins(looked, host.name)
            )
            yield Finding(
                WARNING if "compute" in host.roles else NOTE,
                "keyring.admin",
                (host.name,),
                path,
                "the cluster's admin key",
                "no such file",
                "no service here needs it; whoever becomes root here owns the cluster",
                (root(remove.having_seen("readers") if nobody else remove),),
            )
        elif int(mode, 8) & 0o004:
            close = typed("chmod", "o=", path)
            known = _read_by_owner(site, looked, host, path, (owner, group))
            yield Finding(
                WARNING,
                "keyring.open",
                (host.name,),
                path,
                f"{owner}:{group} {int(mode, 8):04o}",
                "not readable by all",
                "every user of this host can log in to Ceph with it",
                (root(close.having_seen("readers") if known else close),),
            )


_ANYBODYS = r"root|ceph|\d+"
"""Owners that say nothing of who reads: Ceph's tools give all that they make to its own user."""


def _read_by_owner(
    site: Site, looked: Looked, host: Host, path: str, owners: tuple[str, str]
) -> bool:
    """Whether a keyring's owner is the user of a program, and no service reads it as a stranger."""
    platform = site.platform_of(host)
    client = re.fullmatch(re.escape(platform.keyring("\0")).replace("\0", "(.+)"), path)
    if re.fullmatch(_ANYBODYS, owners[0]) or not client:
        return False
    readers = {platform.owner(one) for one in uses.services_of(looked, host.name, client[1])}
    return uses.files_seen(site, looked, host.name) and readers <= set(owners)
