"""The site file's tables: every key of each, its form and its default.

How they meet is `site`'s; nothing is opened or reached.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PrivateAttr,
    StrictBool,
    StrictInt,
    Tag,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from fabfile.core.contract import INV, Json
from fabfile.model import ceph_releases
from fabfile.model.deployment import DEFAULT, OWN, Backend, Store


@dataclass(frozen=True)
class _Form:
    """A text's form, said in words where the pattern itself would not help."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Json]:
        return {**handler(schema), "pattern": f"^({self.pattern})$", "words": self.words}

    def _checked(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"expected to be {self.words}, found {text!r}"[:300])
        return text


Name = Annotated[
    str,
    _Form(
        r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", "a name: letters, digits, and - _ . inside, at most 63"
    ),
]
"""A pool, a cephx client, a section, a unit: letters, digits, and - _ . inside."""
Address = Annotated[str, _Form(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,252}", "a host's name or address")]
Uuid = Annotated[
    str, _Form(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", "a UUID, 8-4-4-4-12 digits")
]
PlainText = Annotated[
    str, Field(max_length=1000), _Form(r"[^\x00-\x1f\x7f]*", "one line of plain text")
]
UserName = Annotated[
    str,
    _Form(
        r"[a-z_][a-z0-9_.-]{0,31}",
        "one local user's name in lower case (ALL, a group or a domain's user needs a sudoers "
        "file of your own)",
    ),
]
"""As useradd has it, and dots: in capitals it would be an alias of sudoers, or ALL."""
Term = Annotated[str, _Form(r"[0-9]{12}([0-9]{2})?Z", "yyyymmddHHMMSSZ or yyyymmddHHMMZ, in UTC")]
Recipient = Annotated[
    str, _Form(r"age1[02-9ac-hj-np-z]{58}", f"a recipient of age (age1...; see {INV} backup.key)")
]
SignerKey = Annotated[
    str,
    _Form(
        r"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}",
        "an Ed25519 key of OpenSSH's, without a comment (ssh-ed25519 AAAA...; see "
        f"{INV} backup.key)",
    ),
]
Service = Annotated[
    str,
    _Form(
        r"([A-Za-z0-9][A-Za-z0-9_.:-]{0,252}@)?[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
        "a backend's section, or HOST@SECTION",
    ),
]
"""A cinder-volume by its section, or by its whole name; DEFAULT is the one that has no section."""
HostPath = Annotated[str, _Form(r"/[^\x00-\x1f\x7f]{1,200}", "a path from /")]
MOST_FORKS = 256
MOST_AT_ONCE = 64
SHARE = r"[0-9]{1,6}|(100|[1-9]?[0-9])%"
_SOME = r"([1-9][0-9]{0,5}|(100|[1-9][0-9]?)%)"
SERIAL = rf"{_SOME}(\s*,\s*{_SOME})*"
Role = Literal["ceph", "glance", "cinder", "cinder-backup", "compute", "database", "deploy"]
ROLES = ("ceph", "glance", "cinder", "cinder-backup", "compute", "database", "deploy")


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @property
    def counted(self) -> dict[str, object]:
        """{setting: value} of those that count, with what others give where it is not said."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class HostTable(Table):
    """[hosts.NAME].  cluster: of a Ceph host, which one it is of; platform: unless the site's."""

    roles: list[Role] = Field(min_length=1)
    cluster: Name | None = None
    platform: Name | None = None
    address: Address | None = None
    user: Name | None = None
    port: int | None = Field(None, ge=1, le=65535)


class Ssh(Table):
    """[ssh]"""

    config: PlainText | None = None
    sudo_password_command: list[PlainText] | None = Field(None, min_length=1)
    forks: int = Field(16, ge=1, le=MOST_FORKS)


class Rollout(Table):
    """[rollout]: what --serial and --max-fail are where they are not given."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    serial: Annotated[str, _Form(SERIAL, "N or N%, or a list such as 1,10%,50%")] | None = None
    max_fail: Annotated[str, _Form(SHARE, "N, or N% of a run's computes")] = "0"


class Dask(Table):
    """[dask]: whose workers do a run's work on the hosts, with --engine dask.

    near: {pattern of hosts: pattern of workers' names}.
    """

    scheduler: Annotated[
        str,
        _Form(
            r"tls://[A-Za-z0-9_.:\[\]-]+:[0-9]{1,5}",
            "tls://HOST:PORT (without TLS, as by tcp://, nothing is sent)",
        ),
    ]
    ca: PlainText
    cert: PlainText
    key: PlainText
    near: dict[PlainText, PlainText] = {}


class Erasure(Table):
    """[pools.NAME.erasure]: k pieces of data and m of code, each on a failure_domain of its own."""

    k: int = Field(ge=2, le=32)
    m: int = Field(ge=1, le=32)
    failure_domain: Name = "host"


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
Bytes = Annotated[str, _Form(r"[0-9]{1,15}[KMGTP]?", "bytes, as 500G or 2T (0 for no quota)")]


class Pool(Table):
    """[pools.NAME]: what a pool is made with; manage: whether one that is there is altered.

    device_class: of the OSDs that have it; crush_rule: a rule that is there, instead; erasure: of
    a pool that keeps data alone (data_pool of a backend).
    """

    size: int | None = Field(None, ge=1, le=10)
    pg_num: int | None = Field(None, ge=1, le=65536)
    min_size: int | None = Field(None, ge=1, le=32)
    pg_autoscale_mode: Literal["on", "warn", "off"] | None = None
    target_size_ratio: float | None = Field(None, ge=0, le=1e6, allow_inf_nan=False)
    compression_mode: Literal["none", "passive", "aggressive", "force"] | None = None
    compression_algorithm: Literal["snappy", "zlib", "zstd", "lz4"] | None = None
    quota: Bytes | None = None
    quota_objects: int | None = Field(None, ge=0, le=10**18)
    device_class: Name | None = None
    crush_rule: Name | None = None
    erasure: Erasure | None = None
    manage: bool = False

    @property
    def quota_bytes(self) -> int | None:
        """The quota as a number."""
        if self.quota is None:
            return None
        digits = self.quota.rstrip("KMGTP")
        return int(digits) * _UNITS[self.quota[len(digits) :]]

    @model_validator(mode="after")
    def _settings_meet(self) -> Pool:
        if self.crush_rule and self.device_class:
            raise ValueError("expected crush_rule or device_class, found both")
        if self.erasure and (self.size or self.crush_rule):
            odd = "size" if self.size else "crush_rule"
            raise ValueError(f"{odd}: expected none beside erasure, which decides it")
        if self.size and self.min_size and self.min_size > self.size:
            raise ValueError(
                f"min_size: expected at most size ({self.size}), found {self.min_size}: nothing "
                "could be written"
            )
        return self


class Client(Table):
    """[clients.NAME]: rwx and rx are the pools it may write, and only read.

    Without rwx, what its services do with pools decides both; rx counts where it is said.
    manage: whether the caps of one that is there are widened.  replaces: the client whose place
    it takes, with a key of its own (docs/rotation.md).
    """

    rwx: list[Name] = Field([], min_length=1)
    rx: list[Name] = []
    secret_uuid: Uuid | None = None
    manage: bool = True
    replaces: Name | None = None
    _said: frozenset[str] = PrivateAttr(frozenset())

    @model_validator(mode="after")
    def _keep_what_is_said(self) -> Client:
        self._said = frozenset({*self.rwx, *self.rx})
        return self

    @property
    def said(self) -> frozenset[str]:
        """The pools that the site file itself names here."""
        return self._said


_Named = TypeVar("_Named", Backend, Store)


def _of_cluster(name: str | None, all_: tuple[_Named, ...]) -> tuple[_Named, ...]:
    """Those of one cluster; all where none is named."""
    return all_ if name is None else tuple(one for one in all_ if one.cluster == name)


class GlanceStore(Table):
    """[glance.stores.NAME], and of [glance] what is said of its one store."""

    client: Name = "images"
    pool: Name
    cluster: Name = OWN


class Glance(GlanceStore):
    """[glance]: its one store, or a table for each in [glance.stores.NAME].

    default_store: of images for which nobody names one; the first where it is not said.
    keep_default: whether it stays whatever glance-api.conf says instead.
    """

    pool: Name = "images"
    store: Name = "rbd"
    stores: dict[Name, GlanceStore] = {}
    default_store: Name | None = None
    keep_default: bool = False
    show_image_direct_url: bool = True
    _only: str | None = PrivateAttr(None)
    _gone: frozenset[str] = PrivateAttr(frozenset())

    @property
    def all(self) -> tuple[Store, ...]:
        """Its RBD stores; of a part of a site, those of its cluster."""
        there = tuple(one for one in self._stores() if one.name not in self._gone)
        return _of_cluster(self._only, there)

    def _stores(self) -> tuple[Store, ...]:
        if not self.stores:
            return (Store(self.store, self.client, self.pool, "glance", self.cluster),)
        return tuple(
            Store(name, table.client, table.pool, f"glance.stores.{name}", table.cluster)
            for name, table in self.stores.items()
        )

    @property
    def counted(self) -> dict[str, object]:
        found = super().counted
        if self.stores:
            found = {name: found[name] for name in ("stores", *_OF_ALL_STORES)}
        return found if self.keep_default else {**found, "default_store": self.default.name}

    @property
    def default(self) -> Store:
        """Where images go for which nobody names a store."""
        known = [one for one in self._stores() if one.name not in self._gone] or self._stores()
        return next((one for one in known if one.name == self.default_store), known[0])

    @model_validator(mode="after")
    def _stores_meet(self) -> Glance:
        faults = [*_said_beside(self, "stores", "store", *_OF_ALL_STORES)]
        names = [one.name.lower() for one in self.all]
        faults += [
            f"stores: expected a name of its own for each, found {name!r} twice"
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
        faults += [
            f"stores.{one.name}: expected another name: that section is no store's"
            for one in self.all
            if _NO_STORE.fullmatch(one.name)
        ]
        if self.default_store and self.default_store not in {one.name for one in self.all}:
            known = ", ".join(one.name for one in self.all)
            faults.append(f"default_store: expected one of {known}, found {self.default_store!r}")
        if self.default_store and self.keep_default:
            faults.append("keep_default: expected no default_store beside it, found both")
        if faults:
            raise ValueError("\n".join(faults))
        return self


_OF_ALL_STORES = ("default_store", "keep_default", "show_image_direct_url")
_SERVICES = (
    "barbican(_service_user)?|cors|database|healthcheck|key_manager|keystone_authtoken|oslo_.*|"
    "privsep|profiler(_.*)?|vault"
)
"""Sections that the files of all OpenStack's services may have, as a pattern."""
_NO_STORE = re.compile(
    "default|glance[_.]store.*|os_(glance_.*|brick)|image_format|paste_deploy|"
    f"store_type_location_strategy|task|taskflow_executor|wsgi|{_SERVICES}",
    re.IGNORECASE,
)
"""Sections of glance-api.conf that are no store's (its sample, Zed to 2026.2), and the stores that
Glance itself has."""


def _said_beside(table: Table, several: str, name: str, *shared: str) -> Iterator[str]:
    """What is said of the one backend or store, beside a table for each of several."""
    if not getattr(table, several):
        return
    where = f"{type(table).__name__.lower()}.{several}"
    for key in sorted(table.model_fields_set - {several, *shared}):
        kind = f"the {name}'s table" if key == name else f"{where}.NAME.{key}"
        yield (
            f"{key}: expected {kind}, as [{where}] has all of them; found it beside "
            "them: give the one that you had a table of its own"
        )


SpecName = Annotated[
    str,
    _Form(
        r"(?!volume_backend_name$)[A-Za-z0-9_.:-]{1,255}",
        "an extra spec's name (volume_backend_name is the backend's own)",
    ),
]
SpecValue = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,255}$")]


_FRONT = "front-end"
"""Nova, which has QEMU limit what a guest does with the volume."""
_CONSUMERS = (_FRONT, "back-end", "both")


_OF_A_TYPE = ("volume_type", "extra_specs", "qos")


class CinderBackend(Table):
    """[cinder.backends.NAME], and of [cinder] what is said of its one backend.

    replaces: the backend, or the service HOST@BACKEND, whose volumes it gets; extra_specs: of its
    volume type; without_type: it has none; availability_zone: of its own, beside that of [DEFAULT];
    data_pool: where RBD keeps the data of new volumes (rbd_default_data_pool of its client); qos:
    the limits of its volume type, and their consumer; replicates_to: the cluster into which its
    pool is mirrored, replicates_as: the client there.
    """

    client: Name = "volumes"
    pool: Name
    backend_host: Address | None = None
    replaces: Service | None = None
    volume_type: Name | None = None
    without_type: bool = False
    extra_specs: dict[SpecName, SpecValue] = {}
    availability_zone: Name | None = None
    data_pool: Name | None = None
    qos: dict[SpecName, SpecValue] = {}
    cluster: Name = OWN
    replicates_to: Name | None = None
    replicates_as: Name | None = None

    @model_validator(mode="after")
    def _replication_meets(self) -> CinderBackend:
        if self.replicates_as and not self.replicates_to:
            raise ValueError("replicates_as: expected replicates_to beside it, found none")
        if self.replicates_to == self.cluster:
            raise ValueError(
                f"replicates_to: expected another cluster than its own ({self.cluster})"
            )
        asked = self.extra_specs.get(_REPLICATED) == _YES
        if asked and not self.replicates_to:
            raise ValueError(
                f"extra_specs.{_REPLICATED}: expected replicates_to beside it: no volume of the "
                "type could be made"
            )
        if asked and self.extra_specs.get("multiattach") == _YES:
            raise ValueError(
                f"extra_specs: expected {_REPLICATED} or multiattach, found both: Cinder's driver "
                "refuses them together"
            )
        return self

    @model_validator(mode="after")
    def _qos_meets(self) -> CinderBackend:
        said = self.qos.get("consumer", _FRONT)
        if said not in _CONSUMERS:
            raise ValueError(f"qos: expected consumer = one of {', '.join(_CONSUMERS)}: {said!r}")
        if self.qos.keys() == {"consumer"}:
            raise ValueError("qos: expected a limit beside its consumer, found none")
        beside = sorted({*_OF_A_TYPE} & self.model_fields_set)
        if self.without_type and beside:
            raise ValueError(f"without_type: expected no {beside[0]} beside it, found both")
        return self

    @property
    def counted(self) -> dict[str, object]:
        found = super().counted
        if self.without_type:
            found = {name: found[name] for name in found if name not in _OF_A_TYPE}
        return {**found, "replicates_as": self._replica_client() or None}

    def _replica_client(self) -> str:
        """The client there, where its pool is mirrored into another cluster; else ''."""
        return (self.replicates_as or self.client) if self.replicates_to else ""

    def called(self, name: str, said: str) -> Backend:
        """As the backend of that name; said: its table in the site file.

        The type of one with a zone is of that zone: Cinder would look for its volumes in the
        zone of [DEFAULT] where nobody names one, and there is no such backend.
        """
        zone = {_ZONES: self.availability_zone} if self.availability_zone else {}
        return Backend(
            name,
            self.client,
            self.pool,
            said,
            self.backend_host,
            self.replaces,
            None if self.without_type else self.volume_type,
            {**zone, **self.extra_specs},
            self.availability_zone or "",
            self.data_pool or "",
            {"consumer": _FRONT, **self.qos} if self.qos else {},
            self.cluster,
            self.replicates_to or "",
            self._replica_client(),
        )


_REPLICATED, _YES = "replication_enabled", "<is> True"
"""A type's extra spec by which Cinder's driver has each of its volumes mirrored."""
_ZONES = "RESKEY:availability_zones"
"""A type's extra spec that says in which zones its volumes are; since Rocky (cinder's docs,
Availability-zone types)."""
_NO_BACKEND = re.compile(
    "default|backend_defaults|coordination|fc-zone-manager|glance|nova|os_brick|service_user|ssl|"
    f"(brcd|cisco)_fabric_example|sample_.*|{_SERVICES}",
    re.IGNORECASE,
)
"""Sections of cinder.conf that are no backend's (cinder.conf.sample, Zed to 2026.2)."""


class CinderBackup(Table):
    """[cinder.backup]: cinder-backup, with Cinder's driver for Ceph.

    replaces: the kind of driver (nfs, swift...) that is in force and whose backups are set aside;
    the rest are the driver's options: bytes, numbers of snapshots, switches.
    """

    client: Name = "backups"
    pool: Name = "backups"
    cluster: Name = OWN
    replaces: Name | None = None
    chunk_size: int | None = Field(None, ge=1 << 20, le=1 << 40)
    stripe_unit: int | None = Field(None, ge=0, le=1 << 30)
    stripe_count: int | None = Field(None, ge=0, le=1 << 20)
    max_snapshots: int | None = Field(None, ge=0, le=10**6)
    image_journals: bool | None = None
    discard_excess_bytes: bool | None = None

    @property
    def asked(self) -> dict[str, str]:
        """{the driver's option, by its name here: its value}, of those that are said."""
        names = [name for name in type(self).model_fields if name not in _NO_OPTION]
        found = {name: getattr(self, name) for name in names}
        return {name: str(value).lower() for name, value in found.items() if value is not None}


_NO_OPTION = ("client", "pool", "cluster", "replaces")


_OF_ALL_BACKENDS = ("default_volume_type", "default_section", "active_active", "backup")
"""What [cinder] says beside a table for each."""


class Cinder(CinderBackend):
    """[cinder]: its one backend, or a table for each in [cinder.backends.NAME].

    default_volume_type: of volumes for which nobody names one, whoever makes them; default_section:
    what a backend of [DEFAULT] that is not the site's is called from now on; active_active: the
    cluster of Cinder's of which all hosts of cinder-volume are.
    """

    pool: Name = "volumes"
    backend: Name = "rbd"
    volume_type: Name | None = "rbd"
    backends: dict[Name, CinderBackend] = {}
    default_volume_type: Name | None = None
    default_section: Name | None = None
    active_active: Name | None = None
    backup: CinderBackup | None = None
    _only: str | None = PrivateAttr(None)
    _gone: frozenset[str] = PrivateAttr(frozenset())

    @property
    def all(self) -> tuple[Backend, ...]:
        """Its backends; the first one's client is what Nova falls back to.

        Of a part of a site, those of its cluster.
        """
        there = tuple(one for one in self._backends() if one.name not in self._gone)
        return _of_cluster(self._only, there)

    def _backends(self) -> tuple[Backend, ...]:
        if not self.backends:
            return (self.called(self.backend, "cinder"),)
        return tuple(
            table.called(name, f"cinder.backends.{name}") for name, table in self._typed().items()
        )

    def _typed(self) -> dict[str, CinderBackend]:
        """The tables of several backends; a volume type is called as its backend is."""
        return {
            name: table.model_copy(update={"volume_type": table.volume_type or name})
            for name, table in self.backends.items()
        }

    @property
    def counted(self) -> dict[str, object]:
        found = super().counted
        if not self.backends:
            return found
        return {**{name: found[name] for name in _OF_ALL_BACKENDS}, "backends": self._typed()}

    def of_section(self, name: str) -> Backend:
        """The backend of a binding."""
        return next(one for one in self.all if one.name == name)

    @model_validator(mode="after")
    def _backends_meet(self) -> Cinder:
        faults = [*_said_beside(self, "backends", "backend", *_OF_ALL_BACKENDS)]
        faults += [*self._in_each_others_way(), *self._defaults_meet()]
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def _defaults_meet(self) -> Iterator[str]:
        types = sorted(filter(None, (one.volume_type for one in self.all)))
        if self.default_volume_type and self.default_volume_type not in types:
            yield (
                f"default_volume_type: expected one of {', '.join(types)}, found "
                f"{self.default_volume_type!r}: another's goes into [options.cinder.DEFAULT]"
            )
        for one in (one for one in self.all if self.active_active):
            odd = [key for key in ("backend_host", "replaces") if getattr(one, key)]
            if odd:
                yield (
                    f"active_active: expected no {odd[0]} beside it, found {one.said}.{odd[0]}: "
                    "each host of a cluster has volumes under its own name"
                )
        if section := self.default_section:
            ours = any(one.name.lower() == section.lower() for one in self.all)
            if ours or _NO_BACKEND.fullmatch(section):
                what = "one of the site's backends" if ours else "a section that is no backend's"
                yield f"default_section: expected a new section's name, found {section!r}: {what}"
            for one in (one for one in self.all if (one.replaces or "").lower() == section.lower()):
                yield (
                    f"default_section: expected another section than {one.said}.replaces, found "
                    f"{section!r} for both: the next run would give its volumes to {one.name}"
                )
            for one in (one for one in self.all if one.replaces == DEFAULT):
                yield (
                    f"default_section: expected none beside {one.said}.replaces = {DEFAULT!r}, "
                    "found both: there is one backend in [DEFAULT]"
                )

    def _in_each_others_way(self) -> Iterator[str]:
        """Backends that Cinder could not tell apart, by name, type, or whose volumes they get."""
        backends = self.all
        for name in (one.name for one in backends if _NO_BACKEND.fullmatch(one.name)):
            yield f"backends.{name}: expected another name: that section is no backend's"
        for what, names in (
            ("name", [one.name.lower() for one in backends]),
            ("volume_type", [one.volume_type or "" for one in backends]),
            ("replaces", [one.replaces or "" for one in backends]),
        ):
            for twice in sorted({name for name in names if name and names.count(name) > 1}):
                yield f"backends: expected a {what} of its own for each, found {twice!r} twice"
        data = {(one.cluster, one.client): one for one in reversed(backends)}
        for one in backends:
            if one.data_pool != data[one.cluster, one.client].data_pool:
                yield (
                    f"backends: expected one data_pool for all of client {one.client}, found "
                    f"{one.data_pool or 'none'!r} in {one.said}: librados has it by the client; "
                    "give one of them a client of its own"
                )
        known = {one.name: one for one in backends}
        for one in backends:
            if one.replaces in known:
                where = one.said.removeprefix("cinder").lstrip(".")
                yield (
                    f"{where + '.' if where else ''}replaces: expected another backend than "
                    f"{one.replaces} ({known[one.replaces].said if where else 'cinder.backend'}), "
                    "whose place it takes, found the same"
                )


class Nova(Table):
    """[nova]: ephemeral disks stay where they are unless they are asked onto RBD.

    hosts: the computes on which they are; all of them where none is named.
    """

    ephemeral: bool = False
    hosts: list[Name] = []
    client: Name = "vms"
    pool: Name = "vms"
    cluster: Name = OWN

    @model_validator(mode="after")
    def _hosts_meet(self) -> Nova:
        if self.hosts and not self.ephemeral:
            raise ValueError("hosts: expected ephemeral = true beside it, found no disks on RBD")
        return self


_CREDENTIAL = re.compile(
    r"password|passwd|key|secret|token|connection|transport_url|credential", re.I
)
_LOGIN = re.compile(r"://[^/\s@]*:[^/\s@]*@")
"""What carries a credential: how its option is called, and a login in a URL.  The agent has the
same words."""


def _carries_none(name: str) -> str:
    if _CREDENTIAL.search(name):
        raise ValueError(
            f"expected an option without a credential, found {name!r}: the site file is shown and "
            "kept; write that one into the service's own file"
        )
    return name


def _without_login(text: str) -> str:
    if _LOGIN.search(text):
        raise ValueError("expected a value without a login, found a URL with one")
    return text


OptionText = Annotated[PlainText, AfterValidator(_without_login)]
OptionItem = Annotated[OptionText, Field(pattern=r"^[^,]*$")]
OptionName = Annotated[
    str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,127}$"), AfterValidator(_carries_none)
]
KINDS = {bool: "[bool]", int: "[int]", str: "[text]", list: "[list]"}
"""How a kind of value is called in a fault's place, where a value may be of several."""


def _one_of(*kinds: type) -> Discriminator:
    """Faults of the kind of value that is there alone; of another kind, one that names all."""
    words = {bool: "true, false", int: "a whole number", str: "text", list: "a list of these"}
    *some, last = [words[kind] for kind in kinds]
    return Discriminator(
        lambda value: KINDS[type(value)] if type(value) in kinds else None,
        custom_error_type="kind",
        custom_error_message=f"expected {', '.join(some)} or {last}",
    )


OptionWord = Annotated[
    Annotated[StrictInt, Tag(KINDS[int])] | Annotated[OptionItem, Tag(KINDS[str])],
    _one_of(int, str),
]
OptionValue = Annotated[
    Annotated[StrictBool, Tag(KINDS[bool])]
    | Annotated[StrictInt, Tag(KINDS[int])]
    | Annotated[OptionText, Tag(KINDS[str])]
    | Annotated[list[OptionWord], Tag(KINDS[list])],
    _one_of(bool, int, str, list),
]
Options = dict[Literal["glance", "cinder", "nova"], dict[Name, dict[OptionName, OptionValue]]]
"""[options.SERVICE.SECTION]: options that are passed through as they stand."""


Row = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=1000)]
"""What a row of a platform may say: a unit's name, a path, a word of an argument list."""
_Rows = Row | list[Row] | list[list[Row]]
PlatformChanges = dict[Name, Row | list[Row] | dict[Name, _Rows | dict[Name, _Rows]]]
"""[platform_changes]: tables of the site's platform, and below another one's name, tables of it."""


BaseUrl = Annotated[
    str,
    _Form(
        r"(https?://[!-.0-?A-~]{1,253}|file://)(/[!-~]{0,600})?",
        "a URL without a login (https://mirror/rpm/el9/x86_64)",
    ),
]
"""As dnf has it, $releasever and $basearch too; no login, since the file is for all to read."""


class Packages(Table):
    """[packages]: where the Ceph client comes from, if not from the system's sources.

    source: for apt; baseurl, repo_gpgcheck: for dnf; key: signed both.
    """

    install: bool = True
    source: PlainText | None = None
    baseurl: BaseUrl | None = None
    repo_gpgcheck: bool = False
    key: PlainText | None = None

    @model_validator(mode="after")
    def _source_is_signed(self) -> Packages:
        if self.baseurl and not self.key:
            raise ValueError("baseurl needs a key file: packages are installed only as signed")
        if self.repo_gpgcheck and not self.baseurl:
            raise ValueError("repo_gpgcheck needs baseurl beside it")
        if self.source and not (self.key and "signed-by=" in self.source):
            raise ValueError("a source needs [signed-by=...] and a key file")
        return self


class Sudoers(Table):
    """[sudoers]: lets one operator run everything as root without a password."""

    user: UserName
    until: Term | None = None


class Deploy(Table):
    """[deploy]: where the deployer has its files on the host of the role 'deploy'.

    folder: its own; None for its usual one.  inventory: for the command that applies them, where
    the deployer makes none itself.
    """

    folder: HostPath | None = None
    inventory: HostPath | None = None


class Verify(Table):
    """[verify]: the guest that proves it, by a cloud of clouds.yaml.

    at_once: computes on which the canary is at a time.
    """

    flavor: PlainText = "m1.tiny"
    image: PlainText | None = None
    guest: PlainText | None = None
    size: int = Field(5, ge=1, le=100)
    at_once: int = Field(3, ge=1, le=MOST_AT_ONCE)


class Database(Table):
    """[database]: defaults_file is on its host, and says how root logs in."""

    defaults_file: PlainText | None = None


class Backup(Table):
    """[backup]: for whom records are sealed (age), where they are kept, and how many.

    identity: the file of the key that opens them, on the operator's machine; signing_key: of the
    one that signs them; signers: whose signatures are believed beside that one's; also: more
    files and folders of the control hosts; units: more services that belong to them.
    """

    folder: PlainText = "~/.local/share/stackrbd/records"
    recipients: list[Recipient] = Field([], max_length=20)  # as many as age.py takes in a header
    identity: PlainText = "~/.config/stackrbd/record.key"
    signing_key: PlainText = "~/.config/stackrbd/record.sign"
    signers: list[SignerKey] = []
    keep: int = Field(14, ge=1, le=10000)
    also: list[HostPath] = []
    units: list[Name] = []


Program = Annotated[list[PlainText], Field(min_length=1)]


class ClusterTable(Table):
    """[clusters.NAME]: a cluster beside the site file's own; that one's is [clusters.ceph].

    conf: its ceph.conf on the hosts that use it; own_conf: on its own hosts; ceph, rbd: the
    argument lists that begin these programs there; id, keyring: as whom they log in, where that
    is not client.admin; pools, clients, fsid, clone_v2: as the site file's own.

    access: 'supplied' where it is another team's, and no admin key is here: supplied_conf and
    supplied_keyring are then files of this machine, or commands that print them, {client} being
    the client's name; release: the cluster's, in whose words caps are asked for.
    """

    access: Literal["admin", "supplied"] = "admin"
    supplied_conf: PlainText | Program | None = None
    supplied_keyring: PlainText | Program | None = None
    release: Name = "squid"

    fsid: Uuid | None = None
    conf: HostPath | None = None
    own_conf: HostPath | None = None
    ceph: Program | None = None
    rbd: Program | None = None
    id: Name | None = None
    keyring: HostPath | None = None
    clone_v2: bool | None = None
    pools: dict[Name, Pool] = {}
    clients: dict[Name, Client] = {}

    @model_validator(mode="after")
    def _access_meets(self) -> ClusterTable:
        given = {"supplied_conf": self.supplied_conf, "supplied_keyring": self.supplied_keyring}
        for name, value in given.items():
            if self.access == "supplied" and not value:
                raise ValueError(f"{name}: expected a file or a command, as access is supplied")
            if self.access == "admin" and value:
                raise ValueError(f'{name}: expected access = "supplied" beside it')
        several = isinstance(self.supplied_keyring, list) or "{client}" in (
            self.supplied_keyring or "{client}"
        )
        if not several:
            raise ValueError("supplied_keyring: expected {client} in it: each client has its own")
        if ceph_releases.named(self.release) is None:
            raise ValueError(f"release: expected a release of Ceph's, found {self.release!r}")
        for name in ("own_conf", "ceph", "rbd", "id", "keyring"):
            if self.access == "supplied" and name in self.model_fields_set:
                raise ValueError(f"{name}: expected none: no host of a supplied cluster is reached")
        return self

    @model_validator(mode="after")
    def _programs_meet(self) -> ClusterTable:
        if self.ceph and not self.rbd and not self.ceph[-1].endswith("ceph"):
            raise ValueError(
                f"rbd: expected how rbd is begun there, as that does not follow from {self.ceph}"
            )
        return self
