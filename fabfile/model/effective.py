"""Every value that counts for a site, and where it comes from; nothing of what hosts say.

Pure.  What could be a secret is shown as that alone: `inv config` is pasted into tickets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fabfile.core.contract import Json
from fabfile.model import services
from fabfile.model.site import Site
from fabfile.model.site_schema import as_toml

DEFAULT, OF_SERVICES = "default", "what its services use"
_LOGIN = re.compile(r"://[^/\s@]*@")
_COMMANDS = ("sudo_password_command", "supplied_keyring", "supplied_conf")
"""What may be commands: their words can hold a secret, or say where one is."""
_NAMED = (
    r"[\w-]*(?:passw|passphrase|secret(?!_uuid)|token|credential|authorization|key(?!ring|file))"
)
_GIVEN = re.compile(rf"(?i)((?:^|[\s\"';])-*{_NAMED}[\w-]*\s*[=:]\s*)\S.*", re.DOTALL)
_FLAG = re.compile(rf"(?i)--?{_NAMED}[\w-]*")
_HIDDEN = "(not shown)"
Path = tuple[str, ...]


@dataclass(frozen=True)
class Effective:
    """One value.  key: dotted; shown: as TOML; origin: 'site.toml:12', 'default', or a release."""

    key: str
    shown: str
    origin: str


def of_site(site: Site, said: Mapping[Path, int], file: str) -> list[Effective]:
    """Every setting of a checked site file, in the tables' order.

    said: the lines of its keys; file: how it is called in what is shown.
    """
    return [
        Effective(dotted(path), _shown(path, value), _origin(path, said, file))
        for path, value in _values((), site.model_dump(mode="json"))
    ]


def of_release(site: Site, table: Mapping[str, Json], release: str) -> Iterator[Effective]:
    """What a release's table sets beside that, in the services' files."""
    for (service, disks), parts in _parts(site).items():
        backs_up = service == services.CINDER_BACKUP.key
        data = table.get("cinder", {}).get("backup", {}) if backs_up else table.get(service, {})
        kinds = [("options", "as the site says")]
        kinds += [("ephemeral", "as the site says")] if disks else []
        advised = "recommended_ephemeral" if disks else "recommended"
        kinds += [(advised, "recommended")] if site.recommended else []
        some = f", on {', '.join(parts[0].hosts)}" if (service, not disks) in _parts(site) else ""
        for kind, why in kinds:
            for section, options in data.get(kind, {}).items():
                for one in parts if "{" in section else parts[:1]:
                    yield from _filled(section, options, one.words, f"{release}, {why}{some}")


def dotted(path: Iterable[str]) -> str:
    """A path as the site file would have it."""
    return ".".join(p if re.fullmatch(r"[A-Za-z0-9_-]+", p) else as_toml(p) for p in path)


def _values(at: Path, value: Json) -> Iterator[tuple[Path, Json]]:
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _values((*at, key), one)
    elif value is not None:
        yield at, value


def _origin(path: Path, said: Mapping[Path, int], file: str) -> str:
    """Where a value, or a list or inline table around it, is said."""
    if path in said:
        return f"{file}:{said[path]}"
    return OF_SERVICES if path[-1] in ("rwx", "rx") and path[:-1] in said else DEFAULT


def _shown(path: Path, value: Json) -> str:
    if path[-1] in _COMMANDS and isinstance(value, list):
        return f"(a command of {len(value)} words, not shown)"
    value = _without_secrets(value)
    return _LOGIN.sub("://(a login, not shown)@", as_toml(value))


def _without_secrets(value: Json) -> Json:
    """Words of commands without what is given as a secret: TOKEN=x, --password x, Key: x."""
    if isinstance(value, str):
        return _GIVEN.sub(rf"\1{_HIDDEN}", value)
    if not isinstance(value, list):
        return value
    found, hides = [], False
    for word in value:
        found.append(_HIDDEN if hides else _without_secrets(word))
        hides = isinstance(word, str) and bool(_FLAG.fullmatch(word)) and not hides
    return found


class _Open(dict[str, str]):
    """What a release's templates leave open; what only the hosts know stays open."""

    def __missing__(self, name: str) -> str:
        return f"<{name}: from the hosts>"


@dataclass(frozen=True)
class _Part:
    """One store or backend, and the hosts that have it."""

    words: _Open
    hosts: list[str]


def _parts(site: Site) -> dict[tuple[str, bool], list[_Part]]:
    """{(service, whether Nova keeps its own disks on RBD): what is written into its file}."""
    found: dict[tuple[str, bool], list[_Part]] = {}
    for host in site.all_hosts():
        for one in site.bindings_of(host):
            if not one.section:
                continue
            words = _Open(
                file=one.file,
                pool=one.pool,
                client=one.client,
                conf=one.conf,
                cluster=one.cluster.name,
                store=one.section,
                backend=one.section,
                default_store=site.glance.default.name,
                direct_url=str(site.glance.show_image_direct_url),
            )
            words |= {"uuid": one.secret_uuid} if one.secret_uuid else {}
            disks = one.service == services.NOVA_COMPUTE and one.keyring
            kept = found.setdefault((one.service.key, disks), [])
            same = next((part for part in kept if part.words == words), None)
            if same:
                same.hosts.append(host.name)
            else:
                kept.append(_Part(words, [host.name]))
    return found


def _filled(
    section: str, options: Mapping[str, Json], words: _Open, origin: str
) -> Iterator[Effective]:
    for key, entry in options.items():
        template = entry["value"] if isinstance(entry, Mapping) else entry
        path = f"{words['file']} [{section.format_map(words)}] {key}"
        yield Effective(path, str(template).format_map(words), origin)
