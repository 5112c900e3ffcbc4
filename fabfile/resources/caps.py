"""cephx capabilities: what each Ceph release takes, what a client needs, what a text grants.

Knows the grammar of the monitors, managers and OSDs as they parse it themselves; who needs
what is not known here.  Sources: MonCap.cc, OSDCap.cc and MgrCap.cc of Ceph (the parsers at
their ends); the caps' words: procedure step 6, 'profile rbd' since Luminous (12), the
managers' own grammar since Octopus (15).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from fabfile.model.site_tables import Client

Caps = Mapping[str, str]
"""{daemon: capability}."""
_QUOTED = r"\"[^\"]*\"|'[^']*'"
_GRANT = re.compile(rf"(?:{_QUOTED}|[^,;])+")
_WORD = r"""(?:"[^"]+"|'[^']+'|[A-Za-z0-9_./-]+)"""
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_IS = r"(?:=|\s+)"


@dataclass(frozen=True)
class _Form:
    """The words since a major version: for all, for a pool that is written, for one that is read.

    managers: likewise for a pool that is written; '' where they have no grammar for it.
    """

    since: int
    mon: str
    osd: str
    written: str
    read: str
    managers: str = ""


_FORMS = (
    _Form(
        15,
        "profile rbd",
        "",
        "profile rbd pool={}",
        "profile rbd-read-only pool={}",
        "profile rbd pool={}",
    ),
    _Form(12, "profile rbd", "", "profile rbd pool={}", "profile rbd-read-only pool={}"),
    _Form(
        0,
        'allow r, allow command "osd blacklist"',
        "allow class-read object_prefix rbd_children",
        "allow rwx pool={}",
        "allow rx pool={}",
    ),
)
"""The newest first."""


def wanted(client: Client, release: int) -> dict[str, str]:
    """{daemon: caps} of a client for a cluster of that major version."""
    form = next(one for one in _FORMS if release >= one.since)
    written, read = map(_word, client.rwx), map(_word, client.rx)
    osd = [form.osd, *map(form.written.format, written), *map(form.read.format, read)]
    found = {"mon": form.mon, "osd": ", ".join(filter(None, osd))}
    if form.managers:
        found["mgr"] = ", ".join(form.managers.format(_word(pool)) for pool in client.rwx)
    return found


def _word(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return name
    return f"'{name}'" if '"' in name else f'"{name}"'


# What each release takes

_RWX = r"(?:\*|all|(?=[rwx])r?w?x?)"
_NETWORK = r"(?:\s+network\s+[/.:a-fA-F0-9\]\[]+)?"
_PAIR = rf"{_WORD}(?:\s*=\s*|\s+prefix\s+|\s+regex\s+){_WORD}"
_PAIRS = rf"{_PAIR}(?:\s+{_PAIR})*"
_COMMAND = rf"allow\s+command{_IS}{_WORD}(?:\s+with\s+{_PAIRS})?"
_SERVICE = rf"allow\s+service{_IS}{_WORD}\s+{_RWX}"
_PROFILE = rf"(?:allow\s+)?profile{_IS}{_WORD}"
_POOL = rf"\s+pool{_IS}{_WORD}"
_SPACE = rf"\s+namespace{_IS}(?:\"\"|''|{_WORD})\*?"
_TAG = rf"\s+tag\s+{_WORD}\s+(?:\*|{_WORD})\s*=\s*(?:\*|{_WORD})"
_MATCH = (
    rf"(?:(?:{_SPACE})?{_TAG}|\s+auid\s+\d+(?:\s+object_prefix\s+{_WORD})?|"
    rf"(?:{_POOL})?(?:{_SPACE})?(?:\s+object_prefix\s+{_WORD})?)"
)
_RIGHTS = (
    rf"(?:{_RWX}(?:\s+class-read)?(?:\s+class-write)?|class-read(?:\s+class-write)?|class-write)"
)
_CLASS = rf"class\s+{_WORD}(?:\s+{_WORD})?"

# What the monitors' parser takes; before Octopus it reads the managers' caps as well.
_OF_MONITORS = (
    (0, rf"allow\s+{_RWX}"),
    (0, _SERVICE),
    (0, _COMMAND),
    (0, _PROFILE),
    (14, rf"allow\s+{_RWX}{_NETWORK}"),
    (14, _SERVICE + _NETWORK),
    (14, _COMMAND + _NETWORK),
    (14, _PROFILE + _NETWORK),
)
_GRAMMAR: Mapping[str, tuple[tuple[int, str], ...]] = {
    "mon": (
        *_OF_MONITORS,
        (15, rf"allow\s+{_RWX}\s+fsname{_IS}{_WORD}{_NETWORK}"),
    ),
    "mgr": (
        *_OF_MONITORS,
        (15, rf"{_PROFILE}(?:\s+{_PAIRS})?{_NETWORK}"),
        (15, rf"allow\s+module{_IS}{_WORD}(?:\s+with\s+{_PAIRS})?\s+{_RWX}{_NETWORK}"),
    ),
    "osd": (
        (0, rf"allow\s+{_RIGHTS}{_MATCH}"),
        (0, rf"allow{_MATCH}\s+{_RIGHTS}"),
        (12, rf"profile{_IS}{_WORD}(?:{_POOL})?(?:{_SPACE})?"),
        (14, rf"allow\s+(?:{_RIGHTS}|{_CLASS}){_MATCH}{_NETWORK}"),
        (14, rf"allow{_MATCH}\s+(?:{_RIGHTS}|{_CLASS}){_NETWORK}"),
        (14, rf"profile{_IS}{_WORD}(?:{_POOL})?(?:{_SPACE})?{_NETWORK}"),
    ),
}
"""{daemon: (major version since, the form of a grant)}; of other daemons nothing is known."""


@lru_cache(maxsize=64)
def _forms(daemon: str, release: int) -> re.Pattern[str] | None:
    known = [form for since, form in _GRAMMAR.get(daemon, ()) if release >= since]
    return re.compile("|".join(known)) if known else None


def takes(daemon: str, grant: str, release: int) -> bool:
    """Whether that release's daemon can read the grant; of an unknown daemon, it can."""
    forms = _forms(daemon, release)
    return forms is None or bool(forms.fullmatch(grant))


def is_no_grant(daemon: str, grant: str) -> bool:
    """Whether it cannot be read by any release: it begins with none of the two words."""
    return daemon in _GRAMMAR and not re.match(r"(allow|profile)\b", grant)


def grants(text: str) -> list[str]:
    """The grants of a capability; blanks count as one, commas within quotes do not part."""
    found = (_blanks(grant) for grant in _GRANT.findall(text))
    return [grant for grant in found if grant]


def _blanks(grant: str) -> str:
    """One space for any blanks, but in what is quoted."""
    parts = re.split(rf"({_QUOTED})", grant)
    plain = [part if n % 2 else re.sub(r"\s+", " ", part) for n, part in enumerate(parts)]
    return "".join(plain).strip()


def widened(existing: Caps, wanted: Caps) -> dict[str, str]:
    """The existing caps, and what of the wanted ones they do not grant yet.

    What cannot be a grant in any release is left out: a daemon reads a capability whole or not
    at all, so that it and all beside it granted nothing.
    """
    result = dict(existing)
    for daemon, text in wanted.items():
        have = grants(existing.get(daemon, ""))
        kept = [grant for grant in have if not is_no_grant(daemon, grant)]
        missing = [g for g in grants(text) if g not in kept and not _covered(g, kept)]
        if missing or kept != have:
            result[daemon] = ", ".join(kept + missing)
    return result


def _covered(grant: str, have: list[str]) -> bool:
    """Whether a broader grant of the same kind is there already."""
    if "allow *" in have:
        return True
    stronger = grant.replace("rbd-read-only", "rbd")
    return stronger in have or re.sub(r" pool=\S+", "", stronger) in have


# What a text grants

_NAMED = rf"pool{_IS}(?P<pool>{_WORD})"
_ON_A_POOL = re.compile(
    rf"profile{_IS}[\"']?(?P<profile>rbd|rbd-read-only|read-only|read-write)[\"']?\s+{_NAMED}"
    rf"|allow\s+(?P<rights>[rwx]+)\s+{_NAMED.replace('<pool>', '<pool2>')}"
    rf"|allow\s+{_NAMED.replace('<pool>', '<pool3>')}\s+(?P<rights2>[rwx]+)"
)
_RIGHTS_OF = {"rbd": "rwx", "rbd-read-only": "rx", "read-only": "r", "read-write": "rw"}


def on_pools(text: str) -> dict[str, str]:
    """{pool: 'rwx', 'rx'...} of the pools that an OSD's capability names, whole pools alone."""
    found: dict[str, set[str]] = {}
    for grant in grants(text):
        match = _ON_A_POOL.fullmatch(grant)
        if match:
            named = match["pool"] or match["pool2"] or match["pool3"]
            rights = match["rights"] or match["rights2"] or _RIGHTS_OF[match["profile"]]
            found.setdefault(named.strip("\"'"), set()).update(rights)
    return {pool: "".join(sorted(rights, key="rwx".index)) for pool, rights in found.items()}


def names_pool(text: str, pool: str) -> bool:
    """Whether a grant of an OSD's capability is on a pool, or on a part of it (a namespace)."""
    named = rf"\bpool(?:\s*=\s*|\s+)[\"']?{re.escape(pool)}(?![\w.:+-])"
    return pool in on_pools(text) or any(re.search(named, grant) for grant in grants(text))


def cloned_into(source: str, users: Iterable[Caps]) -> list[str]:
    """The pools into which some user may clone images of the source pool, by their names.

    Such a user names both: it reads the source, and writes the other.
    """
    found = set()
    for caps in users:
        pools = on_pools(caps.get("osd", ""))
        if "r" in pools.get(source, ""):
            found |= {pool for pool, rights in pools.items() if "w" in rights}
    return sorted(found - {source})
