"""Where a host's package manager takes the Ceph client from, if the site names a source of its own.

What apt and dnf have in common; what differs, each says in a class of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fabfile.core.contract import Change, Facts, Host, Json, Read, Seen
from fabfile.model.openpgp import fingerprints
from fabfile.model.phases import Phase
from fabfile.model.site import Site

SOURCE, KEY, FOLDERS = "packages.source", "packages.key", "packages.folders"
"""Reads: the file of the site's source, the one of its key, and the folders of that one."""


class PackageSource:
    """said: the site file's key that names it; takes_key: what becomes of the key in the end."""

    said = ""
    takes_key = ""

    def is_named(self, site: Site) -> bool:
        """Whether the site has one."""
        raise NotImplementedError

    def key(self, site: Site, host: Host) -> str:
        """The file of its key.  Raises BadInput where nobody says it."""
        raise NotImplementedError

    def text(self, site: Site, host: Host) -> str:
        """What its file holds."""
        raise NotImplementedError

    def file(self, site: Site, host: Host) -> str:
        """The file that names it."""
        return site.platform_of(host).source["list"]

    def reads(self, site: Site, host: Host, names: Sequence[str]) -> list[Read]:
        """What has to be known before packages are installed; names: these."""
        if not self.is_named(site):
            return []
        return [
            Read(SOURCE, "file", {"path": self.file(site, host)}),
            Read(KEY, "file", {"path": self.key(site, host)}),
            Read(FOLDERS, "exists", {"paths": self.folders(site, host)}),
        ]

    def folders(self, site: Site, host: Host) -> list[str]:
        """The folders that the key is in, from the top; Debian 11 and Ubuntu 20.04 (apt before
        2.4) have no /etc/apt/keyrings."""
        names = self.key(site, host).split("/")
        return ["/".join(names[:depth]) for depth in range(2, len(names))]

    def stands_in(self, host: Host, seen: Seen) -> str:
        """The file of the host's own that gives the same packages, where the site's may not be
        beside it; '' for none.  Raises Refused."""
        return ""

    def refuse(self, host: Host, seen: Seen, missing: Sequence[str]) -> None:
        """Raises Refused where these packages are not to be installed."""

    def notes(self, host: str, seen: Seen) -> Iterable[str]:
        """What more is to be known before packages are installed."""
        return ()

    def written(self, site: Site, facts: Facts, host: Host, phase: Phase) -> list[Change]:
        """What puts key and source there."""
        seen = facts.hosts[host.name]
        folders = [
            self._change(host, phase, path, "the folder of the source's key", "+", "folder", {})
            for path in self.folders(site, host)
            if seen.get(FOLDERS, {}).get(path) is False
        ]
        key = facts.known[KEY]
        whose = "".join(f", {fingerprint}" for fingerprint in fingerprints(key))
        of_key = f"the source's key{whose}{self.takes_key}"
        return [
            *folders,
            self._file(host, phase, self.key(site, host), of_key, seen[KEY], key),
            self._file(
                host,
                phase,
                self.file(site, host),
                "the source of the Ceph client",
                seen[SOURCE],
                self.text(site, host),
            ),
        ]

    def _file(  # noqa: PLR0913, PLR0917 (what is written, and where)
        self, host: Host, phase: Phase, path: str, sentence: str, seen: Json, text: str
    ) -> Change:
        before = seen["sha256"] if seen else None
        args = {"content": [text], "before": before}
        return self._change(host, phase, path, sentence, "~" if before else "+", "write", args)

    @staticmethod
    def _change(  # noqa: PLR0913, PLR0917 (as a Change has them)
        host: Host, phase: Phase, path: str, sentence: str, sign: str, verb: str, args: Json
    ) -> Change:
        mode = "0755" if verb == "folder" else "0644"
        owned = {"path": path, "mode": mode, "owner": "root", "group": "root"}
        return Change(
            host.name,
            path,
            sentence,
            sign,
            verb,
            {**owned, **args},
            phase,
            kind="source",
            subject=path,
        )
