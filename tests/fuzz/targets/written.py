"""What operators write: known_hosts, SSH configurations, site files, inventories, clouds.yaml."""

import contextlib
from pathlib import Path
from unittest import mock

from fabfile.adopt import candidates, inventory
from fabfile.backup import contents
from fabfile.backup.store import Store
from fabfile.cloud import connection
from fabfile.core import known_hosts, site_file, ssh_config
from fabfile.core.contract import Stop
from fabfile.flow import gather
from fabfile.flow import limit as limits
from fabfile.flow import rollout as rollouts
from fabfile.flow.backup import create
from fabfile.flow.inspect import survey
from fabfile.model import site as sites

from ...unit import states, test_inventory, test_known_hosts
from .case import Target, as_data

ROOT = Path(__file__).parents[3]


def _known_hosts(case, data):
    found = known_hosts.load([case.file("known_hosts", data)])
    for line in found.warnings:
        case.say(line)
    for name in ("ceph01", "[ctl.example.org]:2222", "*", "é", "x" * 300):
        keys = found.keys_of(name)
        found.has_authority(name)
        for key in keys:
            known_hosts.fingerprint(key), known_hosts.line_of(name, key)
        found.first_known(name, ["ssh-ed25519", "rsa-sha2-512", "x"])


def _known_lines():
    t = test_known_hosts
    return [
        "\n".join(
            (
                f"ceph01,10.0.0.1 ssh-ed25519 {t.CEPH} a comment",
                f"*.example.org,!ctl.* ecdsa-sha2-nistp256 {t.ECDSA}",
                f"{t.HASHED_CEPH01} ssh-ed25519 {t.CTL}",
                f"@revoked ceph01 ssh-ed25519 {t.CTL}",
                f"@cert-authority *.example.org ssh-ed25519 {t.CEPH}",
                f"[ctl]:2222 ssh-rsa {t.RSA.get_base64()}",
                "# a comment",
            )
        ).encode()
    ]


SSH_CONFIG = """Host n1 "n 2" !n3 *.x
  HostName %h.example.org
  User op
  Port 2222
  IdentityFile ~/.ssh/%r_%h
  UserKnownHostsFile ~/.ssh/known_hosts "${HOME}/two"
  ProxyJump op@jump:22
Match host n1 exec "test %h"
  ProxyCommand nc -X 5 %h %p
Match originalhost n* user op final
  CanonicalizeHostname no
Include other*
Host *
  HostKeyAlias x
"""


def _ssh_config(case, data):
    other = "Host n1\n  Port 23\n  Include other*\n"
    case.file("other", other.encode() if case.rng.random() < 0.1 else b"Host n1\n  User x\n")
    path = case.file("config", data.replace(b"other*", str(case.folder / "other*").encode()))
    found = ssh_config.Configuration(path, lambda command: case.rng.random() < 0.5)
    for name, command in found.commands():
        case.say(f"{name} {command}")
    for host in ("n1", "n 2", "a.x", "10.0.0.1"):
        with contextlib.suppress(Stop):
            found.lookup(host)


def _site_texts():
    found = [
        (ROOT / "config" / name).read_bytes()
        for name in ("site.toml", "site.large.toml", "site.two-clusters.toml", "start.toml")
    ]
    return [*found, WHOLE.encode()]


WHOLE = f"""name = "test"
fsid = "{states.FSID}"
release = "zed"
clone_v2 = true
cloud = "c"
clouds_yaml = "~/clouds.yaml"
[hosts]
ceph01 = {{ roles = ["ceph"], address = "10.0.0.1", user = "op", port = 22 }}
ctl = {{ roles = ["glance", "cinder", "database"] }}
n1 = {{ roles = ["compute"] }}
[pools.volumes]
size = 3
pg_num = 32
[pools.images]
[clients.volumes]
rwx = ["volumes"]
rx = ["images"]
secret_uuid = "{states.OTHER}"
[clients.images]
rwx = ["images"]
[rollout]
serial = "1,10%,50%"
max_fail = 1
[cinder]
backend = "rbd"
replaces = "ctl@lvm"
[options.cinder.rbd]
report_discard_supported = true
rbd_max_clone_depth = 5
hosts = ["a", 2]
[sudoers]
user = "op"
until = "203001010000Z"
[verify]
size = 5
[backup]
also = ["/etc/x"]
units = ["x"]
keep = 3
[dask]
scheduler = "tls://s:8786"
ca = "a"
cert = "b"
key = "c"
near = {{ "n*" = "rack1*" }}
"""


def _site(case, data):
    path = case.file("site.toml", data)
    site = sites.check(site_file.load_own(path), str(path), site_file.platforms())
    for host in site.all_hosts():
        gather.questions(site, survey.checks.STAGES, host)
        site.bindings_of(host)
        contents.folders(site, host)
    rollouts.of(site, limits.limited(site, ""), "", "", "")
    with mock.patch.object(create, "store", lambda *_: Store(str(case.folder), "x")):
        create.ages(site)


def _clouds_yaml(case, data):
    connection._region("c", case.file("clouds.yaml", data))


def _inventory(case, data):
    for name in ("hosts", "hosts.yml"):
        with contextlib.suppress(Stop):
            listed = inventory.parsed(data.decode("utf-8", "replace"), name)
            for one in candidates.chosen(["c"], listed, None).candidates:
                case.say(f"{one.name} {one.address} {one.user} {one.port}")


def _inventories():
    return [test_inventory.KOLLA.encode(), test_inventory.KOLLA_YAML.encode()]


CLOUDS_YAML = b"""clouds:
  c:
    auth:
      auth_url: http://10.0.0.1:5000/v3
      username: admin
      password: x
      project_name: admin
      user_domain_name: Default
    region_name: RegionOne
    verify: true
    api_timeout: 5
    profile: x
    regions: [RegionOne, RegionTwo]
    identity_api_version: 3
  d: {profile: c}
"""


TARGETS = {
    "known-hosts": Target("known_hosts", _known_lines, as_data, _known_hosts, share=20),
    "ssh-config": Target(
        "SSH configuration", lambda: [SSH_CONFIG.encode()], as_data, _ssh_config, share=20
    ),
    "site": Target("site files", _site_texts, as_data, _site, share=20),
    "inventory": Target("Ansible's inventories", _inventories, as_data, _inventory, share=5),
    "clouds.yaml": Target("clouds.yaml", lambda: [CLOUDS_YAML], as_data, _clouds_yaml, share=5),
}
