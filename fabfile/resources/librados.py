"""ceph.conf as librados reads it, and where it finds a client's key.

An option is looked up in [client.NAME], then [client], then [global]; there the last line counts.
A `key` counts before a `keyfile`, and both before any keyring; of the keyrings that are listed,
the first one that can be opened is read, and no other.  What ceph.conf says counts before the
environment.
Source: src/common/ConfUtils.cc, src/common/config.cc (get_my_sections, parse_env, the order of
CONF_ENV and CONF_FILE), KeyRing::from_ceph_context and ceph_resolve_file_search.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KEYRINGS = (
    "/etc/ceph/$cluster.$name.keyring,/etc/ceph/$cluster.keyring,/etc/ceph/keyring,"
    "/etc/ceph/keyring.bin"
)
"""Where a keyring is looked for by default."""
VARIABLE = "CEPH_KEYRING"
BETWEEN = r"[;,=\s]+"
"""What stands between the files of a list; older releases take '=' and blanks too."""
_WHOLE = re.compile(r"[ \t]*[#;][^\n]*\n?|(?:\\\n|[^\n])+\n?|\n")
"""A comment, or a line together with those that a backslash at its end joins to it."""
_LINE = re.compile(
    r"\s*(?:\[(?P<section>[^\]]+)\]"
    r"|(?P<key>[^\[=#;\s][^\[=#;]*)=\s*(?P<value>\"[^\"]*\"|'[^']*'|(?:\\.|[^#;\\]|\\\n)*))"
)


@dataclass(frozen=True)
class Line:
    """A line as it stands, and what Ceph reads in it; key and value may be ''."""

    text: str
    section: str
    key: str
    value: str


def lines(text: str) -> list[Line]:
    """All lines; '#' and ';' begin a comment anywhere, and a file begins in [global].

    A section is what stands between the brackets: since Octopus, [ client.x ] is not [client.x].
    Blanks in an option's name are underscores; hyphens are not.
    """
    section, found = "global", []
    for line in _WHOLE.findall(text):
        match = _LINE.match(line)
        read = match.groupdict("") if match else {"section": "", "key": "", "value": ""}
        section = read["section"] or section
        value = _bare(read["value"].replace("\\\n", " ").strip())
        found.append(Line(line, section, re.sub(r"\s+", "_", read["key"].rstrip()), value))
    return found


def _bare(value: str) -> str:
    """A value without its quotes, and without the backslashes before what they keep."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return re.sub(r"\\(.)", r"\1", value).strip()


def setting(text: str, client: str, option: str) -> tuple[str, str] | None:
    """(section, value) of an option as a client has it; None where the file says nothing."""
    told = {(line.section, line.key): line.value for line in lines(text) if line.key}
    for section in (f"client.{client}", "client", "global"):
        if (section, option) in told:
            return section, told[section, option]
    return None


@dataclass(frozen=True)
class KeySource:
    """Where a client's key is looked for.

    option: 'key', 'keyfile' or 'keyring'; place: the section of ceph.conf or the variable that
    says so, '' for the default; value: as it stands there; paths: the files, in their order.
    """

    option: str
    place: str
    value: str
    paths: tuple[str, ...] = ()


def key_source(
    text: str, client: str, words: Mapping[str, str], environment: Mapping[str, str]
) -> KeySource:
    """Where librados finds the key of a client, by ceph.conf's text and the environment."""
    for option in ("key", "keyfile"):
        if (found := setting(text, client, option)) and found[1]:
            paths = (expanded(found[1], words),) if option == "keyfile" else ()
            return KeySource(option, *found, paths)
    place, value = setting(text, client, "keyring") or ("", "")
    if not place and environment.get(VARIABLE):
        place, value = VARIABLE, environment[VARIABLE]
    listed = value if place else KEYRINGS
    return KeySource("keyring", place, listed, files(listed, words))


def files(listed: str, words: Mapping[str, str]) -> tuple[str, ...]:
    """The files of a list, in their order."""
    return tuple(part for part in re.split(BETWEEN, expanded(listed, words)) if part)


def expanded(value: str, words: Mapping[str, str]) -> str:
    """A value with its metavariables filled in; one that is not known stays."""

    def one(match: re.Match[str]) -> str:
        return words.get(match[1] or match[2], match[0])

    return re.sub(r"\$(?:\{([a-z_]+)\}|([a-z_]+))", one, value)


def words_of(cluster: str, client: str, host: str) -> dict[str, str]:
    """The metavariables of a client on a host, by its own name."""
    name = f"client.{client}"
    found = {"cluster": cluster, "type": "client", "id": client, "name": name}
    return {**found, "host": host.partition(".")[0]} if host else found


def clients_in(text: str) -> Sequence[str]:
    """Whose keys a keyring holds: the names of its sections."""
    return [name.strip() for name in re.findall(r"^[ \t]*\[([^\]\n]+)\]", text, re.M)]
