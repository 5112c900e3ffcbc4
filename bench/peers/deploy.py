"""The same end state for pyinfra: facts first, operations only where something is missing."""

import io
import json
import os
import shlex
from pathlib import Path

from pyinfra import config, host
from pyinfra.facts.files import FindInFile
from pyinfra.facts.server import Command
from pyinfra.operations import files, server, systemd

config.SUDO = True

W = json.loads(Path(os.environ["BENCH_WANTED"]).read_text())
FORM = r"${db:Status-Abbrev} ${Package} ${Version}\n"
NAMES = " ".join(W["packages"])

found = host.get_fact(Command, f"dpkg-query -W -f {shlex.quote(FORM)} -- {NAMES}") or ""
missing = [n for n in W["packages"] if f"ii  {n} " not in found]
if missing:
    server.shell(name="Packages", commands=[f"apt-get -y install {' '.join(missing)}"])

files.directory(name="/etc/ceph", path="/etc/ceph", mode="755", user="root", group="root")
files.put(
    name="ceph.conf",
    src=io.StringIO(W["ceph_conf"]),
    dest="/etc/ceph/ceph.conf",
    mode="644",
    user="root",
    group="root",
)

if W["fsid"] not in (host.get_fact(Command, "virsh -q secret-list") or ""):
    server.shell(
        name="Secret",
        commands=[f"printf %s {shlex.quote(W['secret_xml'])} | virsh -q secret-define /dev/stdin"],
    )
value = host.get_fact(Command, f"virsh -q secret-get-value {W['fsid']} 2>/dev/null || true")
if (value or "").strip() != W["key"]:
    server.shell(
        name="Secret's value",
        commands=[
            f"printf %s {shlex.quote(W['key'])} | "
            f"virsh -q secret-set-value --secret {W['fsid']} --file /dev/stdin"
        ],
    )

edits = []
for option, text in W["options"].items():
    if not host.get_fact(FindInFile, path=W["nova_conf"], pattern=f"^{option} = {text}$"):
        edits.append(
            files.replace(
                name=option,
                path=W["nova_conf"],
                text=f"^#{option} = <None>$",
                replace=f"#{option} = <None>\\n{option} = {text}",
            )
        )
if edits:
    systemd.service(name="Restart", service=W["unit"], running=True, restarted=True)
