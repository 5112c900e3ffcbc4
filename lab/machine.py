"""Whether this machine can carry the lab, and the programs that it needs.

Says in one sentence what is missing and how to use a cloud of one's own instead.
"""

import os
import shutil
from pathlib import Path

from lab import beside, places
from lab.errors import LabError
from lab.programs import run, succeeds
from lab.progress import say

_INSTEAD = "to use a cloud of your own: inv init, then inv integrate --site FILE"
_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "apt-ftparchive": "apt-utils",
    "dpkg-deb": "dpkg",
    "gpg": "gnupg",
    "gpgconf": "gpgconf",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
}
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def refusal() -> str | None:
    """Why the lab cannot run here, in one sentence, or None."""
    release = _release()
    found = f"{release.get('ID', 'unknown')} {release.get('VERSION_ID', '')}".strip()
    if found != "debian 12":
        return f"the lab needs Debian 12, found {found}; {_INSTEAD}"
    if os.geteuid() != 0:
        return f"the lab needs root, found user id {os.geteuid()}; {_INSTEAD}"
    if "\toverlay\n" not in Path("/proc/filesystems").read_text():
        return f"the lab needs a kernel with overlayfs, found none; {_INSTEAD}"
    if not succeeds(["unshare", "--mount", "true"]):
        return f"the lab needs to mount and was not allowed to; {_INSTEAD}"
    if places.NAME and not beside.is_apart():
        return (
            f"the lab {places.NAME!r} has the same addresses as any other lab and needs "
            f"namespaces of its own: {beside.COMMAND.format(name=places.NAME)} inv lab.up"
        )
    return None


def require() -> None:
    """Raises LabError with the reason when the lab cannot run here."""
    reason = refusal()
    if reason:
        raise LabError(reason)


def prepare() -> None:
    """Install the programs that are missing. Raises LabError when it cannot."""
    missing = {package for name, package in _PROGRAMS.items() if not shutil.which(name)}
    if not _KEYRING.exists():
        missing.add("debian-archive-keyring")
    if not missing:
        return
    say(f"installing on this machine: {', '.join(sorted(missing))}")
    # A lab beside another one has no way to a mirror from its own network.
    apt = [*beside.outside(), "apt-get", "-qq", "-y", "--no-install-recommends"]
    run([*apt, "update"])
    argv = [*apt, "install", *sorted(missing)]
    try:
        run(argv, env={"DEBIAN_FRONTEND": "noninteractive"})
    except LabError as error:
        raise LabError(f"{error}\n{_INSTEAD}") from error


def _release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {name: value.strip('"') for name, value in pairs}
