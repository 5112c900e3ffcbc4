"""backup.key: the key that opens backups, made on the operator's machine and left there."""

from __future__ import annotations

from fabfile.backup import age
from fabfile.core import site_file
from fabfile.model import site as sites
from fabfile.model.site import Site


def site_of(option: str) -> Site:
    """The checked site file, without a run."""
    path = site_file.locate(option)
    return sites.check(site_file.load(path), str(path), site_file.platforms())


def make(out: str, site: str) -> int:
    """Makes the key in a new file, and prints its recipient."""
    path = site_file.expanded(out or site_of(site).backup.identity, "--out, backup.identity")
    recipient = age.save_identity(path)
    print(f"{path}: written. Keep a copy where the cloud is not: without it no backup opens.")
    print(f'[backup]\nrecipients = ["{recipient}"]')
    return 0
