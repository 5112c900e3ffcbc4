"""Makes the OpenStack inside its hosts: files, databases, services, in order.

What the files say is in `openstack_settings`; what is made over the API (users,
endpoints, flavor, image, volume) is in `openstack_objects`.
"""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import (
    access,
    endpoints,
    images,
    openstack_objects,
    openstack_settings,
    options,
    places,
    readiness,
    remote,
)
from lab.generation import Generation
from lab.images import Image
from lab.passwords import Passwords
from lab.progress import say
from lab.topology import LabHost, Topology

_PRISTINE = ("cinder/cinder.conf", "glance/glance-api.conf", "nova/nova.conf")
_DATABASES = {
    "keystone": ("keystone",),
    "glance": ("glance",),
    "placement": ("placement",),
    "nova": ("nova", "nova_api", "nova_cell0"),
    "neutron": ("neutron",),
    "cinder": ("cinder",),
}


def keep_pristine(generation: Generation) -> None:
    """Copy Debian's three files as a generation packages them into the cache."""
    layer = images.layers_of(Image(generation, "controller"))[0]
    folder = places.PRISTINE / generation.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in _PRISTINE:
        shutil.copyfile(layer / "etc" / name, folder / Path(name).name)


def configure(root: Path, host: LabHost, topology: Topology, secret: Passwords) -> None:
    """Write the settings of what a host runs into its mounted, unstarted root."""
    for name, settings in openstack_settings.files(host, topology, secret).items():
        options.set_in_file(root / name, settings)
    if host.image == "compute":
        for name, lines in openstack_settings.libvirt_files(host).items():
            with (root / name).open("a") as file:
                file.write(lines)
    if "database" in host.runs:
        (root / "etc/mysql/mariadb.conf.d/60-lab.cnf").write_text(_MARIADB)
    if "neutron" in host.runs:
        _neutron_models(root)
    if "cinder-volume" in host.runs:
        _share(root, host)


def bootstrap(topology: Topology, secret: Passwords, clouds_yaml: Path) -> None:
    """Databases, users, services, and what the cloud starts with. Raises LabError."""
    say("openstack: database and queue")
    with ThreadPoolExecutor() as pool:
        home = topology.home("database")
        database = pool.submit(remote.script, home, _database(secret, home.generation.charset))
        queue = pool.submit(remote.script, topology.home("queue"), _queue(secret))
        database.result()
        queue.result()
    say("openstack: keystone")
    keystone = topology.home("keystone")
    remote.script(keystone, _KEYSTONE)
    remote.script(keystone, _keystone_admin(topology, secret), program="python3 -I")
    remote.script(keystone, _enable("keystone"))
    access.write_private(clouds_yaml, openstack_objects.clouds_yaml(topology, secret))
    readiness.until_answers(endpoints.of(topology)[0])
    say("openstack: migrating five databases; users and endpoints meanwhile")
    with ThreadPoolExecutor() as pool:
        chains = [pool.submit(remote.script, *chain) for chain in _migrations(topology)]
        openstack_objects.make_users(topology, secret, clouds_yaml)
        for chain in chains:
            chain.result()
    say("openstack: starting the services")
    everyone = [host for host in topology.hosts if host.units]
    with ThreadPoolExecutor() as pool:
        list(pool.map(_enable_all, everyone))
    readiness.wait_for_apis(topology, everyone)
    computes = topology.running("nova-compute")
    openstack_objects.wait_for_agents(topology, clouds_yaml)
    say(f"openstack: {len(computes)} compute(s) into the cell")
    remote.script(topology.home("nova"), _as("nova", "nova-manage cell_v2 discover_hosts"))
    openstack_objects.make_first_contents(clouds_yaml)


def _enable_all(host: LabHost) -> None:
    remote.script(host, _enable(*host.units))


def _enable(*units: str) -> str:
    # Not to wait: some take a minute while all start at once.
    names = " ".join(units)
    return f"systemctl enable -q {names}\nsystemctl start --no-block {names}\n"


_MARIADB = "[mysqld]\nbind-address = 0.0.0.0\nmax_connections = 500\n"


def _database(secret: Passwords, charset: str) -> str:
    statements = []
    for user, names in _DATABASES.items():
        password = secret.databases[user]
        statements.append(f"CREATE USER '{user}'@'%' IDENTIFIED BY '{password}';")
        for name in names:
            statements.append(f"CREATE DATABASE {name} CHARACTER SET {charset};")
            statements.append(f"GRANT ALL ON {name}.* TO '{user}'@'%';")
    sql = "\n".join(statements)
    return f"systemctl enable -q --now mariadb\nmariadb <<'END'\n{sql}\nEND\n"


def _queue(secret: Passwords) -> str:
    # A password in a file: among the arguments it would be for all to read, and from its
    # input RabbitMQ 4 never gets it.
    every = {"configure": ".*", "write": ".*", "read": ".*"}
    definitions = {
        "users": [{"name": "openstack", "password": secret.queue, "tags": ""}],
        "permissions": [{"user": "openstack", "vhost": "/", **every}],
    }
    return f"""\
systemctl enable -q --now epmd rabbitmq-server
file=$(mktemp -p /var/lib/rabbitmq)
trap 'rm $file' EXIT
cat > $file <<'END'
{json.dumps(definitions)}
END
chown rabbitmq $file
rabbitmqctl -q import_definitions $file
"""


def _as(user: str, command: str) -> str:
    return f"su -s /bin/sh {user} -c '{command}'\n"


_KEYSTONE = (
    _as("keystone", "keystone-manage db_sync")
    + "as='--keystone-user keystone --keystone-group keystone'\n"
    + "keystone-manage fernet_setup $as\nkeystone-manage credential_setup $as\n"
)


def _keystone_admin(topology: Topology, secret: Passwords) -> str:
    """`keystone-manage bootstrap`, with the password in no argument list."""
    url = endpoints.of(topology)[0].url
    argv = ["keystone-manage", "bootstrap", "--bootstrap-password", secret.admin]
    for kind in ("public", "internal", "admin"):
        argv += [f"--bootstrap-{kind}-url", url]
    argv += ["--bootstrap-region-id", openstack_settings.REGION]
    return (
        "import grp, os, pwd\n"
        "os.setgid(grp.getgrnam('keystone').gr_gid)\n"
        "os.setuid(pwd.getpwnam('keystone').pw_uid)\n"
        "from keystone.cmd import cli\n"
        f"cli.main(argv={argv!r})\n"
    )


def _migrations(topology: Topology) -> list[tuple[LabHost, str]]:
    """Chains of migrations that do not wait for each other."""
    nova = (
        "api_db sync",
        "cell_v2 map_cell0",
        "cell_v2 create_cell --name=cell1",
        "db sync",
    )
    first = "".join(_as("nova", f"nova-manage {words}") for words in nova)
    first += _as("placement", "placement-manage db sync")
    neutron = (
        "neutron-db-manage --config-file /etc/neutron/neutron.conf "
        "--config-file /etc/neutron/plugins/ml2/ml2_conf.ini upgrade heads"
    )
    return [
        (topology.home("nova"), first),
        (topology.home("neutron"), _as("neutron", neutron)),
        (topology.home("glance"), _as("glance", "glance-manage db_sync")),
        (topology.home("cinder-api"), _as("cinder", "cinder-manage db sync")),
    ]


def _neutron_models(root: Path) -> None:
    """Without plugins, Zed's Neutron answers 500 to its first question for ports:
    `Port.port_forwardings` is there only once all models are joined. Join them."""
    packages = root / "usr/lib/python3/dist-packages"
    (packages / "lab_neutron_models.py").write_text(_JOIN_MODELS)
    settings = root / "etc/neutron/neutron-api-uwsgi.ini"
    head = "[uwsgi]\nimport = lab_neutron_models"
    settings.write_text(_in_processes(settings.read_text().replace("[uwsgi]", head, 1)))


def _in_processes(settings: str) -> str:
    """Two processes in the place of many threads.

    Neutron's locks are eventlet's, which know no other thread: of two requests at once, either
    may wait for ever ("cannot switch to a different thread"), and Nova's API with it.
    """
    fewer = re.sub(r"(?m)^threads = \d+$", "threads = 1", settings)
    return re.sub(r"(?m)^processes = \d+$", "processes = 2", fewer)


_JOIN_MODELS = """\
import neutron.db.migration.models.head  # noqa: F401
from sqlalchemy.orm import configure_mappers

configure_mappers()
"""


def _share(root: Path, host: LabHost) -> None:
    """The old backend's share, mounted where Cinder looks for it.

    The kernel has no NFS and no device-mapper, so neither an NFS mount nor LVM can
    be. bindfs mounts a folder of this host at the share's place; Cinder's NFS
    driver takes it for mounted and does all the rest for real.
    """
    mount, folder = (
        openstack_settings.share_mount(host),
        openstack_settings.SHARE_FOLDER,
    )
    (root / "etc/cinder/nfs_shares").write_text(openstack_settings.share(host) + "\n")
    unit = root / "etc/systemd/system/lab-cinder-share.service"
    unit.write_text(
        "[Unit]\nDescription=The share of the lab's old Cinder backend\n"
        "Before=cinder-volume.service\n\n"
        "[Service]\n"
        "ExecStartPre=/usr/bin/install -d -o cinder -g cinder"
        f" {folder} /var/lib/cinder/mnt {mount}\n"
        f"ExecStart=/usr/bin/bindfs -f -o allow_other {folder} {mount}\n"
        f"ExecStartPost=/bin/sh -c 'until mountpoint -q {mount}; do sleep 0.1; done'\n"
        f"ExecStopPost=-/bin/umount -l {mount}\n"
        "Restart=on-failure\n\n[Install]\nWantedBy=multi-user.target\n"
    )
