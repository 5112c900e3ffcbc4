"""OpenStack-Ansible's input: user_variables.yml, user_secrets.yml, and a folder for Ceph's files.

cinder_backends has each option of a backend's section; what a role's template does not say goes
into its table of overrides.  libvirt is given one secret by nova_ceph_client, and those of other
clients of Cinder's by ceph_extra_confs, which brings their keyrings and clusters to cinder-volume.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from fabfile.core.contract import BadInput, Change, Json, Refused
from fabfile.model import option_values, services
from fabfile.model.deployment import OWN, Binding
from fabfile.model.option_values import BOOLEAN
from fabfile.resources import secret_uuid
from fabfile.resources.deployer_files import (
    Told,
    Variables,
    beyond,
    filled,
    in_use,
    lacking_of,
    refuse_clusters,
    refuse_logins,
    rendered,
    unclear,
    wanted_values,
)
from fabfile.resources.in_force import same

BACKENDS, DEFAULT, MORE = "cinder_backends", "glance_default_store", "glance_additional_stores"
EXTRA, CONF, AVAILABLE = "ceph_extra_confs", "ceph_conf_file", "glance_available_stores"
NOVA_POOL, NOVA_CLIENT = "nova_libvirt_images_rbd_pool", "nova_ceph_client"
CINDER_CLIENT = "cinder_ceph_client"
STORE = "rbd"
"""The store whose options are variables of their own."""
_RBD = "cinder.volume.drivers.rbd.RBDDriver"


class OpenStackAnsible(Told):
    """The files of /etc/openstack_deploy."""

    def default_first(self, key: str) -> list[Binding]:
        """Of Cinder's, those first that log in as cinder_ceph_client does, on the main cluster."""
        found = super().default_first(key)
        if key != services.CINDER_VOLUME.key:
            return found
        client = self.globals.get(CINDER_CLIENT)
        return sorted(found, key=lambda one: (one.cluster.name != OWN, one.client != client))

    @property
    def volumes(self) -> Binding:
        """The one whose client is cinder_ceph_client."""
        return self.default_first(services.CINDER_VOLUME.key)[0]

    @property
    def nova(self) -> Binding | None:
        """That of Nova's own disks."""
        found = self.written(services.NOVA_COMPUTE.key) if self.site.nova.ephemeral else []
        return found[0] if found else None

    @cached_property
    def uuids(self) -> Mapping[str, str]:
        """Cinder's; Nova's where it logs in as another client, for it is Cinder's by itself."""
        cinder, nova = self.own.uuids["cinder"], self.own.uuids["nova"]
        new = self.fsid_of(self.volumes).lower()
        found = {cinder: self.uuid_named("cinder", self.volumes, new)}
        if self.nova and self.nova.client != self.volumes.client:
            new = secret_uuid.derived(self.nova.client, self.fsid_of(self.nova))
            found[nova] = self.uuid_named("nova", self.nova, new)
        return found

    def uuid_named(self, key: str, one: Binding, new: str) -> str:
        """As for all; the variables count more, and may have it where secrets are encrypted."""
        name = self.own.uuids[key]
        if name not in self.globals:
            return super().uuid_named(key, one, new)
        if found := option_values.as_uuid(str(self.globals[name])):
            return found
        raise unclear(self, f"{name}: a UUID", str(self.globals[name]))

    def uuid_of(self, one: Binding) -> str:
        """Of Cinder's client, of Nova's, or of one that ceph_extra_confs has."""
        if _login(one) == _login(self.volumes):
            return self.uuids[self.own.uuids["cinder"]]
        if self.nova and _login(one) == _login(self.nova):
            return self.uuids[self.own.uuids["nova"]]
        there = option_values.as_uuid(self.resolved(self._extra(one).get("secret_uuid", "")))
        new = secret_uuid.derived(one.client, self.fsid_of(one))
        return there or (one.secret_uuid or new).lower()

    def _extra(self, one: Binding) -> Mapping[str, Json]:
        """What ceph_extra_confs has of a client."""
        found = self.globals.get(EXTRA)
        items = found if isinstance(found, list) else []
        named = [x for x in items if isinstance(x, Mapping) and x.get("client_name") == one.client]
        return named[-1] if named else {}

    def resolved(self, found: Json) -> str:
        """As for all; also a secret's UUID, and what its roles take where nobody says it."""
        text = super().resolved(found)
        name = text.strip().removeprefix("{{").removesuffix("}}").strip()
        if text == name:
            return text
        return self.uuids[name] if name in self.uuids else self.own.defaults.get(name, text)

    # What is there

    @property
    def backends(self) -> Mapping[str, Mapping[str, str]]:
        """{backend: {option: value}}."""
        return {
            name: {key: self.resolved(value) for key, value in options.items()}
            for name, options in self._backends().items()
        }

    def _backends(self) -> Mapping[str, Mapping[str, Json]]:
        """As they are written.  Raises Refused for another form."""
        found = self._table(BACKENDS)
        for name, options in found.items():
            if not isinstance(options, Mapping):
                raise unclear(self, f"{BACKENDS}.{name}: options, each on a line", str(options))
        return found

    def _table(self, name: str) -> Mapping[str, Json]:
        found = self.globals.get(name) or {}
        if not isinstance(found, Mapping):
            raise unclear(self, f"{name}: a table", str(found))
        return found

    @property
    def stores(self) -> Mapping[str, Mapping[str, Json]]:
        """{store: what is said of it}, the default one first.  Raises Refused."""
        default, more = self.globals.get(DEFAULT), self.globals.get(MORE) or []
        if not isinstance(more, list):
            raise unclear(self, f"{MORE}: a list", str(more))
        found = {}
        for one in [default, *more] if default else more:
            said = one if isinstance(one, Mapping) else {"name": one, "type": one}
            if "{{" in str(said.get("name", "")) and one is default:
                raise unclear(self, f"{DEFAULT}: a store's name", str(one))
            found[str(said.get("name", ""))] = said
        return found

    def _pool_of(self, store: Mapping[str, Json]) -> str:
        config = store.get("config")
        if isinstance(config, Mapping):
            return self.resolved(config.get("rbd_store_pool", ""))
        return self.has("glance_rbd_store_pool")

    # What it cannot carry out, or would take from somebody

    def refuse(self) -> None:
        """Raises BadInput."""
        refuse_logins(self)
        self._refuse_clusters()
        self._refuse_conf()
        self._refuse_stores()
        self._refuse_backends()
        self._refuse_nova()
        self._refuse_backups()
        for name in dict.fromkeys(self.own.tables.values()):
            for section, options in self._table(name).items():
                if not isinstance(options, Mapping):
                    raise unclear(self, f"{name}.{section}: a table", str(options))

    def _refuse_clusters(self) -> None:
        if self.has("ceph_cluster_name") != OWN:
            raise beyond(self, "ceph_cluster_name: ceph", self.has("ceph_cluster_name"))
        volumes = [one for one in self.written("cinder") if one.cluster.name == OWN]
        others = [one for one in self.site.handed if one.service.key in ("glance", "cinder.backup")]
        others += [self.nova] if self.nova else []
        refuse_clusters(self, [*others, *([] if volumes else self.written("cinder"))])
        mine = [*self.written("cinder"), *([self.nova] if self.nova else [])]
        logins = {_login(one) for one in mine}
        names = [client for _, client in logins]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BadInput(
                subject=f"deployer {self.own.name}",
                expected="a client's name on one cluster alone",
                found=", ".join(twice),
                why='libvirt\'s secret is called "client.NAME secret", and it takes one of a name',
                advice="use another client of the second cluster",
            )

    def _refuse_conf(self) -> None:
        """The text of ceph.conf in a variable; or no file of it, where a cluster is in use."""
        said, path = self.said(CONF), self.below("ceph.conf")
        if said and said not in (self._lookup, _LOOKUP_OF_THEIRS):
            raise Refused(
                host=self.host,
                subject=self.path(self.own.globals),
                expected=f"{CONF}: {self._lookup}",
                found="another value",
                why="the file is edited, and keeps what is said in it",
                advice=f"move its text to {path}, and take {CONF} out",
            )
        if self._is_in_use() and self.there("ceph.conf") is None:
            raise Refused(
                host=self.host,
                subject=path,
                expected="ceph.conf of the cluster that is in use",
                found="no such file",
                why="that it is the site file's cluster cannot be told",
                advice="copy /etc/ceph/ceph.conf of a host of cinder-volume's there",
            )

    @property
    def _lookup(self) -> str:
        return f"{{{{ lookup('file', '{self.below('ceph.conf')}') }}}}"

    def _is_in_use(self) -> bool:
        on_rbd = [one for one in self.backends.values() if one.get("volume_driver") == _RBD]
        stores = [one for one in self.stores.values() if one.get("type") == STORE]
        return bool(on_rbd or stores or self.said(NOVA_POOL) or self._backs_up())

    def _backs_up(self) -> bool:
        on = option_values.equal(BOOLEAN, self.has("cinder_service_backup_program_enabled"), "yes")
        return on and "ceph" in self.has("cinder_service_backup_driver")

    def _refuse_stores(self) -> None:
        if AVAILABLE in self.globals:
            raise unclear(self, f"no {AVAILABLE}, in favour of {MORE}", f"{AVAILABLE}")
        mine = {one.section: one for one in self.written("glance")}
        default = self.globals.get(DEFAULT)
        if isinstance(default, Mapping) and default.get("name") not in mine:
            name = str(default.get("name"))
            raise in_use(
                self, f"{MORE}: with the store {name}", f"it as {DEFAULT}", "store, or move"
            )
        for name, said in self.stores.items():
            if said.get("type") != STORE:
                continue
            if name not in mine and said is not default and name != default:
                continue
            if name not in mine:
                raise in_use(self, f"{DEFAULT}: one of {', '.join(mine)}", name, "store")
            if self._pool_of(said) != mine[name].pool:
                pool = self._pool_of(said)
                raise in_use(self, f"the pool {mine[name].pool} of the store {name}", pool)

    def _refuse_backends(self) -> None:
        there = self.backends
        for one in self.written("cinder"):
            said = there.get(one.section, {})
            same_driver = said.get("volume_driver", _RBD) == _RBD
            if not same_driver:
                raise in_use(
                    self, f"{BACKENDS}.{one.section}: on RBD", said["volume_driver"], "driver"
                )
            for key, wanted in (
                ("rbd_pool", one.pool),
                ("rbd_ceph_conf", one.conf),
                ("rbd_secret_uuid", self.uuid_of(one)),
            ):
                if said.get(key, wanted) not in (wanted, ""):
                    where = f"{BACKENDS}.{one.section}.{key}: {wanted}"
                    raise in_use(self, where, said[key], key)
        mine, client = {one.section for one in self.written("cinder")}, self.has(CINDER_CLIENT)
        others = [name for name, said in there.items() if name not in mine]
        theirs = [name for name in others if there[name].get("rbd_user") == client]
        if theirs and client != self.volumes.client:
            where = f"{CINDER_CLIENT}: {self.volumes.client}"
            raise in_use(self, where, f"{client}, of {', '.join(theirs)}", "backend, or client,")

    def _refuse_nova(self) -> None:
        pool, wanted = self.said(NOVA_POOL), self.nova.pool if self.nova else ""
        if pool and pool != wanted:
            found = (
                f"{NOVA_POOL}: {wanted}" if wanted else f"no {NOVA_POOL}, as nova.ephemeral says"
            )
            raise in_use(self, found, pool, "pool ([nova] ephemeral = true, with client and pool)")
        name = self.own.uuids["nova"]
        if self.nova and self.nova.client != self.volumes.client:
            return
        said = self.globals.get(name)
        found = self.uuid_there("nova") if said is None else self.resolved(said)
        if found and found != self.uuids[self.own.uuids["cinder"]]:
            raise Refused(
                host=self.host,
                subject=name,
                expected=f"{self.uuids[self.own.uuids['cinder']]}, or nothing",
                found=found,
                why="Nova logs in as Cinder does, and libvirt takes one secret of a client",
                advice="take it out: it is Cinder's by itself; or name another client in [nova]",
            )

    def _refuse_backups(self) -> None:
        backup = self.of(services.CINDER_BACKUP.key)
        if not self._backs_up():
            return
        written = [one for one in backup if one.section]
        pool = self.has("cinder_service_backup_ceph_pool")
        if not written:
            raise in_use(self, "[cinder.backup] in the site file", f"its pool {pool}")
        if pool != written[0].pool:
            raise in_use(self, f"cinder_service_backup_ceph_pool: {written[0].pool}", pool)

    # What is written

    def wanted(self) -> Variables:
        """Raises BadInput."""
        values = wanted_values(self) | {
            CONF: self._lookup,
            self.own.config: self.path(self.own.below),
        }
        if self.said(CONF) == _LOOKUP_OF_THEIRS:
            values[CONF] = self.said(CONF)
        item = self.form.lists[MORE]["item"]
        default, *others = self.default_first("glance")
        if default.section != STORE:
            values[DEFAULT] = filled(item, self.words(default))
            del values["glance_rbd_store_pool"], values["glance_rbd_store_user"]
        if not self.nova and self.said(NOVA_CLIENT) not in ("", self.volumes.client):
            values[NOVA_CLIENT] = self.volumes.client
        more = [filled(item, self.words(one)) for one in others] + self._kept()
        if more and MORE not in self.globals:
            more = [*self.form.lists[MORE]["defaults"], *more]
        lists = {MORE: more, EXTRA: self._extras()}
        return Variables(values, lists, self._options())

    def _kept(self) -> list[Json]:
        """The default store of today: what is stored in it stays readable beside Ceph's."""
        found = self.globals.get(DEFAULT) or self.own.defaults[DEFAULT]
        mine = [one.section for one in self.written("glance")]
        return [found] if isinstance(found, str) and found not in mine else []

    def _extras(self) -> list[Json]:
        """Clients of Cinder's whose keyrings or secrets no other variable brings."""
        first = self.nova or self.volumes
        done = {_login(self.volumes)} if _login(first) == _login(self.volumes) else set()
        found: list[Json] = []
        for one in self.written("cinder"):
            if _login(one) not in done:
                done.add(_login(one))
                table = self.form.lists[EXTRA]
                more = table["of_cluster"] if one.cluster.name != OWN else {}
                found.append(filled({**table["item"], **more}, self.words(one)))
        return found

    def _options(self) -> dict[tuple[str, ...], Json]:
        """What the release's tables want, and is not there by itself; backends have their own."""
        found: dict[tuple[str, ...], Json] = {}
        for service in services.SERVICES:
            mine = self.written(service.key)
            if not mine or (service == services.NOVA_COMPUTE and not self.nova):
                continue
            backends = {one.section for one in mine if service == services.CINDER_VOLUME}
            lacking = lacking_of(self, mine, self._by_then(mine))
            for (section, name), option in lacking.items():
                if "{{" in option.value or "{%" in option.value:
                    raise beyond(self, f"no template in [{section}] {name}", option.value)
                variable = BACKENDS if section in backends else self.own.tables[service.key]
                found[variable, section, name] = self._referred(option.value)
        return found

    def _referred(self, value: str) -> str:
        """A value, by its variable's name where it is a UUID of user_secrets.yml."""
        names = {uuid: name for name, uuid in self.uuids.items()}
        return f"{{{{ {names[value]} }}}}" if value in names else value

    def _by_then(self, mine: Sequence[Binding]) -> dict[tuple[str, str], str]:
        """What the role's file has, once it is told of the rest."""
        key = mine[0].service.key
        found = rendered(self, mine)
        if key == "glance":
            found["DEFAULT", "enabled_backends"] = self._enabled_stores(mine)
        if key == "cinder":
            names = sorted({*self._backends(), *(one.section for one in mine)})
            found["DEFAULT", "enabled_backends"] = ",".join(names)
            for section, options in self._backends().items():
                found |= {(same(section), name): self._then(v) for name, v in options.items()}
        for section, options in self._table(self.own.tables[key]).items():
            found |= {(same(section), name): self._then(v) for name, v in options.items()}
        return found

    def _then(self, found: Json) -> str:
        """A value of another variable's name, as that one is going to be."""
        values = wanted_values(self)
        return str(values.get(str(found).strip("{} "), "")) or self.resolved(found)

    def _enabled_stores(self, mine: Sequence[Binding]) -> str:
        default = self.default_first("glance")[0].section
        there = {name: str(said.get("type", "")) for name, said in self.stores.items()}
        kept = {str(one): str(one) for one in self._kept()}
        found = {default: STORE, **there, **{one.section: STORE for one in mine}, **kept}
        return ",".join(f"{name}:{kind}" for name, kind in found.items())

    def notes(self, changes: Sequence[Change]) -> list[str]:
        """What stays, and what else is asked for from now on."""
        found = []
        if self._kept():
            found.append(
                f"{self.host}: {MORE}: images in the store that was the default stay readable; "
                "take it out once none is left there"
            )
        if self.nova and not self.said(NOVA_POOL):
            found.append(self.disks_move(NOVA_POOL))
        if not self.said(self.own.config):
            found.append(
                f"{self.host}: {self.own.config}: keyrings are taken from there alone from then "
                "on: put those of Manila and Gnocchi there too, where they are on Ceph"
            )
        return found


_LOOKUP_OF_THEIRS = "{{ lookup('file', ceph_keyrings_dir ~ '/ceph.conf') }}"
"""As user_variables.yml.az.example has it."""


def _login(one: Binding) -> tuple[str, str]:
    return one.cluster.label, one.client
