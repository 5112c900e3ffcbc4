"""What upgrades of Ceph and OpenStack need before and after: data, each row with its source.

Which of it is true of a site, fabfile/doctor/upgrades.py says; docs/upgrades.md has the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fabfile.core.contract import INV

BACK = 2
"""So many releases an OSD may be ahead of require_osd_release, else it does not boot; and so many
may be skipped to.  Source: docs.ceph.com, Minimum OSD Release, OSD boot window; its release notes
("upgrading from" the two before)."""


@dataclass(frozen=True)
class Steps:
    """A release.  before: what is true before its programs come; after: when all are of it."""

    source: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


CEPH: Mapping[int, Steps] = {
    14: Steps(
        "docs.ceph.com/releases/nautilus",
        after=("ceph mon enable-msgr2, once every monitor is of it",),
    ),
    15: Steps(
        "docs.ceph.com/releases/octopus",
        ("the first start converts each OSD, for minutes to hours: one host at a time",),
    ),
    16: Steps(
        "docs.ceph.com/releases/pacific",
        (
            "bluestore_fsck_quick_fix_on_mount is false: the conversion of 16.2.0 to 16.2.6 "
            "damages OSDs (bug 53062)",
        ),
    ),
    17: Steps(
        "docs.ceph.com/releases/quincy",
        ("no monitor keeps its store in LevelDB (kv_backend in its folder says rocksdb)",),
    ),
    18: Steps(
        "docs.ceph.com/releases/reef",
        ("no OSD is of FileStore (ceph osd count-metadata osd_objectstore): such are made anew",),
    ),
    20: Steps(
        "docs.ceph.com/security/CVE-2025-30156",
        (
            "librados2 of every OpenStack host is 19.2.6, 20.2.4, 21.2.0 or later before a key of "
            "the new kind (aes256k) is made: a fresh cluster makes no other",
        ),
        ("the keys' kind, as its health names it (AUTH_INSECURE_...): docs/upgrades.md",),
    ),
}
"""By major version; of others nothing is known to be needed but the order."""

NOVA_OLDEST: Mapping[int, int] = {
    26: 25,
    27: 25,
    28: 27,
    29: 27,
    30: 29,
    31: 29,
    32: 31,
    33: 31,
    34: 33,
}
"""{major version of Nova: the oldest nova-compute beside which its services start}.  Source:
OLDEST_SUPPORTED_SERVICE_VERSION and the rule beside it in nova/objects/service.py (read in 26:
Yoga, 31: Caracal, 34: Gazpacho); nova/service.py raises TooOldComputeService."""

NOVA_CHECK_OFF = "disable_compute_service_check_for_ffu"
"""The option of [workarounds] by which its services start all the same.  Source: nova/conf/
workarounds.py, since 25; nova/cmd/compute.py asks too, so that it counts on computes as well."""

OPENSTACK: Mapping[int, Steps] = {
    27: Steps(
        "docs.openstack.org/cinder, Using service tokens",
        (
            "service tokens from Nova to Cinder ([service_user] of nova.conf, a user with the role "
            "service): without them a volume that is attached cannot be detached (CVE-2023-2088)",
        ),
    ),
    28: Steps(
        "glance_store, rbd-trash-snapshots",
        after=("the trash of the images' pool is purged by somebody (docs/clones.md)",),
    ),
    29: Steps(
        "cinder, rbd-flatten-child-volumes",
        after=(f"volumes that had clones pile up: {INV} reconcile (docs/clones.md)",),
    ),
    31: Steps(
        "nova/virt/images.py",
        (
            "no kernel of an image bears a boot sector's mark (bytes 510 and 511 are 55 aa): its "
            "guests cannot be migrated any more; doctor looks at verify.guest",
        ),
    ),
    34: Steps(
        "seen on Debian sid",
        ("every service's user has the role service: Neutron answers 401 to Nova without it",),
    ),
}
"""By Nova's major version: 26 is Zed, 27 2023.1, and so on, two a year."""

_CLIENTS = (
    "clients first: librados2 and librbd1 of OpenStack's hosts 19.2.6, 20.2.4, 21.2.0 or later, "
    "services restarted there and guests started or migrated since"
)
_THEN = "then new keys for the daemons, one after the other; docs/upgrades.md has the order"


@dataclass(frozen=True)
class Health:
    """A code of Ceph's health after an upgrade; mend: what a person does, in order."""

    severity: str
    cause: str
    mend: tuple[str, ...]


_LAST = "once no key is of the old kind: ceph mon set auth_allowed_ciphers aes256k"
HEALTH: Mapping[str, Health] = {
    "AUTH_INSECURE_CLIENT_KEY_TYPE": Health(
        "warning",
        "CVE-2025-30156: users have keys of the old kind (aes); they work, as weak as before",
        (
            _CLIENTS,
            f"then a new key for one user after the other, and {INV} ceph.keyrings and "
            f"{INV} compute.secret take it to the hosts; client.admin is the last",
        ),
    ),
    "AUTH_INSECURE_SERVICE_KEY_TYPE": Health(
        "error", "CVE-2025-30156: daemons have keys of the old kind (aes)", (_THEN,)
    ),
    "AUTH_INSECURE_SERVICE_TICKETS": Health(
        "error",
        "CVE-2025-30156: the monitors seal tickets by the old cipher (aes), as older clients and "
        "daemons need it",
        (
            _CLIENTS,
            "then ceph mon set auth_service_cipher aes256k, when the daemons have their new keys",
        ),
    ),
    "AUTH_INSECURE_ROTATING_SERVICE_KEY_TYPE": Health(
        "warning",
        "CVE-2025-30156: keys that rotate are of the old kind still; they go by themselves, some "
        "hours after auth_service_cipher was set",
        ("wait for three hours after that",),
    ),
    "AUTH_INSECURE_KEYS_ALLOWED": Health(
        "note", "keys of the old kind (aes) may log in, as an upgrade needs it", (_LAST,)
    ),
    "AUTH_INSECURE_KEYS_CREATABLE": Health(
        "note",
        "new keys may be of the old kind (aes), as older clients need it",
        (_LAST,),
    ),
    "AUTH_EMERGENCY_CIPHERS_SET": Health(
        "warning",
        "mon_auth_emergency_allowed_ciphers counts in place of auth_allowed_ciphers: it is there "
        "to get back in, and then goes",
        ("take it out of the monitors' configuration, when everybody can log in without it",),
    ),
}
"""Source: Ceph's health checks and the answer to CVE-2025-30156 (docs.ceph.com/security); the codes
and what raises each, AuthMonitor::check_health of 20.2.4."""


@dataclass(frozen=True)
class Gone:
    """An option of ceph.conf that librados does not read since a version."""

    key: str
    since: tuple[int, int, int]
    cause: str


CEPH_CONF: tuple[Gone, ...] = (
    Gone(
        "auth_supported",
        (20, 2, 4),
        "librados does not know it since 20.2.4: auth_client_required counts, which is cephx "
        "where nobody sets it",
    ),
)
"""Source: the options of libceph-common of 18.2 and of 20.2.4, compared."""
