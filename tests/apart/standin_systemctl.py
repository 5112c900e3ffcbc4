#!/usr/bin/python3
"""systemctl where no systemd runs: MariaDB is started and stopped for real, all else is noted.

/run/units holds a file for each unit that is 'active'; /run/enabled one for each enabled one.
"""

import os
import shutil
import subprocess
import sys
import time

UNITS, ENABLED, PID = "/run/units", "/run/enabled", "/run/mysqld/apart.pid"
OPTIONS = "/run/mysqld_opts"  # what set-environment gives to all that is started


def active():
    return sorted(os.listdir(UNITS))


def options(said=None):
    """MYSQLD_OPTS of systemd's own environment; said: what it becomes."""
    if said is not None:
        with open(OPTIONS, "w") as stream:
            stream.write(said)
    if not os.path.exists(OPTIONS):
        return []
    with open(OPTIONS) as stream:
        return stream.read().split()


def answers():
    ping = ["mariadb-admin", "ping"]
    return subprocess.run(ping, capture_output=True, check=False).returncode == 0


def start(unit):
    if unit == "mariadb" and not answers():
        os.makedirs("/run/mysqld", exist_ok=True)
        shutil.chown("/run/mysqld", "mysql")
        process = subprocess.Popen(
            [
                "nice",
                "-n",
                "10",
                "/usr/sbin/mariadbd",
                "--user=mysql",
                "--pid-file=" + PID,
                *options(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.time() + 90
        while not answers():
            if process.poll() is not None or time.time() > until:
                return
            time.sleep(0.3)
    open(os.path.join(UNITS, unit), "w").close()


def stop(unit):
    if unit == "mariadb" and os.path.exists(PID):
        subprocess.run(["mariadb-admin", "shutdown"], check=True, capture_output=True)
    if unit in active():
        os.unlink(os.path.join(UNITS, unit))


def main(words):
    os.makedirs(UNITS, exist_ok=True)
    os.makedirs(ENABLED, exist_ok=True)
    verb = words[0]
    names = [w.replace(".service", "") for w in words[1:] if not w.startswith("-")]
    if verb == "list-units":
        for unit in active():
            print(unit + ".service loaded active running " + unit)
    elif verb == "show":
        names = [w.replace(".service", "") for w in words[words.index("--") + 1 :]]
        for unit in names:
            state = "active" if unit in active() else "inactive"
            print(f"Id={unit}.service\nLoadState=loaded\nActiveState={state}\nSubState=running")
            print("Result=success\nMainPID=1\nNRestarts=0\n")
    elif verb == "is-active":
        print("\n".join("active" if unit in active() else "inactive" for unit in names))
        sys.exit(0 if set(names) <= set(active()) else 3)
    elif verb in ("set-environment", "unset-environment"):
        options(words[1].partition("MYSQLD_OPTS=")[2])
    elif verb == "enable":
        for unit in names:
            open(os.path.join(ENABLED, unit), "w").close()
    elif verb in ("start", "stop", "restart"):
        for unit in names:
            if verb != "start":
                stop(unit)
            if verb != "stop":
                start(unit)


main(sys.argv[1:])
