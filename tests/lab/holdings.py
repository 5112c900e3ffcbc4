"""All that a proof could leave behind on the lab's cloud: in OpenStack, in Ceph, in libvirt."""

from fabfile.cloud import connection

from .conftest import ACCESS, on

COMPUTES = ("compute01", "compute02")


def held(computes=COMPUTES):
    """{where: what is there}, whoever made it."""
    with connection.connect("stackrbd-lab", str(ACCESS / "clouds.yaml")) as cloud:
        storage = cloud.block_storage
        found = {
            "servers": named(cloud.compute.servers(all_projects=True)),
            "volumes": named(storage.volumes(all_projects=True)),
            "snapshots": named(storage.snapshots(all_projects=True)),
            "attachments": {one.id for one in storage.attachments()},
            "types": named(storage.types(is_public="None")),
            "images": named(cloud.image.images()),
        }
    for pool in ("volumes", "images"):
        found[f"pool {pool}"] = set(on("ceph01", "rbd", "ls", "-p", pool).split())
        found[f"pool {pool}, trash"] = set(
            on("ceph01", "rbd", "trash", "ls", "--all", "-p", pool).split()
        )
    for host in computes:
        found[host] = set(on(host, "virsh", "-q", "list", "--all", "--name").split())
    return found


def named(things):
    return {f"{thing.name} {thing.id}" for thing in things}


def proofs(found):
    """The runs (the four letters of their names) of which something is in OpenStack."""
    kinds = ("servers", "volumes", "snapshots", "images")
    names = [name for kind in kinds for name in found[kind]]
    return {name.split("-")[2] for name in names if name.startswith("stackrbd-proof-")}
