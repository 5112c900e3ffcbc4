"""What is in force of a service's options, whoever says it: computed as oslo.config does.

The environment counts before the files, a later file before an earlier one, and in one file the
last line of an option.  Then references are filled in ($name, ${name}, ${group.name}), and a
backend of Cinder has from [backend_defaults] what its own section does not say.
Source: ConfigOpts._do_get, _Namespace and StrSubWrapper of oslo_config/cfg.py;
BackendGroupConfiguration of cinder/volume/configuration.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabfile.core.contract import Host, Json, Read
from fabfile.model.option_values import items
from fabfile.model.services import CINDER_VOLUME, Service
from fabfile.model.site import Site

PLAIN = ["rbd_secret_uuid", "rbd_keyring_conf"]
"""Options that look like credentials by name, and are none."""
VARIABLES = ["CEPH_ARGS", "CEPH_CONF", "CEPH_KEYRING"]
"""Of a service's environment, what librados and Ceph's programs look at."""
USER_OPTIONS = ("rbd_user", "rbd_store_user", "backup_ceph_user")
"""The options by which Cinder, Nova, Glance and cinder-backup name their client."""
Options = Mapping[tuple[str, str], str]
Line = tuple[str, str, str]
BACKEND_DEFAULTS = "backend_defaults"
_OF_ITS_OWN = ("backend_host", "enabled_backends")
"""What Cinder asks of a backend's own section alone (cinder/cmd/volume.py)."""
_VARIABLE = re.compile(r"OS_(.+)__(.+)")
_NAME = r"[_a-z][._a-z0-9]*"
_REFERENCE = re.compile(rf"\$(?:(?P<escaped>\$)|(?P<named>{_NAME})|{{(?P<braced>{_NAME})}})", re.I)
_DEEPEST, _LONGEST = 32, 65536
"""References to references, and letters of a value: what has more of them stays as it is written.
A host's file may name a long value a hundred times, and that one another."""


@dataclass(frozen=True)
class Source:
    """One place that says something: a file, or a variable of the environment."""

    name: str
    lines: tuple[Line, ...]

    @property
    def is_file(self) -> bool:
        """Whether it is a file that a person can edit."""
        return self.name.startswith("/")


@dataclass(frozen=True)
class Said:
    """An option that somebody says and that counts; section: as it is written there."""

    source: Source
    section: str
    key: str
    value: str


# What is asked


def reads(site: Site, host: Host, service: Service) -> list[Read]:
    """A service's own file, and all else that it reads."""
    platform = site.platform_of(host)
    wsgi = {"names": list(service.wsgi), "folder": service.wsgi_folder} if service.wsgi else None
    file = platform.file(service)
    return reads_of(service.key, service.project, platform.unit(service), file, wsgi)


def reads_of(name: str, project: str, unit: str, file: str, wsgi: Json = None) -> list[Read]:
    """The same of any program of a project: a unit's, or one that is called as unit says."""
    found: dict[str, Json] = {
        "unit": unit,
        "project": project,
        "main": file,
        "plain": PLAIN,
        "variables": VARIABLES,
    }
    if wsgi:
        found["wsgi"] = wsgi
    return [
        Read(f"{name}.conf", "options", {"path": file, "plain": PLAIN}),
        Read(f"{name}.sources", "sources", found),
    ]


# What it comes to


def same(section: str) -> str:
    """A section's name as oslo.config compares it."""
    return section if section == "DEFAULT" else section.lower()


def before_and_after(seen: Mapping[str, Json], name: str) -> tuple[list[Source], list[Source]]:
    """What a service reads before its own file, and what after it; the last one counts."""
    told = seen.get(f"{name}.sources") or {}
    main = told.get("main", "")
    listed = [Source(path, _as_lines(active)) for path, active in told.get("files", ())]
    at = max((n for n, one in enumerate(listed) if one.name == main), default=-1)
    before = [one for one in listed[: max(at, 0)] if one.name != main]
    return before, listed[at + 1 :] + list(_environment(told.get("environment", {})))


def is_read(seen: Mapping[str, Json], name: str) -> bool:
    """Whether the process that runs reads the service's own file; True where none was seen."""
    told = seen.get(f"{name}.sources") or {}
    return not told.get("running") or told["main"] in [path for path, _ in told["files"]]


def apart(seen: Mapping[str, Json], names: Iterable[str]) -> list[str]:
    """Those of the services whose own file was seen, without who reads that of one before it."""
    found: dict[str, str] = {}
    for name in names:
        if seen.get(f"{name}.conf"):
            told = seen.get(f"{name}.sources") or {}
            found.setdefault(told.get("main") or name.partition(".")[0], name)
    return list(found.values())


def options(
    seen: Mapping[str, Json],
    name: str,
    old_names: Mapping[str, str] | None = None,
    own: Iterable[str] = (),
) -> dict[tuple[str, str], str]:
    """{(section, option): value} that a service has; sections as same() has them.

    old_names: {'section.option': an older name that is read too}, of this release; own:
    backends of Cinder that may not be there yet.
    """
    found: dict[tuple[str, str], str] = {}
    for source in sources(seen, name):
        mine = {(same(section), key): value for section, key, value in source.lines}
        for new, old in (old_names or {}).items():
            if (value := mine.get(_split(old))) is not None:
                mine.setdefault(_split(new), value)
        found |= mine
    references = _References(found)
    whole = {
        place: references.at(place) if "$" in value else value for place, value in found.items()
    }
    return _with_defaults(whole, set(map(same, own))) if name == CINDER_VOLUME.key else whole


def with_default_users(now: Options) -> Options:
    """The options with the client by which cinder-backup logs in where nobody names one.

    Source: backup_ceph_user in cinder/backup/drivers/ceph.py: "cinder".
    """
    if "drivers.ceph" not in now.get(("DEFAULT", "backup_driver"), ""):
        return now
    return {("DEFAULT", "backup_ceph_user"): "cinder", **now}


def sources(seen: Mapping[str, Json], name: str) -> list[Source]:
    """All that a service reads, in the order in which the last one counts."""
    own = (seen.get(f"{name}.conf") or {}).get("active", ())
    main = (seen.get(f"{name}.sources") or {}).get("main", "")
    before, after = before_and_after(seen, name)
    return [*before, Source(main, _as_lines(own)), *after]


def said(seen: Mapping[str, Json], name: str) -> list[Said]:
    """What a service has of its options, each where its last line is, references filled in."""
    whole = options(seen, name)
    last: dict[tuple[str, str], tuple[Source, str]] = {}
    for source in sources(seen, name):
        for section, key, _ in source.lines:
            last[same(section), key] = source, section
    return [
        Said(source, section, key, whole[same(section), key])
        for (_, key), (source, section) in last.items()
    ]


def filled(found: Options, section: str, value: str) -> str:
    """A value with its references filled in, as the section has it."""
    return _References(found).filled(same(section), value)


def by_section(found: Options) -> dict[str, dict[str, str]]:
    """{section: {option: value}}."""
    sections: dict[str, dict[str, str]] = {}
    for (section, key), value in found.items():
        sections.setdefault(section, {})[key] = value
    return sections


def _as_lines(active: Iterable[Sequence[str]]) -> tuple[Line, ...]:
    return tuple((section, key, value) for section, key, value in active)


def _environment(given: Mapping[str, str]) -> Iterator[Source]:
    """OS_GROUP__OPTION: read since Stein, and before the files."""
    for name, value in given.items():
        if match := _VARIABLE.fullmatch(name):
            group = same(match[1]) if match[1] == "DEFAULT" else match[1].lower()
            yield Source(name, ((group, match[2].lower(), value),))


def _split(name: str) -> tuple[str, str]:
    section, _, key = name.rpartition(".")
    return section, key


class _References:
    """Fills values in, each option once; what names nothing that is set stays as it is written.

    So does what leads back to itself, which no service can read (oslo.config: RecursionError).
    """

    def __init__(self, found: Options) -> None:
        self._found = found
        self._done: dict[tuple[str, str], str] = {}
        self._within: set[tuple[str, str]] = set()

    def at(self, place: tuple[str, str]) -> str:
        """The value of an option that is set."""
        if place not in self._done:
            self._within.add(place)
            self._done[place] = self.filled(place[0], self._found[place])
            self._within.remove(place)
        return self._done[place]

    def filled(self, section: str, value: str) -> str:
        """A value as the section has it."""
        if "$" not in value:
            return value
        room = _LONGEST

        def one(match: re.Match[str]) -> str:
            nonlocal room
            meant = "$" if match["escaped"] else self._meant(section, match)
            room -= len(meant)
            return meant if room > 0 else match[0]

        return _REFERENCE.sub(one, value.replace(r"\$", "$$"))

    def _meant(self, section: str, match: re.Match[str]) -> str:
        name = match["named"] or match["braced"]
        group, key = name.split(".", 1) if "." in name else ("", name)
        for place in ((same(group), key),) if group else ((section, key), ("DEFAULT", key)):
            if place in self._found:
                readable = place not in self._within and len(self._within) < _DEEPEST
                return self.at(place) if readable else match[0]
        return match[0]


def _with_defaults(
    found: dict[tuple[str, str], str], own: Collection[str]
) -> dict[tuple[str, str], str]:
    """Each backend with what [backend_defaults] says for all of them."""
    shared = {key: v for (s, key), v in found.items() if s == BACKEND_DEFAULTS}
    enabled = {same(name) for name in items(found.get(("DEFAULT", "enabled_backends"), ""))}
    there = {section for section, _ in found} - {"DEFAULT", BACKEND_DEFAULTS}
    backends = enabled | {s for s in there if any((s, key) in found for key in _MARKS)}
    for section in backends.union(own):
        for key, value in shared.items():
            if key not in _OF_ITS_OWN:
                found.setdefault((section, key), value)
    return found


_MARKS = ("volume_driver", "volume_backend_name", "rbd_pool", "rbd_user")
"""What only a backend's section has: one that is not enabled yet is told by it."""
