"""backup.key: the keys that open and sign backups; they stay on the operator's machine."""

from __future__ import annotations

from pathlib import Path

from fabfile.backup import age, signature
from fabfile.backup.signature import Signer, Trust
from fabfile.core import site_file
from fabfile.core.contract import BadInput
from fabfile.flow import own_site
from fabfile.model.site import Site


def make(out: str, site: str) -> int:
    """Makes each of the two keys that is not there yet, and prints what the site file needs.

    out: where the one that opens goes, with the one that signs beside it (.sign).
    Raises BadInput where both are there.
    """
    opens, signs = _places(out, site)
    if opens.exists() and signs.exists():
        raise BadInput(f"{opens}, {signs}: are there already; a key is never written over")
    recipient = "" if opens.exists() else age.save_identity(opens)
    public = signature.load_key(signs).public if signs.exists() else signature.save_key(signs)
    if recipient:
        print(f"{opens}: written. Keep a copy where the cloud is not: without it no backup opens.")
    print(f"{signs}: signs backups. Where none is made, they are taken by the line 'signers'.")
    print("[backup]")
    if out:
        print(f'identity = "{opens}"\nsigning_key = "{signs}"')
    print(f'signers = ["{public}"]')
    if recipient:
        print(f'recipients = ["{recipient}"]')
    return 0


def _places(out: str, site: str) -> tuple[Path, Path]:
    if out:
        opens = site_file.expanded(out, "--out")
        return opens, opens.with_name(opens.name + ".sign")
    table = own_site.named(site).backup
    opens = site_file.expanded(table.identity, "backup.identity")
    return opens, site_file.expanded(table.signing_key, "backup.signing_key")


def signer(site: Site) -> Signer:
    """The key that signs this operator's backups.  Raises BadInput for none."""
    return signature.load_key(site_file.expanded(site.backup.signing_key, "backup.signing_key"))


def trust(site: Site, unsigned: bool = False) -> Trust:
    """Whose backups are taken: the site file's signers', and one's own."""
    path = site_file.expanded(site.backup.signing_key, "backup.signing_key")
    own = [signature.load_key(path).public] if path.exists() else []
    return Trust(frozenset([*site.backup.signers, *own]), unsigned)
