"""dnf's repository of the Ceph client's packages: one file, packages signed by one key.

Source: dnf.conf(5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fabfile.core.contract import Host, Json, Read, Refused, Seen
from fabfile.model.platforms import MANAGERS
from fabfile.model.site import Site
from fabfile.resources.package_source import PackageSource

REPOSITORIES = "dnf.repositories"
_LOSES = ("downgrade", "remove")


class Dnf(PackageSource):
    """See PackageSource."""

    said = MANAGERS["dnf"]
    takes_key = "; dnf takes it into rpm's keys"

    def is_named(self, site: Site) -> bool:
        """See PackageSource."""
        return bool(site.packages.baseurl)

    def reads(self, site: Site, host: Host, names: Sequence[str]) -> list[Read]:
        """See PackageSource: what dnf would do, too."""
        asked = Read(REPOSITORIES, "repositories", {"names": list(names)})
        return [*super().reads(site, host, names), asked]

    def key(self, site: Site, host: Host) -> str:
        """See PackageSource."""
        return site.platform_of(host).source["key"]

    def text(self, site: Site, host: Host) -> str:
        """See PackageSource."""
        name = self.file(site, host).rpartition("/")[2].removesuffix(".repo")
        return (
            f"[{name}]\n"
            "name=Ceph client\n"
            f"baseurl={site.packages.baseurl}\n"
            "enabled=1\n"
            "gpgcheck=1\n"
            f"repo_gpgcheck={int(site.packages.repo_gpgcheck)}\n"
            f"gpgkey=file://{self.key(site, host)}\n"
        )

    def refuse(self, host: Host, seen: Seen, missing: Sequence[str]) -> None:
        """What somebody locked, what would not be checked, and what would take something away."""
        told = seen[REPOSITORIES]
        for name in missing:
            if where := told["held"].get(name):
                raise Refused(
                    host=host.name,
                    subject=name,
                    expected="a package that dnf may install",
                    found=where,
                    why="somebody locked or excluded it",
                    advice=f"let it go (dnf versionlock delete {name}, or that line), or install "
                    "it yourself",
                )
        for row in told["would"] or ():
            _refuse_row(host.name, row, told["enabled"])

    def notes(self, host: str, seen: Seen) -> Iterator[str]:
        """All that dnf would do, as far as it knows before it fetches anything."""
        told = seen.get(REPOSITORIES, {})
        if rows := told.get("would"):
            words = ", ".join(f"{r['name']} {r['version']} ({r['repository']})" for r in rows)
            yield f"{host}: dnf would install {words}"


def _refuse_row(host: str, row: Json, enabled: Sequence[Json]) -> None:
    """Raises Refused for a package that would go, go back, or come without being checked."""
    if row["does"] in _LOSES:
        raise Refused(
            host=host,
            subject=row["name"],
            expected="packages that are installed beside it",
            found=f"dnf would {row['does']} {row['name']} {row['version']}",
            advice="see what dnf install --assumeno says there, and settle it",
        )
    own = next((one for one in enabled if one["id"] == row["repository"]), None)
    if own is None or not own["gpgcheck"]:
        raise Refused(
            host=host,
            subject=own["file"] if own else row["repository"],
            expected="gpgcheck=1",
            found=f"a repository whose packages are not checked: {row['repository']}",
            why=f"{row['name']} would come from there",
            advice="write gpgcheck=1 and its gpgkey into that file, or turn it off (enabled=0)",
        )
