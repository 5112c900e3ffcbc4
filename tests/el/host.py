"""A host of the EL family, as far as its package manager goes: real dnf, rpm and sshd.

What this machine's Debian has of dnf and rpm is unpacked below .el; a root of its own is put
together of that and this machine's /usr, in memory, with a /dev of its own.  It all is in a mount
and a process namespace of the test's own (make el), which take every mount and process along.
SELinux, EL's own Python, users and paths are not there.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from ..apart.chroots import SSHD

PROJECT = Path(__file__).resolve().parents[2]
INV = PROJECT / ".venv" / "bin" / "inv"
BROUGHT = PROJECT / ".el"
ROOT = BROUGHT / "root"
"""Where the root is mounted; an empty folder outside of the namespace."""
ADDRESS = "127.9.1.11"
REPOSITORY = "/srv/repo"
RELEASE = """\
NAME="Rocky Linux"
VERSION_ID="9.4"
ID="rocky"
ID_LIKE="rhel centos fedora"
PRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)"
"""
_MOUNTS = """\
set -eu
mount -t tmpfs el {root}
cd {root}
mkdir usr var upper work etc proc dev run srv tmp root
mount -t overlay el -o lowerdir={brought}/usr:/usr,upperdir={root}/upper,workdir={root}/work usr
for name in bin sbin lib lib64; do ln -s usr/$name $name; done
cp -a /etc/. etc
cp -a {brought}/etc/. etc
rm -rf etc/apt etc/yum.repos.d etc/os-release
mkdir -p var/lib/rpm var/cache var/log var/tmp etc/rpm etc/yum.repos.d etc/pki/rpm-gpg run/sshd
ln -s ../run var/run
mount -t proc proc proc
mount -t tmpfs -o mode=755 dev dev
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
mkdir dev/shm dev/pts
grep -q ^sshd: etc/passwd || echo 'sshd:x:997:65534::/run/sshd:/usr/sbin/nologin' >> etc/passwd
"""
_MACROS = """\
%_dbpath /var/lib/rpm
%__gpg /usr/bin/gpg
%_gpg_name packages@example.org
%_gpg_path /srv/gpg
%_topdir /srv/build
"""
_DNF = "[main]\ngpgcheck=1\nbest=True\nskip_if_unavailable=False\npluginpath=/nonexistent\n"
_SPEC = """\
Name: {name}
Epoch: 2
Version: {version}
Release: 1.el9
Summary: {name}
License: none
BuildArch: noarch
{more}
%description
{name}
%files
"""
PACKAGES = {
    "rocky-release": ("9.4", "Provides: system-release(releasever) = 9"),
    "librados2": ("18.2.4", ""),
    "ceph-common": ("18.2.4", "Requires: librados2"),
    "python3-rbd": ("18.2.4", "Requires: librados2"),
    "qemu-kvm-block-rbd": ("9.1.0", "Requires: librados2"),
}
_KEYS = """\
export GNUPGHOME=/srv/gpg
mkdir -p -m 700 /srv/gpg
gpg -q --batch --passphrase '' --quick-gen-key packages@example.org rsa2048 sign never
gpg --armor --export packages@example.org > /srv/key.asc
"""


class Host:
    """at: a folder of the operator's own."""

    def __init__(self, at):
        self.at = at
        self._run(["sh", "-c", _MOUNTS.format(root=ROOT, brought=BROUGHT)])
        for path, text in {
            "etc/os-release": RELEASE,
            "etc/machine-id": "0" * 31 + "e\n",
            "etc/rpm/macros": _MACROS,
            "etc/dnf/dnf.conf": _DNF,
            "etc/ssh/sshd_el": SSHD,
        }.items():
            (ROOT / path).unlink(missing_ok=True)
            (ROOT / path).write_text(text)
        standin = PROJECT / "tests" / "apart" / "standin_systemctl.py"
        shutil.copy(standin, ROOT / "usr" / "local" / "bin" / "systemctl")
        for name in ("rbd", "virsh"):
            (ROOT / "usr" / "local" / "bin" / name).write_text("#!/bin/sh\n")
            (ROOT / "usr" / "local" / "bin" / name).chmod(0o755)
        (ROOT / "run" / "units").mkdir()
        self._log_in()
        self.on(_KEYS)
        for name, (version, more) in PACKAGES.items():
            self.package(name, version, more)
        self.publish()
        release = f"{REPOSITORY}/rocky-release-9.4-1.el9.noarch.rpm"
        self.on(f"rpm --import /srv/key.asc; rpm -i {release}; rpm -e gpg-pubkey")

    def _log_in(self):
        for name in ("client", "own_key"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.at / name]
            self._run(argv)
        shutil.copy(self.at / "client.pub", ROOT / "etc/ssh/client.pub")
        shutil.copy(self.at / "own_key", ROOT / "etc/ssh/ssh_host_ed25519_key")
        words = (self.at / "own_key.pub").read_text().split()[:2]
        (self.at / "known_hosts").write_text(f"el01,{ADDRESS} {' '.join(words)}\n")
        (self.at / "ssh_config").write_text(
            f"Host el01\n HostName {ADDRESS}\n User root\n IdentityFile {self.at}/client\n"
            f" IdentitiesOnly yes\n UserKnownHostsFile {self.at}/known_hosts\n"
            " GlobalKnownHostsFile /dev/null\n"
        )
        with (self.at / "sshd.log").open("wb") as log:
            sshd = ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_el"]
            subprocess.Popen(
                ["chroot", ROOT, *sshd, "-o", f"ListenAddress={ADDRESS}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @staticmethod
    def _run(argv, **how):
        return subprocess.run(argv, check=True, text=True, timeout=300, **how)

    def on(self, script, ok=(0,)):
        """What a script says on the host."""
        done = subprocess.run(
            ["chroot", ROOT, "/bin/sh", "-eu"],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={"PATH": os.environ["PATH"], "HOME": "/root", "LC_ALL": "C"},
        )
        assert done.returncode in ok, (script, done.stdout, done.stderr)
        return done.stdout

    # The repository

    def package(self, name, version="1", more="", signed=True, into=REPOSITORY):
        """A package of nothing, in a repository that is not published yet."""
        (ROOT / "srv" / f"{name}.spec").write_text(
            _SPEC.format(name=name, version=version, more=more)
        )
        file = f"/srv/build/RPMS/noarch/{name}-{version}-1.el9.noarch.rpm"
        sign = f"rpmsign --addsign {file}\n" if signed else ""
        self.on(
            f"export GNUPGHOME=/srv/gpg\nrpmbuild -bb --quiet /srv/{name}.spec\n{sign}"
            f"mkdir -p {into}\ncp {file} {into}"
        )

    def publish(self, signed=True, at=REPOSITORY):
        """The repository's metadata."""
        sign = "gpg -q --batch --yes --detach-sign --armor repodata/repomd.xml" if signed else ":"
        self.on(f"export GNUPGHOME=/srv/gpg\ncd {at}\ncreaterepo_c -q .\n{sign}")

    def forget(self):
        """As it was before anything was installed."""
        names = " ".join(name for name in PACKAGES if name != "rocky-release")
        self.on(
            f"rpm -e --nodeps {names} 2>/dev/null || :\nrpm -e gpg-pubkey 2>/dev/null || :\n"
            "rm -rf /var/cache/dnf /etc/yum.repos.d/* /etc/pki/rpm-gpg/* /etc/dnf/plugins\n"
            "for i in 1 2 3 4; do rpm -e --nodeps $(rpm -qa | grep -v rocky) 2>/dev/null || :; done"
        )

    def installed(self):
        """The names of all packages."""
        return set(self.on("rpm -qa --qf '%{NAME}\\n'").split())

    # The operator

    def write_site(self, **packages):
        """A site of this host alone, whose key is the repository's."""
        (self.at / "key.asc").write_text((ROOT / "srv" / "key.asc").read_text())
        packages = {"baseurl": f"file://{REPOSITORY}", "key": str(self.at / "key.asc"), **packages}
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in packages.items())
        (self.at / "site.toml").write_text(
            f'name = "el"\nrelease = "2024.2"\n[ssh]\nconfig = "{self.at}/ssh_config"\n'
            '[hosts]\nel01 = { roles = ["ceph", "compute"], platform = "el" }\n'
            f"[packages]\n{lines}"
        )

    def inv(self, *words, expect=0, timeout=300):
        """Runs inv as an operator would; all that it says."""
        env = {**os.environ, "HOME": str(self.at), "XDG_STATE_HOME": str(self.at / "state")}
        done = subprocess.run(
            [str(INV), *words, "--site", str(self.at / "site.toml")],
            cwd=PROJECT,
            env=env,
            text=True,
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert done.returncode == expect, f"exit {done.returncode}, expected {expect}\n{said}"
        return said


def held(seconds):
    """A script that holds dnf's lock of rpm's database for so long, beside what follows."""
    return (
        f"mkdir -p /var/lib/dnf\n(sleep {seconds} >/dev/null 2>&1 & "
        "echo $! > /var/lib/dnf/rpmdb_lock.pid)\n"
    )


def wait_for_sshd(at):
    """Until it listens."""
    until = time.monotonic() + 20
    while "Server listening" not in (at / "sshd.log").read_text():
        assert time.monotonic() < until, (at / "sshd.log").read_text()
        time.sleep(0.1)
