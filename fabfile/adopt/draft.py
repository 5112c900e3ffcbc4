"""What was heard of a cloud, as a site file's tables, with what is to be known of each.

A service whose ways a site file cannot have (two services with one keyring, a backend in
[DEFAULT], hosts that differ) is left out by its role, with the reason, so that what is described
is described as it is.  No name gets in that has not the form that the site file asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fabfile.adopt import clusters, found, look
from fabfile.adopt.candidates import Candidate, Chosen
from fabfile.adopt.clusters import At, Used, table_of
from fabfile.adopt.forms import fits
from fabfile.adopt.found import BACKUP, CINDER, GLANCE, NOVA, OnHost, Place
from fabfile.core.contract import Facts, Failed, Json, Seen, Stop
from fabfile.doctor.observation import calm
from fabfile.model import releases, site_tables
from fabfile.model.deployment import OWN
from fabfile.model.platforms import librados_name
from fabfile.model.services import Service
from fabfile.model.site import Site
from fabfile.resources import secret_uuid
from fabfile.resources.cluster import Cluster
from fabfile.resources.glance_stores import RBD
from fabfile.resources.in_force import same
from fabfile.resources.volume_hosts import BOUND
from fabfile.resources.volume_storage import options_of, own_name

_UP = ("active", "activating", "reloading")
_ADMIN = "admin"
_ZONES = "RESKEY:availability_zones"
_OPTIONS = ("conf", "sources")
"""Reads of what a service's options are."""
_ROLE_OF = {service.key: service.role for service in found.SERVICES}


@dataclass(frozen=True)
class Remark:
    """What is to be known of a key.  doubtful: whether somebody has to look at it."""

    at: At
    text: str
    doubtful: bool = True


@dataclass(frozen=True)
class Heard:
    """All that was heard.

    answers: {host: {read: value}} of the candidates that answered; unreachable: {host: why};
    api, types: as fabfile.cloud.machines has them, None where there is no cloud; head: what the
    operator said (name, cloud, clouds_yaml, ssh); tables: of all OpenStack releases.
    """

    chosen: Chosen
    answers: Mapping[str, Seen]
    unreachable: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[tuple[str, str], str] = field(default_factory=dict)
    api: Json = None
    types: Json = None
    head: Mapping[str, Json] = field(default_factory=dict)
    tables: Sequence[Mapping[str, Json]] = ()


@dataclass(frozen=True)
class Draft:
    """raw: the site file as a dict; left_out: {host: (its table, why it is not in it)}.

    connected: whether all services that were found have their storage on RBD.
    """

    raw: dict[str, Json]
    remarks: tuple[Remark, ...] = ()
    left_out: Mapping[str, tuple[Json, str]] = field(default_factory=dict)
    connected: bool = False


def drafted(heard: Heard, site: Site) -> Draft:
    """The draft.  site: the provisional one, by which was asked.

    Raises Stop where the cluster's own answers are missing.
    """
    return _Drafting(heard, site).draft()


class _Drafting:
    def __init__(self, heard: Heard, site: Site) -> None:
        self._heard, self._site = heard, site
        self._facts = calm(site, Facts(heard.answers))
        first = clusters.asked(site, heard.answers, site.admin.name, ())
        self._used = {OWN: first}
        self._unused: list[Used] = []
        self._remarks: list[Remark] = []
        self._roles: dict[str, list[str]] = {}
        self._left: dict[str, tuple[Json, str]] = {}
        self._lost: set[str] = set()
        self._on: dict[str, dict[str, OnHost]] = {}
        self._raw: dict[str, Json] = dict(heard.head)

    def _clusters(self) -> None:
        """The clusters beside the first one; one that could not be asked is not described."""
        first = self._used[OWN].cluster
        others = look.first_of_others(self._site, self._heard.answers, first)
        for name, hosts in others.items():
            try:
                if missing := self._unanswered(name):
                    raise Failed(missing)
                self._unused.append(clusters.asked(self._site, self._heard.answers, name, hosts))
            except Stop as stop:
                self._without("ceph", hosts, f"its cluster could not be asked: {stop}")

    def _unanswered(self, host: str) -> str:
        """Why a host does not answer for its cluster; '' where it does."""
        names = [read.id for read in look.of_the_cluster(self._site)]
        missing = [name for name in names if name not in self._heard.answers[host]]
        whys = [self._heard.errors.get((host, name), f"{name}: no answer") for name in missing]
        return next(iter(whys), "")

    def _without_use(self) -> None:
        for one in self._unused:
            why = f"no service that is described uses its cluster ({one.cluster.fsid.lower()})"
            self._without("ceph", one.hosts, why)

    def _of_clusters(self, host: str, service: Service) -> OnHost:
        """What a service of a host has, each of its cluster; of an unknown one it is another's."""
        seen = self._heard.answers[host]
        has = found.of(seen, service)
        kept, others = [], list(has.others)
        for one in has.places:
            label = self._label(seen, one.conf)
            if label:
                kept.append(replace(one, label=label))
                continue
            others.append(one.name[:60])
            fsid = found.fsid(found.conf_text(seen, one.conf)) or "no fsid"
            text = (
                f"{host}: [{one.name[:60]}] is of a cluster ({fsid[:40]}) of which no host with "
                "an administrator's keyring is known, and is left out: name one by --ceph"
            )
            self._remark((service.key.partition(".")[0],), text)
        return replace(has, places=tuple(kept), others=tuple(others))

    def _label(self, seen: Seen, conf: str) -> str:
        """The cluster to which a ceph.conf of a host leads; '' where none is known."""
        text = found.conf_text(seen, conf)
        for label, used in self._used.items():
            if look.is_of(text, used.cluster):
                return label
        for one in self._unused:
            if look.is_of(text, one.cluster):
                label = librados_name(conf)
                if not fits(site_tables.Name, label) or label in self._used:
                    label = one.hosts[0]
                self._unused.remove(one)
                self._used[label] = one
                return label
        return ""

    def draft(self) -> Draft:
        self._machines()
        self._not_looked_at()
        self._clusters()
        for service in found.SERVICES:
            self._on[service.key] = {
                host: self._of_clusters(host, service) for host in self._with(service.role)
            }
        self._without_use()
        self._shared_names()
        self._raw["fsid"] = self._used[OWN].cluster.fsid.lower()
        self._release()
        stores = self._alike(GLANCE, {h: one.places for h, one in self._on[GLANCE].items()})
        backends = self._alike(CINDER, {h: one.places for h, one in self._on[CINDER].items()})
        disks = self._alike(
            NOVA, {h: has.places for h, has in self._on[NOVA].items() if has.places}
        )
        backups = self._backups()
        if not self._with("cinder"):
            backends = ()
        self._in_default()
        connected = bool(stores or backends or disks) and not any(
            role in self._roles_there() and not places
            for role, places in (("glance", stores), ("cinder", backends))
        )
        self._keyrings_apart(stores, (*backends, *backups), disks)
        self._without_volumes(backends)
        self._cinder(backends, (*stores, *disks))
        self._backed_up(backups)
        self._glance(stores, (*backends, *disks))
        self._nova(disks)
        self._conf((*stores, *backends, *backups, *disks))
        self._secrets()
        self._tables()
        return Draft(self._raw, tuple(self._remarks), self._left, connected)

    # Machines

    def _machines(self) -> None:
        first: dict[tuple[str, str], str] = {}
        by_name = {one.name: one for one in self._heard.chosen.candidates}
        for name, one in by_name.items():
            seen = self._heard.answers.get(name, {})
            if "host" not in seen:
                why = self._heard.unreachable.get(name, "it left what it is without an answer")
                self._leave_out(one, f"not reached: {why}")
                continue
            told = seen["host"]
            machine = (str(told["machine_id"]), str(told["boot_id"]))
            other = first.setdefault(machine, name) if all(machine) else name
            if other != name:
                self._remark(("hosts", other), f"{name} is this machine too", False)
                self._roles[other] += [
                    r for r in self._runs(one, seen) if r not in self._roles[other]
                ]
                continue
            self._roles[name] = self._runs(one, seen)
            if not self._roles[name]:
                del self._roles[name]
                named = f"named by {', '.join(one.said)}; none of these services runs there"
                if one.roles:
                    self._leave_out(one, named)
                else:
                    self._remark(("hosts",), f"{name}: {named}", False)
        for name in self._heard.chosen.odd:
            self._remark(("hosts",), f"{name[:80]!r} is no host's name: it was not looked at")
        self._one_database()

    def _runs(self, one: Candidate, seen: Seen) -> list[str]:
        units, there = seen.get(look.UNITS) or {}, seen.get(look.THERE) or {}
        platform = self._site.platform_of(self._site.host(one.name))
        roles = ["ceph"] if "ceph" in one.roles else []
        for service in found.SERVICES:
            unit = platform.unit(service)
            state = units.get(unit, {}).get("ActiveState", "unknown")
            if state in _UP:
                roles.append(service.role)
            elif service.role in one.roles and found.has_file(seen, service):
                roles.append(service.role)
                self._remark(("hosts", one.name), f"{unit} is {state} there")
        if any(units.get(u, {}).get("ActiveState") in _UP for u in platform.daemons["database"]):
            roles.append("database")
        if there.get(look.KOLLA):
            text = (
                f"{look.KOLLA} is there: hand over to Kolla-Ansible, or name the platform kolla "
                "of the host (docs/platforms.md); else it is refused"
            )
            self._remark(("hosts", one.name), text)
        return roles

    def _leave_out(self, one: Candidate, why: str) -> None:
        table: dict[str, Json] = {"roles": list(one.roles) or ["glance"]}
        hypervisors = {
            h["host"]: h["address"] for h in (self._heard.api or {}).get("hypervisors", ())
        }
        address = one.address or hypervisors.get(one.name) or ""
        if fits(site_tables.Address, address):
            table["address"] = address
        self._left[one.name] = table, why

    def _not_looked_at(self) -> None:
        """What could not be looked at is not absent: such a service is left out."""
        role_of = {f"{key}.{what}": r for key, r in _ROLE_OF.items() for what in _OPTIONS}
        for (host, read), why in self._heard.errors.items():
            role = role_of.get(read, "")
            if host in self._with(role):
                self._without(role, [host], f"{read} could not be looked at: {why}")
            elif host in self._roles and not role:
                text = f"{host}: {read} could not be looked at: {why}"
                self._remark(("hosts", host), text)

    def _one_database(self) -> None:
        hosts = self._with("database")
        for other in hosts[1:]:
            self._roles[other].remove("database")
        for other in [name for name in hosts[1:] if not self._roles[name]]:
            del self._roles[other]
        if hosts[1:]:
            text = f"databases run on {', '.join(hosts[1:])} too: of a Galera cluster one is named"
            self._remark(("hosts", hosts[0]), text, False)

    def _shared_names(self) -> None:
        """Names in Cinder's rows that are no machine's: backend_host, or host of cinder.conf."""
        names = set()
        for host, has in self._on[CINDER].items():
            seen = self._heard.answers[host]
            names |= {one.backend_host for one in has.places}
            names.add(own_name(seen, options_of(seen)))
        for name, (table, _) in list(self._left.items()):
            if not names & {name, table.get("address")}:
                continue  # its address is what the API calls it, where that is no host's name
            del self._left[name]
            self._remark(("hosts",), f"{name} is a name of Cinder's services, and no host", False)

    def _with(self, role: str) -> list[str]:
        return [name for name, roles in self._roles.items() if role in roles]

    def _roles_there(self) -> set[str]:
        return {role for roles in self._roles.values() for role in roles}

    def _without(self, role: str, hosts: Iterable[str], why: str) -> None:
        """Leaves a service out where it is as no site file can have it."""
        for host in hosts:
            self._lost.add(role)
            self._roles[host].remove(role)
            if self._roles[host]:
                self._remark(("hosts", host), f"{role} is left out: {why}")
            else:
                del self._roles[host]
                one = next(c for c in self._heard.chosen.candidates if c.name == host)
                self._leave_out(one, f"{role} is left out: {why}")

    def _remark(self, at: At, text: str, doubtful: bool = True) -> None:
        self._remarks.append(Remark(at, text, doubtful))

    # What hosts have in common

    def _alike(self, key: str, has: Mapping[str, tuple[Place, ...]]) -> tuple[Place, ...]:
        """What most hosts of a service have; the others are left out, and what no file can say."""
        if not has:
            return ()
        compared = {host: tuple(map(_signature, places)) for host, places in has.items()}
        most, odd = found.majority(compared)
        usual = next(host for host in has if compared[host] == most)
        role = _ROLE_OF[key]
        for host in odd:
            why = f"{usual} has {_shown(has[usual])}, and this one {_shown(has[host])}"
            self._without(role, [host], why)
        places = has[usual]
        if fault := next(filter(None, map(_unfit, places)), "") or _twice(places):
            self._without(role, [host for host in has if host not in odd], fault)
            return ()
        return places

    def _in_default(self) -> None:
        for host, has in self._on[CINDER].items():
            if has.in_default and host in self._with("cinder"):
                what = has.in_default
                driver = what if isinstance(what, str) else f"RBD, pool {what.pool!r}"
                why = (
                    f"its backend is in [DEFAULT] ({driver}): it has to get a section of its own, "
                    "with its volumes, before another one can be beside it (docs/backends.md)"
                )
                self._without("cinder", [host], why)

    def _keyrings_apart(
        self, stores: Sequence[Place], backends: Sequence[Place], disks: Sequence[Place]
    ) -> None:
        """Leaves out whose keyring on a host would be another service's too."""
        mine = {(one.label, one.client) for one in backends}
        for role, places in (("glance", stores), ("compute", disks)):
            shared = sorted({(one.label, one.client) for one in places} & mine)
            hosts = [h for h in self._with(role) if "cinder" in self._roles[h]] if shared else []
            if hosts:
                why = (
                    f"client.{shared[0][1]} serves cinder there too, and a keyring is for one "
                    f"service alone: give {role} a client of its own, and add the role"
                )
                self._without(role, hosts, why)
        images = {(one.label, one.client) for one in stores}
        both = images & {(one.label, one.client) for one in disks}
        hosts = [h for h in self._with("compute") if "glance" in self._roles[h]] if both else []
        for _, client in sorted(both)[:1]:
            self._without("compute", hosts, f"client.{client} serves glance there too")
        for label, client in sorted(images & mine):
            text = f"{client} serves both glance and cinder: whoever has its key may do both"
            self._remark((*table_of(label), "clients", client), text)

    def _without_volumes(self, backends: Sequence[Place]) -> None:
        """Computes hold secrets for Cinder's clients: without a word of these, nothing is right."""
        lost = any("cinder" in table["roles"] for table, _ in self._left.values())
        if (lost or "cinder" in self._lost) and not (
            backends or self._with("cinder") or self._from_default()
        ):
            why = "Cinder's client is not described, whose secret a compute holds"
            self._without("compute", self._with("compute"), why)

    # The services' tables

    def _glance(self, stores: Sequence[Place], others: Sequence[Place]) -> None:
        if not stores and others and not self._with("glance"):
            stores = [self._stand_in(("glance",), others[0])]
        elif not stores:
            stores = [Place(self._free("glance", RBD), "images", "images")]
            if self._with("glance"):
                self._remark(
                    ("glance",), "Glance has nothing on RBD yet: integrate makes this", False
                )
        table: dict[str, Json] = {"stores": {}}
        for one in stores:
            table["stores"][one.name] = self._uses(one)
        hosts = [self._on[GLANCE][h] for h in self._with("glance")]
        defaults = dict.fromkeys(has.default[:80] or "not named" for has in hosts if has.places)
        for has in hosts[:1]:
            names = [one.name for one in stores]
            if len(defaults) > 1:
                table["keep_default"] = True
                text = f"hosts have several default stores, which stay so: {', '.join(defaults)}"
                self._remark(("glance", "keep_default"), text)
            elif has.default in names[1:]:
                table["default_store"] = has.default
            elif has.places and has.default not in names:
                table["keep_default"] = True
                text = f"the default store is {has.default[:80] or 'not named'!r}: it stays so"
                self._remark(("glance", "keep_default"), text)
            if has.others:
                text = f"other stores stay: {', '.join(has.others)}; so do Glance's reserved ones"
                self._remark(("glance",), text, False)
        self._raw["glance"] = table

    def _stand_in(self, at: At, one: Place) -> Place:
        """For a service without a host here: what is there already, so that nothing is made."""
        self._remark(at, "no host of it is described: this stands in for it", False)
        return Place(RBD, one.pool, one.client, uuid=one.uuid, label=one.label)

    def _cinder(self, backends: Sequence[Place], others: Sequence[Place]) -> None:
        there = bool(backends)
        backends = self._ordered(backends)
        if not backends and (default := self._from_default()):
            backends = [self._stand_in(("cinder",), default)]
        elif not backends and others and not self._with("cinder"):
            backends = [self._stand_in(("cinder",), others[-1])]
        elif not backends:
            backends = [Place(self._free("cinder", RBD), "volumes", "volumes")]
        table: dict[str, Json] = {"backends": {}}
        types: dict[str, None] = {}
        for one in backends:
            made = self._uses(one)
            at = ("cinder", "backends", one.name)
            if self._agreed(one, "backend_host") and fits(site_tables.Address, one.backend_host):
                made["backend_host"] = one.backend_host
            if one.data_pool:
                self._data_pool(one, made)
            if there:
                self._typed(one, at, made, types)
            elif not self._with("cinder"):
                made["without_type"] = True
            table["backends"][one.name] = made
        self._default_type(table, list(types))
        self._others(table)
        self._raw["cinder"] = table

    def _agreed(self, one: Place, what: str) -> bool:
        """Whether all hosts have that of a backend; else each keeps its own, if nobody says it."""
        hosts = {
            host: str(getattr(place, what))
            for host in self._with("cinder")
            for place in self._on[CINDER][host].places
            if place.name == one.name
        }
        if len(set(hosts.values())) <= 1:
            return True
        said = ", ".join(f"{host}: {value[:60] or 'none'}" for host, value in hosts.items())
        text = f"its {what} differs, and each host keeps its own ({said})"
        self._remark(("cinder", "backends", one.name), text)
        return False

    def _backups(self) -> tuple[Place, ...]:
        """Where cinder-backup writes; of another driver nothing is said, and it stays."""
        role = _ROLE_OF[BACKUP]
        for host, has in self._on[BACKUP].items():
            if not has.places:
                text = f"{host}: backups of volumes go on as they do: {', '.join(has.others)}"
                self._remark(("cinder",), text, False)
                self._roles[host].remove(role)
                if not self._roles[host]:
                    del self._roles[host]
        return self._alike(
            BACKUP, {h: has.places for h, has in self._on[BACKUP].items() if has.places}
        )

    def _backed_up(self, backups: Sequence[Place]) -> None:
        """[cinder.backup]; its hosts are those of Cinder where nobody says which."""
        role = _ROLE_OF[BACKUP]
        for one in backups if self._with(role) else ():
            self._raw["cinder"]["backup"] = self._uses(one)
        if self._with(role) == self._with("cinder"):
            for host in self._with(role):
                self._roles[host].remove(role)

    def _others(self, table: Json) -> None:
        for host in self._with("cinder")[:1]:
            if others := self._on[CINDER][host].others:
                text = f"other backends stay as they are: {', '.join(others)}"
                self._remark(("cinder",), text, False)
            if not self._on[CINDER][host].places:
                self._remark(
                    ("cinder",), "Cinder has nothing on RBD yet: integrate makes this", False
                )

    def _ordered(self, backends: Sequence[Place]) -> list[Place]:
        """Nova falls back to the first one's client: first the one that Nova has so."""
        users = {
            has.in_default.client
            for has in self._on[NOVA].values()
            if isinstance(has.in_default, Place)
        }
        return sorted(backends, key=lambda one: one.client not in users)

    def _from_default(self) -> Place | None:
        """The backend in [DEFAULT], of a cloud that has it on RBD."""
        there = (has.in_default for has in self._on[CINDER].values())
        fit = (one for one in there if isinstance(one, Place) and not _unfit(one, False))
        return next(fit, None)

    def _free(self, key: str, name: str) -> str:
        """A section's name that no store or backend of another kind has."""
        taken = {
            other.partition(":")[0].lower()
            for has in self._on[key].values()
            for other in has.others
        }
        kinds = (self._heard.types or {}).get("volume_types", {}) if key == CINDER else {}
        return next(
            n
            for n in (name, "ceph", "rbd-ceph", "stackrbd", "stackrbd-rbd")
            if n not in taken and n not in kinds
        )

    def _typed(self, one: Place, at: At, made: dict[str, Json], types: dict[str, None]) -> None:
        """Its volume type, as the API has it: one that is bound to it, and no other backend's."""
        if self._heard.types is None:
            return
        kinds: Mapping[str, Mapping[str, str]] = self._heard.types["volume_types"]
        bound = [n for n, specs in kinds.items() if specs.get(BOUND) == one.bound]
        usable = [n for n in bound if fits(site_tables.Name, n) and n not in types]
        usable.sort(key=lambda name: (name not in (one.name, one.bound), name))
        if one.zone:
            self._remark(at, f"it is in the availability zone {one.zone}", False)
        if not usable:
            made["without_type"] = True
            text = f"no volume type of its own names it (volume_backend_name = {one.bound})"
            self._remark((*at, "without_type"), text)
            return
        name = usable[0]
        types[name] = None
        made["volume_type"] = name
        if others := [other for other in bound if other != name]:
            self._remark((*at, "volume_type"), f"also bound to it: {', '.join(others)}", False)
        self._specs(one, at, made, kinds[name])
        self._limits(at, made, name)

    def _specs(self, one: Place, at: At, made: dict[str, Json], specs: Mapping[str, str]) -> None:
        more = {key: value for key, value in specs.items() if key != BOUND}
        good = {
            key: value
            for key, value in more.items()
            if fits(site_tables.SpecName, key) and fits(site_tables.SpecValue, value)
        }
        if good:
            made["extra_specs"] = good
        if len(good) < len(more):
            self._remark(at, f"{len(more) - len(good)} extra specs of its type are left out")
        if specs.get(_ZONES) and self._agreed(one, "zone") and fits(site_tables.Name, one.zone):
            made["availability_zone"] = one.zone

    def _limits(self, at: At, made: dict[str, Json], name: str) -> None:
        for qos, told in self._heard.types["qos_specs"].items():
            if name not in told["types"]:
                continue
            specs = told["specs"]
            good = all(
                fits(site_tables.SpecName, k) and fits(site_tables.SpecValue, v)
                for k, v in specs.items()
            )
            if qos == name and good and len(specs) > 1:
                made["qos"] = dict(specs)
            else:
                self._remark(at, f"its type is limited by the QoS {qos!r}, which stays", False)

    def _default_type(self, table: dict[str, Json], types: Sequence[str]) -> None:
        said = [self._on[CINDER][h].default for h in self._with("cinder")]
        for name in dict.fromkeys(filter(None, said)):
            if name in types and len(set(said)) == 1:
                table["default_volume_type"] = name
            else:
                self._remark(("cinder",), f"default_volume_type = {name} stays", False)

    def _nova(self, disks: Sequence[Place]) -> None:
        if not disks:
            return
        (one,) = disks
        there = [host for host in self._with("compute") if self._on[NOVA][host].places]
        some = {"hosts": there} if len(there) < len(self._with("compute")) else {}
        self._raw["nova"] = {"ephemeral": True, **some, **self._uses(one)}

    def _uses(self, one: Place) -> dict[str, Json]:
        """What the site file says of who uses which pool of which cluster."""
        used = self._used[one.label]
        used.pools[one.pool] = None
        used.clients.setdefault(one.client, {})
        of = {"cluster": one.label} if one.label != OWN else {}
        return {"pool": one.pool, "client": one.client, **of}

    def _data_pool(self, one: Place, made: dict[str, Json]) -> None:
        """Where it keeps data: its own key, or the pools that its client writes."""
        if not fits(site_tables.Name, one.data_pool):
            self._remark(("cinder", "backends", one.name), "its data pool has an odd name")
            return
        used = self._used[one.label]
        used.pools[one.data_pool] = None
        if any("ceph" in self._roles[host] for host in self._with("cinder")):
            rwx = used.clients[one.client].setdefault("rwx", [])
            rwx += [pool for pool in (one.pool, one.data_pool) if pool not in rwx]
        else:
            made["data_pool"] = one.data_pool

    # What belongs to all

    def _conf(self, places: Iterable[Place]) -> None:
        usual = self._site.platform_of(self._site.admin).ceph["conf"]
        for one in places:
            self._used[one.label].confs[one.conf or usual] = None
            if one.cluster not in ("", librados_name(one.conf or usual)):
                text = f"rbd_cluster_name = {one.cluster}: it is refused; see docs/own-cloud.md"
                self._remark(table_of(one.label), text)
        for label, used in self._used.items():
            confs = sorted(used.confs)
            if len(confs) > 1:
                which = "" if label == OWN else f" of the cluster {label}"
                self._remark((), f"services name several ceph.conf{which}: {', '.join(confs)}")
            moved = [conf for conf in confs if conf != usual and fits(site_tables.HostPath, conf)]
            if label == OWN and len(confs) == 1 and moved:
                self._raw["platform_changes"] = self._of_platforms({"ceph": {"conf": moved[0]}})

    def _release(self) -> None:
        by_release = releases.of_packages(self._facts, self._heard.tables)
        known = [name for name in releases.names(self._heard.tables) if name in by_release]
        self._raw["release"] = "auto"
        if len(by_release) > 1:
            said = "; ".join(f"{name}: {', '.join(where)}" for name, where in by_release.items())
            self._remark(("release",), f"several releases: {said}")
            if known:
                self._raw["release"] = max(known, key=lambda name: len(by_release[name]))
        elif not known:
            text = f"expected a package that tells it, found {', '.join(by_release) or 'none'}"
            self._remark(("release",), f"{text}: name it")

    def _secrets(self) -> None:
        """The UUID under which each client's key is in use, and computes that have another."""
        taken: dict[str, str] = {}
        for label, used in self._used.items():
            self._secrets_of(label, used, taken)

    def _secrets_of(self, label: str, used: Used, taken: dict[str, str]) -> None:
        for client, table in used.clients.items():
            at = (*table_of(label), "clients", client)
            held = self._held(used.cluster, client)
            mine = self._named(label, client)
            named = [*mine, *(u for uuids in held.values() for u in uuids)]
            uuid = named[0] if named else ""
            if not uuid:
                continue
            if other := taken.get(uuid):
                text = f"its secret's UUID {uuid} is that of {other} too, and each wants its own"
                self._remark(at, text)
                continue
            taken[uuid] = client
            table["secret_uuid"] = uuid
            for one in dict.fromkeys(mine):
                if one != uuid:
                    self._remark(at, f"cinder.conf or nova.conf has {one} too")
            for host in self._with("compute"):
                if (uuids := held.get(host, [])) and uuid not in uuids:
                    text = f"{host} has its key under {', '.join(uuids)}, and not under {uuid}"
                    self._remark(at, text)

    def _named(self, label: str, client: str) -> list[str]:
        """The UUIDs by which services name a client's secret, Cinder's first."""
        uuids = []
        for key in (CINDER, NOVA):
            for has in self._on[key].values():
                there = [p for p in (*has.places, has.in_default) if isinstance(p, Place)]
                uuids += [p.uuid for p in there if (p.label, p.client) == (label, client)]
        return [uuid for uuid in uuids if fits(site_tables.Uuid, uuid)]

    def _held(self, one: Cluster, client: str) -> dict[str, list[str]]:
        """{compute: the UUIDs under which its libvirt has this cluster's key of the client}."""
        key = one.users.get(f"client.{client}", {}).get("key")
        held: dict[str, list[str]] = {}
        for host in self._with("compute"):
            for uuid, answers in (self._heard.answers[host].get(secret_uuid.SECRETS) or {}).items():
                value = answers["value"]
                values = {value["out"].strip(), value.get("peeled", "")} - {""}
                if (
                    key
                    and value["code"] == 0
                    and key in values
                    and fits(site_tables.Uuid, uuid.lower())
                ):
                    held.setdefault(host, []).append(uuid.lower())
        return held

    def _tables(self) -> None:
        for label, used in self._used.items():
            for client in used.clients:
                if f"client.{client}" not in used.cluster.users:
                    text = "the cluster has no such user yet"
                    self._remark((*table_of(label), "clients", client), text, False)
            table: dict[str, Json] = {
                "pools": {name: self._pool(label, used, name) for name in used.pools},
                "clients": used.clients,
            }
            if label == OWN:
                self._raw |= table
            else:
                said = {"fsid": used.cluster.fsid.lower(), **self._own_conf(label, used), **table}
                self._raw.setdefault("clusters", {})[label] = said
        cluster_of = {
            host: label for label, used in self._used.items() for host in used.hosts if label != OWN
        }
        hosts = {}
        for one in self._heard.chosen.candidates:
            if roles := self._roles.get(one.name):
                table = {"roles": [r for r in site_tables.ROLES if r in roles]}
                if "ceph" in roles and one.name in cluster_of:
                    table["cluster"] = cluster_of[one.name]
                hosts[one.name] = {**table, **one.row}
        self._raw["hosts"] = hosts
        for role in ("glance", "cinder", "compute"):
            if not self._with(role):
                self._remark(("hosts",), f"no host with the role {role!r} was found")

    def _of_platforms(self, changes: dict[str, Json]) -> dict[str, Json]:
        """The same for each platform that a host of the site has."""
        there = (self._site.platform_of(self._site.host(name)).name for name in self._roles)
        others = {name: changes for name in there if name != self._site.platform}
        return {**changes, **others}

    def _own_conf(self, label: str, used: Used) -> dict[str, Json]:
        """Its ceph.conf on the hosts that use it, where that is not called by its label."""
        folder = self._site.platform_of(self._site.admin).ceph["folder"]
        confs = [conf for conf in used.confs if fits(site_tables.HostPath, conf)]
        return {"conf": confs[0]} if confs and confs[0] != f"{folder}/{label}.conf" else {}

    def _pool(self, label: str, used: Used, name: str) -> dict[str, Json]:
        table, text = used.pool(name)
        if text:
            self._remark((*table_of(label), "pools", name), text, False)
        return table


def _signature(one: Place) -> tuple[str, ...]:
    """What has to be the same on all hosts of a service."""
    of = one.label, one.conf, one.cluster
    return one.name, one.pool, one.client, *of, one.bound, one.data_pool


def _unfit(one: Place, of_a_name: bool = True) -> str:
    """Why a site file cannot name it; '' where it can."""
    for what, text in (("section", one.name), ("pool", one.pool), ("client", one.client)):
        if not fits(site_tables.Name, text) and (of_a_name or what != "section"):
            return f"its {what} is {text[:60]!r}, which is no name that a site file takes"
    if one.client == _ADMIN:
        return "it logs in as client.admin: give it a client of its own"
    return ""


def _twice(places: Sequence[Place]) -> str:
    names = [same(one.name).lower() for one in places]
    odd = sorted({name for name in names if names.count(name) > 1})
    return f"{odd[0]!r} is there twice" if odd else ""


def _shown(places: Sequence[Place]) -> str:
    return (
        ", ".join(f"[{p.name[:60]}] pool {p.pool[:60]!r}, client {p.client[:60]!r}" for p in places)
        or "nothing on RBD"
    )
