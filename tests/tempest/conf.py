"""tempest.conf of the lab: pure text from what the cloud says of itself."""

import configparser
import io
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cloud:
    """What tempest has to know: where to log in, images, flavors, types, versions."""

    auth_url: str
    password: str
    region: str
    image: str
    flavor: str
    larger_flavor: str
    compute_version: str
    volume_version: str
    type: str
    shared_type: str
    backups: bool
    formats_enforced: bool


def text(cloud: Cloud, folder: Path) -> str:
    """The file's text; `folder` is where tempest keeps its locks and log."""
    parser = configparser.RawConfigParser()
    parser.read_dict({**_access(cloud, folder), **_services(cloud), **_features(cloud)})
    out = io.StringIO()
    parser.write(out)
    return out.getvalue()


def _access(cloud: Cloud, folder: Path) -> dict[str, dict[str, str]]:
    return {
        "DEFAULT": {"log_file": str(folder / "tempest.log"), "debug": "false"},
        "oslo_concurrency": {"lock_path": str(folder / "locks")},
        "auth": {
            "use_dynamic_credentials": "true",
            "create_isolated_networks": "false",
            "admin_username": "admin",
            "admin_password": cloud.password,
            "admin_project_name": "admin",
            "admin_domain_name": "Default",
        },
        "identity": {"uri_v3": cloud.auth_url, "region": cloud.region},
    }


def _services(cloud: Cloud) -> dict[str, dict[str, str]]:
    return {
        # Neutron answers here and connects nothing: servers get no network.
        "service_available": {"swift": "false", "horizon": "false", "neutron": "true"},
        "compute": {
            "image_ref": cloud.image,
            "image_ref_alt": cloud.image,
            "flavor_ref": cloud.flavor,
            "flavor_ref_alt": cloud.larger_flavor,
            "max_microversion": cloud.compute_version,
            "min_compute_nodes": "2",
            "build_timeout": "300",
        },
        "image": {
            "build_timeout": "300",
            "container_formats": "bare,ami,ari,aki,ovf,ova",
        },
        "volume": {
            "catalog_type": "volumev3",
            "volume_type": cloud.type,
            "volume_type_multiattach": cloud.shared_type,
            "storage_protocol": "ceph",
            "vendor_name": "Open Source",
            "max_microversion": cloud.volume_version,
            "build_timeout": "300",
            # By the driver's own name; tempest's begins as LVM's does.
            "manage_snapshot_ref": "source-name,snapshot-%s",
        },
        # The guest has no sshd, and no network.
        "validation": {"run_validation": "false"},
    }


def _features(cloud: Cloud) -> dict[str, dict[str, str]]:
    return {
        "compute-feature-enabled": {
            "attach_encrypted_volume": "false",
            "volume_multiattach": "true",
            "config_drive": "false",
            "interface_attach": "false",
            "live_migration": "true",
            "volume_backed_live_migration": "true",
            "metadata_service": "false",
            "resize": "false",
            "cold_migration": "false",
            "rescue": "false",
            "ide_bus": "false",
        },
        "volume-feature-enabled": {
            "backup": str(cloud.backups).lower(),
            "multi_backend": "false",
            "manage_volume": "true",
            "manage_snapshot": "true",
            # Cinder here has no [nova] to tell Nova of it by.
            "extend_attached_volume": "false",
            "volume_revert": "true",
            "concurrency_tests": "true",
        },
        "image-feature-enabled": {"image_format_enforcement": str(cloud.formats_enforced).lower()},
    }
