"""A service's user who swaps links and files under a running integrate (tests/swapper.py)."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.conftest import by_ssh, inv, on

from .conftest import mended

pytestmark = pytest.mark.lab
SWAPPER = Path(__file__).parents[1] / "swapper.py"
SWAPS = 1000
"""As many as a case needs at least; each puts something else into a file's place."""
SECONDS = 90
CASES = [
    ("controller01", "cinder", "/etc/cinder", "cinder.conf", "controller.cinder"),
    ("controller01", "glance", "/etc/glance", "glance-api.conf", "controller.glance"),
    ("compute01", "nova", "/etc/nova", "nova.conf", "compute.nova"),
]
VICTIM = """
rm -rf /usr/local/victim; install -d -m 755 /usr/local/victim
echo 'only root writes here' > /usr/local/victim/file; chmod 640 /usr/local/victim/file
"""
LOOK = "cd /usr/local/victim; stat -c '%n %u %g %a %h' . *; cat file; ls -A; python3 -c 'import os; print(os.listxattr(\"file\"))'"


def outside(host, user, folder):
    """What was written since the game began where neither root nor that user had to write."""
    found = on(
        host,
        script=f"find /etc /root /usr /opt /home -xdev -newercm /run/stackrbd-game "
        f"! -path '{folder}*' ! -path /etc ! -path '/root/.cache*'; "
        f"find /etc /root /usr /opt /home /var/lib /var/backups -xdev -user {user} "
        f"-newercm /run/stackrbd-game ! -path '{folder}*' ! -path '/var/lib/{user}*'",
    )
    return found.split()


@pytest.mark.parametrize("host, user, folder, name, task", CASES, ids=[c[1] for c in CASES])
def test_1000_swaps_lead_root_nowhere(cloud, host, user, folder, name, task):
    conf = f"{folder}/{name}"
    # What its user has there lacks an option: there is work for every run, the game's text too.
    gone = {"cinder": "rbd_user", "glance": "rbd_store_user", "nova": "rbd_user"}[user]
    on(host, script=f"sed -i '/^{gone}/d' {conf}; chown {user}: {folder} {conf}; {VICTIM}")
    on(host, script=f"cat > /usr/local/swapper.py <<'EOF'\n{SWAPPER.read_text()}\nEOF\n")
    before = on(host, script=LOOK)
    on(host, script="touch /run/stackrbd-game; sleep 1")
    play = ["sh", "-c", f"exec python3 -S /usr/local/swapper.py {folder} {name} "
            f"/usr/local/victim/file {SECONDS} --uid $(id -u {user})"]  # fmt: skip
    argv = by_ssh(host, *play[:2], f"'{play[2]}'")
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as game:
        assert game.stdout.readline() == "ready\n"
        codes = []
        until = time.monotonic() + SECONDS - 5
        while time.monotonic() < until:
            said = inv(task, "--yes", expect=tuple(range(8)), also_errors=True)
            codes.append(said.splitlines()[-1])
            assert on(host, script=LOOK) == before, said
        swaps = json.loads(game.stdout.readline())
    assert sum(swaps.values()) >= SWAPS, swaps
    assert codes
    assert on(host, script=LOOK) == before
    assert outside(host, user, folder) == []
    on(
        host,
        script=f"rm -rf /usr/local/swapper.py /usr/local/victim {folder}/own {folder}/made-* {folder}/.stackrbd-*",
    )
    mended()
    assert gone in on(host, "cat", conf)
