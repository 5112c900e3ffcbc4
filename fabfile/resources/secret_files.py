"""libvirt's secrets as files of its host, where its container takes them at its start.

What is defined in the running libvirt alone is lost with its container; the files alone are not
read before the next restart.  So both are there: compute.secret plans these beside its own.
Source: kolla-ansible's role nova-cell, tasks/external_ceph.yml.
"""

from __future__ import annotations

import re

from fabfile.core.contract import Change, Host, Json, Read, Ref, Seen
from fabfile.model.deployment import Binding
from fabfile.model.phases import Leaving
from fabfile.model.site import Site
from fabfile.resources.auth import key_of

VALUES, DIGESTS = "libvirt.files", "libvirt.digests"
_MODE, _FOLDER_MODE = "0600", "0770"


def reads(site: Site, host: Host) -> list[Read]:
    """The files' lines, values as fingerprints, and their digests; none where there are none."""
    folder = site.platform_of(host).ceph["secrets"]
    if not folder:
        return []
    lines = ["grep", "-r", "-s", "", "--", folder]
    masked = {"mask": [r"(?m)^(?![^\n:]*\.xml:)[^\n:]*:([^\n]*\S)"]}
    digests = ["find", folder, "-maxdepth", "1", "-type", "f", "-exec", "sha256sum", "{}", "+"]
    return [
        Read("libvirt.folder", "file", {"path": folder, "kind": "directory"}),
        Read(VALUES, "argv", {"argv": lines, "ok": [0, 1, 2], **masked}),
        Read(DIGESTS, "argv", {"argv": digests, "ok": [0, 1]}),
    ]


def plan(binding: Binding, uuid: str, xml: str, key: str | None, seen: Seen) -> list[Change]:
    """What is missing of one secret's two files.  key: its fingerprint, None where it is new."""
    folder = binding.platform.ceph["secrets"]
    if not folder:
        return []
    values, digests = seen[VALUES]["out"], seen[DIGESTS]["out"]
    found: list[Change] = []
    if seen["libvirt.folder"] is None:
        owned = {"owner": binding.owner, "group": binding.owner}
        args = {"path": folder, "mode": _FOLDER_MODE, **owned}
        found.append(_change(binding, "folder", args, "make"))
    path = f"{folder}/{uuid}"
    if not re.search(rf"^{re.escape(path)}\.xml:.*<uuid>{uuid}</uuid>", values, re.M | re.I):
        found.append(
            _write(binding, f"{path}.xml", digests, [xml], ("the secret's definition", ()))
        )
    held = re.search(rf"^{re.escape(path)}\.base64:(\S+)\s*$", values, re.M)
    if key is None or held is None or held[1] != key:
        content = [Ref(key_of(binding.cluster, binding.client))]
        old = (f"- value {held[1]}",) if held else ()
        diff = (*old, f"+ value {key or '(made during the run)'}")
        words = f"the key of client.{binding.client}", diff
        found.append(_write(binding, f"{path}.base64", digests, content, words))
    return found


def leaving(site: Site, host: Host, client: str, uuid: str, seen: Seen) -> list[Change]:
    """The files of a secret that is undefined: libvirt's container would define it again."""
    folder = site.platform_of(host).ceph["secrets"]
    digests = (seen.get(DIGESTS) or {}).get("out", "")
    return [
        Change(
            host.name,
            path,
            f"take away: it has the key of client.{client}",
            "-",
            "remove",
            {"path": path, "before": there},
            Leaving.KEYS,
            kind="secret_file",
            subject=path,
        )
        for path in (f"{folder}/{uuid}{end}" for end in (".xml", ".base64"))
        if folder and (there := _digest(digests, path))
    ]


def _digest(digests: str, path: str) -> str | None:
    there = re.search(rf"^([0-9a-f]{{64}}) [ *]{re.escape(path)}$", digests, re.M)
    return there[1] if there else None


def _write(
    binding: Binding,
    path: str,
    digests: str,
    content: list[Json],
    words: tuple[str, tuple[str, ...]],
) -> Change:
    args: dict[str, Json] = {
        "path": path,
        "content": content,
        "mode": _MODE,
        "owner": binding.owner,
        "group": binding.owner,
        "before": _digest(digests, path),
    }
    return _change(binding, "write", args, *words)


def _change(
    binding: Binding, verb: str, args: dict[str, Json], sentence: str, diff: tuple[str, ...] = ()
) -> Change:
    return Change(
        binding.host.name,
        args["path"],
        f"{sentence}, for libvirt's container at its start",
        "~" if args.get("before") else "+",
        verb,
        args,
        binding.service.phase,
        diff,
        kind="secret_file",
        subject=args["path"],
    )
