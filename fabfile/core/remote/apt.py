"""The packages of this host, as dpkg and apt keep them.

Python 3.6, standard library alone.
"""

import os
import re

from . import files
from .processes import call, expect, said, text

_SOURCES, _PARTS = "/etc/apt/sources.list", "/etc/apt/sources.list.d"
_LINE = r"\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)([^#]*)"
# What apt takes into account of the folder: it looks at no other name (ceph.list.save).
_NAMES = r"/[A-Za-z0-9_:-][A-Za-z0-9_.:-]*\.(?:list|sources)$"
_OFF = ("no", "false", "without", "off", "disable", "0")
"""What apt's StringToBool takes for no."""


STATUS, _UPDATES = "/var/lib/dpkg/status", "/var/lib/dpkg/updates"
_known = {}  # type: ignore[var-annotated]


def _edition():
    """What is another with each change that dpkg makes; None where its record is not seen.

    It puts a new status file in the old one's place, and until then a file in the folder beside.
    """
    try:
        seen, beside = os.stat(STATUS), sorted(os.listdir(_UPDATES))
    except OSError:
        return None
    return (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns) + tuple(beside)


def versions(names):
    """{package: version, or None where it is not installed}.

    Asked again where dpkg changed something since: the second look of a run that installs nothing
    spares the host the reading of all that is installed.
    """
    about, edition = tuple(names), _edition()
    if edition is None or _known.get(about, ((), None))[0] != edition:
        _known[about] = (edition, _asked(names))
    return dict(_known[about][1])


def _asked(names):
    form = "${db:Status-Abbrev} ${Package} ${Version}\n"
    return listed(names, expect(["dpkg-query", "-W", "-f", form, "--"] + list(names), (0, 1))[1])


def listed(names, out):
    """{package: version, or None} of lines 'ii  NAME VERSION', as dpkg-query puts them here."""
    found = dict.fromkeys(names)
    for line in out.splitlines():
        status, _, rest = line.partition(" ")
        if status.startswith("ii"):
            name, _, version = rest.strip().partition(" ")
            found[name] = version
    return found


def install(names, source=None):
    """Installs packages; where a source list is named, only that one is refreshed."""
    apt = ["apt-get", "-q", "-y"]
    apt += ["-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::http::Timeout=20"]
    if source:
        only = ["-o", "Dir::Etc::sourcelist=" + source, "-o", "Dir::Etc::sourceparts=-"]
        expect(apt + only + ["-o", "APT::Get::List-Cleanup=0", "update"], timeout=180)
    quiet = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]
    wanted = ["--no-install-recommends", "install", "--"] + list(names)
    expect(apt + quiet + wanted, killable=False)


def repository(line, path):
    """Who else lists the repository of a source line, and whether apt can read its sources.

    path: the file that the line is for, which is not looked at.  {'own': the line's entry, in a
    list, 'entries': those of the same repository, 'arch': this host's, 'refused': what apt says,
    or ''}.  An entry: {'file', 'type', 'components', 'options': {name: value}}.
    """
    import glob  # noqa: PLC0415 (slow to load, seldom needed)

    own = [dict(entry, file=path) for entry in _of_list(line)]
    places = [entry.pop("place") for entry in own]
    entries = []
    for name in [_SOURCES] + sorted(glob.glob(_PARTS + "/*")):
        asked = re.search(_NAMES, name) and name != path and os.path.isfile(name)
        data = files.read(name) if asked else None
        of = _of_stanzas if name.endswith(".sources") else _of_list
        for entry in of(text(data or b"")):
            if entry.pop("place") in places:
                entries.append(dict(entry, file=name))
    code, _, err = call(["apt-get", "--print-uris", "update"])
    refused = [row for row in err.splitlines() if row.startswith("E:")] if code else []
    return {
        "own": own,
        "entries": entries,
        "arch": expect(["dpkg", "--print-architecture"])[1].strip(),
        "refused": said(" ".join(refused)),
    }


def _place(uri, suite):
    """What makes two entries one repository to apt: the name of its file in apt's lists.

    That has neither scheme nor user (apt 2.6: http:// and https://u:p@ of one server conflict).
    """
    bare = re.sub(r"^[^:/]+:(?://)?(?:[^/@]*@)?", "", _unquoted(uri.strip('"')))
    return (bare if bare.endswith("/") else bare + "/") + " " + _unquoted(suite)


def _unquoted(word):
    return re.sub("%([0-9A-Fa-f]{2})", lambda code: chr(int(code.group(1), 16)), word)


def _of_list(content):
    """The entries of a file of the one-line form."""
    for line in content.splitlines():
        found = re.match(_LINE, line)
        if found:
            kind, options, uri, suite, components = found.groups()
            options = (word.partition("=") for word in (options or "").split())
            yield {
                "place": _place(uri, suite),
                "type": kind,
                "components": components.split(),
                "options": {name: value for name, _, value in options},
            }


def _of_stanzas(content):
    """The entries of a file of the deb822 form that are enabled."""
    shown = "\n".join(line for line in content.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", shown):
        fields = {
            name.lower(): value.strip()
            for name, value in re.findall(r"^([^\s:]+):(.*(?:\n[ \t].*)*)", stanza, re.M)
        }
        if fields.pop("enabled", "yes").lower() in _OFF:
            continue
        uris, suites, kinds, components = (
            fields.pop(name, "").split() for name in ("uris", "suites", "types", "components")
        )
        fields["arch"] = ",".join(fields.pop("architectures", "").split())
        for place in (_place(uri, suite) for uri in uris for suite in suites):
            for kind in kinds:
                yield {
                    "place": place,
                    "type": kind,
                    "components": components,
                    "options": {name: value for name, value in fields.items() if value},
                }
