"""The libvirt secret on every compute: the same UUID, the cluster's key as its value.

A secret of somebody else is never undefined: where our usage name is taken under
another UUID, ours gets a longer name.  Source: procedure step 8.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from fabfile.core.contract import Change, Facts, Failed, Json, Ref, Refused
from fabfile.model.deployment import Binding
from fabfile.model.phases import Phase
from fabfile.model.site import Site
from fabfile.resources import cluster, secret_uuid
from fabfile.resources.auth import key_of
from fabfile.resources.resource import Resource

reads = secret_uuid.reads
ABSENT = "secret not found|no secret with"
"""libvirt's words; a libvirtd that is down has others."""


def plan(site: Site, facts: Facts) -> list[Change]:
    """Defines missing secrets and sets values that are not the cluster's key."""
    users = cluster.seen(site, facts).users
    changes: list[Change] = []
    for host in site.with_role("compute"):
        if host.name not in facts.hosts:
            continue
        secrets = facts.of(host.name, secret_uuid.SECRETS)
        for binding in (one for one in site.bindings_of(host) if one.secret):
            client = binding.client
            wanted = facts.known[secret_uuid.known_as(client)]
            key = users.get(f"client.{client}", {}).get("key")
            changes += _for_client(binding, wanted, key, secrets)
    return changes


def _for_client(
    binding: Binding, wanted: str, key: str | None, secrets: dict[str, Json]
) -> list[Change]:
    host, client = binding.host.name, binding.client
    mine = {u.lower(): answers for u, answers in secrets.items()}.get(wanted)
    changes = []
    if mine is None:
        names = {usage_of(answers["xml"]["out"]) for answers in secrets.values()}
        name = secret_uuid.usage_name(client)
        changes.append(_define(binding, wanted, f"{name} {wanted}" if name in names else name))
    elif "private='yes'" in mine["xml"]["out"]:
        raise Refused(
            f"{host}: libvirt secret {wanted} is private: its value cannot be compared; "
            "define it anew with private='no'",
            host=host,
            subject=f"libvirt secret {wanted}",
            expected="private='no'",
            found="private",
            why="its value cannot be compared",
            advice="define it anew with private='no'",
            mend=[binding.platform.by_hand("virsh", "secret-undefine", wanted)],
        )
    found = mine["value"]["out"].strip() if mine and mine["value"]["code"] == 0 else None
    if found is None or found != key:
        changes.append(_set_value(binding, wanted, found, key))
    return changes


def usage_of(xml: str) -> str | None:
    """The usage name in a secret's XML."""
    try:
        return ET.fromstring(xml).findtext("usage/name")  # noqa: S314 (libvirt's own)
    except ET.ParseError:
        raise Failed(f"virsh secret-dumpxml: expected a secret's XML, found {xml[:80]!r}") from None


def _xml(uuid: str, name: str) -> str:
    root = ET.Element("secret", ephemeral="no", private="no")
    ET.SubElement(root, "uuid").text = uuid
    usage = ET.SubElement(root, "usage", type="ceph")
    ET.SubElement(usage, "name").text = name
    return ET.tostring(root, encoding="unicode")


def _define(binding: Binding, uuid: str, name: str) -> Change:
    host, client, platform = binding.host.name, binding.client, binding.platform
    undo = {
        "verb": "run",
        "args": {"argv": platform.command("virsh", "secret-undefine", uuid)},
        "guard": {"argv": platform.command("virsh", "secret-dumpxml", uuid), "absent": ABSENT},
    }
    args = {
        "argv": platform.command("virsh", "secret-define", "/dev/stdin"),
        "stdin": [_xml(uuid, name)],
        "undo": undo,
    }
    thing = f"libvirt secret {uuid}"
    return Change(
        host,
        thing,
        f"define, for client.{client}",
        "+",
        "run",
        args,
        wave=Phase.COMPUTE,
        kind="secret",
        subject=uuid,
    )


def _set_value(binding: Binding, uuid: str, old: str | None, new: str | None) -> Change:
    host, client, platform = binding.host.name, binding.client, binding.platform
    argv = platform.command("virsh", "secret-set-value", "--secret", uuid, "--file", "/dev/stdin")
    diff = (f"- value {old or '(none)'}", f"+ value {new or '(made during the run)'}")
    ask = platform.command("virsh", "secret-get-value", uuid)
    undo = {
        "verb": "run",
        "args": {"argv": argv, "stdin": [{"old": ask}]},
        "guard": {"argv": ask, "absent": ABSENT},
    }
    return Change(
        host,
        f"libvirt secret {uuid}",
        f"set the key of client.{client} as its value",
        "~" if old else "+",
        "run",
        {"argv": argv, "stdin": [Ref(key_of(client))], "undo": undo if old else None},
        wave=Phase.COMPUTE,
        diff=diff,
        kind="secret_value",
        subject=uuid,
        stays="" if old else "it had no value before, and a value is not taken from a secret",
    )


RESOURCE = Resource("compute.secret", reads, plan)
