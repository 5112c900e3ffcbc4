"""The libvirt secret on every compute: the same UUID, the cluster's key as its value.

A secret of somebody else is never undefined: where our usage name is taken under
another UUID, ours gets a longer name.  Source: procedure step 8.

A key is in no argument, environment or history: virsh reads it from a file (standard input), or,
where virsh is too old for that, libvirt's C library is given it.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from fabfile.core.contract import Change, Facts, Failed, Host, Json, Read, Ref, Refused, Seen
from fabfile.model.deployment import Binding
from fabfile.model.phases import Leaving, Phase
from fabfile.model.services import NOVA_COMPUTE
from fabfile.model.site import Site
from fabfile.resources import by_cluster, cluster, secret_files, secret_uuid
from fabfile.resources.auth import key_of
from fabfile.resources.leaving import clients as clients_leaving
from fabfile.resources.leaving import named, used_by
from fabfile.resources.resource import Leaves, Resource, Stays

OPTIONS = "virsh.secret-set-value"
"""The read of what virsh's secret-set-value takes."""


def reads(site: Site, host: Host) -> list[Read]:
    """As for the UUIDs; of a compute, also whether its virsh reads a value from a file.

    It does since libvirt 6.2; vendors have brought it to older ones, so virsh itself is asked.
    """
    found = secret_uuid.reads(site, host)
    if NOVA_COMPUTE.role in host.roles:
        asked = site.platform_of(host).question("virsh", "help", "secret-set-value")
        found.append(Read(OPTIONS, "argv", {**asked, "ok": [0, 1], "once": True}))
        found += secret_files.reads(site, host)
    return found


_BY_LIBRARY = """
import base64, ctypes, sys
given = ctypes.CDLL("libvirt.so.0")
pointer, text = ctypes.c_void_p, ctypes.c_char_p
connect, find = given.virConnectOpen, given.virSecretLookupByUUIDString
fill = given.virSecretSetValue
connect.restype, connect.argtypes = pointer, [text]
find.restype, find.argtypes = pointer, [pointer, text]
fill.argtypes = [pointer, text, ctypes.c_size_t, ctypes.c_uint]
value = base64.b64decode(sys.stdin.buffer.read().strip())
libvirt = connect(None)
secret = libvirt and find(libvirt, sys.argv[1].encode())
if not secret or fill(secret, value, len(value), 0) != 0:
    sys.exit("libvirt did not take the secret's value")
"""
"""Sets a secret's value, which comes by standard input in base64.

By functions that libvirt has since 0.7.1, of the library that virsh itself is linked with; and
connects to where virsh does.  Python 3.6; -I keeps modules of the working folder out.
"""
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
            found = _for_client(binding, wanted, key, secrets, facts.hosts[host.name])
            name = next((c.args["stdin"][0] for c in found if c.kind == "secret"), None)
            xml = name or secrets_xml(secrets, wanted)
            files = secret_files.plan(binding, wanted, xml, key, facts.hosts[host.name])
            changes += [*found, *(one for one in files if one not in changes)]  # one folder
    return changes


def secrets_xml(secrets: dict[str, Json], wanted: str) -> str:
    """The definition of a secret that libvirt has, as ours is written."""
    mine = next(one for uuid, one in secrets.items() if uuid.lower() == wanted)
    return _xml(wanted, usage_of(mine["xml"]["out"]) or "")


def _for_client(
    binding: Binding, wanted: str, key: str | None, secrets: dict[str, Json], seen: Seen
) -> list[Change]:
    host, client = binding.host.name, binding.client
    mine = {u.lower(): answers for u, answers in secrets.items()}.get(wanted)
    changes = []
    if mine is None:
        names = {_usage(host, uuid, answers["xml"]["out"]) for uuid, answers in secrets.items()}
        name = secret_uuid.usage_name(binding.cluster, client)
        changes.append(_define(binding, wanted, f"{name} {wanted}" if name in names else name))
    elif "private='yes'" in mine["xml"]["out"]:
        undefine = binding.platform.by_hand("virsh", "secret-undefine", wanted)
        raise Refused(
            f"{host}: libvirt secret {wanted} is private: its value cannot be compared; "
            "define it anew with private='no'",
            host=host,
            subject=f"libvirt secret {wanted}",
            expected="private='no'",
            found="private",
            why="the secret is private: its value cannot be compared",
            advice="define it anew with private='no'",
            mend=[
                # Its value is not lost where Ceph has the key of the client that names it.
                undefine.having_seen("key") if key else undefine
            ],
        )
    found = mine["value"]["out"].strip() if mine and mine["value"]["code"] == 0 else None
    if found is None or found != key:
        changes.append(_set_value(binding, wanted, found, key, _setter(binding, wanted, seen)))
    return changes


def _setter(binding: Binding, uuid: str, seen: Seen) -> list[str]:
    """The argument list that sets a value from standard input.

    Raises Refused where virsh takes it as an argument alone, and its library is out of reach.
    """
    platform = binding.platform
    answer = seen.get(OPTIONS)
    told = answer["out"] if answer and answer["code"] == 0 else None
    if told and re.search(r"--file\b", told):
        words = ("--secret", uuid, "--file", "/dev/stdin")
        return platform.command("virsh", "secret-set-value", *words)
    if told is not None and platform.command("virsh")[:1] == ["virsh"]:
        return ["python3", "-I", "-c", _BY_LIBRARY, uuid]
    raise Refused(
        host=binding.host.name,
        subject=f"libvirt secret {uuid}",
        expected="a virsh that reads a value from a file (libvirt 6.2 or later)",
        found="one that takes it as an argument alone" if told is not None else "none that says so",
        why="every user of the host could read the key in its list of processes",
        advice="upgrade libvirt there, or leave this compute out (--limit) and set the value with "
        "a program of your own",
    )


def _usage(host: str, uuid: str, xml: str) -> str:
    """As usage_of.  Raises Failed for what is no XML: a name that is taken would not be seen."""
    found = usage_of(xml)
    if found is None:
        raise Failed(
            host=host,
            subject=f"libvirt secret {uuid[:40]}",
            expected="its XML, of virsh secret-dumpxml",
            found=repr(xml[:80]),
            advice="look at what libvirt says there",
        )
    return found


def usage_of(xml: str) -> str | None:
    """The usage name in a secret's XML, '' where it has none; None for what is no XML."""
    try:
        return ET.fromstring(xml).findtext("usage/name") or ""  # noqa: S314 (libvirt's own)
    except (ET.ParseError, ValueError, LookupError):  # of encodings: the latter two
        return None


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


def _set_value(
    binding: Binding, uuid: str, old: str | None, new: str | None, argv: list[str]
) -> Change:
    host, client, platform = binding.host.name, binding.client, binding.platform
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
        {
            "argv": argv,
            "stdin": [Ref(key_of(binding.cluster, client))],
            "undo": undo if old else None,
        },
        wave=Phase.COMPUTE,
        diff=diff,
        kind="secret_value",
        subject=uuid,
        stays="" if old else "it had no value before, and a value is not taken from a secret",
    )


_BACK = """
import subprocess, sys
text, cut = sys.stdin.read(), sys.argv.index("--")
end = text.index("</secret>") + len("</secret>")
for argv, given in ((sys.argv[1:cut], text[:end]), (sys.argv[cut + 1:], text[end:])):
    if argv and given.strip():
        subprocess.run(argv, input=given.strip().encode(), check=True, stdout=subprocess.DEVNULL)
"""
"""Defines a secret again, and gives it its value: both come by standard input, in this order."""


def leaving(site: Site, rest: Site, facts: Facts) -> Leaves:
    """The secrets of clients that go; one that a guest or an attachment needs stays."""
    users = cluster.seen(site, facts).users
    kept = {facts.known.get(secret_uuid.known_as(one)) for one in rest.secret_clients()}
    found: list[Change | Stays] = []
    for client in clients_leaving(site, rest):
        known = facts.known.get(secret_uuid.known_as(client))
        key = users.get(f"client.{client}", {}).get("key")
        used = used_by(site, facts, client)
        for host in site.with_role(NOVA_COMPUTE.role):
            seen = facts.hosts.get(host.name, {})
            for uuid, answers in (seen.get(secret_uuid.SECRETS) or {}).items():
                value = answers["value"]["out"].strip() if answers["value"]["code"] == 0 else ""
                if uuid.lower() in kept or not (uuid.lower() == known or key == value != ""):
                    continue
                if used:
                    thing = f"libvirt secret {uuid.lower()}"
                    found.append(Stays(host.name, thing, named(used)))
                    continue
                found.append(_undefine(site, host, client, (uuid.lower(), value), seen))
                found += secret_files.leaving(site, host, client, uuid.lower(), seen)
    return found


def _undefine(site: Site, host: Host, client: str, secret: tuple[str, str], seen: Seen) -> Change:
    uuid, value = secret
    platform = site.platform_of(host)
    xml = platform.command("virsh", "secret-dumpxml", uuid)
    args: dict[str, Json] = {"argv": platform.command("virsh", "secret-undefine", uuid)}
    binding = next((one for one in site.bindings_of(host) if one.client == client), None)
    stays = "" if binding else "nothing says how it is defined again"
    if binding:
        define = platform.command("virsh", "secret-define", "/dev/stdin")
        given: list[Json] = [{"old": xml}]
        setter: list[str] = []
        if value:
            try:
                setter = _setter(binding, uuid, seen)
                given.append({"old": platform.command("virsh", "secret-get-value", uuid)})
            except Refused as refused:
                stays = refused.why
        back = ["python3", "-I", "-c", _BACK, *define, "--", *setter]
        args["undo"] = {
            "verb": "run",
            "args": {"argv": back, "stdin": given},
            "guard": {"argv": xml, "absent": ABSENT},
        }
    return Change(
        host.name,
        f"libvirt secret {uuid}",
        f"undefine: it has the key of client.{client}",
        "-",
        "run",
        {**args, "undo": None} if stays else args,
        Leaving.KEYS,
        diff=(f"- value {value}",) if value else (),
        kind="secret",
        subject=uuid,
        stays=stays,
    )


RESOURCE = by_cluster.each(Resource("compute.secret", reads, plan, leaving=leaving))
