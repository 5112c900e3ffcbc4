"""The UUID of the libvirt secret: one for all computes, found before it is made.

The one in use is adopted, never replaced: cinder.conf's first (attachments carry
it), else nova.conf's, else the one that the computes' libvirt holds.  Else the
site's setting, else the cluster's fsid for the Cinder client (Cinder's own default
since 2023.1), else one derived from fsid and client name.  One that holds the key of
another of the cluster's users is never taken: whoever attaches by it would lose that key.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabfile.core.contract import BadInput, Facts, Host, Json, Read, Seen
from fabfile.model import services
from fabfile.model.deployment import Binding, Cluster
from fabfile.model.option_values import as_uuid, items
from fabfile.model.site import Site
from fabfile.model.site_tables import Client
from fabfile.resources import by_cluster, cluster, in_force

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_MOST_SECRETS = 512
"""Each encrypted volume that is attached has a secret of its own beside ours."""
SECRETS = "libvirt.secrets"
"""The read of them all."""


def secrets_of(site: Site, host: Host) -> Read:
    """The secrets of a compute's libvirt, their values as fingerprints."""
    virsh = site.platform_of(host).command
    args = {
        **site.platform_of(host).question("virsh", "secret-list"),
        "match": rf"(?m)^\s*({_UUID})",  # an encrypted volume's usage is a UUID too
        "most": _MOST_SECRETS,
        "all": True,
        "then": {
            "xml": {"argv": virsh("virsh", "secret-dumpxml", "{}")},
            "value": {
                "argv": virsh("virsh", "secret-get-value", "{}"),
                "ok": [0, 1],
                "mask": [r"\A\s*(\S+)\s*\Z"],
                "peel": True,
            },
        },
        # libvirt's client takes several commands, and takes long to start.
        "at_once": {
            "argv": virsh("virsh", "secret-dumpxml {}; secret-get-value {}"),
            "ends": "</secret>",
        },
    }
    return Read(SECRETS, "each", args)


@dataclass(frozen=True)
class Named:
    """A secret's UUID as a service's options have it: section, its rbd_user, and the text."""

    section: str
    client: str
    text: str

    @property
    def uuid(self) -> str:
        """The UUID as libvirt reads the text, in lower case; '' for what is none."""
        return as_uuid(self.text)


IDS = {"cinder.conf", "nova.conf", SECRETS}
"""Reads that show a UUID: a stage that asks one of them wants it resolved."""


def known_as(client: str) -> str:
    """The name under which a client's UUID travels through the context."""
    return f"uuid.{client}"


def known_of(facts: Facts, binding: Binding) -> str:
    """The UUID of a binding's client, of the whole site's facts; '' where it is in doubt."""
    return facts.known.get(f"{binding.cluster.tag}{known_as(binding.client)}", "")


def usage_name(of: Cluster, client: str) -> str:
    """libvirt's usage name of the secret, as the procedure writes it."""
    name = f"client.{client} secret"
    return f"{of.label} {name}" if of.tag else name


def reads(site: Site, host: Host) -> list[Read]:
    """Every place on a host that may hold a UUID in use."""
    found = cluster.reads(site, host)
    for service in (services.CINDER_VOLUME, services.NOVA_COMPUTE):
        if service.role in host.roles:
            found += in_force.reads(site, host, service)
    if "compute" in host.roles:
        found.append(secrets_of(site, host))
    return found


def resolve(site: Site, facts: Facts, parts: Sequence[Site] | None = None) -> dict[str, str]:
    """{'uuid.CLIENT': lower-case UUID} for every client that libvirt needs.

    parts: of these clusters alone.

    Raises BadInput where the setting differs from the one in use, where several are in
    use and nothing says which one counts, or where two clients would have the same.
    """
    found: dict[str, tuple[str, str]] = {}
    for part in site.parts if parts is None else parts:
        mine = by_cluster.facts_of(part, facts)
        with by_cluster.saying_which(part):
            fsid = cluster.seen(part, mine).fsid
            for name, client in part.secret_clients().items():
                uuid, said = _one(part, mine, name, client, fsid), part.said_of_client(name)
                for other, theirs in found.values():
                    if theirs == uuid:
                        raise BadInput(
                            subject=said,
                            expected="a secret UUID of its own",
                            found=f"{uuid}, which is {other}'s",
                            advice="set another secret_uuid for one that is not in use yet",
                        )
                found[by_cluster.tagged(part, known_as(name))] = said, uuid
    return {name: one for name, (_, one) in found.items()}


def unseen(site: Site, facts: Facts) -> list[str]:
    """What is to be known where computes were left out: a UUID in use there was not seen.

    They failed, or are not in --limit.  Nova's own client would have one UUID there and get another
    here: no guest migrates between the two, and a run on all is refused.
    """
    asked = any(IDS & set(seen) for seen in facts.hosts.values())
    computes = (host.name for host in site.with_role(services.NOVA_COMPUTE.role))
    if not asked or all(SECRETS in facts.hosts.get(name, {}) for name in computes):
        return []
    return [
        f"{said}: no host that was read uses a secret UUID for it; if one that is left "
        f"out does, set {said}.secret_uuid to that first"
        for part in site.parts
        if {"ceph.users", "ceph.monmap"}
        <= set(by_cluster.facts_of(part, facts).hosts.get(part.admin.name, {}))
        for name, client in part.secret_clients().items()
        if not client.secret_uuid
        and (said := part.said_of_client(name))
        and _is_used_on(part, facts.hosts, name)
        and not any(f for _, f in _in_use(part, by_cluster.facts_of(part, facts), name))
    ]


def _is_used_on(part: Site, hosts: Collection[str], client: str) -> bool:
    """Whether a client is one of these hosts', which therefore get its UUID."""
    here = (host for host in part.all_hosts() if host.name in hosts)
    return any(use.client == client for host in here for use in part.bindings_of(host))


def unusable(facts: Facts) -> list[str]:
    """What services have as a secret's UUID, and is none: nothing can be attached with it."""
    return [
        f"{host}: {name}.conf: [{one.section}] rbd_secret_uuid = {one.text!r} is no UUID: no "
        "volume can be attached with it, and it counts as none"
        for host, seen in facts.hosts.items()
        for name in ("cinder", "nova")
        for one in named(seen, name)
        if not one.uuid
    ]


def _one(site: Site, facts: Facts, name: str, client: Client, fsid: str) -> str:
    setting = client.secret_uuid.lower() if client.secret_uuid else None
    for place, found in _in_use(site, facts, name):
        if not found:
            continue
        if setting and setting not in found:
            raise BadInput(
                subject=f"clients.{name}.secret_uuid",
                expected=f"{_list(found)}, in use by {place}",
                found=setting,
                advice="a UUID in use is never replaced: take the setting out",
            )
        if len(found) > 1 and not setting:
            raise BadInput(
                subject=f"clients.{name}",
                found=f"several secret UUIDs are in use by {place}",
                why=_list(found),
                advice=f"set clients.{name}.secret_uuid to the one that the volumes' attachments "
                "use",
            )
        return setting or found.pop()
    taken = _of_others(site, facts, name)
    if setting in taken:
        raise BadInput(
            subject=f"{site.said_of_client(name)}.secret_uuid",
            expected="a UUID of its own",
            found=f"{setting}, under which libvirt holds the key of {taken[setting]}",
            advice="take the setting out, or name one that is not in use",
        )
    if setting:
        return setting
    if name in [one.client for one in site.cinder.all[:1]] and fsid.lower() not in taken:
        return fsid.lower()
    return derived(name, fsid)


def derived(name: str, fsid: str) -> str:
    """The UUID of a client's secret for which nobody names one."""
    return str(uuid.uuid5(uuid.UUID(fsid), f"client.{name}"))


def _list(found: set[str]) -> str:
    return ", ".join(sorted(found))


def _in_use(site: Site, facts: Facts, client: str) -> list[tuple[str, set[str]]]:
    places: dict[str, set[str]] = {"cinder.conf": set(), "nova.conf": set(), "libvirt": set()}
    for host, seen in facts.hosts.items():
        for name in ("cinder", "nova"):
            places[f"{name}.conf"] |= _configured(site, host, seen, name, client)
        places["libvirt"] |= {one for one, ours in _by_name(site, facts, seen, client) if ours}
    # Nova's one section has the next backend's, of another cluster, where the first one left.
    places["nova.conf"] -= _of_siblings(site, facts) - places["cinder.conf"]
    return list(places.items())


def _of_siblings(site: Site, facts: Facts) -> set[str]:
    """The UUIDs that cinder.conf has for the clients of the site's other clusters."""
    return {
        one
        for part in site.siblings
        for host, seen in facts.hosts.items()
        for client in part.secret_clients()
        for one in _configured(part, host, seen, "cinder", client)
    }


def _by_name(site: Site, facts: Facts, seen: Seen, client: str) -> Iterator[tuple[str, bool]]:
    """(UUID, whether it holds this cluster's key) of libvirt's secrets with a client's usage name.

    The name alone says nothing: it may be of another cluster, which has a client of that name too.
    """
    key = cluster.seen(site, facts).users.get(f"client.{client}", {}).get("key")
    for found, answers in (seen.get(SECRETS) or {}).items():
        if f"<name>{usage_name(site.cluster, client)}</name>" in answers["xml"]["out"]:
            value = answers["value"]
            held = {value["out"].strip(), value.get("peeled", "")} if value["code"] == 0 else set()
            yield found.lower(), key is not None and key in held


def _of_others(site: Site, facts: Facts, client: str) -> dict[str, str]:
    """{UUID: entity} of what is another user's: its key is in libvirt, or its place is taken."""
    old = site.replaced.get(client, "")
    theirs = {u: f"client.{old}" for _, in_use in _in_use(site, facts, old) for u in in_use if old}
    users = cluster.seen(site, facts).users.items()
    keys = {user["key"]: who for who, user in users if user.get("key")}
    mine = f"client.{client}"
    return theirs | {
        found.lower(): who
        for seen in facts.hosts.values()
        for found, answers in (seen.get(SECRETS) or {}).items()
        if answers["value"]["code"] == 0
        and (who := keys.get(answers["value"]["out"].strip(), mine)) != mine
    }


def left_alone(site: Site, facts: Facts) -> list[str]:
    """Secrets with our usage name that are not taken for ours: what to know, not to do."""
    return [
        one for part in site.parts for one in _left_alone(part, by_cluster.facts_of(part, facts))
    ]


def _left_alone(site: Site, facts: Facts) -> Iterator[str]:
    if "ceph.users" not in facts.hosts.get(site.admin.name, {}):
        return
    for client in site.secret_clients():
        name = usage_name(site.cluster, client)
        for host, seen in facts.hosts.items():
            for one, ours in _by_name(site, facts, seen, client):
                if not ours and one != facts.known.get(known_as(client)):
                    yield (
                        f"{host}: libvirt has {name!r} under {one}, and not with this cluster's "
                        f"key of client.{client}: it is left alone (libvirt's secrets may be of "
                        "another cluster)"
                    )


def named(seen: Mapping[str, Json], name: str) -> list[Named]:
    """Every rbd_secret_uuid that a service's options have in force, with its rbd_user.

    Of Cinder, a client's in enabled backends alone where there are any: what is not started is
    not in use.
    """
    options = in_force.options(seen, name)
    found = [
        Named(section, keys.get("rbd_user", ""), keys["rbd_secret_uuid"])
        for section, keys in in_force.by_section(options).items()
        if keys.get("rbd_secret_uuid")
    ]
    listed = items(options.get(("DEFAULT", "enabled_backends"), ""))
    enabled = {in_force.same(section) for section in listed}
    started = {one.client for one in found if one.section in enabled}
    return [one for one in found if one.section in enabled or one.client not in started]


def named_of(site: Site, host: str, seen: Mapping[str, Json], name: str) -> list[Named]:
    """As named(), of a part's cluster: another one may have a client of that name too."""
    found = named(seen, name)
    if site.is_whole or not found:
        return found
    options = in_force.options(seen, name)
    return [one for one in found if not _leads_elsewhere(site, host, name, one.section, options)]


def _leads_elsewhere(
    site: Site, host: str, name: str, section: str, options: in_force.Options
) -> bool:
    """Whether a section is of another of the site's clusters, by the ceph.conf that it names.

    Nova's is, where its disks are not on RBD, that of the backend whose user it names.
    """
    service = services.called(name)
    key = "images_rbd_ceph_conf" if name == "nova" else "rbd_ceph_conf"
    if name == "nova" and options.get((section, "images_type")) != "rbd":
        theirs = [one for part in site.siblings for one in part.uses()]
        here = [use for use in theirs if use.hosts is None or host in use.hosts]
        return any(use.service == service and use.section == section for use in here)
    conf = options.get((section, key), "")
    return any(
        conf in one.confs
        for part in site.siblings
        if host in part.hosts
        for one in part.bindings_of(part.host(host))
    )


def _configured(
    site: Site, host: str, seen: Mapping[str, Json], name: str, client: str
) -> set[str]:
    """The UUIDs that a service names for this client; what is no UUID is none."""
    told = named_of(site, host, seen, name)
    return {uuid for one in told if one.client == client and (uuid := one.uuid)}
