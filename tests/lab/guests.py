"""Guests that run and stand, and what the databases keep of their disks."""

import contextlib
import json
import time

from .conftest import ACCESS, on, result

CONTROL = "controller01"
FILES = ACCESS / "guest"


@contextlib.contextmanager
def image_of_a_guest(api):
    """An image that writes to every disk that comes and reads it back; gone afterwards."""
    made = images_of(api, FILES / "initrd")
    yield made[-1]
    for one in reversed(made):
        api.image.delete_image(one)


def images_of(api, initrd, kernel=FILES / "vmlinuz"):
    """Kernel, ramdisk and the disk that is booted with them.

    All raw: a Nova that inspects images migrates no instance with an 'aki' or 'ari'.
    """

    def uploaded(name, form, file, **properties):
        return api.image.create_image(
            name=f"guest-{name}",
            disk_format=form,
            filename=str(file),
            wait=True,
            container_format="bare" if form == "raw" else form,
            validate_checksum=False,
            **properties,
        )

    kernel, ramdisk = (
        uploaded("kernel", "raw", kernel),
        uploaded("ramdisk", "raw", initrd),
    )
    with_them = {"kernel_id": kernel.id, "ramdisk_id": ramdisk.id}
    return kernel, ramdisk, uploaded("disk", "raw", FILES / "disk.raw", **with_them)


@contextlib.contextmanager
def guest(api, image, name, **more):
    """A guest that runs, with a volume to which it has written; gone afterwards."""
    made = Guest(api, image, name, **more)
    yield made
    made.away()


class Guest:
    """An instance with a volume."""

    def __init__(self, api, image, name, volume=None, **more):
        """volume: one that is there; else one is made."""
        self.api = api
        flavor = api.compute.find_flavor("lab.tiny")
        self.volume = volume or api.block_storage.create_volume(
            name=name, size=1, volume_type="rbd"
        )
        api.block_storage.wait_for_status(self.volume, "available", ["error"], 2, 120)
        server = api.compute.create_server(
            name=name, flavor_id=flavor.id, image_id=image.id, networks="none", **more
        )
        self.server = api.compute.wait_for_server(server, "ACTIVE", ["ERROR"], 2, 300)
        self.said("stackrbd-guest: up")
        api.compute.create_volume_attachment(server, volume_id=self.volume.id)
        api.block_storage.wait_for_status(self.volume, "in-use", ["error"], 2, 120)
        self.said("read back equal")
        self.id = self.server.id
        self.compute = api.compute.get_server(self.server).hypervisor_hostname.split(".")[0]

    def said(self, words, times=1):
        """Waits until the guest's console has the words."""
        until = time.monotonic() + 300
        while True:
            told = self.api.compute.get_server_console_output(self.server)["output"]
            if told.count(words) >= times:
                return
            assert time.monotonic() < until and ": DIFFERENT" not in told, told[-2000:]
            time.sleep(3)

    def stopped(self):
        """The same, stopped."""
        self.api.compute.stop_server(self.server)
        self.api.compute.wait_for_server(self.server, "SHUTOFF", ["ERROR"], 2, 300)
        return self

    def status(self):
        return self.api.compute.get_server(self.id).status

    def writes(self, byte):
        """QEMU writes through the very disk that the guest has, and Ceph has what it wrote."""
        disk = "/machine/peripheral/virtio-disk1/virtio-backend"
        for order in (f"write -P {byte} 0 64k", "flush", f"read -P {byte} 0 64k"):
            said = on(
                self.compute,
                script=f"timeout 60 virsh qemu-monitor-command {self.id} "
                f"--hmp 'qemu-io -d {disk} \"{order}\"'",
            )
            assert "error" not in said.lower() and "failed" not in said.lower(), said
        wrote = on(
            "ceph01",
            script=f"rbd export --no-progress volumes/volume-{self.volume.id} - "
            "2> /dev/null | head -c 65536 | od -An -tu1 -v | tr -s ' ' '\\n' "
            "| sort -u | tr -d '\\n'",
        )
        assert wrote == str(byte)

    def watchers(self):
        said = on("ceph01", "rbd", "status", f"volumes/volume-{self.volume.id}", "--format", "json")
        return json.loads(said)["watchers"]

    def away(self):
        self.api.compute.delete_server(self.server)
        self.api.compute.wait_for_delete(self.server, 2, 120)
        self.api.block_storage.wait_for_status(self.volume, "available", ["error"], 2, 120)
        self.api.block_storage.delete_volume(self.volume)
        self.api.block_storage.wait_for_delete(self.volume, 2, 120)


def notes(said):
    """What is said of instances: {id: sentence}."""
    found = [n for n in result(said)["notes"] if n.startswith("instance ")]
    return {note.split()[1]: note for note in found}


HOSTS = (
    "COALESCE(JSON_EXTRACT(connection_info, '$.data.hosts'), "
    "JSON_EXTRACT(connection_info, '$.hosts'))"
)
TABLES = {"nova": "nova.block_device_mapping", "cinder": "cinder.volume_attachment"}


def kept(guest):
    """{side: monitors} of a guest's attachment in both databases."""
    found = {}
    for side, table in TABLES.items():
        where = f"WHERE deleted = 0 AND volume_id = '{guest.volume.id}'"
        sql = f"SELECT {HOSTS} FROM {table} {where}"  # noqa: S608 (our own words)
        found[side] = set(json.loads(on(CONTROL, script=f"mariadb -NB <<'SQL'\n{sql}\nSQL\n")))
    return found


def give_nova_manage_an_account():
    """[cinder] of the controller's nova.conf, as [placement] has it."""
    on(
        CONTROL,
        script="""
        { echo '[cinder]'; sed -n '/^\\[placement\\]/,/^\\[/p' /etc/nova/nova.conf |
          grep -E '^(auth|user|pass|project)[a-z_]* *='; } > /root/options
        sed -i '/^\\[cinder\\]$/r /root/options' /etc/nova/nova.conf
        grep -q '^\\[cinder\\]$' /etc/nova/nova.conf || cat /root/options >> /etc/nova/nova.conf
        rm /root/options""",
    )
