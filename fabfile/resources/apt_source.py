"""APT's source of the Ceph client's packages: a line of the one-line form, signed by one key.

Source: procedure step 3, with `signed-by` in place of apt-key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fabfile.core.contract import BadInput, Host, Json, Read, Refused, Seen
from fabfile.model.platforms import MANAGERS
from fabfile.model.site import Site
from fabfile.resources.package_source import SOURCE, PackageSource

_OF_A_RELEASE = {
    "signed-by",
    "trusted",
    "snapshot",
    "inrelease-path",
    "check-date",
    "date-max-future",
    "check-valid-until",
    "valid-until-min",
    "valid-until-max",
    "allow-insecure",
    "allow-weak",
    "allow-downgrade-to-insecure",
}
"""Options that APT takes for all entries of one repository and suite: where two entries differ, it
reads no source of the host at all (apt-pkg/deb/debmetaindex.cc, "Conflicting values set")."""


class Apt(PackageSource):
    """See PackageSource."""

    said = MANAGERS["apt"]

    def is_named(self, site: Site) -> bool:
        """See PackageSource."""
        return bool(site.packages.source)

    def reads(self, site: Site, host: Host, names: Sequence[str]) -> list[Read]:
        """The two files of the site's own source, their folders, and who else lists it."""
        found = super().reads(site, host, names)
        if found:
            args = {"line": site.packages.source, "path": self.file(site, host)}
            found.append(Read("apt.repository", "repository", args))
        return found

    def key(self, site: Site, host: Host) -> str:
        """Where the source says that its key is.  Raises BadInput if it does not say."""
        found = re.search(r"signed-by=(/[A-Za-z0-9_./-]+)", site.packages.source or "")
        if not found:
            raise BadInput(
                subject="packages.source", expected="[signed-by=/path/to/key]", found="no path"
            )
        return found.group(1)

    def text(self, site: Site, host: Host) -> str:
        """See PackageSource."""
        return f"{site.packages.source}\n"

    def stands_in(self, host: Host, seen: Seen) -> str:
        """See PackageSource."""
        listed = _listed(host.name, seen)
        return str(listed["file"]) if listed else ""


def _listed(host: str, seen: Seen) -> Json:
    """The entry of that host's own by which the repository is taken; None where the site's is.

    Raises Refused where APT would read no source of the host once the site's is beside it.
    """
    found = seen["apt.repository"]
    if found["refused"]:
        raise Refused(
            host=host,
            subject="APT",
            expected="sources that it can read",
            found=found["refused"],
            why="nothing can be installed there",
            advice="mend the file that it names",
        )
    for own in found["own"]:
        odd = [entry for entry in found["entries"] if _conflicts(entry, own)]
        usable = [entry for entry in odd if _stands_in(entry, own, found["arch"])]
        if odd and (seen[SOURCE] or not usable):
            raise _two_sources(host, odd[0])
        if odd:
            return usable[0]
    return None


def _of_release(entry: Json) -> dict[str, str]:
    return {name: value for name, value in entry["options"].items() if name in _OF_A_RELEASE}


def _conflicts(entry: Json, own: Json) -> bool:
    """Whether APT refuses the two beside each other.

    One that says nothing takes the options of a later one; it is no way round (apt 2.6).
    """
    theirs = _of_release(entry)
    return theirs != _of_release(own) and bool(theirs or not _is_before(entry, own))


def _is_before(entry: Json, own: Json) -> bool:
    """Whether APT reads it first: /etc/apt/sources.list, then the folder in its names' order."""
    return bool(entry["file"] == "/etc/apt/sources.list" or entry["file"] < own["file"])


def _stands_in(entry: Json, own: Json, arch: str) -> bool:
    """Whether it gives all that the site's would, as well verified: by another key alone."""
    theirs, ours = _of_release(entry), _of_release(own)
    wanted = (own["options"].get("arch") or arch).split(",")
    given = (entry["options"].get("arch") or arch).split(",")
    return (
        entry["type"] == own["type"]
        and bool(theirs.pop("signed-by", ""))
        and theirs == {name: value for name, value in ours.items() if name != "signed-by"}
        and set(own["components"]) <= set(entry["components"])
        and set(wanted) <= set(given)
    )


def _two_sources(host: str, entry: Json) -> Refused:
    said = _of_release(entry)
    options = " ".join(f"{name}={said[name]}" for name in sorted(said) if "\n" not in said[name])
    return Refused(
        host=host,
        subject=entry["file"],
        expected="one way of listing the repository of packages.source",
        found=f"{entry['type']} [{options}]" if said else f"{entry['type']} without options",
        why="APT reads no source of a host where two entries of one repository and suite differ",
        advice="take that entry out (or its host's file of the site's source, if both are there), "
        "or give packages.source the same options, signed-by among them",
    )
