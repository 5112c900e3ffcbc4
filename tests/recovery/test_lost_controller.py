"""The controller's whole file system is lost, and the runbook is followed as it is written."""

import contextlib
import re
import time
import uuid

import pytest

from fabfile.cloud import connection
from lab import cloud
from tests.lab.conftest import ACCESS, PROJECT, inv, on

pytestmark = pytest.mark.lab
RUNBOOK = (PROJECT / "docs" / "recovery.md").read_text()
CODES = {"inv recover --check": 2}
GUEST = ACCESS / "guest"
WRITE = """
import hashlib, rados, rbd, sys
cluster = rados.Rados(conffile='/etc/ceph/ceph.conf'); cluster.connect()
with cluster.open_ioctx('volumes') as pool, rbd.Image(pool, sys.argv[1]) as image:
    for at in range(0, 64 << 20, 1 << 20):
        image.write(hashlib.sha256(b'%d' % at).digest() * 32768, at)
    image.flush()
"""


def section(title):
    """The commands of a part of the runbook, in their order."""
    text = RUNBOOK.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^    (inv .+)$", text, re.M)


def follow(title, kept, without=()):
    """Types what the runbook says; all that was said."""
    said = ""
    for command in section(title):
        if command not in without:
            words = command.replace("mycloud", "stackrbd-lab").split()[1:]
            words += ["--yes"] if words == ["backup.tools"] else []  # as typed, when asked
            said += inv(*words, *kept, expect=CODES.get(command, 0), timeout=3600)
    return said


def content(pool, image):
    """A digest of all bytes of an image."""
    script = f"rbd export --no-progress {pool}/{image} - | sha256sum"
    return on("ceph01", script=script).split()[0]


def waited(look, good, seconds=300):
    until = time.monotonic() + seconds
    while True:
        found = look()
        if good(found):
            return found
        assert time.monotonic() < until, found
        time.sleep(2)


@contextlib.contextmanager
def connected():
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as api:
        yield api


def image(api, kind, file, **more):
    made = api.image.create_image(
        name=f"lost-{kind}",
        disk_format=kind if kind != "disk" else "raw",
        container_format="bare" if kind == "disk" else kind,
        filename=str(file),
        validate_checksum=False,
        wait=True,
        **more,
    )
    return waited(lambda: api.image.get_image(made.id), lambda i: i.status == "active")


def volume(api, name, **more):
    made = api.block_storage.create_volume(name=name, size=1, volume_type="rbd", **more)
    return waited(
        lambda: api.block_storage.get_volume(made.id), lambda v: v.status in ("available", "error")
    )


class Cloud:
    """What the cloud holds before it loses its controller."""

    def __init__(self):
        with connected() as api:
            kernel = image(api, "aki", GUEST / "vmlinuz")
            ramdisk = image(api, "ari", GUEST / "initrd")
            self.image = image(
                api, "disk", GUEST / "disk.raw", kernel_id=kernel.id, ramdisk_id=ramdisk.id
            )
            self.data = volume(api, "lost-data")
            on("ceph01", script=f"python3 - volume-{self.data.id} <<'END'\n{WRITE}END\n")
            self.snapshot = api.block_storage.create_snapshot(
                volume_id=self.data.id, name="lost-snapshot", force=True
            )
            waited(
                lambda: api.block_storage.get_snapshot(self.snapshot.id),
                lambda s: s.status == "available",
            )
            self.boot = volume(api, "lost-boot", image_id=self.image.id)
            disk = {
                "boot_index": 0,
                "uuid": self.boot.id,
                "source_type": "volume",
                "destination_type": "volume",
                "delete_on_termination": False,
            }
            self.server = api.compute.create_server(
                name="lost-server",
                flavor_id=api.compute.find_flavor("lab.tiny").id,
                networks="none",
                block_device_mapping=[disk],
            )
            self.server = waited(
                lambda: api.compute.get_server(self.server.id),
                lambda s: s.status in ("ACTIVE", "ERROR"),
            )
            assert self.server.status == "ACTIVE"
            self.host = self.server.compute_host or self.server.hypervisor_hostname
            self.console(api, "stackrbd-guest: up")
            self.used = volume(api, "lost-used")
            api.compute.create_volume_attachment(self.server, volume_id=self.used.id)
            self.console(api, "read back equal")
            self.password = uuid.uuid4().hex
            self.user = api.identity.create_user(
                name="lost-user", password=self.password, domain_id="default"
            )
        self.contents = self.now()
        self.process = self.guest()

    def console(self, api, words):
        waited(
            lambda: api.compute.get_server_console_output(self.server, length=200)["output"],
            lambda text: words in text,
        )

    def now(self):
        """What every volume and image holds."""
        volumes = (self.data, self.boot, self.used)
        found = {v.id: content("volumes", f"volume-{v.id}") for v in volumes}
        return {**found, self.image.id: content("images", self.image.id)}

    def guest(self):
        """(process id, when it started) of the instance's QEMU."""
        ask = f"pgrep -of {self.server.id}"
        pid = on(self.host, script=ask).strip()
        return pid, on(self.host, "stat", "-c", "%Y", f"/proc/{pid}")


@pytest.fixture(scope="module")
def before(kept):
    return Cloud()


def test_the_runbook_as_it_is_written(before, kept):
    """One test: what comes after a loss has sense only after it."""
    said = follow("Before", kept, without=["inv backup.key"])
    assert "stood its drill" in said
    assert "0 findings" in said
    began = time.monotonic()
    cloud.lose("controller01")
    bare = time.monotonic()
    assert before.guest() == before.process
    said = follow("The controller is lost", kept)
    print(f"bare host after {bare - began:.0f} s; the runbook took {time.monotonic() - bare:.0f} s")
    print(*re.findall(r"recover: .*", said), sep="\n")
    assert before.guest() == before.process
    assert before.now() == before.contents
    after(before)
    assert "0 findings" in inv("reconcile", "--details", *kept)


def after(before):
    """The cloud does all that it did."""
    with connected() as api:
        server = api.compute.get_server(before.server.id)
        assert server.status == "ACTIVE"
        again = volume(api, "lost-again", snapshot_id=before.snapshot.id)
        assert again.status == "available"
        assert content("volumes", f"volume-{again.id}") == before.contents[before.data.id]
        new = volume(api, "lost-new")
        api.compute.create_volume_attachment(server, volume_id=new.id)
        waited(lambda: api.block_storage.get_volume(new.id), lambda v: v.status == "in-use")
        assert api.identity.get_user(before.user.id).name == "lost-user"
        assert logs_in(api, before)


def logs_in(api, before):
    """Whether the user's password still opens Keystone."""
    body = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"id": before.user.id, "password": before.password}},
            }
        }
    }
    keystone = api.session.auth.auth_url.rstrip("/").removesuffix("/v3")
    reply = api.session.post(keystone + "/v3/auth/tokens", json=body, authenticated=False)
    return reply.status_code == 201
