"""A large database, dumped and restored: memory, and pace beside the system's own ssh.

STACKRBD_GIB: how large (10).  The same programs run through ssh on the same host, in the same
run, one after the other.
"""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.every_process import EveryProcess
from tests.lab.conftest import ACCESS, inv, on

pytestmark = pytest.mark.lab
GIB = float(os.environ.get("STACKRBD_GIB", "10"))
DUMP = (
    "mariadb-dump --single-transaction --quick --routines --events --triggers --hex-blob "
    "--order-by-primary --databases big cinder glance keystone neutron nova nova_api nova_cell0 "
    "placement"
)
APART = (
    "--no-defaults --user=mysql --datadir=/srv/t --socket=/srv/t/s --skip-networking "
    "--skip-log-bin --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=128M "
    "--performance-schema=OFF --innodb-doublewrite=OFF"
)
SIZE = "SELECT IFNULL(SUM(LENGTH(u) + LENGTH(j) + 2 * LENGTH(b) + LENGTH(h) + 30), 0) FROM big.t"
MORE = (
    "INSERT INTO big.t (u, j, b, h) SELECT UUID(), CONCAT(LEFT(j, 400), RAND()), "
    "UNHEX(SHA2(RAND(), 256)), SHA2(RAND(), 256) FROM big.t LIMIT 200000;"
)


def sql(text):
    return on("controller01", script=f"mariadb -NB <<'SQL'\n{text}\nSQL\n").strip()


@pytest.fixture(scope="module")
def large(kept):
    """A database of that size, in the shape of Nova's rows."""
    sql(
        "CREATE DATABASE big; USE big; CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, "
        "u CHAR(36), j TEXT, b VARBINARY(64), h CHAR(64)); INSERT INTO t (u, j, b, h) SELECT "
        "UUID(), REPEAT(CONCAT('{\"nova_object.name\": ', RAND(), '}'), 9), "
        "UNHEX(SHA2(RAND(), 256)), SHA2(seq, 256) FROM seq_1_to_200000;"
    )
    while int(sql(SIZE)) < GIB * 2**30:
        sql(MORE * 4)
    inv("backup.tools", "--yes", *kept)
    return kept


class Memory(EveryProcess):
    """The most resident MiB of each process of ours, on both sides: all are on this machine."""

    pause = 0.3

    def __init__(self):
        super().__init__()
        self.most = {}

    def by_side(self):
        """{'inv': MiB, 'agent': MiB}: the most of any of each kind."""
        found = {}
        for (side, _), size in self.most.items():
            found[side] = max(size, found.get(side, 0))
        return found

    def look(self, place):
        try:
            words = (place / "cmdline").read_bytes()
            lines = (place / "status").read_text()
        except OSError:
            return
        side = "inv" if b"bin/inv\0" in words else "agent"
        if side == "inv" or words.startswith(b"python3\0-I\0-S\0"):
            size = int(re.search(r"VmRSS:\s+(\d+)", lines + "VmRSS: 0")[1]) // 1024
            self.most[side, place.name] = max(self.most.get((side, place.name), 0), size)


def through_ssh(words):
    """Seconds that a pipe through the system's ssh takes."""
    began = time.monotonic()
    ssh = f"ssh -F {ACCESS}/ssh_config -o BatchMode=yes root@controller01"
    subprocess.run(["bash", "-o", "pipefail", "-c", words.replace("SSH", ssh)], check=True)
    return time.monotonic() - began


def stage(said, first, second):
    """Seconds between two lines of progress."""
    times = []
    for words in (first, second):
        found = re.search(rf"^(\d+):(\d+):(\d+) .*{words}", said, re.M)
        times.append(sum(int(n) * s for n, s in zip(found.groups(), (3600, 60, 1), strict=True)))
    return (times[1] - times[0]) % 86400


def test_ten_gib_there_and_back(large, tmp_path):
    recipient = re.search(r"age1[a-z0-9]+", Path(large[1]).read_text())[0]
    identity = re.search(r'identity = "(.+)"', Path(large[1]).read_text())[1]
    plain = tmp_path / "plain.age"
    on("controller01", script=f"{DUMP} | tail -c 1 > /dev/null")  # read once: both find it warm
    theirs = through_ssh(f"SSH '{DUMP} | zstd -q -1 -c | age -r {recipient}' > {plain}")
    with Memory() as memory:
        began = time.monotonic()
        inv("backup.create", *large, timeout=7200)
        ours = time.monotonic() - began
    print(f"dump: {theirs:.0f} s by ssh, {ours:.0f} s by inv; {memory.by_side()}")
    assert theirs / ours >= 0.8
    assert set(memory.by_side()) == {"inv", "agent"}
    assert max(memory.by_side().values()) < 200
    on(
        "controller01",
        script=f"""
        install -d -m 700 /srv/k; install -d -o mysql /srv/t
        mariadb-install-db --user=mysql --datadir=/srv/t --skip-test-db > /dev/null
        (setsid mariadbd {APART} < /dev/null > /dev/null 2>&1 &); sleep 8""",
    )
    through_ssh(f"SSH 'cat > /srv/k/key' < {identity}")
    theirs = through_ssh(
        f"SSH 'age -d -i /srv/k/key | zstd -qdc | mariadb --no-defaults -S /srv/t/s' < {plain}"
    )
    on(
        "controller01",
        script="mariadb-admin --no-defaults -S /srv/t/s shutdown; rm -rf /srv/k /srv/t",
    )
    with Memory() as memory:
        said = inv("backup.verify", *large, timeout=7200)
    ours = stage(said, "restoring into throwaway", "restored; comparing")
    print(f"restore: {theirs:.0f} s by ssh, {ours:.0f} s by inv; {memory.by_side()}")
    assert theirs / ours >= 0.8
    assert set(memory.by_side()) == {"inv", "agent"}
    assert max(memory.by_side().values()) < 200
