"""Why a resource plans a change, in the field's words: a finding of each change.

Knows what goes wrong with each thing and how it shows; that something is wrong is the
resources' to say.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Iterable, Mapping

from fabfile.core.contract import INV, Change, Facts, Json, Refused, Secret, Stop
from fabfile.doctor.finding import (
    ERROR,
    NOTE,
    RESTART,
    RESTART_ALL,
    WARNING,
    Finding,
    Step,
    root,
    task,
    words,
)
from fabfile.model.services import CINDER_VOLUME
from fabfile.model.site import Site
from fabfile.model.site_tables import Client
from fabfile.resources import (
    auth,
    by_place,
    ceph_conf,
    clone_format,
    cluster,
    in_force,
    keyrings,
    libvirt_secret,
    secret_uuid,
    service_config,
    volume_hosts,
    volume_storage,
    wanted_options,
)

Why = tuple[str, str, str, str, str]
"""severity, code, found, expected, cause"""


def finding(name: str, site: Site, facts: Facts, change: Change) -> Finding | None:
    """What a change of the task says is wrong; None where another finding says it."""
    known = WHY.get(name)
    why = known(site, facts, change) if known else _as_planned(name, change)
    if why is None:
        return None
    severity, code, found, expected, cause = why
    return Finding(
        severity, code, (change.host,), change.thing, found, expected, cause, _mend(name, change)
    )


def _as_planned(name: str, change: Change) -> Why:
    """Of a resource about which nothing more is known: what its plan says."""
    gone = "; ".join(line[1:].strip() for line in change.diff if line.startswith("-"))
    cause = f"{INV} {name} would change it: it is not as the site file has it"
    return WARNING, f"pending.{name}", gone or "not as it should be", change.sentence, cause


_ON_THE_CLUSTER = ("ceph.pools", "ceph.auth", "ceph.clones")


def _mend(name: str, change: Change) -> tuple[Step, ...]:
    if name == "services.restart":
        return (RESTART,)
    limited = name not in _ON_THE_CLUSTER and change.kind != "volume_type"
    mends = task(name, limited=limited)
    return (mends, RESTART) if change.restarts and limited else (mends,)


# Hosts


def _sudoers(site: Site, facts: Facts, change: Change) -> Why:
    seen = facts.of(change.host, "sudoers")
    found = "no file"
    if seen:
        found = f"{seen['owner']}:{seen['group']} {seen['mode']}, or another text"
    return (
        WARNING,
        "sudoers",
        found,
        "the operator's own file, root:root 0440",
        "the operator's sudo rests on something else than the site file says",
    )


_LACKING = {
    "qemu-block-extra": "it has qemu's rbd driver, which nothing pulls in since Ubuntu Jammy: "
    "guests with disks on RBD do not start",
    "qemu-kvm-block-rbd": "it has qemu's rbd driver: guests with disks on RBD do not start",
    "ceph-common": "cinder-volume runs the ceph program for every connection it makes",
    "python3-rbd": "Glance's and Cinder's RBD drivers import it",
}


_COPIES = (
    ERROR,
    "container.copies",
    "config.json without Ceph's files",
    "each of them named there",
    "the container does not copy them at its start, and the service in it has none",
)


def _packages(site: Site, facts: Facts, change: Change) -> Why | None:
    if change.kind == "copies":
        return _COPIES
    if change.verb != "install":
        return None  # the source that they come from
    missing = change.args["packages"]
    cause = "; ".join(f"{n}: {_LACKING.get(n, 'the Ceph client needs it')}" for n in missing)
    return ERROR, "packages.missing", f"not installed: {', '.join(missing)}", "installed", cause


def _tools(site: Site, facts: Facts, change: Change) -> Why | None:
    if change.verb != "install":
        return None  # the source that they come from
    found = f"not installed: {', '.join(change.args['packages'])}"
    return WARNING, "packages.records", found, "installed", "no record can be made here"


def _at(site: Site, facts: Facts, change: Change) -> tuple[Site, Facts]:
    """A part and its facts as the place has them in which a file of Ceph's is."""
    place = by_place.on(site, change.host, change.args["path"])
    return place, by_place.facts_of(place, facts)


def _conf(site: Site, facts: Facts, change: Change) -> Why | None:
    if change.verb == "folder":
        return None
    site, facts = _at(site, facts, change)
    seen = facts.of(change.host, "ceph.conf")
    if seen is None:
        return (
            ERROR,
            "ceph.conf.missing",
            "no file",
            "the cluster's monitors",
            ("no client on this host finds the cluster"),
        )
    if change.verb == "attributes":
        return (
            ERROR,
            "ceph.conf.mode",
            f"mode {seen['mode']}",
            "mode 0644",
            (
                "it is readable by root only: QEMU and the services run as users of their own, and "
                "guests fail to start"
            ),
        )
    if ceph_conf.unreadable(facts.hosts[change.host]):
        return (
            ERROR,
            "ceph.conf.msgr2",
            "monitors in a notation of Nautilus",
            "addresses of v1 alone",
            f"{ceph_conf.older_client(facts.hosts[change.host])}: it cannot read "
            "[v2:...,v1:...], and no client on this host finds the cluster",
        )
    return _conf_text(site, facts, change, seen["text"])


def _conf_text(site: Site, facts: Facts, change: Change, text: str) -> Why:
    """What is wrong with a file that is there and can be read."""
    live = cluster.seen(site, facts).addresses
    named = cluster.addresses(" ".join(re.findall(r"^\s*mon.host\s*=(.*)$", text, re.M)))
    found = "monitors " + (", ".join(sorted(named)) or "none")
    expected = "monitors " + ", ".join(sorted(live))
    pools = ceph_conf.data_pools(site, site.bindings_of(site.host(change.host)))
    if named == live and pools:
        return (
            WARNING,
            "ceph.conf.data_pool",
            "no rbd_default_data_pool, or another",
            ", ".join(f"{pool} for client.{client}" for client, pool in pools.items()),
            "new volumes lie whole in the pool of their images, and not where the site file says",
        )
    if named & live:
        return (
            WARNING,
            "ceph.conf.monitors",
            found,
            expected,
            ("the list is out of date: clients get through while one old monitor is left"),
        )
    return (
        ERROR,
        "ceph.conf.monitors",
        found,
        expected,
        ("none of the monitors is there any more: they were moved; clients hang at their start"),
    )


# The cluster


def _pools(site: Site, facts: Facts, change: Change) -> Why | None:
    there = change.subject in cluster.seen(site, facts).pools
    if change.kind == "pool_application" and there:
        return (
            WARNING,
            "pool.application",
            "no application",
            "application rbd",
            ("the pool was made without `rbd pool init`: POOL_APP_NOT_ENABLED, and later failures"),
        )
    if change.kind == "pool":
        return (
            ERROR,
            "pool.missing",
            "no such pool",
            "a pool for RBD",
            ("the services that name it do not start"),
        )
    return None


def _auth(site: Site, facts: Facts, change: Change) -> Why:
    name = change.subject
    seen = cluster.seen(site, facts)
    client = auth.clients(site, seen, facts.release)[name]
    wanted = auth.wanted_caps(client, seen.release)
    expected = "; ".join(f"{d}: {wanted[d]}" for d in sorted(wanted))
    user = seen.users.get(f"client.{name}")
    if user is None:
        return (
            ERROR,
            "user.missing",
            "no such cephx user",
            expected,
            ("every service that logs in by this name is refused"),
        )
    caps = user["caps"]
    wider = auth.widened(caps, wanted)
    lacking = [d for d in sorted(wider) if wider[d] != caps.get(d)]
    found = "; ".join(f"{d}: {caps.get(d, '(none)')}" for d in lacking)
    causes = [cause for d in lacking for cause in _narrow(d, caps.get(d, ""), site, client)]
    # Where Glance looks for clones, all but the deletion of an image that has some works without.
    least = auth.widened(caps, auth.wanted_caps(site.clients[name], seen.release))
    broken = {d for d in least if least[d] != caps.get(d)} - {"mgr"}
    severity = ERROR if broken else WARNING
    return severity, "user.caps", found, expected, "; ".join(causes)


def _clones(site: Site, facts: Facts, change: Change) -> Why:
    return (
        NOTE,
        "ceph.clones",
        f"clones of v1 (the cluster requires clients of {clone_format.required(site, facts)})",
        "clones of v2, which all who use the cluster can read",
        "recommended: with v1, a snapshot that a volume was made from is not deleted "
        "(SnapshotIsBusy), and an image that has clones never leaves its pool",
    )


def _narrow(daemon: str, have: str, site: Site, client: Client) -> list[str]:
    """What does not work with these caps."""
    if daemon == "mgr":
        return ["mgr: the tasks of the rbd_support module (trash purge, flatten) are refused"]
    if daemon == "mon":
        broken = "osd blacklist" not in have and "osd blocklist" not in have
        return (
            [
                "mon: no osd blacklist: the exclusive lock of a crashed compute is never broken, "
                "and its guests do not start elsewhere"
            ]
            if broken and "profile rbd" not in have
            else ["mon: not those of this Ceph release"]
        )
    causes = []
    if "class-read object_prefix rbd_children" not in have and "profile rbd" not in have:
        causes.append(
            "osd: no class-read of rbd_children: whether a snapshot has clones cannot be told, "
            "and deleting and cloning fail"
        )
    for pool in client.rwx:
        if not re.search(rf"(rwx|profile rbd) pool={re.escape(pool)}(,|$)", have):
            causes.append(f"osd: pool {pool} cannot be written")
    for pool in client.rx:
        if not re.search(rf"pool={re.escape(pool)}(,|\s|$)", have):
            images = {one.pool for one in site.glance.all}
            clones = pool not in images and bool(images & set(client.rwx))
            causes.append(
                f"osd: pool {pool} cannot be read: Glance cannot look there for clones, and an "
                "image that has one is not deleted but answered with an error (HTTP 500)"
                if clones
                else f"osd: pool {pool} cannot be read: no copy-on-write clones of images"
            )
    return causes or ["osd: not those of this Ceph release"]


# Keys


def _keyrings(site: Site, facts: Facts, change: Change) -> Why:
    site, facts = _at(site, facts, change)
    client, host = change.subject, site.host(change.host)
    binding = next(one for one in keyrings.wanted(site, host) if one.client == client)
    seen = keyrings.seen_at(binding, facts.hosts[host.name], change.args["path"])
    users = cluster.seen(site, facts).users
    key = users.get(f"client.{client}", {}).get("key", "")
    if seen is None:
        return (
            ERROR,
            "keyring.missing",
            "no file",
            f"the key of client.{client}",
            ("the service has no key to log in to Ceph with"),
        )
    if change.verb == "attributes":
        owner = change.args["owner"]
        found = f"{seen['owner']}:{seen['group']} {seen['mode']}"
        mode = site.platform_of(site.host(change.host)).ceph["keyring_mode"]
        expected = f"{owner}:{owner} {mode}"
        if seen["owner"] != owner:
            return (
                ERROR,
                "keyring.owner",
                found,
                expected,
                (f"it was written as another user: {owner} may not be able to read it"),
            )
        return WARNING, "keyring.mode", found, expected, "others than its service can read the key"
    held = keyrings.held(seen.get("text", ""), client)
    expected = f"value {short(key)}"
    if held is None:
        return (
            ERROR,
            "keyring.section",
            f"no key under [client.{client}]",
            expected,
            ("librados looks for the key under the client's own heading"),
        )
    whose = _whose(held, users)
    return (
        ERROR,
        "keyring.value",
        f"value {short(held)}",
        expected,
        whose
        or ("the key was rotated in Ceph and not here (or another cluster's file was copied)"),
    )


def _whose(value: str, users: Mapping[str, Json]) -> str:
    """In words, if it is another user's key."""
    names = [name for name, user in users.items() if user.get("key") == value]
    return f"it is the key of {names[0]}" if names else ""


def short(value: str) -> str:
    """A fingerprint, as far as a person compares it."""
    return value[:19] if value else "(none)"


_SECRET_FILE = (
    ERROR,
    "libvirt.file",
    "no file of the secret, or another value in it",
    "the cluster's key",
    "libvirt's container takes its secrets from these files at its start: it has none, or another, "
    "after its next restart",
)


def _secret(site: Site, facts: Facts, change: Change) -> Why | None:
    if change.kind == "secret_file":
        return _SECRET_FILE if change.verb == "write" else None
    uuid = change.subject
    client = next(c for c in site.secret_clients() if facts.known[secret_uuid.known_as(c)] == uuid)
    secrets = facts.of(change.host, secret_uuid.SECRETS)
    mine = {u.lower(): answers for u, answers in secrets.items()}.get(uuid)
    if change.kind == "secret":
        return _no_secret(secret_uuid.usage_name(site.cluster, client), uuid, secrets)
    if mine is None:
        return None  # the one that is to be defined
    users = cluster.seen(site, facts).users
    key = users.get(f"client.{client}", {}).get("key", "")
    path = site.platform_of(site.host(change.host)).keyring(client)
    names = (client, f"client.{client}", path, secret_uuid.usage_name(site.cluster, client))
    code, cause = _wrong_value(names, mine["value"], users, key)
    value = mine["value"]["out"].strip() if mine["value"]["code"] == 0 else ""
    return ERROR, f"libvirt.value.{code}", f"value {short(value)}", f"value {short(key)}", cause


def _no_secret(name: str, uuid: str, secrets: Mapping[str, Json]) -> Why:
    taken = [
        other
        for other, answers in secrets.items()
        if (libvirt_secret.usage_of(answers["xml"]["out"]) or "") == name
    ]
    if taken:
        return (
            ERROR,
            "libvirt.uuid",
            f"the usage name {name!r} under {taken[0].lower()}",
            uuid,
            (
                "this compute has a UUID of its own (libvirt has each usage name once): what "
                "Cinder names is not found here, and guests cannot come here"
            ),
        )
    return (
        ERROR,
        "libvirt.missing",
        "no such secret",
        uuid,
        ("volumes cannot be attached here, and a guest that is migrated here is stuck"),
    )


def _wrong_value(
    names: Iterable[str], answer: Mapping[str, Json], users: Mapping[str, Json], key: str
) -> tuple[str, str]:
    """(what kind of wrong, the cause)."""
    if answer["code"] != 0:
        return "none", "the secret was defined and never got a value"
    value, peeled = answer["out"].strip(), answer.get("peeled", "")
    if key and peeled == key:
        return "plain", "the key was stored with --plain: libvirt holds its text, not the key"
    if {value, peeled} & {print_ for name in names for print_ in _prints(name)}:
        return "name", "the key's name was stored, not the key"
    if {value, peeled} & {p for text in ("None", "null", "undefined") for p in _prints(text)}:
        return "nothing", "a template's empty value was stored as text"
    whose = _whose(value, users)
    if whose:
        return "other", whose
    return "old", "the key was rotated in Ceph and not here (or it is another cluster's)"


def _prints(text: str) -> set[str]:
    """The fingerprints that a text leaves, stored as it is, or taken for base64."""
    kept = re.sub(r"[^A-Za-z0-9+/]", "", text)
    kept = kept[: len(kept) // 4 * 4]  # base64 decoders pass over what is none
    again = base64.b64encode(base64.b64decode(kept)).decode() if kept else text
    return {Secret(word).fingerprint for word in (text, kept or text, again)}


# Options

_ESSENTIAL = {
    "rbd_user": "the service logs in to Ceph by another name",
    "rbd_secret_uuid": "the computes' libvirt is asked for another secret than the one it has",
    "rbd_pool": "volumes are made in another pool",
    "rbd_store_pool": "images are kept in another pool",
    "rbd_store_user": "the service logs in to Ceph by another name",
    "rbd_ceph_conf": "the driver reads another ceph.conf",
    "rbd_store_ceph_conf": "the store reads another ceph.conf",
    "volume_driver": "it is not the RBD driver",
    "enabled_backends": "what is not listed is not started: its volumes are nobody's, or "
    "the store's images cannot be read",
    "default_backend": "new images go elsewhere",
    "images_type": "ephemeral disks are kept elsewhere",
    "images_rbd_pool": "ephemeral disks are kept in another pool",
}


def _essential(keys: Iterable[str]) -> dict[str, str]:
    return {key: _ESSENTIAL[key] for key in keys if key in _ESSENTIAL}


def _advised(table: Json, keys: Iterable[str]) -> dict[str, str]:
    """{option: why it is recommended}."""
    return {key: why for key in keys if (why := wanted_options.reason(table, key))}


def _options(site: Site, facts: Facts, change: Change) -> Why:
    if change.kind in _OF_CINDER:
        return _OF_CINDER[change.kind](site, facts, change)
    if change.kind == "head":
        return (
            ERROR,
            "options.head",
            "no such line",
            change.sentence,
            ("the rbd program is run without a name"),
        )
    old = [line.removeprefix("- ") for line in change.diff if line.startswith("- ")]
    new = [line.removeprefix("+ ") for line in change.diff if line.startswith("+ ")]
    keys = [key for _, key, _ in change.args["edits"]]
    if len(new) > len(old):
        old.append(f"{len(new) - len(old)} not set")
    own_disks = change.host in site.hosts and site.keeps_disks(site.host(change.host))
    advised = {} if own_disks else _advised(facts.release[change.subject], keys)
    causes = [f"{key}: {why}" for key, why in {**_essential(keys), **advised}.items()]
    severity = ERROR if set(_essential(keys)) - set(advised) else WARNING
    if change.kind == service_config.RECOMMENDED:
        severity, causes = NOTE, ["a recommendation, no more", *causes]
    cause = "; ".join(causes) or "not what this site wants; the service works with its own default"
    return severity, "options", "; ".join(old), "; ".join(new), cause


def _type(site: Site, facts: Facts, change: Change) -> Why:
    ours = {one.name for one in site.cinder.all if one.volume_type == change.subject}
    beside = len(site.cinder.all) > 1 or any(
        set(volume_storage.enabled(volume_storage.options_of(seen))) - ours
        for seen in facts.hosts.values()
        if in_force.is_read(seen, CINDER_VOLUME.key)
    )
    cause = (
        "nobody can ask for a volume of this backend: without a type, the scheduler chooses"
        if beside
        else "recommended: a type by which this backend is asked for when another comes beside it"
    )
    return WARNING if beside else NOTE, "volume.type", "not bound", change.sentence, cause


def _qos(site: Site, facts: Facts, change: Change) -> Why:
    return (
        NOTE,
        "volume.qos",
        "not so",
        change.sentence,
        "volumes of the type have other limits than the site file says, or none",
    )


def _row(site: Site, facts: Facts, change: Change) -> Why:
    cause = "the service has another name: its row stays down for ever"
    return WARNING, "cinder.row", f"a row of {change.subject}", "none", cause


def _place(site: Site, facts: Facts, change: Change) -> Why:
    old = change.subject
    new = next(move.new for move in volume_hosts.moves(site, facts) if move.old == old)
    cause = (
        "the backend's section or backend_host is renamed: no service has these volumes by the "
        "old name"
    )
    return ERROR, "cinder.renamed", old, new, cause


_OF_CINDER: dict[str, Callable[[Site, Facts, Change], Why]] = {
    "volume_type": _type,
    "qos": _qos,
    "volume_move": _place,
    "service_row": _row,
}
"""By the kind of change: what the task of Cinder's options does besides."""


def _restart(site: Site, facts: Facts, change: Change) -> Why:
    return (
        WARNING,
        "restart.owed",
        "not restarted since its files were written",
        "restarted",
        ("the service works with what it read at its start"),
    )


WHY: dict[str, Callable[[Site, Facts, Change], Why | None]] = {
    "hosts.sudoers": _sudoers,
    "hosts.packages": _packages,
    "backup.tools": _tools,
    "hosts.conf": _conf,
    "ceph.pools": _pools,
    "ceph.auth": _auth,
    "ceph.clones": _clones,
    "ceph.keyrings": _keyrings,
    "compute.secret": _secret,
    "controller.glance": _options,
    "controller.cinder": _options,
    "compute.nova": _options,
    "services.restart": _restart,
}
"""By the task that mends it, where more is known of the cause than the plan says."""


def refusal(name: str, stop: Stop, looked: Collection[str] = ()) -> Finding:
    """What a resource refuses to alter, and the way on where it has one.

    looked: what a doctor has looked at besides of what speaks against the resource's commands.
    """
    mend = stop.mend if isinstance(stop, Refused) else ()
    steps = tuple(root(command.having_seen(*looked)) for command in mend)
    if steps:
        steps += (task(name),)
        steps += (RESTART_ALL,) if WHY.get(name) is _options else ()
    expected = stop.expected or stop.advice or "what the task does"
    return Finding(
        ERROR,
        f"refused.{name}",
        (stop.host,) if stop.host else (),
        stop.subject or name,
        stop.found or str(stop),
        expected,
        stop.why or stop.advice or str(stop),
        steps or (words(expected),),
    )
