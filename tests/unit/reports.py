"""Documents of made-up sites, for tests of what is made of them."""

import functools

from fabfile.core.contract import Unreachable
from fabfile.doctor import checks as doctor_checks
from fabfile.doctor import secret_holders
from fabfile.report import document as documents

from .clouds import MADE, looked
from .states import FSID, HOSTS, OTHER, secret, site

NOW = MADE + 12 * 86400.0
HOSTILE = (
    "</script><script>alert(1)</script>'\"><img src=x onerror=alert(1)>"
    "</title><a href=javascript:alert(1)>\u202e\x1b[31m\x00\ud800&amp;]]>"
)
"""What a host might say to whoever reads it."""


def told(change=lambda cloud: None, site_=None, runs=(), **more):
    """The document of the healthy cloud, after change(its answers)."""
    site_ = site_ or site()
    seen = looked(change, **more)
    found, plan = doctor_checks.findings(site_, seen)
    return {
        **documents.document(site_, seen, found, secret_holders.table(site_, seen), plan, ""),
        "made": NOW,
        "by": "operator@here",
        "version": "0.1.0",
        "file": "site.toml",
        "runs": list(runs),
    }


def run(name="r1", task="integrate", ago=3600.0, outcome="done", code=0, **more):
    """One run, as the document has it."""
    return {
        "run": name,
        "site": "test",
        "task": task,
        "who": "operator@here",
        "changes": 2,
        "seconds": 12.5,
        "outcome": outcome,
        "code": code,
        "began": NOW - ago - 12.5,
        "ended": NOW - ago,
        "why": "",
        "steps": [],
        "checks": [],
        **more,
    }


def check(name, ok=True, detail="it is so", seconds=1.25, host=""):
    name = f"{host}: {name}" if host else name
    return {"name": name, "ok": ok, "detail": detail, "seconds": seconds, "host": host}


def verify(*checks, **more):
    return run("v1", "verify", changes=0, checks=list(checks), **more)


PROOF = (
    check("an image in Glance", detail="image 1 is in rbd", seconds=3.9),
    check("n1: the guest writes and reads back", detail="64 MiB, read back equal", seconds=21.4),
    check("everything is deleted again", detail="1 servers, 2 volumes, 3 images deleted"),
)
CANARY = (
    check("an image in Glance", seconds=3.9),
    check("it is attached", host="n1", seconds=2.5),
    check("it is attached", False, "Nova gave up", host="n2", seconds=9.0),
    check("live migration with the volume attached", host="n1", seconds=6.25),
    check("everything is deleted again"),
)
STEPS = [
    {"sign": "+", "thing": "pool volumes", "sentence": "create", "hosts": ["ceph01"], "done": 1},
    {
        "sign": "~",
        "thing": "/etc/nova/nova.conf",
        "sentence": "set 2 options",
        "hosts": ["n1", "n2"],
        "done": 2,
    },
]
RUNS = (run(steps=STEPS), verify(*PROOF, ago=7200.0))


def broken(cloud):
    """An odd secret, a keyring of another owner, a health warning."""
    cloud["n2"]["libvirt.secrets"] = secret(FSID, value="sha256:" + "c" * 64)
    cloud["n1"]["domains"] = {}
    cloud["ctl"]["keyring.images"]["owner"] = "root"


@functools.cache
def a_thousand(hosts=1000):
    """The document of a large site, made once: most computes alike, some in each trouble."""
    names = [f"compute{n:04d}" for n in range(1, hosts + 1)]
    large = site(
        hosts={**{n: HOSTS[n] for n in ("ceph01", "ctl")}, **dict.fromkeys(names, HOSTS["n1"])}
    )
    trouble = {"another-uuid": names[3:10], "down": names[20:24], "old": names[50:350]}

    def change(cloud):
        one, _ = cloud.pop("n1"), cloud.pop("n2")
        for n, name in enumerate(names):
            machine = {**one["host"], "machine_id": f"c{n}", "hostname": name}
            cloud[name] = {**one, "host": machine, "domains": {}}
        for name in trouble["another-uuid"]:
            cloud[name]["libvirt.secrets"] = secret(OTHER)
        for name in trouble["old"]:
            cloud[name]["host"] = {**cloud[name]["host"], "name": "Debian 11"}
        for name in trouble["down"]:
            del cloud[name]

    gone = {n: Unreachable(f"{n}: does not answer within 10 s") for n in trouble["down"]}
    clocks = dict.fromkeys(large.hosts, (-0.1, 0.9))
    return told(change, large, RUNS, unreachable=gone, clocks=clocks)
