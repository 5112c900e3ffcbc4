"""What another team hands over of its cluster: files of this machine, or what a command prints.

Keys stay in this process's memory: they are in no argument, environment, log or record.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fabfile.core import own_files, site_file
from fabfile.core.contract import INV, BadInput, Json, Secret, typed
from fabfile.model import advice, ceph_releases
from fabfile.model.site import Site
from fabfile.resources import by_cluster, keyrings, supplied
from fabfile.resources.auth import key_of

_PATIENCE = 60
_MOST = 1 << 20
_FORM = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}")


@dataclass(frozen=True)
class Supplied:
    """answers: {host: {read id: what stands for the cluster's}}; keys: {a Ref's name: key}."""

    answers: Mapping[str, Mapping[str, Json]]
    keys: Mapping[str, Secret]


def read(site: Site) -> Supplied:
    """What was handed over of each cluster that is another team's.  Raises BadInput."""
    answers: dict[str, dict[str, Json]] = {}
    keys: dict[str, Secret] = {}
    for part in site.parts:
        table = part.table
        if not part.is_supplied:
            continue
        said = f"clusters.{part.label}"
        text = _text(table.supplied_conf, f"{said}.supplied_conf", "", False)
        mine = {name: _key(part, name, f"{said}.supplied_keyring") for name in part.used_clients()}
        keys |= {key_of(part.cluster, name): key for name, key in mine.items()}
        told = {name: key.fingerprint for name, key in mine.items()}
        release = ceph_releases.named(table.release) or len(ceph_releases.NAMES)
        found = supplied.answer(f"{said}.supplied_conf", text, told, release)
        answers.setdefault(part.admin.name, {})[by_cluster.tagged(part, supplied.READ)] = found
    return Supplied(answers, keys)


def commands(site: Site) -> list[tuple[str, str]]:
    """[(who names it, command)]: what these clusters make run on this machine."""
    return [
        (f"clusters.{part.label}.{name}", shlex.join(given))
        for part in site.parts
        for name in ("supplied_conf", "supplied_keyring")
        if isinstance(given := getattr(part.table, name), list)
    ]


def _key(part: Site, client: str, what: str) -> Secret:
    """A client's key, of a keyring, or alone on a line."""
    text = _text(part.table.supplied_keyring, what, client, True)
    found = keyrings.held(text, client) or text.strip()
    if not _FORM.fullmatch(found):
        prints = advice.shown(typed("ceph", "auth", "get", f"client.{client}"))
        raise BadInput(
            f"{what}: expected a keyring with [client.{client}] and its key ({prints}), or the key "
            "alone, found neither"
        )
    return Secret(found)


def _text(given: str | Sequence[str] | None, what: str, client: str, secret: bool) -> str:
    if isinstance(given, str):
        path = site_file.expanded(given.replace("{client}", client), what)
        try:
            found = (own_files.read_key if secret else own_files.read)(path, what, _MOST)
        except OSError as error:
            raise BadInput(
                f"{what}: {path}: {error.strerror}; {INV} ceph.request prints what they hand over"
            ) from None
    else:
        argv = [word.replace("{client}", client) for word in given or ()]
        found = _printed(argv, what)
    try:
        return found.decode("ascii")
    except UnicodeDecodeError:
        raise BadInput(f"{what}: expected text of ASCII, found other bytes") from None


def _printed(argv: Sequence[str], what: str) -> bytes:
    """What a command prints; what it says of itself goes to the terminal."""
    try:
        done = subprocess.run(  # noqa: S603 (the site file's own)
            argv, stdout=subprocess.PIPE, check=False, timeout=_PATIENCE
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = getattr(error, "strerror", None) or f"no answer within {_PATIENCE} s"
        raise BadInput(f"{what}: {argv[0]}: {why}") from None
    if done.returncode or not done.stdout.strip():
        raise BadInput(f"{what}: {argv[0]} printed nothing (exit {done.returncode})")
    return done.stdout[:_MOST]
