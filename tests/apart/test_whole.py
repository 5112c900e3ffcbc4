"""backup.* and recover as an operator types them, against whole hosts."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from fabfile.backup import age, signature
from fabfile.backup.signature import Trust
from fabfile.backup.store import Store
from tests.every_process import EveryProcess

from .chroots import FSID, INV, PROJECT

CONTENT = "CHECKSUM TABLE keystone.user, keystone.local_user, cinder.volumes, nova.services;"
HARM = (
    "SET foreign_key_checks = 0; DELETE FROM keystone.local_user; DROP TABLE cinder.snapshots; "
    "CREATE TABLE nova.stray (a INT);"
)
KEYS = "cat /etc/keystone/fernet-keys/* /etc/keystone/credential-keys/* | sha256sum"


def records(hosts):
    said = hosts.inv("backup.list", "--json")
    (line,) = [line for line in said.splitlines() if line.startswith("{")]
    return json.loads(line)["records"]


def kept(hosts):
    """The names of backups that are final."""
    names = {path.name for path in (hosts.at / "records" / "apart").iterdir()}
    return {name for name in names if not name.endswith(".partial")}


@pytest.fixture(scope="module")
def record(hosts):
    """The name of a backup of the hosts as they were."""
    hosts.inv("backup.create", expect=3)  # for nobody
    hosts.with_key()
    said = hosts.inv("backup.create", "--json")
    return json.loads([line for line in said.splitlines() if line.startswith("{")][-1])["record"]


@pytest.fixture
def untouched(hosts, record):
    """Nothing live is another one after the test."""

    def state():
        return hosts.sql(CONTENT), hosts.on("controller01", KEYS + "; systemctl list-units")

    before = state()
    yield
    assert state() == before
    assert hosts.on("controller01", "ls -d /var/lib/mysql?* || true") == ""
    assert hosts.on("controller01", "ls /var/lib/stackrbd/restore 2>&1 || true").count("Z") == 0


def test_a_record_is_listed_and_holds_what_is_needed(hosts, record, untouched):
    (one,) = records(hosts)
    assert one["verified"] is None
    held = one["manifest"]["hosts"]["controller01"]
    assert one["manifest"]["fsid"] == FSID
    assert "key" not in json.dumps(one["manifest"]["ceph"]["users"])
    assert held["database"]["heads"]["cinder"] and held["database"]["unsafe"] == []
    assert {"cinder", "keystone", "nova_api", "nova_cell0"} <= set(held["database"]["schemas"])
    paths = held["files"]
    assert "/etc/keystone/fernet-keys/0" in paths and "/etc/keystone/credential-keys/0" in paths
    assert paths["/etc/nova/nova.conf"][:4] == ["file", "0640", "root", "nova"]
    assert held["left"] == []
    folder = hosts.at / "records" / "apart" / record
    names = {p.name for p in folder.iterdir()}
    assert names == {"manifest.json", "manifest.json.sig", "controller01.age"}
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_drill(hosts, record, untouched):
    assert "561 tables restored and equal" in hosts.inv("backup.verify", "--backup", record)
    assert records(hosts)[0]["verified"]["tables"] == 561


@pytest.fixture
def copied(hosts, record):
    """A copy of the backup, to be harmed."""
    folder = hosts.at / "records" / "apart"
    shutil.copytree(folder / record, folder / "copy")
    yield folder / "copy"
    shutil.rmtree(folder / "copy")


def alter_manifest(path, **changed):
    """As if whoever has the key that signs had been deceived."""
    manifest = json.loads((path / "manifest.json").read_text())
    text = json.dumps({**manifest, **changed})
    (path / "manifest.json").write_text(text)
    (path / "manifest.json.sig").write_text(signer_of(path.parents[2]).sign(text.encode()))


def signer_of(at):
    return signature.load_key(at / "home" / ".config" / "stackrbd" / "record.sign")


def cut(path):
    os.truncate(path / "controller01.age", 1000)


def alter(path):
    with (path / "controller01.age").open("r+b") as stream:
        stream.seek(5000)
        stream.write(b"x")


def another_cloud(path):
    alter_manifest(path, fsid="00000000-3ac6-47eb-971b-7184c8e38ebf")


def another_site(path):
    alter_manifest(path, site="elsewhere")


def newer_schema(path):
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["hosts"]["controller01"]["versions"]["nova-common"] = "2:27.0.0-1"
    alter_manifest(path, hosts=manifest["hosts"])


def no_manifest(path):
    (path / "manifest.json").write_text("{")


def not_signed(path):
    (path / "manifest.json.sig").unlink()


def signed_by_another(path):
    signature.save_key(path / "other")
    text = (path / "manifest.json").read_bytes()
    signed = signature.load_key(path / "other").sign(text)
    (path / "manifest.json.sig").write_text(signed)


def rewritten(path):
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text.replace("controller01", "controller02"))


def set_uid(path):
    manifest = json.loads((path / "manifest.json").read_text())
    held = manifest["hosts"]["controller01"]
    held["files"]["/etc/nova/nova.conf"][1] = "4755"
    alter_manifest(path, hosts=manifest["hosts"])


def elsewhere(path):
    manifest = json.loads((path / "manifest.json").read_text())
    held = manifest["hosts"]["controller01"]
    held["files"]["/etc/cron.d/x"] = ["file", "0644", "root", "root", "a" * 64]
    alter_manifest(path, hosts=manifest["hosts"])


def other_tables(path):
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["hosts"]["controller01"]["database"]["tables"]["nova.services"] = [1, "a" * 64]
    alter_manifest(path, hosts=manifest["hosts"])


@pytest.mark.parametrize(
    "harm, code, cause",
    [
        (cut, 3, "the backup is cut: 1000 bytes"),
        (alter, 3, "the backup was altered"),
        (another_cloud, 3, "another cloud"),
        (another_site, 3, "expected 'apart'"),
        (newer_schema, 3, "it has the schema of nova-common 2:27.0.0-1, found 2:26"),
        (no_manifest, 3, "the backup was altered"),
        (not_signed, 3, "the backup is not signed"),
        (signed_by_another, 3, "expected one of backup.signers"),
        (rewritten, 3, "the backup was altered"),
        (set_uid, 3, "found '4755'"),
        (elsewhere, 3, "/etc/cron.d/x: is not below what is backed up"),
        (other_tables, 1, "is not the one inside it"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(hosts, copied, untouched, harm, code, cause):
    harm(copied)
    said = hosts.inv("backup.restore", "--backup", "copy", "--cloud", "apart", expect=code)
    assert cause in said


def test_the_clouds_name_is_to_be_typed(hosts, record, untouched):
    assert "--cloud NAME" in hosts.inv("backup.restore", expect=3)
    assert "expected the name" in hosts.inv("backup.restore", "--cloud", "lab", expect=3)
    assert "Plan:" in hosts.inv("backup.restore", "--check", expect=2)


def test_another_key_opens_nothing(hosts, record, untouched):
    identity = hosts.at / "record.key"
    kept = identity.read_bytes()
    identity.unlink()
    try:
        assert "expected the key" in hosts.inv("backup.verify", expect=3)
        age.save_identity(identity)
        assert "is sealed for 1 other keys" in hosts.inv("backup.verify", expect=3)
        identity.chmod(0o644)
        assert "others may read it" in hosts.inv("backup.verify", expect=3)
    finally:
        identity.unlink()
        identity.write_bytes(kept)
        identity.chmod(0o600)


def test_a_full_disk_here_keeps_no_record(hosts, record, untouched):
    names = kept(hosts)
    small = hosts.at / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", small], check=True)
    text = (hosts.at / "site.toml").read_text()
    try:
        (hosts.at / "site.toml").write_text(text.replace(f"{hosts.at}/records", str(small)))
        assert "No space left" in hosts.inv("backup.create", expect=1)
        assert list((small / "apart").iterdir()) == []
    finally:
        (hosts.at / "site.toml").write_text(text)
        subprocess.run(["umount", small], check=True)
    assert kept(hosts) == names


KILLS = int(os.environ.get("STACKRBD_KILLS", "4"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_keeps_no_record(hosts, record, untouched, number):
    names = kept(hosts)
    for _ in range(KILLS):
        env = {**os.environ, "HOME": str(hosts.home), "XDG_STATE_HOME": str(hosts.at / "state")}
        run = subprocess.Popen(
            [str(INV), "backup.create", "--site", str(hosts.at / "site.toml")],
            cwd=PROJECT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for line in run.stdout:
            if "recording" in line:
                break
        time.sleep(random.uniform(0, 1.5))
        run.send_signal(number)
        said = run.communicate(timeout=60)[0]
        assert "Traceback" not in said
        new = kept(hosts) - names  # one that was done before it was killed
        names |= new
        for name in new:
            trust = Trust(frozenset([signer_of(hosts.at).public]))
            Store(str(hosts.at / "records"), "apart", trust).refuse_altered(name)
    time.sleep(1)
    assert "mariadb-dump" not in hosts.on("controller01", "ps ax -o args")


class Looking(EveryProcess):
    """Looks at the arguments and environments of every process, as fast as it can."""

    def __init__(self, *needles):
        super().__init__()
        self.needles, self.found = [needle.encode() for needle in needles], set()

    def look(self, place):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                text = (place / name).read_bytes()
                self.found |= {text for needle in self.needles if needle in text}


def test_no_key_or_password_is_shown_or_left(hosts, record):
    fernet = hosts.on("controller01", "cat /etc/keystone/fernet-keys/0").strip()
    conf = hosts.on("controller01", "grep '^connection' /etc/keystone/keystone.conf")
    password = conf.split("keystone:")[1].split("@")[0]
    own = (hosts.at / "record.key").read_text().split()[-1]
    with Looking("AGE-SECRET-KEY-1", password, fernet, own) as looking:
        said = hosts.inv("backup.create") + hosts.inv("backup.list")
        said += hosts.inv("backup.verify", "--backup", record)
    assert looking.found == set()
    for secret in (fernet, password, own, "AGE-SECRET-KEY-1"):
        assert secret not in said
        places = f"{hosts.at}/state {hosts.at}/records {hosts.home}"
        here = subprocess.run(
            ["grep", "-rlF", secret, *places.split()], capture_output=True, text=True, check=False
        )
        assert here.stdout == ""
        looked = "/var/lib/stackrbd /var/log /tmp /run /root /var/tmp"
        there = hosts.on("controller01", f"grep -rlF -e '{secret}' {looked} 2>/dev/null || true")
        assert there == ""
    assert hosts.on("controller01", "find /var/lib/stackrbd -type f -perm /077") == ""


def test_restored_then_undone_then_restored_and_settled(hosts, record):
    before, keys = hosts.sql(CONTENT), hosts.on("controller01", KEYS)
    hosts.sql(HARM)
    hosts.on("controller01", "rm -rf /etc/keystone/fernet-keys; echo >> /etc/nova/nova.conf")
    hosts.on("controller01", "echo '{}' > /srv/definitions.json")
    units = hosts.on("controller01", "systemctl list-units")
    said = hosts.inv("backup.restore", "--backup", record, "--cloud", "apart")
    assert hosts.sql(CONTENT) == before
    assert hosts.sql("SHOW TABLES FROM nova LIKE 'stray'") == ""
    assert hosts.on("controller01", KEYS) == keys
    assert "openstack" in hosts.on("controller01", "cat /srv/definitions.json")
    assert hosts.on("controller01", "systemctl list-units") == units
    login = "mariadb -NB -unova -h127.0.0.1 -p$(sed -n 's/^connection.*nova:\\(.*\\)@.*nova$/\\1/p'"
    assert hosts.on("controller01", f"{login} /etc/nova/nova.conf) -e 'SELECT 1' nova") == "1\n"
    run = said.split("To go back: inv undo --run ")[1].split()[0]
    hosts.inv("undo", "--run", run, "--yes")
    assert hosts.sql("SHOW TABLES FROM nova LIKE 'stray'") == "stray\n"
    hosts.inv("backup.restore", "--backup", record, "--cloud", "apart")
    assert hosts.sql(CONTENT) == before
    assert "before-" in hosts.on("controller01", "ls /var/lib")
    hosts.inv("backup.settle", "--yes")
    assert "before-" not in hosts.on("controller01", "ls /var/lib")
    assert len(records(hosts)) >= 3  # with the safety backups


def test_the_oldest_are_pruned_and_a_verified_one_is_spared(hosts, record):
    hosts.inv("backup.verify", "--backup", record)
    text = (hosts.at / "site.toml").read_text()
    (hosts.at / "site.toml").write_text(text.replace("[backup]", "[backup]\nkeep = 1"))
    hosts.inv("backup.create")
    (hosts.at / "site.toml").write_text(text)
    found = records(hosts)
    assert len(found) == 2
    assert found[-1]["record"] == record


def test_a_lost_controller_comes_back_from_its_packages(hosts, record):
    """As far as no cluster is needed: integrate then finds none, and says so."""
    before, keys = hosts.sql(CONTENT), hosts.on("controller01", KEYS)
    hosts.stop("controller01")
    hosts.start("controller01", state=False)
    assert "inv recover" in hosts.inv("backup.restore", "--cloud", "apart", expect=1)
    said = hosts.inv("recover", "--backup", record, "--cloud", "apart", expect=(1, 3, 4, 6))
    assert "recover: restored after" in said
    assert hosts.sql(CONTENT) == before
    assert hosts.on("controller01", KEYS) == keys
    assert "cinder-volume" in hosts.on("controller01", "systemctl list-units; ls /run/enabled")
