"""Findings about SELinux and AppArmor: what they keep from Ceph's clients, and files' labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fabfile.core.contract import Json, typed
from fabfile.doctor.finding import ERROR, NOTE, WARNING, Finding, Step, root, words
from fabfile.doctor.observation import CONFINEMENT, Looked
from fabfile.model import services
from fabfile.model.site import Site

_PORTS = re.compile(r"3300|6789|6[89]\d\d|7[0-4]\d\d|75[0-5]\d|756[0-8]")
"""Of monitors, and ms_bind_port_min to ms_bind_port_max of the rest."""
_CLIENT = re.compile(r"svirt_\w*t|virt\w*_t|glance_\w+_t|cinder_\w+_t|nova_\w*t|libvirt-[\w-]+")
"""Domains and profiles of those that use the cluster: a guest's profile has its UUID."""
_GUEST = re.compile(r"libvirt-[0-9a-fA-F-]{36}")
_CEPHS = re.compile(r"/(etc|run|var/run|var/lib|var/log)/ceph(/|$)|ceph[^/]*\.(conf|keyring|asok)$")
_BOOLEANS = {("glance_api_t", "name_connect"): "glance_api_can_network"}
"""{(domain, what it may not): the boolean that lets it}.  Source: glance.te of the reference
policy."""
_NAMES = {
    "selinux": ("selinux.denied", "SELinux"),
    "apparmor": ("apparmor.denied", "AppArmor"),
}
_AUDITED = "ausearch -m avc -ts today | audit2why, there, says what would let it"


def findings(site: Site, looked: Looked) -> Iterator[Finding]:
    """All of them."""
    for host in site.all_hosts():
        told = looked.seen(host.name, CONFINEMENT)
        if not told or not services.on(host):
            continue
        for label in told["labels"]:
            yield _label(host.name, label)
        # The same of every guest, again and again, is one thing.
        said = {_about(one): one for one in reversed(told["denials"]) if _is_cephs(one)}
        for one in said.values():
            yield _denied(host.name, one)


def _about(one: Json) -> tuple[str, ...]:
    return one["by"], _who(one), one["does"], one["what"]


def _who(one: Json) -> str:
    """Who was denied, all guests as one."""
    return _GUEST.sub("libvirt-UUID", str(one["who"]))


def _is_cephs(one: Json) -> bool:
    """Whether a client of the cluster was kept from it, or from its files."""
    if not _CLIENT.fullmatch(one["who"]):
        return False
    port = one["kind"].endswith("socket") and _PORTS.fullmatch(one["what"])
    return bool(port or _CEPHS.search(one["what"]))


def _label(host: str, label: Json) -> Finding:
    return Finding(
        WARNING,
        "selinux.label",
        (host,),
        label["path"],
        label["is"],
        label["should"],
        "SELinux decides by the label who may read it; it was moved here, or made by hand",
        (root(typed("restorecon", "-v", label["path"])),),
    )


def _denied(host: str, one: Json) -> Finding:
    severity: Any = NOTE if one["permitted"] else ERROR if one["by"] == "selinux" else WARNING
    code, name = _NAMES[one["by"]]
    only = " (only noted: it is permissive)" if one["permitted"] else ""
    return Finding(
        severity,
        code,
        (host,),
        one["what"],
        f"{name} denied {one['does']} to {_who(one)}{only}",
        "no denial",
        f"{one['comm'] or _who(one)} does not get at the cluster, or at a file of its own",
        _settled(one),
    )


def _settled(one: Json) -> tuple[Step, ...]:
    """What lets it."""
    if one["by"] == "apparmor":
        folder = one["what"].rpartition("/")[0]
        return (
            words(
                f"where QEMU is to have it: add the line '  {folder}/** {one['does']},' to "
                "/etc/apparmor.d/local/abstractions/libvirt-qemu, there; the profile of a guest "
                "is made of it at its next start"
            ),
        )
    if boolean := _BOOLEANS.get((one["who"], one["does"])):
        return (root(typed("setsebool", "-P", boolean, "on")),)
    return (words(f"{_AUDITED}; RDO's own rules are in the package openstack-selinux"),)
