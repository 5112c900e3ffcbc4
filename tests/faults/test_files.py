"""Faults C: files."""

import base64
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from fabfile.core.contract import Host
from fabfile.core.ssh import Fleet
from tests.lab.conftest import ACCESS, PACKAGED, inv, on

from .conftest import alter, done_and_undone, mended, nova_conf, refused, sshd_of

pytestmark = pytest.mark.lab
CONF = "/etc/nova/nova.conf"
LEFT = "find /etc/nova -name '.stackrbd-*'"


def fails_and_leaves(host="compute01"):
    """compute.nova fails there; what it said.  The file stays, and no restart is owed."""
    before = nova_conf(host)
    owed = on(host, "ls", "/var/lib/stackrbd/pending_restarts")
    said = refused(1, "compute.nova", "--yes")
    assert nova_conf(host) == before
    assert on(host, script=LEFT) == ""
    assert on(host, "ls", "/var/lib/stackrbd/pending_restarts") == owed
    return said


FULL = (
    "cp -a /etc/nova /root/nova; mount -t tmpfs -o size={size} none /etc/nova; "
    "cp -a /root/nova/. /etc/nova/; dd if=/dev/zero of=/etc/nova/filler bs=1k 2>/dev/null; true"
)


def test_26_a_full_disk(cloud):
    alter()
    size = int(on("compute01", script="du -sk /etc/nova | cut -f1")) + 64
    undo = "umount /etc/nova; rm -r /root/nova"
    with done_and_undone("compute01", FULL.format(size=f"{size}k"), undo):
        assert "No space left on device" in fails_and_leaves()
    mended()


def test_27_a_read_only_file_system(cloud):
    alter()
    do = "mount --bind /etc/nova /etc/nova; mount -o remount,bind,ro /etc/nova"
    with done_and_undone("compute01", do, "umount /etc/nova"):
        assert "Read-only file system" in fails_and_leaves()
    mended()


def test_27_an_immutable_file(cloud):
    alter()
    with done_and_undone("compute01", f"chattr +i {CONF}", f"chattr -i {CONF}"):
        assert "Operation not permitted" in fails_and_leaves()
    mended()


ATTRIBUTES = (
    "import os,struct;p='/etc/nova/nova.conf';"
    "os.setxattr(p,'user.note',b'kept');"
    # A POSIX ACL as the kernel has it: user::rw- user:1:r-- group::r-- mask::r-- other::---
    "e=[(1,6,-1),(2,4,1),(4,4,-1),(16,4,-1),(32,0,-1)];"
    "os.setxattr(p,'system.posix_acl_access',struct.pack('<I',2)"
    "+b''.join(struct.pack('<HHi',*x) for x in e))"
)
SHOWN = (
    "import os;p='/etc/nova/nova.conf';s=os.stat(p);print(oct(s.st_mode),s.st_uid,s.st_gid,"
    "[(n,os.getxattr(p,n)) for n in sorted(os.listxattr(p))])"
)


def test_28_owner_mode_acl_and_attributes_stay(cloud):
    alter()
    on("compute01", script=f'python3 -c "{ATTRIBUTES}"; chown nova:nova {CONF}')
    before = on("compute01", script=f'python3 -c "{SHOWN}"')
    assert "user.note" in before and "posix_acl" in before
    mended()
    assert on("compute01", script=f'python3 -c "{SHOWN}"') == before


MOVED = f"mv {CONF} /root/conf; "
BACK = f"rm -rf {CONF}; mv /root/conf {CONF}"


def test_29_a_link_is_followed_once(cloud):
    alter()
    do = f"mv {CONF} {CONF}.real; ln -s nova.conf.real {CONF}"
    with done_and_undone("compute01", do, f"mv {CONF}.real {CONF}"):
        mended()
        assert on("compute01", "readlink", CONF).strip() == "nova.conf.real"
        assert re.search("^rbd_user", on("compute01", "cat", f"{CONF}.real"), re.M)


@pytest.mark.parametrize(
    "make, said",
    [
        (f"ln -s between {CONF}; ln -s conf /etc/nova/between", "a link to a link"),
        # The folder is Nova's: its links lead root nowhere else.
        (f"ln -s /root/conf {CONF}", "not followed"),
        (
            f"mkdir /etc/nova/real; cp /root/conf /etc/nova/real; ln -s real/conf {CONF}",
            "not followed",
        ),
        (f"mkfifo {CONF}", "not a regular file"),
        (f"mkdir {CONF}", "not a regular file"),
        (f"ln -s nowhere {CONF}", "no such file"),
    ],
)
def test_29_other_kinds_are_refused(cloud, make, said):
    undo = BACK + "; rm -rf /etc/nova/between /etc/nova/real"
    with done_and_undone("compute01", MOVED + make, undo):
        text = inv("compute.nova", "--check", expect=(1, 3), also_errors=True)
    assert said in text and "compute01" in text


def test_29_a_bind_mounted_file_is_said(cloud):
    alter()
    do = f"cp -a {CONF} /root/bound; mount --bind /root/bound {CONF}"
    with done_and_undone("compute01", do, f"umount {CONF}; rm /root/bound"):
        assert "busy" in fails_and_leaves().lower()
    mended()


READER = """
import sys,time
end=time.time()+float(sys.argv[1]);sizes=set();n=0
while time.time()<end:
    data=open('/etc/nova/nova.conf','rb').read();n+=1
    sizes.add((len(data),data[-40:]))
print(n,len(sizes))
"""


def test_30_readers_never_see_half_a_file(cloud):
    alter()
    on("compute01", script="echo left > /etc/nova/.stackrbd-dead.new")
    reading = on(
        "compute01",
        script=f"cat > /root/reader.py <<'E'\n{READER}E\n"
        "python3 /root/reader.py 25 > /root/read 2>&1 & echo $!",
    )
    inv("compute.nova", "--yes")
    on("compute01", script=f"while kill -0 {reading.strip()} 2>/dev/null; do sleep 1; done")
    count, kinds = map(int, on("compute01", "cat", "/root/read").split())
    assert count > 1000
    assert kinds == 2  # the old file and the new one
    assert on("compute01", script=LEFT) == ""
    mended()


@pytest.fixture
def strace():
    if not shutil.which("strace"):
        subprocess.run(["apt-get", "-qq", "-y", "install", "strace"], check=True)


def test_31_a_write_is_on_the_disk_before_it_counts_and_after(cloud, strace, tmp_path):
    """The order of the system calls: the new file to the disk, the rename, the folder."""
    alter()
    trace = tmp_path / "trace"
    calls = "trace=fsync,rename,renameat,renameat2,openat"
    daemon = sshd_of("compute01")
    argv = ["strace", "-f", "-qq", "-y", "-e", calls, "-o", str(trace), "-p", daemon]
    tracing = subprocess.Popen(argv)
    until = time.monotonic() + 30
    while "TracerPid:\t0\n" in Path(f"/proc/{daemon}/status").read_text():
        assert time.monotonic() < until
        time.sleep(0.1)
    inv("compute.nova", "--yes", "--limit", "compute01")
    tracing.terminate()
    tracing.wait()
    order = [
        word
        for line in trace.read_text().splitlines()
        for word, pattern in (
            ("new", r"fsync\(\d+</etc/nova/\.stackrbd-"),
            ("rename", r"rename.*\.stackrbd-\S+ .*nova\.conf\""),
            ("folder", r"fsync\(\d+</etc/nova>"),
        )
        if re.search(pattern, line)
    ]
    assert order == ["new", "rename", "folder"], order
    mended()


def test_32_a_hand_between_plan_and_apply(cloud, tmp_path):
    alter()
    kept = tmp_path / "plan.json"
    inv("plan", "--out", str(kept))
    on("compute01", script=f"echo '# a hand' >> {CONF}")
    said = refused(3, "apply", str(kept), "--yes")
    assert "stale" in said and f"compute01: {CONF}" in said
    assert nova_conf().endswith("# a hand\n")
    mended()


ODD = """[DEFAULT]
# comment
log_dir = /var/log/nova
my_list = a,
   b
[libvirt]
virt_type = qemu
[DEFAULT]
state_path = /var/lib/nova
[libvirt]
rbd_user = wrong
rbd_user = wronger"""


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_33_a_file_of_every_oddity(cloud, ending):
    """Sections twice, keys twice, a value over two lines, CRLF, no newline at the end."""
    text = ODD.replace("\n", ending)
    on("compute02", script=f"cp -a {CONF} /root/conf; printf '%s' '{text}' > {CONF}")
    try:
        inv("compute.nova", "--yes")
        now = on("compute02", script=f"base64 -w0 {CONF}")
        inv("compute.nova", "--check")
    finally:
        on("compute02", script=f"cat /root/conf > {CONF}; rm /root/conf")
    # A line that is added behind the last one ends that.
    lines = base64.b64decode(now).decode().removesuffix(ending).split(ending)
    assert [x for x in lines if not x.startswith("rbd_")] == [
        x for x in text.split(ending) if not x.startswith("rbd_")
    ]
    assert any(x == "rbd_user = volumes" for x in lines)
    mended()


def test_34_a_shadowing_file_is_named(cloud):
    later = "/etc/nova/nova-compute.conf"
    on(
        "compute01",
        script=f"cp -a {later} /root/later; printf '[libvirt]\\nrbd_user = shadow\\n' >> {later}",
    )
    try:
        said = refused(3, "integrate", "--check")
        assert f"compute01: {later}: [libvirt] rbd_user = shadow" in said
    finally:
        on("compute01", script=f"mv /root/later {later}")
    inv("integrate", "--check")


def test_36_somebody_elses_banner_is_noted(cloud):
    alter()
    with done_and_undone(
        "compute01", f"sed -i '1i # This file is managed by Puppet' {CONF}", f"sed -i '1d' {CONF}"
    ):
        assert "managed by Puppet" in inv("compute.nova", "--check", expect=2)
    mended()


def test_37_the_packages_own_file_again(cloud):
    """dpkg puts the conffile of a newer package in place: drift, found and mended."""
    pristine = (PACKAGED / "nova.conf").read_text()
    on(
        "compute02",
        script=f"cp -a {CONF} /root/conf; cat > {CONF} <<'PRISTINE'\n{pristine}PRISTINE\n",
    )
    try:
        shown = inv("compute.nova", "--check", "--diff", expect=2)
        assert "+ [libvirt] rbd_user = volumes" in shown
    finally:
        on("compute02", script=f"cat /root/conf > {CONF}; rm /root/conf")
    mended()


def test_38_the_services_own_validator_is_asked(cloud):
    """An option that Nova does not know, sent to the host as a step of a plan."""
    fleet = Fleet([Host("compute01", ("compute",))], ACCESS / "ssh_config")
    digest = on("compute01", "sha256sum", CONF).split()[0]
    args = {
        "path": CONF,
        "edits": [["libvirt", "rbd_usre", "volumes"]],
        "before": digest,
        "validate": {"namespaces": ["nova.conf"], "exclude": []},
    }
    step = {
        "id": 0,
        "verb": "edit",
        "args": args,
        "thing": CONF,
        "sentence": "",
        "sign": "~",
        "wave": 2,
        "restarts": ["nova-compute"],
    }
    work = {
        "steps": [step],
        "run": "fault",
        "site": "fault",
        "number": 1,
        "who": "a test",
        "patience": 5,
        "deadline": 120,
        "then": [],
        "prunes": True,
    }
    said = []
    try:
        assert fleet.work({"compute01": work}, lambda host, message: said.append(message)) == {}
    finally:
        fleet.close()
    assert "does not know libvirt/rbd_usre" in said[-1]["why"]
    assert on("compute01", "sha256sum", CONF).split()[0] == digest
    inv("integrate", "--check")
