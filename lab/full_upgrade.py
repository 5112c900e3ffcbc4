"""A stopped host's packages brought to another generation's, as `apt full-upgrade` does it.

For OpenStack's hosts, whose packages and files belong together: what the operator and the services
wrote stays, files of options too. Knows a mounted root alone; `cloud` stops and starts the host.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import beside, debian_sources, layers, places
from lab.generation import Generation
from lab.programs import run
from lab.topology import LabHost

# What is asked of a person otherwise: whether a file that was edited is to be replaced.
_KEEP_FILES = {
    "DEBIAN_FRONTEND": "noninteractive",
    "UCF_FORCE_CONFFOLD": "1",
    "APT_CONFIG": "/root/lab-apt.conf",
}
_OPTIONS = """\
APT::Keep-Downloaded-Packages "true";
APT::Install-Recommends "false";
APT::Get::Assume-Yes "true";
APT::Update::Error-Mode "any";
Dir::Etc::SourceList "/root/lab-sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "/root/lab-lists";
DPkg::Options { "--force-confdef"; "--force-confold"; };
"""
_UNITS = ["list-unit-files", "--state=enabled", "--no-legend", "--type=service,socket,timer,path"]


def upgrade(root: Path, old: LabHost, to: Generation) -> None:
    """Upgrade all packages in a stopped host's mounted root. Raises LabError."""
    archives = places.DOWNLOADS / to.name / f"{old.image}-from-{old.generation.name}"
    places.LOGS.mkdir(parents=True, exist_ok=True)
    log = places.LOGS / f"upgrade-{old.name}-to-{to.name}.log"
    apt = [*beside.outside(), "chroot", str(root), "eatmydata", "apt-get", "-q"]
    enabled = _enabled(root)
    with layers.open_to_packages(root, archives), _asked_of(root, to):
        for word in ("update", "full-upgrade"):
            run([*apt, word], log=log, env=_KEEP_FILES)
    # What packages enable anew stays off, as on the images.
    if new := sorted(_enabled(root) - enabled):
        run(["systemctl", f"--root={root}", "--quiet", "disable", *new])


@contextmanager
def _asked_of(root: Path, to: Generation) -> Iterator[None]:
    """The generation's sources and no others, for this upgrade alone; no service starts."""
    own = {
        "root/lab-apt.conf": _OPTIONS + "\n".join(debian_sources.settings()) + "\n",
        "root/lab-sources.list": "\n".join(debian_sources.lines(to)) + "\n",
        "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
    }
    lists = root / "root/lab-lists"
    try:
        for name, text in own.items():
            (root / name).write_text(text)
        (root / "usr/sbin/policy-rc.d").chmod(0o755)
        (lists / "partial").mkdir(parents=True)
        yield
    finally:
        layers.remove_tree(lists)
        for name in (*own, "etc/resolv.conf"):
            (root / name).unlink(missing_ok=True)


def _enabled(root: Path) -> set[str]:
    lines = run(["systemctl", f"--root={root}", *_UNITS]).splitlines()
    return {line.split()[0] for line in lines}
