"""What tempest needs of the lab's cloud, made there: a guest's image, flavors, a default type."""

import contextlib
import time
from collections.abc import Iterator

import yaml
from openstack.exceptions import NotFoundException

from fabfile.cloud import connection
from lab import cloud as lab
from lab import endpoints, openstack_objects, places, readiness, remote
from lab.errors import LabError

from .conf import Cloud

CLOUDS = places.ACCESS / "clouds.yaml"
GUEST = places.ACCESS / "guest"
PREFIX = "tempest-lab"


@contextlib.contextmanager
def prepared(kind: str) -> Iterator[Cloud]:
    """The cloud as tempest's file describes it, `kind` a volume type; what is missing is made.

    Meanwhile other backends take no new volumes, and volumes of no type are of this one: half
    of the tests name no type or make types that name no backend, and would prove another.
    """
    topology = lab.running()
    if topology is None:
        raise LabError("no lab is running, expected one that is integrated: inv lab.up")
    remote.script(topology.home("cinder-api"), _READ_BODIES + _DEFAULT_TYPE.format(kind=kind))
    remote.script(topology.home("neutron"), _EVENTLET_FIRST)
    remote.script(topology.home("glance"), _DEFINITIONS)
    for item in endpoints.of(topology):
        readiness.until_answers(item)
    openstack_objects.wait_for_agents(topology, CLOUDS)
    api = connection.connect(openstack_objects.CLOUD, str(CLOUDS))
    storage = api.block_storage
    others = [s for s in storage.services(binary="cinder-volume") if _backend(s) != kind]
    for service in others:
        # With a reason: Cinder of 2026.2 does not hear it else.
        storage.disable_service(service, reason="tempest is at work")
    _wait_for_the_scheduler(storage, kind)
    try:
        yield _described(api, kind)
    finally:
        for service in others:
            storage.enable_service(service)
        for service in storage.services(binary="cinder-volume"):
            if service.status == "disabled":  # nor does it hear that; the service writes a new row
                remote.script(topology.home("cinder-volume"), _FORGET.format(row=service.host))


def _wait_for_the_scheduler(storage, kind: str) -> None:
    """One that was begun anew hears of a backend with its next report: a minute, at most two."""
    until = time.monotonic() + 180
    while not any(f"@{kind}#" in pool.name for pool in storage.backend_pools()):
        if time.monotonic() > until:
            raise LabError(f"cinder-scheduler: expected a pool of {kind}, found none in 180 s")
        time.sleep(2)


_DEFAULT_TYPE = """\
file=/etc/cinder/cinder.conf
grep -q '^default_volume_type = {kind}$' $file && exit 0
sed -i 's/^default_volume_type = .*/default_volume_type = {kind}/' $file
systemctl restart cinder-api cinder-scheduler cinder-volume
"""
_FORGET = "su -s /bin/sh cinder -c 'cinder-manage service remove cinder-volume {row}'\n"
# Without it uwsgi closes a connection whose request was refused before its body was read, and the
# kernel resets it: who asked may never read the refusal (uwsgi's documentation, "Things to know").
_READ_BODIES = """\
file=/etc/cinder/cinder-api-uwsgi.ini
if ! grep -q '^post-buffering' $file; then
    sed -i '/^\\[uwsgi\\]$/a post-buffering = 65536' $file
    systemctl restart cinder-api
fi
"""
# The lab's models load SQLAlchemy before neutron-api has eventlet's own threading: its requests
# then share a session now and then, and one in fifteen that makes or takes away a security group
# answers 500.
_EVENTLET_FIRST = """\
file=/usr/lib/python3/dist-packages/lab_neutron_models.py
if [ -d /usr/lib/python3/dist-packages/neutron/cmd/eventlet ] && ! grep -q eventlet $file; then
    sed -i '1i import neutron.cmd.eventlet  # noqa: F401' $file
    systemctl restart neutron-api
fi
"""
# A step of every installation that the lab's bootstrap leaves out.
_DEFINITIONS = "su -s /bin/sh glance -c 'glance-manage -d db_load_metadefs' > /dev/null 2>&1\n"


def _backend(service) -> str:
    return service.host.rpartition("@")[2]


def _described(api, kind: str) -> Cloud:
    access = yaml.safe_load(CLOUDS.read_text())["clouds"][openstack_objects.CLOUD]
    kernel = _image(api, "kernel", "aki", "vmlinuz")
    ramdisk = _image(api, "ramdisk", "ari", "initrd")
    disk = _image(api, "disk", "raw", "disk.raw", kernel_id=kernel, ramdisk_id=ramdisk)
    return Cloud(
        auth_url=access["auth"]["auth_url"],
        password=access["auth"]["password"],
        region=access["region_name"],
        image=disk,
        flavor=_flavor(api, "small", 192),
        larger_flavor=_flavor(api, "larger", 256),
        compute_version=_newest(api.compute),
        volume_version=_newest(api.block_storage),
        type=kind,
        shared_type=_shared_type(api.block_storage, kind),
        backups=any(api.block_storage.services(binary="cinder-backup")),
        formats_enforced=_enforces_formats(api.image),
    )


def _image(api, name: str, form: str, file: str, **properties: str) -> str:
    found = next(iter(api.image.images(name=f"{PREFIX}-{name}")), None)
    if found is None:
        found = api.image.create_image(
            name=f"{PREFIX}-{name}",
            disk_format=form,
            container_format="bare" if form == "raw" else form,
            filename=str(GUEST / file),
            visibility="public",
            wait=True,
            validate_checksum=False,
            **properties,
        )
    return found.id


def _enforces_formats(glance) -> bool:
    """Whether Glance refuses data that is not of the format it is said to be (since 2025.1)."""
    image = glance.create_image(
        name=f"{PREFIX}-no-qcow2", disk_format="qcow2", container_format="bare"
    )
    try:
        reply = glance.put(
            f"/images/{image.id}/file",
            data=bytes(1024),
            headers={"Content-Type": "application/octet-stream"},
        )
    finally:
        glance.delete_image(image)
    if reply.status_code not in (204, 415):
        raise LabError(f"glance: an upload: expected 204 or 415, found {reply.status_code}")
    return reply.status_code == 415


def _flavor(api, name: str, ram: int) -> str:
    try:
        return api.compute.find_flavor(f"{PREFIX}-{name}", ignore_missing=False).id
    except NotFoundException:
        return api.compute.create_flavor(name=f"{PREFIX}-{name}", vcpus=1, ram=ram, disk=1).id


def _shared_type(storage, backend: str) -> str:
    """A type whose volumes several guests may have at once."""
    name = f"{PREFIX}-shared"
    kind = storage.find_type(name) or storage.create_type(name=name)
    storage.update_type_extra_specs(kind, volume_backend_name=backend, multiattach="<is> True")
    return name


def _newest(proxy) -> str:
    """The newest microversion that the service knows."""
    return ".".join(map(str, proxy.get_endpoint_data().max_microversion))
