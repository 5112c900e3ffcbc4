"""Hosts apart: a controller and a Ceph host as the lab's images have them, without the lab.

Each is an overlay with an sshd in it, on an address of 127/8 in a network of their own: the
tests run inside of `unshare` (make apart).  The controller has the lab's kept cloud: real
OpenStack databases, files and keys.  Its MariaDB runs for real; systemctl, ceph and rbd are
stand-ins, for no systemd and no cluster is there.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lab import kept, topology

from .programs import found

PROJECT = Path(__file__).resolve().parents[2]
INV = PROJECT / ".venv" / "bin" / "inv"
HERE = Path(__file__).parent
FSID = "92cc3b4f-3ac6-47eb-971b-7184c8e38ebf"
ADDRESSES = {"ceph01": "127.9.0.11", "controller01": "127.9.0.21"}
RUNNING = (
    "keystone",
    "glance-api",
    "placement-api",
    "neutron-api",
    "nova-api",
    "nova-conductor",
    "nova-scheduler",
    "cinder-api",
    "cinder-scheduler",
    "cinder-volume",
    "rabbitmq-server",
)
SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/client.pub
StrictModes no
UsePAM no
UseDNS no
PidFile none
PermitRootLogin prohibit-password
MaxSessions 100
"""
_START = """\
mount -t overlay apart -o lowerdir={lower},upperdir={at}/upper,workdir={at}/work {at}/root
mount -t proc proc {at}/root/proc
mount --bind /dev {at}/root/dev
mkdir -p {at}/root/run/sshd
exec chroot {at}/root /usr/sbin/sshd -D -e -f /etc/ssh/sshd_apart -o ListenAddress={address}
"""


def answers():
    """What the cluster says."""
    recorded = PROJECT / "tests" / "contract" / "recorded"

    def text(name):
        return (recorded / f"ceph16_{name}.json").read_text()

    ceph = "ceph --connect-timeout 10 --format json "
    users = {"auth_dump": [{"entity": "client.volumes", "key": "AQ==", "caps": {"mon": "x"}}]}
    found = {
        ceph + "health detail": text("health_detail"),
        ceph + "mon dump": text("mon_dump"),
        ceph + "versions": text("versions"),
        ceph + "version": json.dumps({"version": "ceph version 16.2.15 (x) pacific (stable)"}),
        ceph + "osd pool ls detail": text("osd_pool_ls_detail"),
        ceph + "auth list": json.dumps(users),
    }
    for pool in ("volumes", "images"):
        found[f"rbd ls -p {pool}"] = ""
        found[f"rbd trash ls --all -p {pool}"] = ""
    return found


class Hosts:
    """Both hosts, and the operator's side."""

    def __init__(self, at):
        self.at = at
        self._started = {}
        self.home = at / "home"
        self.home.mkdir()
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", at / "key"], check=True
        )
        known, config = [], []
        for name, address in ADDRESSES.items():
            (at / name).mkdir()
            host_key = at / name / "host_key"
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key], check=True
            )
            words = host_key.with_suffix(".pub").read_text().split()[:2]
            known.append(f"{name},{address} {' '.join(words)}\n")
            config.append(
                f"Host {name}\n HostName {address}\n User root\n IdentityFile {at}/key\n"
                f" IdentitiesOnly yes\n UserKnownHostsFile {at}/known_hosts\n"
                " GlobalKnownHostsFile /dev/null\n"
            )
        (at / "known_hosts").write_text("".join(known))
        (at / "ssh_config").write_text("".join(config))
        self.write_site()

    def write_site(self, *replaced, backup=""):
        """The site file; without recipients until there is a key."""
        text = (
            f'name = "apart"\nfsid = "{FSID}"\nrelease = "zed"\n'
            f'[ssh]\nconfig = "{self.at}/ssh_config"\n'
            "[packages]\ninstall = false\n"
            '[hosts]\nceph01 = { roles = ["ceph"] }\n'
            'controller01 = { roles = ["glance", "cinder", "database"] }\n'
            f'[backup]\nfolder = "{self.at}/records"\nidentity = "{self.at}/record.key"\n{backup}\n'
        )
        for old, new in replaced:
            assert old in text, old
            text = text.replace(old, new)
        (self.at / "site.toml").write_text(text)

    def start(self, name, state=True):
        """Boots a host; state: with the kept cloud's changes, or as its packages left it."""
        at = self.at / name
        images = kept_cloud()
        lower = (images / f"{name}.layers").read_text().split()
        if state:
            lower = [str(images / name), *lower]
        for folder in ("upper", "work", "root"):
            (at / folder).mkdir()
        self._own(at, name)
        script = _START.format(lower=":".join(lower), at=at, address=ADDRESSES[name])
        self._started[name] = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", script],
            stdin=subprocess.DEVNULL,
            stderr=(at / "log").open("ab"),
            start_new_session=True,
        )
        self._wait(name)
        if name == "controller01" and state:
            self.on(name, "systemctl start mariadb " + " ".join(RUNNING))

    def _own(self, at, name):
        upper = at / "upper"
        for folder in ("etc/ssh", "usr/local/bin", "usr/bin", "srv", "run"):
            (upper / folder).mkdir(parents=True)
        (upper / "etc/ssh/sshd_apart").write_text(SSHD)
        shutil.copy(self.at / "key.pub", upper / "etc/ssh/client.pub")
        shutil.copy(at / "host_key", upper / "etc/ssh/ssh_host_ed25519_key")
        identity = hashlib.sha256(f"{self.at}{name}".encode()).hexdigest()[:32]
        (upper / "etc/machine-id").write_text(identity + "\n")
        standins = {"systemctl": "standin_systemctl.py"}
        if name == "controller01":
            standins["rabbitmqctl"] = "standin_rabbitmqctl.py"
            (upper / "srv/definitions.json").write_text('{"users": [{"name": "openstack"}]}')
        else:
            standins |= {"ceph": "standin_ceph.py", "rbd": "standin_ceph.py"}
            (upper / "srv/answers.json").write_text(json.dumps(answers()))
        for program, source in standins.items():
            shutil.copy(HERE / source, upper / "usr/local/bin" / program)
            (upper / "usr/local/bin" / program).chmod(0o755)
        for program in ("age", "zstd"):
            shutil.copy(found(program)[1], upper / "usr/bin" / program)
        (upper / "usr/local/bin/dpkg-query").write_text(_DPKG_QUERY)
        (upper / "usr/local/bin/dpkg-query").chmod(0o755)

    def _wait(self, name):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if self._ssh(name, "true").returncode == 0:
                return
            time.sleep(0.2)
        raise AssertionError((self.at / name / "log").read_text()[-3000:])

    def _ssh(self, name, script):
        argv = ["ssh", "-F", str(self.at / "ssh_config"), "-o", "BatchMode=yes", name, "bash", "-s"]
        return subprocess.run(
            argv, input=script, text=True, check=False, capture_output=True, timeout=300
        )

    def on(self, name, script):
        """What a script says on a host."""
        done = self._ssh(name, script)
        assert done.returncode == 0, (script, done.stderr)
        return done.stdout

    def sql(self, text):
        """What the controller's live server answers."""
        return self.on("controller01", f"mariadb -NB <<'SQL'\n{text}\nSQL\n")

    def stop(self, name):
        """Everything of a host ends, and what it wrote is gone."""
        process = self._started.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for folder in ("upper", "work", "root"):
            shutil.rmtree(self.at / name / folder)

    def stop_all(self):
        for name in list(self._started):
            self.stop(name)

    def inv(self, *words, expect=0, typed="", timeout=600):
        """Runs inv as an operator would; all that it says."""
        site = ["--site", str(self.at / "site.toml")]
        env = {**os.environ, "HOME": str(self.home), "XDG_STATE_HOME": str(self.at / "state")}
        done = subprocess.run(
            [str(INV), *words, *site],
            cwd=PROJECT,
            env=env,
            text=True,
            input=typed,
            check=False,
            capture_output=True,
            timeout=timeout,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        expected = expect if isinstance(expect, tuple) else (expect,)
        assert done.returncode in expected, f"exit {done.returncode}, expected {expect}\n{said}"
        return said

    def with_key(self):
        """Makes the operator's key and seals backups for it."""
        said = self.inv("backup.key")
        self.write_site(backup=said.splitlines()[-1])


_DPKG_QUERY = """\
#!/bin/sh
/usr/bin/dpkg-query "$@"
echo "ii  age 1.1.1-1"
echo "ii  zstd 1.5.4"
exit 0
"""


def kept_cloud():
    """The lab's small cloud as it was made; not there before the first `inv lab.up`."""
    return kept.place(topology.load(PROJECT / "lab" / "topologies" / "small.toml"))


@pytest.fixture(scope="module")
def hosts():
    """Both hosts, up; all of it is gone afterwards."""
    if os.environ.get("STACKRBD_APART") != "1":
        pytest.skip("needs a network of its own: make apart")
    assert kept_cloud().is_dir(), "inv lab.up makes it"
    at = Path(tempfile.mkdtemp(prefix="sa-", dir="/tmp"))
    made = Hosts(at)
    try:
        for name in ADDRESSES:
            made.start(name)
        yield made
    finally:
        made.stop_all()
        shutil.rmtree(at)


if __name__ == "__main__":
    sys.exit(not kept_cloud().is_dir())
