"""The site file: what an operator may write, checked all at once.

Knows every key, its form and its default; does not open files or reach hosts.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)

from fabfile.core.contract import CLOUD, BadInput, Host, Json
from fabfile.model import ceph_releases, deployment, platforms, services
from fabfile.model.deployment import OWN, Backend, Binding, Cluster, Store, Use
from fabfile.model.platforms import Platform


def _form(pattern: str, words: str) -> Any:
    """A text's form, said in words where the pattern itself would not help."""

    def checked(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected to be {words}, found {text!r}"[:300])
        return text

    return AfterValidator(checked)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
"""A pool, a cephx client, a section, a unit: letters, digits, and - _ . inside."""
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,252}$")]
Uuid = Annotated[str, Field(pattern=r"(?i)^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")]
PlainText = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=1000)]
UserName = Annotated[
    str,
    _form(
        r"[a-z_][a-z0-9_.-]{0,31}",
        "one local user's name in lower case (ALL, a group or a domain's user needs a sudoers "
        "file of your own)",
    ),
]
"""As useradd has it, and dots: in capitals it would be an alias of sudoers, or ALL."""
Term = Annotated[str, _form(r"[0-9]{12}([0-9]{2})?Z", "yyyymmddHHMMSSZ or yyyymmddHHMMZ, in UTC")]
Recipient = Annotated[
    str, _form(r"age1[02-9ac-hj-np-z]{58}", "a recipient of age (age1...; see inv backup.key)")
]
SignerKey = Annotated[
    str,
    _form(
        r"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}",
        "an Ed25519 key of OpenSSH's, without a comment (ssh-ed25519 AAAA...; see inv backup.key)",
    ),
]
Service = Annotated[
    str,
    _form(
        r"([A-Za-z0-9][A-Za-z0-9_.:-]{0,252}@)?[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
        "a backend's section, or HOST@SECTION",
    ),
]
"""A cinder-volume by its section, or by its whole name."""
HostPath = Annotated[str, _form(r"/[^\x00-\x1f\x7f]{1,200}", "a path from /")]
MOST_FORKS = 256
MOST_AT_ONCE = 64
SHARE = r"[0-9]{1,6}|(100|[1-9]?[0-9])%"
_SOME = r"([1-9][0-9]{0,5}|(100|[1-9][0-9]?)%)"
SERIAL = rf"{_SOME}(\s*,\s*{_SOME})*"
Role = Literal["ceph", "glance", "cinder", "cinder-backup", "compute", "database"]
ROLES = ("ceph", "glance", "cinder", "cinder-backup", "compute", "database")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class HostTable(_Table):
    """[hosts.NAME].  cluster: of a Ceph host, which one it is of."""

    roles: list[Role] = Field(min_length=1)
    cluster: Name | None = None
    address: Address | None = None
    user: Name | None = None
    port: int | None = Field(None, ge=1, le=65535)


class Ssh(_Table):
    """[ssh]"""

    config: PlainText | None = None
    sudo_password_command: list[PlainText] | None = Field(None, min_length=1)
    forks: int = Field(16, ge=1, le=MOST_FORKS)


class Rollout(_Table):
    """[rollout]: what --serial and --max-fail are where they are not given."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    serial: Annotated[str, _form(SERIAL, "N or N%, or a list such as 1,10%,50%")] | None = None
    max_fail: Annotated[str, _form(SHARE, "N, or N% of a run's computes")] = "0"


class Dask(_Table):
    """[dask]: whose workers do a run's work on the hosts, with --engine dask.

    near: {pattern of hosts: pattern of workers' names}.
    """

    scheduler: Annotated[
        str,
        _form(
            r"tls://[A-Za-z0-9_.:\[\]-]+:[0-9]{1,5}",
            "tls://HOST:PORT (without TLS, as by tcp://, nothing is sent)",
        ),
    ]
    ca: PlainText
    cert: PlainText
    key: PlainText
    near: dict[PlainText, PlainText] = {}


class Erasure(_Table):
    """[pools.NAME.erasure]: k pieces of data and m of code, each on a failure_domain of its own."""

    k: int = Field(ge=2, le=32)
    m: int = Field(ge=1, le=32)
    failure_domain: Name = "host"


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
Bytes = Annotated[str, _form(r"[0-9]{1,15}[KMGTP]?", "bytes, as 500G or 2T (0 for no quota)")]


class Pool(_Table):
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


class Client(_Table):
    """[clients.NAME]: rwx and rx are the pools it may write, and only read.

    Without rwx, what its services do with pools decides both; rx counts where it is said.
    manage: whether the caps of one that is there are widened.
    """

    rwx: list[Name] = Field([], min_length=1)
    rx: list[Name] = []
    secret_uuid: Uuid | None = None
    manage: bool = True


_Named = TypeVar("_Named", Backend, Store)


def _of_cluster(name: str | None, all_: tuple[_Named, ...]) -> tuple[_Named, ...]:
    """Those of one cluster; all where none is named."""
    return all_ if name is None else tuple(one for one in all_ if one.cluster == name)


class GlanceStore(_Table):
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

    @property
    def all(self) -> tuple[Store, ...]:
        """Its RBD stores; of a part of a site, those of its cluster."""
        return _of_cluster(self._only, self._stores())

    def _stores(self) -> tuple[Store, ...]:
        if not self.stores:
            return (Store(self.store, self.client, self.pool, "glance", self.cluster),)
        return tuple(
            Store(name, table.client, table.pool, f"glance.stores.{name}", table.cluster)
            for name, table in self.stores.items()
        )

    @property
    def default(self) -> Store:
        """Where images go for which nobody names a store."""
        known = self._stores()
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
            f"stores.{one.name}: expected another name: that section is for all stores"
            for one in self.all
            if one.name.lower() in _NO_STORE
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
_NO_STORE = ("default", "glance_store", "os_glance_tasks_store", "os_glance_staging_store")
"""Sections of glance-api.conf that are for all, and the stores that Glance itself has."""


def _said_beside(table: _Table, several: str, name: str, *shared: str) -> Iterator[str]:
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
    _form(
        r"(?!volume_backend_name$)[A-Za-z0-9_.:-]{1,255}",
        "an extra spec's name (volume_backend_name is the backend's own)",
    ),
]
SpecValue = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,255}$")]


_FRONT = "front-end"
"""Nova, which has QEMU limit what a guest does with the volume."""
_CONSUMERS = (_FRONT, "back-end", "both")


class CinderBackend(_Table):
    """[cinder.backends.NAME], and of [cinder] what is said of its one backend.

    replaces: the backend, or the service HOST@BACKEND, whose volumes it gets; extra_specs: of its
    volume type; without_type: it has none; availability_zone: of its own, beside that of [DEFAULT];
    data_pool: where RBD keeps the data of new volumes (rbd_default_data_pool of its client); qos:
    the limits of its volume type, and their consumer.
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

    @model_validator(mode="after")
    def _qos_meets(self) -> CinderBackend:
        said = self.qos.get("consumer", _FRONT)
        if said not in _CONSUMERS:
            raise ValueError(f"qos: expected consumer = one of {', '.join(_CONSUMERS)}: {said!r}")
        if self.qos.keys() == {"consumer"}:
            raise ValueError("qos: expected a limit beside its consumer, found none")
        beside = sorted({"volume_type", "extra_specs", "qos"} & self.model_fields_set)
        if self.without_type and beside:
            raise ValueError(f"without_type: expected no {beside[0]} beside it, found both")
        return self

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
        )


_ZONES = "RESKEY:availability_zones"
"""A type's extra spec that says in which zones its volumes are; since Rocky (cinder's docs,
Availability-zone types)."""
_NO_BACKEND = ("default", "backend_defaults")
"""Sections of cinder.conf that are for all."""


class CinderBackup(_Table):
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


class Cinder(CinderBackend):
    """[cinder]: its one backend, or a table for each in [cinder.backends.NAME].

    default_volume_type: of volumes for which nobody names one, whoever makes them.
    """

    pool: Name = "volumes"
    backend: Name = "rbd"
    volume_type: Name | None = "rbd"
    backends: dict[Name, CinderBackend] = {}
    default_volume_type: Name | None = None
    backup: CinderBackup | None = None
    _only: str | None = PrivateAttr(None)

    @property
    def all(self) -> tuple[Backend, ...]:
        """Its backends; the first one's client is what Nova falls back to.

        Of a part of a site, those of its cluster.
        """
        return _of_cluster(self._only, self._backends())

    def _backends(self) -> tuple[Backend, ...]:
        if not self.backends:
            return (self.called(self.backend, "cinder"),)
        return tuple(
            table.model_copy(update={"volume_type": table.volume_type or name}).called(
                name, f"cinder.backends.{name}"
            )
            for name, table in self.backends.items()
        )

    def of_section(self, name: str) -> Backend:
        """The backend of a binding."""
        return next(one for one in self.all if one.name == name)

    @model_validator(mode="after")
    def _backends_meet(self) -> Cinder:
        faults = [*_said_beside(self, "backends", "backend", "default_volume_type", "backup")]
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

    def _in_each_others_way(self) -> Iterator[str]:
        """Backends that Cinder could not tell apart, by name, type, or whose volumes they get."""
        backends = self.all
        for name in (one.name for one in backends if one.name.lower() in _NO_BACKEND):
            yield f"backends.{name}: expected another name: that section is for all backends"
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


def _not_written(client: Client | None, name: str, said: str, pools: Sequence[str]) -> list[str]:
    """Pools into which something writes, and which its client leaves out; name: its table."""
    return [
        f"{name}.rwx: expected {pool!r} too, into which {said} "
        "writes; or leave rwx out: then it is what its services need"
        for pool in pools
        if pool and client and client.rwx and pool not in client.rwx
    ]


class Nova(_Table):
    """[nova]: ephemeral disks stay where they are unless they are asked onto RBD."""

    ephemeral: bool = False
    client: Name = "vms"
    pool: Name = "vms"
    cluster: Name = OWN


_LIBVIRT, _BACKUP = "libvirt", "DEFAULT"
"""The sections of nova.conf and cinder.conf that have all of Nova's, and of cinder-backup's."""
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
OptionValue = StrictBool | StrictInt | OptionText | list[StrictInt | OptionItem]
Options = dict[Literal["glance", "cinder", "nova"], dict[Name, dict[OptionName, OptionValue]]]
"""[options.SERVICE.SECTION]: options that are passed through as they stand."""


Row = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=1000)]
"""What a row of a platform may say: a unit's name, a path, a word of an argument list."""


class Packages(_Table):
    """[packages]: where the Ceph client comes from, if not from the system's sources."""

    install: bool = True
    source: PlainText | None = None
    key: PlainText | None = None

    @model_validator(mode="after")
    def _source_is_signed(self) -> Packages:
        if self.source and not (self.key and "signed-by=" in self.source):
            raise ValueError("a source needs [signed-by=...] and a key file")
        return self


class Sudoers(_Table):
    """[sudoers]: lets one operator run everything as root without a password."""

    user: UserName
    until: Term | None = None


class Verify(_Table):
    """[verify]: the guest that proves it, by a cloud of clouds.yaml.

    at_once: computes on which the canary is at a time.
    """

    flavor: PlainText = "m1.tiny"
    image: PlainText | None = None
    guest: PlainText | None = None
    size: int = Field(5, ge=1, le=100)
    at_once: int = Field(3, ge=1, le=MOST_AT_ONCE)


class Database(_Table):
    """[database]: defaults_file is on its host, and says how root logs in."""

    defaults_file: PlainText | None = None


class Backup(_Table):
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


class ClusterTable(_Table):
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


class Site(_Table):
    """A whole site file.

    clone_v2: whether RBD's clones are to be of v2; None: where all who use the cluster read them.
    recommended: whether options are set that are recommended, and no part of who uses which pool.
    platform_changes: what the site's hosts have otherwise than their platform's file says.
    """

    name: Name
    fsid: Uuid | None = None
    release: Name = "auto"
    clone_v2: bool | None = None
    recommended: bool = True
    platform: Name = "debian"
    platform_changes: dict[Name, Row | list[Row] | dict[Name, Row | list[Row]]] = {}
    hosts: dict[Name, HostTable] = Field(min_length=1)
    pools: dict[Name, Pool] = {"volumes": Pool(), "images": Pool()}
    clients: dict[Name, Client] = {
        "volumes": Client(rwx=["volumes"], rx=["images"]),
        "images": Client(rwx=["images"]),
    }
    ssh: Ssh = Ssh()
    rollout: Rollout = Rollout()
    dask: Dask | None = None
    glance: Glance = Glance()
    cinder: Cinder = Cinder()
    nova: Nova = Nova()
    options: Options = {}
    packages: Packages = Packages()
    sudoers: Sudoers | None = None
    verify: Verify = Verify()
    database: Database = Database()
    backup: Backup = Backup()
    cloud: Name | None = None
    clouds_yaml: PlainText | None = None
    clusters: dict[Name, ClusterTable] = {}
    _platforms: dict[str, Platform] = PrivateAttr(default_factory=dict)
    _whole: Site | None = PrivateAttr(None)
    _label: str = PrivateAttr("")

    @model_validator(mode="after")
    def _names_meet(self) -> Site:
        faults = [
            f"hosts.{name}: expected another name: {name!r} is {what} here"
            for name, what in self._taken_names().items()
            if name in self.hosts
        ]
        faults += self._clusters_meet()
        if faults:
            raise ValueError("\n".join(faults))
        for part in self.parts:
            faults += part.part_faults()
        faults += self._shared_secrets() + self._shared_keyrings() + self._nowhere_backed_up()
        if faults:
            raise ValueError("\n".join(faults))
        return self

    def part_faults(self) -> list[str]:
        """What is wrong with the names of one cluster."""
        faults = [
            f"{where}: expected one of {', '.join(sorted(known)) or 'those of its cluster (none)'}"
            f", found {name!r}"
            for where, name, known in self._references()
            if name not in known
        ]
        if self.is_supplied:
            faults += [
                f"hosts.{host.name}: expected no host of the cluster {self.label}: it is supplied"
                for host in self.with_role("ceph")
            ]
        elif not self.with_role("ceph"):
            which = f"of the cluster {self._label} " if self._label else ""
            faults.append(f"hosts: no host {which}has the role 'ceph'")
        return faults + self._out_of_reach()

    def _clusters_meet(self) -> Iterator[str]:
        """Clusters that are named and not there, or in each other's way."""
        known = {OWN, *self.clusters}
        named = self._named_clusters()
        named |= {f"hosts.{n}": host.cluster for n, host in self.hosts.items() if host.cluster}
        for where, name in named.items():
            if name not in known:
                yield (
                    f"{where}.cluster: expected one of {', '.join(sorted(known))}, found {name!r}"
                )
        for name, host in self.hosts.items():
            if host.cluster and "ceph" not in host.roles:
                yield (
                    f"hosts.{name}.cluster: expected none: a host without the role 'ceph' uses "
                    "what its services name"
                )
        for name in ("fsid", "clone_v2", "pools", "clients"):
            if OWN in self.clusters and name in self.clusters[OWN].model_fields_set:
                yield f"clusters.{OWN}.{name}: expected it at the top of the site file: {name}"
        for name in self.clusters:
            if name != OWN and name not in self.labels:
                yield (
                    f"clusters.{name}: expected a use of it, or a host of it, found none: name it "
                    f"as the cluster of a backend, a store or a host"
                )

    def _named_clusters(self) -> dict[str, str]:
        """{table of the site file: the cluster that it uses}."""
        found = {one.said: one.cluster for one in self.glance.all}
        found |= {one.said: one.cluster for one in self.cinder.all}
        found |= {"cinder.backup": self.cinder.backup.cluster} if self.cinder.backup else {}
        return {**found, **({"nova": self.nova.cluster} if self.nova.ephemeral else {})}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The clusters that there are, by their names in the site file; its own one first."""
        used = {*self._named_clusters().values()}
        used |= {h.cluster or OWN for h in self.hosts.values() if "ceph" in h.roles}
        return tuple(name for name in dict.fromkeys((OWN, *self.clusters)) if name in used)

    @cached_property
    def parts(self) -> tuple[Site, ...]:
        """The site as each of its clusters has it: itself, where there is one of its own alone.

        A part has the pools, clients, backends, stores and hosts of its cluster; a host has in
        it the roles of those services that use the cluster.
        """
        if self._whole is not None or self.labels == (OWN,) or not self.labels:
            return (self,)
        return tuple(self._part(name) for name in self.labels)

    def part(self, label: str) -> Site:
        """The part of a cluster."""
        return next(one for one in self.parts if label in ("", one.label))

    @property
    def is_whole(self) -> bool:
        """Whether it is what the site file says, and no part of it."""
        return self._whole is None

    @property
    def whole(self) -> Site:
        """The site that it is a part of, or itself."""
        return self._whole or self

    @property
    def is_of_one(self) -> bool:
        """Whether it has one cluster."""
        return len(self.parts) == 1

    @property
    def siblings(self) -> tuple[Site, ...]:
        """The parts beside this one."""
        return tuple(p for p in self._whole.parts if p.label != self.label) if self._whole else ()

    @property
    def table(self) -> ClusterTable:
        """What [clusters.NAME] says of a part's cluster."""
        return self.clusters.get(self.label, ClusterTable())

    @property
    def is_supplied(self) -> bool:
        """Whether a part's cluster is another team's: nobody here has its admin key."""
        return self.table.access == "supplied"

    def used_clients(self) -> list[str]:
        """The clients by which services log in to a part's cluster."""
        return list(dict.fromkeys(use.client for use in self.uses()))

    @property
    def label(self) -> str:
        """The name of a part's cluster in the site file; of a whole site, of its first one."""
        return self._label or (self.labels or (OWN,))[0]

    def _part(self, label: str) -> Site:
        table = self.clusters.get(label, ClusterTable())
        own = self if label == OWN else table
        roles = {use.service.role for use in self.uses() if use.cluster == label} | {"database"}
        hosts = {}
        for name, host in self.hosts.items():
            mine = "ceph" in host.roles and (host.cluster or OWN) == label
            kept = [role for role in host.roles if role in roles or (role == "ceph" and mine)]
            if kept:
                hosts[name] = host.model_copy(update={"roles": kept})
        backup = self.cinder.backup
        backup = backup if backup and backup.cluster == label else None
        cinder = self.cinder.model_copy(update={"backup": backup})
        glance = self.glance.model_copy()
        cinder._only = glance._only = label
        disks = self.nova.ephemeral and self.nova.cluster == label
        found = self._altered(
            hosts=hosts,
            pools=own.pools,
            clients=own.clients,
            fsid=own.fsid,
            clone_v2=own.clone_v2,
            cinder=cinder,
            glance=glance,
            nova=self.nova.model_copy(update={"ephemeral": disks}),
        )
        found._whole, found._label = self, label
        return found

    def _altered(self, **fields: Any) -> Site:
        """The same with other fields, and nothing kept of what followed from these."""
        found = self.model_copy(update=fields)
        for name in [name for name in vars(found) if name not in type(self).model_fields]:
            del vars(found)[name]
        return found

    @property
    def _said(self) -> str:
        """Where a part's own tables are in the site file."""
        return f"clusters.{self._label}." if self._label not in ("", OWN) else ""

    def said_of_client(self, name: str) -> str:
        """The table of a part's client in the site file."""
        return f"{self._said}clients.{name}"

    def _references(self) -> list[tuple[str, str, Any]]:
        found: list[tuple[str, str, Any]] = [
            (f"{store.said}.{key}", named, known)
            for store in self.glance.all
            for key, named, known in (
                ("pool", store.pool, self.pools),
                ("client", store.client, self.clients),
            )
        ]
        for one in self.cinder.all:
            found.append((f"{one.said}.pool", one.pool, self.pools))
            found.append((f"{one.said}.client", one.client, self.clients))
            if one.data_pool:
                found.append((f"{one.said}.data_pool", one.data_pool, self.pools))
        if backup := self.cinder.backup:
            found.append(("cinder.backup.pool", backup.pool, self.pools))
            found.append(("cinder.backup.client", backup.client, self.clients))
        if self.nova.ephemeral:
            found.append(("nova.pool", self.nova.pool, self.pools))
            found.append(("nova.client", self.nova.client, self.clients))
        for name, client in self.clients.items():
            for kind, pools in (("rwx", client.rwx), ("rx", client.rx)):
                where = f"{self._said}clients.{name}.{kind}"
                found += [(where, pool, self.pools) for pool in pools]
        return found

    def _taken_names(self) -> dict[str, str]:
        """{a name that no host can have: what it means}."""
        roles = {
            role: "every host of that role"
            for role in ROLES
            if {host.name for host in self.with_role(role)} - {role}
        }
        return {CLOUD: "the cloud's own API", "here": "this machine", **roles}

    def _shared_secrets(self) -> list[str]:
        """Clients of one UUID: a libvirt secret holds one client's key."""
        first: dict[str, str] = {}
        named = [
            (f"{part._said}clients.{name}", client.secret_uuid)
            for part in self.parts
            for name, client in part.clients.items()
        ]
        return [
            f"{said}.secret_uuid: expected one of its own, found that of "
            f"{first[uuid]}; take one of the two out"
            for said, text in named
            if (uuid := (text or "").lower()) and first.setdefault(uuid, said) != said
        ]

    def _shared_keyrings(self) -> list[str]:
        """Clients that two services of one host would hold, each for itself alone.

        Refused rather than made to work: librados looks in one place, the file there has one
        owner, and a group or an ACL that lets both read it is not ours to invent.
        """
        faults: dict[tuple[str, str], str] = {}
        for host in self.all_hosts():
            holders: dict[tuple[str, str], services.Service] = {}
            for use in self.uses():
                if not use.keyring or use.service.role not in host.roles:
                    continue
                client, owner = use.client, use.service
                first = holders.setdefault((use.cluster, client), owner)
                if first.project != owner.project:
                    faults.setdefault(
                        (client, owner.key),
                        (
                            f"{owner.key}.client: expected another client than {first.key}.client "
                            f"on a host of both ({host.name}): a keyring there is for one service "
                            f"alone; found {client!r} for both; give {owner.key} a client of its "
                            "own"
                        ),
                    )
        return list(faults.values())

    def _out_of_reach(self) -> list[str]:
        """Clients that nobody uses nor says anything of, and backends that theirs cannot write."""
        used = {use.client for use in self.uses()}
        faults = [
            f"{self._said}clients.{name}.rwx: expected the pools that it writes, found none: no "
            "service of this site file logs in by it"
            for name, client in self.clients.items()
            if not client.rwx and name not in used
        ]
        for one in self.cinder.all:
            client = self.clients.get(one.client)
            written = [one.pool] * bool(self.cinder.backends) + [one.data_pool]
            faults += _not_written(client, self.said_of_client(one.client), one.said, written)
        if backup := self.cinder.backup:
            client = self.clients.get(backup.client)
            faults += _not_written(
                client, self.said_of_client(backup.client), "cinder.backup", [backup.pool]
            )
        return faults + self._unfit_pools()

    def _nowhere_backed_up(self) -> list[str]:
        """A role without what it is for, and the reverse."""
        named = [name for name, table in self.hosts.items() if "cinder-backup" in table.roles]
        if named and not self.cinder.backup:
            return [
                f"hosts.{named[0]}.roles: expected [cinder.backup] beside the role "
                "'cinder-backup', which says what pool it writes as which client, found none"
            ]
        if self.cinder.backup and not self.with_role("cinder-backup"):
            return ["cinder.backup: expected a host of the role 'cinder-backup', found none"]
        return []

    def _unfit_pools(self) -> list[str]:
        """Pools that hold no images, and data pools that nobody can be told of."""
        erasure = {name for name, pool in self.pools.items() if pool.erasure}
        faults = [
            f"{self._said}pools.{use.pool}: expected no erasure, as {use.service.key} keeps images "
            "there; let RBD keep their data in such a pool (data_pool of a backend)"
            for use in self.uses()
            if use.pool in erasure
        ]
        both = [h.name for h in self.with_role("cinder") if "ceph" in h.roles]
        if both and any(one.data_pool for one in self.cinder.all):
            faults.append(
                f"cinder: data_pool: expected no host of the roles cinder and ceph, found "
                f"{', '.join(both)}: ceph.conf, which names the pool, is the cluster's own there; "
                "write rbd_default_data_pool yourself, and list the pool in the client's rwx"
            )
        return list(dict.fromkeys(faults))

    def with_caps(self) -> Site:
        """The same, each client with the pools that its services use where it names none."""
        found = {part.label: part.clients_with_caps() for part in self.parts}
        tables = {
            name: table.model_copy(update={"clients": found.get(name, {})})
            for name, table in self.clusters.items()
            if name != OWN
        }
        own = self.clusters.get(OWN)
        clusters = {**({OWN: own} if own else {}), **tables}
        return self._altered(clients=found.get(OWN, self.clients), clusters=clusters)

    def clients_with_caps(self) -> dict[str, Client]:
        """The clients of one cluster, each with the pools that its services use."""
        images = [use.pool for use in self.uses() if use.service == services.GLANCE_API]
        volumes = [use.pool for use in self.uses() if use.service == services.CINDER_VOLUME]
        found = {}
        for name, client in self.clients.items():
            uses = [use for use in self.uses() if use.client == name]
            data = [b.data_pool for b in self.cinder.all if b.client == name and b.data_pool]
            rwx = client.rwx or list(dict.fromkeys([*(use.pool for use in uses), *data]))
            said = client.rwx or "rx" in client.model_fields_set
            backs_up = any(use.service == services.CINDER_BACKUP and use.section for use in uses)
            others = (services.GLANCE_API, services.CINDER_BACKUP)
            clones = any(use.service not in others for use in uses)
            read = [*(images if clones else ()), *(volumes if backs_up else ())]
            rx = client.rx if said else [pool for pool in dict.fromkeys(read) if pool not in rwx]
            found[name] = client.model_copy(update={"rwx": rwx, "rx": rx})
        return found

    @cached_property
    def _hosts(self) -> dict[str, Host]:
        """Made once: every resource asks for all hosts, for every host."""
        return {
            name: Host(name, self._roles_of(table), table.address, table.user, table.port)
            for name, table in self.hosts.items()
        }

    def _roles_of(self, table: HostTable) -> tuple[str, ...]:
        """Its roles; cinder-backup runs where cinder-volume does, unless some host has its role."""
        named = any("cinder-backup" in one.roles for one in self.hosts.values())
        more = self.cinder.backup and not named and "cinder" in table.roles
        return (*table.roles, "cinder-backup") if more else tuple(table.roles)

    def host(self, name: str) -> Host:
        """One host, as the rooms below know it."""
        return self._hosts[name]

    def all_hosts(self) -> list[Host]:
        """Every host, in the file's order."""
        return list(self._hosts.values())

    def with_role(self, *roles: str) -> list[Host]:
        """The hosts that have any of the roles, in the file's order."""
        if roles not in self._by_roles:
            self._by_roles[roles] = [h for h in self.all_hosts() if set(roles) & set(h.roles)]
        return list(self._by_roles[roles])

    @cached_property
    def _by_roles(self) -> dict[tuple[str, ...], list[Host]]:
        return {}

    @cached_property
    def admin(self) -> Host:
        """The first Ceph host: where the cluster is asked and altered; of several, the first's.

        Of a cluster that is supplied, a host that uses it.
        """
        one = self.parts[0]
        roles = services.ROLES[1:] + services.ROLES[:1] if one.is_supplied else ("ceph",)
        first = next(host for role in roles for host in one.with_role(role))
        return self.host(first.name)

    @cached_property
    def admins(self) -> tuple[Host, ...]:
        """The first Ceph host of each cluster."""
        return tuple(self.host(part.admin.name) for part in self.parts)

    @cached_property
    def database_host(self) -> Host:
        """The host of OpenStack's databases.  Raises BadInput where not exactly one is named."""
        found = self.with_role("database")
        if len(found) != 1:
            names = ", ".join(host.name for host in found) or "none"
            raise BadInput(
                f"hosts: expected one host with the role 'database', found {names}: name the one "
                "whose MariaDB holds OpenStack's databases (of a Galera cluster, any one)"
            )
        return found[0]

    def uses(self) -> tuple[Use, ...]:
        """What each service uses of the cluster, on whatever hosts it runs."""
        return self._uses

    @cached_property
    def _uses(self) -> tuple[Use, ...]:
        """Made once: each host's bindings and secrets are made of them.

        Nova hands Cinder's volumes to QEMU, by libvirt's secret; of its own it has disks only
        where they are asked onto RBD.
        """
        if self._whole is not None:
            return tuple(use for use in self._whole.uses() if use.cluster == self._label)
        glance, cinder = services.GLANCE_API, services.CINDER_VOLUME
        found = [
            Use(glance, one.client, one.pool, one.name, cluster=one.cluster)
            for one in self.glance.all
        ]
        for one in self.cinder.all:
            uuid = self._secret_uuid(one.cluster, one.client)
            used = one.client, one.pool, one.name
            found.append(Use(cinder, *used, secret_uuid=uuid, cluster=one.cluster))
        return (*found, *self._backups_uses(), *self._novas_uses())

    def _backups_uses(self) -> Iterator[Use]:
        """Its own pool; and each volume as the client of its backend.

        It opens a volume as that client, by the keyring in its usual place (os_brick/initiator/
        connectors/rbd.py), makes a snapshot of it, and hands both users to rbd export-diff and
        import-diff (cinder/backup/drivers/ceph.py).
        """
        own, service = self.cinder.backup, services.CINDER_BACKUP
        if own is None:
            return
        yield Use(service, own.client, own.pool, _BACKUP, cluster=own.cluster)
        clients: dict[tuple[str, str], str] = {}
        for one in self.cinder.all:
            clients.setdefault((one.cluster, one.client), one.pool)
        for (cluster, client), pool in clients.items():
            if (cluster, client) != (own.cluster, own.client):
                yield Use(service, client, pool, "", cluster=cluster)

    def _novas_uses(self) -> Iterator[Use]:
        """A secret for each client of Cinder's; nova.conf names one user alone.

        It is that of Nova's own disks where they are on RBD, else the first backend's.
        """
        nova, own = self.nova, self.nova.ephemeral
        clients: dict[tuple[str, str], str] = {}
        for one in self.cinder.all:
            clients.setdefault((one.cluster, one.client), one.pool)
        first = next(iter(clients))
        for (cluster, client), pool in clients.items():
            if own and (cluster, client) == (nova.cluster, nova.client):
                continue
            section = _LIBVIRT if not own and (cluster, client) == first else ""
            uuid = self._secret_uuid(cluster, client)
            yield Use(
                services.NOVA_COMPUTE, client, pool, section, False, True, uuid, cluster=cluster
            )
        if own:
            uuid = self._secret_uuid(nova.cluster, nova.client)
            disks = nova.client, nova.pool, _LIBVIRT
            yield Use(
                services.NOVA_COMPUTE,
                *disks,
                secret=True,
                secret_uuid=uuid,
                cluster=nova.cluster,
            )

    def _secret_uuid(self, cluster: str, client: str) -> str | None:
        """The one that the site names; of a client that it does not know, none."""
        known = self.clients if cluster == OWN else self.clusters[cluster].clients
        table = known.get(client)
        return table.secret_uuid if table else None

    @cached_property
    def cluster(self) -> Cluster:
        """The Ceph cluster that a part's services use; of several, the first."""
        one = self.parts[0]
        platform = one.platform_of(one.admin)
        name = platforms.librados_name(one._conf or platform.ceph["conf"])
        return Cluster(name, one.fsid, one.admin, platform, one.label)

    @property
    def _conf(self) -> str:
        """The cluster's ceph.conf on hosts that use it; '' for the platform's own."""
        table = self.clusters.get(self.label)
        if table and table.conf:
            return table.conf
        folder = self._platforms[self.platform].ceph["folder"] if self._platforms else "/etc/ceph"
        return "" if self.label == OWN else f"{folder}/{self.label}.conf"

    def platform_of(self, host: Host) -> Platform:
        """How a host's services are configured, run and installed: what the site file names.

        Of a part of a site, with its cluster's ceph.conf and keyrings, and how `ceph` is begun.
        """
        base = self._platforms[self.platform]
        table = self.clusters.get(self.label, ClusterTable())
        if self._whole is None and (len(self.parts) > 1 or not table.model_fields_set):
            return base
        its_own = "ceph" in host.roles and (self.hosts[host.name].cluster or OWN) == self.label
        client = self._client_on(host) if self.is_supplied else ""
        known = its_own, client
        if known not in self._altered_platforms:
            self._altered_platforms[known] = self._altered_platform(base, table, its_own, client)
        return self._altered_platforms[known]

    def _client_on(self, host: Host) -> str:
        """As whom a cluster that is supplied is asked on a host; '' where no keyring is."""
        mine = (use.client for use in self.uses() if use.service.role in host.roles and use.keyring)
        return next(mine, "")

    @cached_property
    def _altered_platforms(self) -> dict[tuple[bool, str], Platform]:
        return {}

    def _altered_platform(
        self, base: Platform, table: ClusterTable, its_own: bool, client: str
    ) -> Platform:
        """A platform as it uses a cluster; its_own: on the cluster's own hosts.

        client: as whom it is asked where there is no admin.
        """
        conf = (table.own_conf if its_own else self._conf) or base.ceph["conf"]
        name = platforms.librados_name(conf)
        folder = base.ceph["folder"]
        ceph = {**base.ceph, "conf": conf}
        if conf != base.ceph["conf"]:
            ceph["keyring"] = f"{folder}/{name}.client.{{client}}.keyring"
        if not (its_own or self.is_supplied):
            return replace(base, ceph=ceph)
        of_conf = [] if conf == base.ceph["conf"] else ["--cluster", name, "-c", conf]
        login = ["--id", table.id or client] if table.id or client else []
        login += ["--keyring", table.keyring] if table.keyring else []
        begin = {name: list(base.commands[name]) for name in ("ceph", "rbd")}
        if table.ceph:
            begin = {"ceph": table.ceph, "rbd": table.rbd or _rbd_beside(table.ceph)}
        begin = {name: [*words, *of_conf, *login] for name, words in begin.items()}
        return replace(base, ceph=ceph, commands={**base.commands, **begin})

    def bindings_of(self, host: Host) -> tuple[Binding, ...]:
        """What uses the clusters on a host."""
        if host not in self._bindings:
            self._bindings[host] = deployment.bindings(
                host, self.uses(), lambda label: self._used_on(host, label)
            )
        return self._bindings[host]

    def _used_on(self, host: Host, label: str) -> tuple[Platform, Cluster]:
        part = self.part(label)
        there = host if part is self else part.host(host.name)
        return part.platform_of(there), part.cluster

    @cached_property
    def _bindings(self) -> dict[Host, tuple[Binding, ...]]:
        return {}

    def written_of(self, host: Host, service: services.Service) -> tuple[Binding, ...]:
        """What is written into a service's file on a host: each with a section of its own."""
        return tuple(b for b in self.bindings_of(host) if b.service == service and b.section)

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """What uses the cluster, on all hosts, in the file's order."""
        return tuple(one for host in self.all_hosts() for one in self.bindings_of(host))

    def secret_clients(self) -> dict[str, Client]:
        """The clients of one cluster whose key the computes' libvirt holds: {name: client}."""
        return {use.client: self.clients[use.client] for use in self.uses() if use.secret}


def _rbd_beside(ceph: Sequence[str]) -> list[str]:
    """How rbd is begun where ceph is begun so."""
    return [*ceph[:-1], f"{ceph[-1].removesuffix('ceph')}rbd"]


def check(raw: dict[str, Json], where: str, tables: Sequence[Mapping[str, Json]]) -> Site:
    """A Site of a parsed TOML file; tables: the platforms', as config/platforms/ has them.

    Raises BadInput with every fault of the file, each with its key, what was
    expected, what was found, and the nearest name for one that is not known.
    """
    try:
        site = Site.model_validate(raw).with_caps()
    except ValidationError as error:
        lines = [f"{where}: {line}" for e in error.errors() for line in _fault(e, raw)]
        raise BadInput("\n".join(lines)) from None
    found = [platforms.made_of(table) for table in tables]
    site._platforms = {platform.name: platform for platform in found}
    if site.platform not in site._platforms:
        known = ", ".join(sorted(site._platforms))
        raise BadInput(f"{where}: platform: expected one of {known}, found {site.platform!r}")
    if site.platform_changes:
        base = next(table for table in tables if table["name"] == site.platform)
        changed = platforms.altered(base, site.platform_changes, f"{where}: platform_changes")
        site._platforms[site.platform] = platforms.made_of(changed)
    if faults := list(dict.fromkeys(_same_files(site))):
        raise BadInput("\n".join(f"{where}: {fault}" for fault in faults))
    return site


def _same_files(site: Site) -> Iterator[str]:
    """Clusters that a host could not keep apart: by ceph.conf, or by how keyrings are called."""
    for host in site.all_hosts() if len(site.parts) > 1 else ():
        seen: dict[str, Binding] = {}
        for one in site.bindings_of(host):
            for what in (one.conf, platforms.librados_name(one.conf)):
                first = seen.setdefault(what, one)
                if first.cluster.label == one.cluster.label:
                    continue
                which = (
                    "own_conf"
                    if "ceph" in site.part(one.cluster.label).host(host.name).roles
                    else "conf"
                )
                named = f"clusters.{one.cluster.label}.{which}"
                other = f"that of the cluster {first.cluster.label} on {host.name}"
                if first.conf == one.conf:
                    yield f"{named}: expected another path than {other}, found {one.conf}"
                    break
                yield (
                    f"{named}: expected another name than {one.conf.rpartition('/')[2]}, by which "
                    f"librados would look for the keyrings of {first.cluster.label} on {host.name}"
                )


def _fault(error: Any, raw: dict[str, Json]) -> list[str]:
    path = [str(part) for part in error["loc"] if part != "[key]"]
    key = ".".join(part if part.isprintable() else repr(part) for part in path)
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return [f"{key}: no such setting{_nearest(path)}"]
    if kind == "missing":
        return [f"{key}: expected a value, found none"]
    if kind == "value_error":
        return [f"{key}: {line}" if key else line for line in str(context["error"]).split("\n")]
    expected = re.sub(r"^(Input|String|List|Value) should ", "expected to ", error["msg"])
    return [f"{key}: {expected}{_found(raw, error['loc'])}"]


def _found(raw: Json, path: Any) -> str:
    for part in path:
        try:
            raw = raw[part]
        except (KeyError, IndexError, TypeError):
            return ""
    try:
        return f", found {raw!r}"[:120]
    except ValueError:
        return ", found a number of thousands of digits"


def _nearest(path: list[str]) -> str:
    known: set[str] = set()
    tables: dict[str, type[BaseModel]] = {
        "hosts": HostTable,
        "ssh": Ssh,
        "rollout": Rollout,
        "dask": Dask,
        "pools": Pool,
        "clients": Client,
        "glance": Glance,
        "cinder": Cinder,
        "nova": Nova,
        "packages": Packages,
        "sudoers": Sudoers,
        "verify": Verify,
        "database": Database,
        "backup": Backup,
        "clusters": ClusterTable,
    }
    model = Site if len(path) == 1 else tables.get(path[0], Site)
    below: dict[str, type[BaseModel]] = {
        "cinder.backends": CinderBackend,
        "glance.stores": GlanceStore,
    }
    model = below.get(".".join(path[:2]), model) if len(path) > 3 else model
    if path[0] == "clusters" and len(path) > 4:
        model = tables.get(path[2], model)
    model = CinderBackup if path[:2] == ["cinder", "backup"] and len(path) > 2 else model
    known.update(model.model_fields)
    near = difflib.get_close_matches(path[-1], known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"
