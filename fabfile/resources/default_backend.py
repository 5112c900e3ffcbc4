"""A backend in [DEFAULT] that is not the site's: it gets a section of its own, with its volumes.

Until Newton Cinder started [DEFAULT] where enabled_backends names nothing; beside a list it is not
started any more, and since Ocata never is.  Its options are copied: those that a backend reads,
of drivers of which they are known.  What [DEFAULT] says stays, for nobody reads it there then.
Source: cinder/cmd/volume.py (Newton, Ocata), volume_opts of cinder/volume/driver.py,
cinder/volume/manager.py and the drivers (Havana to Zed).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fabfile.core.contract import BadInput, Json, Refused
from fabfile.model.deployment import DEFAULT, Backend
from fabfile.model.site import Site
from fabfile.resources import volume_storage
from fabfile.resources.in_force import Options, same

_OF_ALL = (
    "volume_driver",
    "volume_backend_name",
    "backend_availability_zone",
    "num_shell_tries",
    "num_volume_device_scan_tries",
    "reserved_percentage",
    "max_over_subscription_ratio",
    "use_multipath_for_image_xfer",
    "enforce_multipath_for_image_xfer",
    "volume_dd_blocksize",
    "volume_copy_",
    "image_upload_use_",
    "image_volume_cache_",
    "filter_function",
    "goodness_function",
    "report_discard_supported",
    "driver_data_namespace",
)
"""How the options begin that Cinder reads of every backend."""
_OF_DRIVERS = {
    r"cinder\.volume\.(drivers\.rbd|driver)\.RBDDriver": ("rbd_", "rados_", "volume_tmp_dir"),
    r"cinder\.volume\.drivers\.lvm\.\w+|cinder\.volume\.driver\.ISCSIDriver": (
        *volume_storage.OF_LVM,
        "scst_",
        "chiscsi_conf",
    ),
    r"cinder\.volume\.(drivers\.)?nfs\.NfsDriver": ("nfs_", "nas_"),
}
"""{a driver, as a pattern: how its own options begin}."""
_REPLICAS = "replication_device"
_BY_HAND = ("use_chap_auth", "chap_", _REPLICAS, "driver_client_cert", "san_")
"""What begins so is read of a backend too, and holds a password, or more than one value."""
_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")


def section(site: Site, table: Mapping[str, Json], options: Options) -> str:
    """The section that a backend in [DEFAULT] is about to get; '' where there is none, or no word.

    table: the release's, of Cinder.
    """
    told = volume_storage.in_default(table, options) if site.cinder.default_section else ""
    return str(site.cinder.default_section) if told else ""


def carried(options: Options) -> dict[str, str]:
    """{option: value} that a backend in [DEFAULT] has, whatever its driver."""
    driver = volume_storage.value(options, DEFAULT, "volume_driver")
    own = next((begin for known, begin in _OF_DRIVERS.items() if re.fullmatch(known, driver)), ())
    found = {
        key: value
        for (section, key), value in options.items()
        if section == DEFAULT and key.startswith((*_OF_ALL, *own))
    }
    return {"volume_driver": driver, **found} if own else {}


def refuse(site: Site, options: Options, host: str, file: str) -> None:
    """Raises Refused where a backend of [DEFAULT] cannot be given the section that it is to have.

    Also where it has it: the volumes would be looked for where that section says.
    """
    name = site.cinder.default_section
    if not name:
        return
    found = carried(options)
    odd = [key for s, key in options if s == DEFAULT and key.startswith(_BY_HAND)]
    odd += [key for key, value in found.items() if _FINGERPRINT.fullmatch(value)]
    by_hand = (
        f"give it a section by hand: [{name}] with all options of this backend, "
        f"enabled_backends = {name}, and then its volumes: cinder-manage volume update_host"
    )
    if not found:
        driver = volume_storage.value(options, DEFAULT, "volume_driver")
        raise Refused(
            host=host,
            subject=file,
            expected="LVM, NFS or RBD in [DEFAULT], whose options are known",
            found=f"volume_driver = {driver}",
            advice=by_hand,
        )
    if odd:
        raise Refused(
            host=host,
            subject=file,
            expected="options in [DEFAULT] that can be copied",
            found=", ".join(sorted(set(odd))),
            why="passwords are not read from hosts, and of an option with several values one is",
            advice=by_hand,
        )
    there = {key: value for (s, key), value in options.items() if s == same(name)}
    differing = [key for key, value in found.items() if there and there.get(key) != value]
    if differing:
        raise Refused(
            host=host,
            subject=file,
            expected=f"no section [{name}], or one like the backend in [DEFAULT]",
            found=f"another {', '.join(differing)}",
            advice="name another section: cinder.default_section",
        )


def along(site: Site, backend: Backend, options: Options) -> dict[str, str]:
    """{option: value} that the section of the site has from the one whose place it takes.

    Where it is not there itself yet; what the site says of them comes before.  Raises BadInput for
    replicas of which the site file does not know: its volumes would be mirrored no more.
    """
    old = str(backend.replaces or "").rpartition("@")[2]
    names = volume_storage.started(options)
    if old not in names or backend.name in names:
        return {}
    found = (
        carried(options)
        if old == DEFAULT
        else {key: value for (section, key), value in options.items() if section == same(old)}
    )
    asked = site.options.get("cinder", {}).get(backend.name, {})
    if (same(old), _REPLICAS) in options and not (backend.replicates_to or _REPLICAS in asked):
        raise BadInput(
            subject=f"{backend.said}.replaces: [{old}]",
            expected=f"no {_REPLICAS}, or replicates_to beside it (docs/replication.md)",
            found=options[same(old), _REPLICAS][:120],
        )
    return {
        key: value
        for key, value in found.items()
        if (same(backend.name), key) not in options
        and key != "backend_host"
        and not key.startswith(_BY_HAND)
        and not _FINGERPRINT.fullmatch(value)
    }
