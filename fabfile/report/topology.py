"""The site as boxes and links: services, the keys that they hold, and the pools these open.

Knows what is worth a box and which hosts share one; does not know how it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fabfile.core.text import counted, few
from fabfile.model import services
from fabfile.report.shapes import Client, Document, Host

MOST = 3
"""Boxes for one role: the hosts of more states than these share the last."""
_TITLES = {
    "glance": "Glance",
    "cinder": "Cinder",
    "cinder-backup": "Cinder backup",
    "compute": "Nova compute",
}
_GiB = 1024**3


@dataclass(frozen=True)
class Box:
    """state: 'ok', 'odd' or 'not seen'."""

    id: str
    title: str
    lines: tuple[str, ...] = ()
    state: str = "ok"


@dataclass(frozen=True)
class Link:
    """An arrow from a box to another: who holds a key, what a key opens."""

    source: str
    target: str
    label: str
    state: str = "ok"


@dataclass(frozen=True)
class Topology:
    """rows: services, keys, pools; network: the line between; cluster: what is said of it."""

    rows: tuple[tuple[Box, ...], tuple[Box, ...], tuple[Box, ...]]
    links: tuple[Link, ...] = ()
    network: str = ""
    cluster: Box = field(default_factory=lambda: Box("ceph", "Ceph"))


def topology(document: Document, most: int = MOST) -> Topology:
    """The document's site; boxes in an order in which few arrows cross.  most: boxes a role."""
    services = [box for role in _TITLES for box in _services(document, role, most)]
    links = [link for _, links in services for link in links]
    used = list(dict.fromkeys(link.target for link in links))
    keys = [*used, *(_key_id(c) for c in document["clients"] if _key_id(c) not in used)]
    clients = {_key_id(name): (name, client) for name, client in document["clients"].items()}
    shown = [clients[key] for key in keys if key in clients]
    pools: list[str] = []
    for _, client in shown:
        pools += [pool for pool in client["rwx"] if pool not in pools]
    for _, client in shown:
        pools += [pool for pool in client["rx"] if pool not in pools]
    return Topology(
        rows=(
            tuple(box for box, _ in services),
            tuple(_key(document, name, client) for name, client in shown),
            tuple(_pool(document, name) for name in pools),
        ),
        links=(*links, *_opened(shown)),
        network=_network(document),
        cluster=_cluster(document),
    )


def in_words(document: Document) -> list[str]:
    """The same as sentences, for those who do not see the picture."""
    said = []
    for held in document["holders"]:
        who = f"{_TITLES[held['role']]} on {few(held['hosts'], 8)}"
        state = {"odd": f", but: {held['said']}", "not seen": ", which was not seen"}
        how = {"keyring": "by a keyring", "libvirt secret": "by a libvirt secret"}[held["by"]]
        said.append(
            f"{who} holds the key of client.{held['client']} {how}{state.get(held['state'], '')}."
        )
    for name, client in document["clients"].items():
        reads = f" and reads {', '.join(client['rx'])}" if client["rx"] else ""
        said.append(f"client.{name} writes {', '.join(client['rwx'])}{reads}.")
    return said


def _key_id(client: str) -> str:
    return f"key {client}"


def _services(document: Document, role: str, most: int) -> Iterator[tuple[Box, list[Link]]]:
    """The boxes of a role, a box for the hosts of one state, and what they hold."""
    hosts = {host["name"]: host for host in document["hosts"] if role in host["roles"]}
    holds: dict[str, list[tuple[str, ...]]] = {name: [] for name in hosts}
    for held in document["holders"]:
        for name in held["hosts"] if held["role"] == role else ():
            holds[name].append((held["client"], held["by"], held["state"], held["said"]))
    together: dict[tuple[object, ...], list[str]] = {}
    for name, host in hosts.items():
        together.setdefault((host["state"] == "silent", *holds[name]), []).append(name)
    groups = list(together.values())
    if len(groups) > most:
        groups[most - 1 :] = [[name for names in groups[most - 1 :] for name in names]]
    for number, names in enumerate(groups):
        box = f"{role} {number}"
        links = _links(box, [one for name in names for one in holds[name]])
        silent = all(hosts[name]["state"] == "silent" for name in names)
        state = "not seen" if silent else _worst(link.state for link in links)
        about = _about([hosts[name] for name in names], role, silent)
        yield Box(box, _TITLES[role], about, state), links


def _links(box: str, held: Iterable[tuple[str, ...]]) -> list[Link]:
    """An arrow for each client and way of holding: of several hosts' states, the worst."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for client, by, state, said in held:
        found.setdefault((client, by), []).append((state, said))
    links = []
    for (client, by), states in found.items():
        worst = _worst(state for state, _ in states)
        those = [said for state, said in states if state == worst]
        told = those[0] or {"not seen": "not seen"}.get(worst, "")
        part = f" on {len(those)} of {len(states)}" if told and len(those) < len(states) else ""
        links.append(Link(box, _key_id(client), f"{by}: {told}{part}" if told else by, worst))
    return links


def _worst(states: Iterable[str]) -> str:
    found = set(states)
    return next((state for state in ("odd", "not seen") if state in found), "ok")


def _about(hosts: Sequence[Host], role: str, silent: bool) -> tuple[str, ...]:
    names = few([host["name"] for host in hosts])
    names = f"{len(hosts)} hosts: {names}" if len(hosts) > 1 else names
    if silent:
        return names, "does not answer" if len(hosts) == 1 else "do not answer"
    (service,) = services.of_roles([role])
    unit = service.name
    states = [host["units"][unit] for host in hosts if unit in host["units"]]
    up = states.count("active")
    lines = [names]
    if states:
        lines.append(f"{unit} {'active' if up == len(states) else f'{up} of {len(states)} active'}")
    name = service.project
    versions = dict.fromkeys(h["versions"][name] for h in hosts if name in h["versions"])
    if versions:
        lines.append(f"{name} {', '.join(versions)}")
    return tuple(lines)


def _key(document: Document, name: str, client: Client) -> Box:
    if client["value"]:
        return Box(_key_id(name), f"client.{name}", (client["value"][:19],))
    seen = "ceph" in document
    return Box(
        _key_id(name),
        f"client.{name}",
        ("no key in Ceph" if seen else "not seen",),
        "odd" if seen else "not seen",
    )


def _opened(shown: Sequence[tuple[str, Client]]) -> list[Link]:
    return [
        Link(_key_id(name), f"pool {pool}", what)
        for name, client in shown
        for what, pools in (("rwx", client["rwx"]), ("rx", client["rx"]))
        for pool in pools
    ]


def _pool(document: Document, name: str) -> Box:
    pool = document.get("pools", {}).get(name)
    if pool is None:
        seen = "pools" in document
        return Box(
            f"pool {name}",
            name,
            ("no such pool" if seen else "not seen",),
            "odd" if seen else "not seen",
        )
    kinds = ", ".join(pool["applications"])
    lines = [f"{kinds or 'no application'}, {pool['size']} copies", f"{pool['pg_num']} PGs"]
    if pool["bytes"] is not None:
        lines.append(f"{pool['bytes'] / _GiB:.2f} GiB used")
    return Box(f"pool {name}", name, tuple(lines), "ok" if kinds else "odd")


def _network(document: Document) -> str:
    public = document["networks"].get("public")
    if public:
        return f"Ceph's public network {', '.join(public)}"
    return "Ceph's network"


def _cluster(document: Document) -> Box:
    hosts = few(document["roles"]["ceph"], 4)
    ceph = document.get("ceph")
    if not ceph:
        return Box("ceph", "Ceph", (hosts, "it does not answer"), "not seen")
    each = ceph["versions"].items()
    versions = ", ".join(f"{v} ({counted(n, 'daemon')})" for v, n in each)
    health = " ".join(filter(None, [ceph["health"], *ceph["codes"]]))
    quorum = f"{ceph['quorum']} of {ceph['monitors']} monitors in quorum"
    lines = [
        "; ".join(filter(None, [health, quorum])),
        f"on {hosts}; monitors listen at {few(document['monitors'], 5)}",
    ]
    for network in document["networks"].get("cluster", ()):
        lines.append(f"OSDs among themselves: {network}")
    lines.append(f"fsid {ceph['fsid']}")
    state = "odd" if ceph["health"] == "HEALTH_ERR" else "ok"
    return Box("ceph", f"Ceph {versions}".strip(), tuple(filter(None, lines)), state)
