"""Faults F: input, secrets, and whoever is on the other side."""

import shlex

import pytest

from tests.lab.conftest import inv, on

from .conftest import alter, done_and_undone, mended, nova_conf, refused

pytestmark = pytest.mark.lab
CANARY = "/tmp/canary"
HOSTILE = [
    f"; touch {CANARY}",
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"x' ; touch {CANARY} #",
    f"a\\n touch {CANARY}",
    "-rf",
    "--help",
    "a b",
    "ä",
    "x" * 300,
    "",
    "../../etc",
    "\\u0000",
    "\\u001b[31m",
]


PLACES = {
    "pools": ("[pools]\n", "[pools]\n{} = {{ size = 1 }}\n"),
    "clients": ("[clients]\n", '[clients]\n{} = {{ rwx = ["volumes"] }}\n'),
    "hosts": ("[hosts]\n", '[hosts]\n{} = {{ roles = ["compute"] }}\n'),
    "backend": ('backend = "rbd"', "backend = {}"),
    "user": ('user = "operator"', "user = {}"),
}


@pytest.mark.parametrize("where", PLACES)
def test_56_hostile_names_stop_at_the_site_file(cloud, site, where):
    old, new = PLACES[where]
    for name in HOSTILE:
        quoted = '"' + name.replace('"', "'") + '"'
        said = refused(3, "integrate", "--check", *site((old, new.format(quoted))))
        assert "expected" in said, said
        assert "\x1b" not in said
    for host in ("ceph01", "controller01", "compute01", "compute02"):
        on(host, script=f"test ! -e {CANARY}")


def test_58_a_limit_that_fits_nothing_names_the_nearest(cloud):
    assert "did you mean 'compute01'?" in refused(3, "integrate", "--check", "--limit", "compute1")


def test_59_a_step_that_fails_shows_no_key(cloud):
    """virsh is given the key and fails, saying what it was given; the scan looks on."""
    uuid = on("compute01", "virsh", "-q", "secret-list").split()[0]
    on("compute01", script=f"echo bm90IGl0 | virsh -q secret-set-value {uuid} --file /dev/stdin")
    evil = '#!/bin/sh\\ncase "$*" in *help*) ;; *set-value*) echo "given: $(cat)" >&2; exit 1;; esac\\n'
    evil += 'exec /usr/bin/virsh.real "$@"\\n'
    with done_and_undone(
        "compute01",
        f"mv /usr/bin/virsh /usr/bin/virsh.real; printf '{evil}' > "
        "/usr/bin/virsh; chmod 755 /usr/bin/virsh",
        "mv /usr/bin/virsh.real /usr/bin/virsh",
    ):
        said = refused(1, "compute.secret", "--yes")
        assert "given: ***" in said
    mended()


SHELLS = {
    "escapes": "printf '\\033]0;evil\\007\\033[2J'; exec /bin/bash \"$@\"",
    "endless": "yes",
    "one endless line": "cat /dev/zero",
    "answers of its own": 'while read -r line; do echo \'{"t": "end"}\'; done',
    "a slow drip": "while :; do echo x; sleep 1; done",
    "nothing at all": "sleep 300",
    "deaf": "exec </dev/null; exit 0",
}


@pytest.mark.parametrize("kind", SHELLS)
def test_61_a_hostile_login_shell(cloud, kind):
    script = shlex.quote("#!/bin/bash\n" + SHELLS[kind])
    do = f"printf '%s\\n' {script} > /usr/local/bin/evil; "
    do += "chmod 755 /usr/local/bin/evil; usermod -s /usr/local/bin/evil operator"
    undo = "usermod -s /bin/bash operator; pkill -u operator; rm /usr/local/bin/evil"
    alter("compute02")
    untouched = nova_conf("compute02")
    with done_and_undone("compute01", do, undo):
        if kind == "escapes":
            said = inv("integrate", "--check", expect=2, also_errors=True)
        else:
            said = refused(4, "integrate", "--yes", timeout=120)
            assert "compute01" in said
        assert "\x1b" not in said
    assert nova_conf("compute02") == untouched
    mended()


RACE = """
import os
names = ['.stackrbd-%s.new' % i for i in range(100)] + ['nova.conf.new', '.nova.conf.tmp']
while True:
    for n in names:
        try: os.symlink('/etc/victim', '/etc/nova/' + n)
        except OSError: pass
"""


def test_63_links_planted_in_the_folder_lead_nowhere(cloud):
    alter()
    do = f"echo victim > /etc/victim; cat > /root/race.py <<'E'\n{RACE}E\n"
    do += "(timeout 60 python3 /root/race.py >/dev/null 2>&1 & echo $! > /root/race.pid)"
    undo = "kill $(cat /root/race.pid); rm -f /root/race.* /etc/nova/.stackrbd-* "
    undo += "/etc/nova/nova.conf.new /etc/nova/.nova.conf.tmp"
    with done_and_undone("compute01", do, undo):
        inv("compute.nova", "--yes")
        assert on("compute01", "cat", "/etc/victim") == "victim\n"
    on("compute01", "rm", "/etc/victim")
    mended()


WATCH = """
import os, time
end, seen = time.time() + 20, set()
while time.time() < end:
    for name in os.listdir('/etc/ceph'):
        try: s = os.stat('/etc/ceph/' + name)
        except OSError: continue
        if s.st_mode & 0o007 and name not in ('ceph.conf', 'rbdmap'):
            seen.add((name, oct(s.st_mode)))
print(sorted(seen))
"""


def test_64_a_keyring_is_never_open_not_for_a_moment(cloud):
    on(
        "controller01",
        script="rm /etc/ceph/ceph.client.volumes.keyring; "
        f"cat > /root/watch.py <<'E'\n{WATCH}E\n"
        "(python3 /root/watch.py > /root/seen 2>&1 & echo $! > /root/watch.pid)",
    )
    inv("ceph.keyrings", "--yes")
    on("controller01", script="while kill -0 $(cat /root/watch.pid) 2>/dev/null; do sleep 1; done")
    assert on("controller01", "cat", "/root/seen").strip() == "[]"
    mended()


def test_65_the_users_path_and_environment_do_not_count(cloud):
    evil = "mkdir -p ~operator/bin; for p in python3 virsh systemctl ceph; do "
    evil += f"printf '#!/bin/sh\\ntouch {CANARY}\\n' > ~operator/bin/$p; chmod 755 ~operator/bin/$p; done; "
    evil += "cp ~operator/.bashrc /root/rc; sed -i '1i export PATH=$HOME/bin:$PATH "
    evil += "PYTHONPATH=$HOME LD_LIBRARY_PATH=$HOME' ~operator/.bashrc"
    undo = "mv /root/rc ~operator/.bashrc; rm -r ~operator/bin"
    with done_and_undone("compute01", f"touch ~operator/.bashrc; {evil}", undo):
        inv("integrate", "--check")
        on("compute01", script=f"test ! -e {CANARY}")


def test_66_another_locale_and_timezone(cloud):
    do = "printf 'LANG=de_DE.UTF-8\\nLC_ALL=de_DE.UTF-8\\nTZ=Asia/Tokyo\\n' >> /etc/environment"
    with done_and_undone(
        "compute01", do, "head -n -3 /etc/environment > /etc/e; mv /etc/e /etc/environment"
    ):
        inv("integrate", "--check")
