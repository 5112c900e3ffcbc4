"""A cluster that a running cloud uses, and what a site file says of it: pools and clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fabfile.adopt.forms import fits
from fabfile.core.contract import Facts, Json, Seen
from fabfile.doctor.observation import calm
from fabfile.model import site_tables
from fabfile.model.deployment import OWN
from fabfile.model.site import Site
from fabfile.resources import cluster
from fabfile.resources.cluster import Cluster
from fabfile.resources.pool_settings import NAUTILUS, SETTINGS, Setting
from fabfile.resources.pools import is_erasure_coded

At = tuple[str, ...]
"""A key of the site file, as the names of its tables and its own."""
_KEYS = {"max_bytes": "quota", "max_objects": "quota_objects"}
_TEXTS = ("quota", "pg_autoscale_mode", "compression_mode", "compression_algorithm")


@dataclass
class Used:
    """A cluster as the cloud uses it: of what was found it gathers what the site file says.

    hosts: its Ceph hosts, the first one first; clients: {name: its table}.
    """

    cluster: Cluster
    hosts: tuple[str, ...]
    rules: Mapping[int, str]
    clients: dict[str, dict[str, Json]] = field(default_factory=dict)
    pools: dict[str, None] = field(default_factory=dict)
    confs: dict[str, None] = field(default_factory=dict)

    def pool(self, name: str) -> tuple[dict[str, Json], str]:
        """(the table of a pool, what is to be known of it)."""
        pool = self.cluster.pools.get(name)
        if pool is None:
            return {}, "it is not there yet"
        if is_erasure_coded(pool):
            return {}, "erasure-coded: what it is like is left as it is"
        table: dict[str, Json] = {}
        for setting in SETTINGS:
            key, value = self._setting(setting, pool)
            if key and fits(site_tables.Pool, {key: value}):
                table[key] = value
        if table.get("min_size", 0) > table.get("size", 0):
            table.pop("min_size", None)
        return table, ""

    def _setting(self, setting: Setting, pool: Mapping[str, Json]) -> tuple[str, Json]:
        """(its key in the site file, '' for one that is left open; its value)."""
        release = self.cluster.release
        if setting.since > release:
            return "", None
        now = setting.now(pool)
        key = _KEYS.get(setting.key, setting.key)
        if key == "crush_rule":
            return key, self.rules.get(pool.get("crush_rule", -1), "")
        if key == "pg_num" and pool.get("pg_autoscale_mode") == "on":
            return "", None
        if now in ("0", "none", "unset") or (key.startswith("pg_") and release < NAUTILUS):
            return "", None
        if key == "target_size_ratio":
            return key, float(pool["options"][key])
        return key, now if key in _TEXTS else int(now) if now.isdecimal() else ""


def asked(site: Site, answers: Mapping[str, Seen], name: str, hosts: tuple[str, ...]) -> Used:
    """A cluster by what one of its hosts answers.

    site: by which was asked, whose first Ceph host need not be that one.  Raises Stop.
    """
    facts = calm(site, Facts({site.admin.name: answers[name]}))
    rules = cluster.crush_rules(site, facts)
    return Used(cluster.seen(site, facts), hosts, {rule.id: rule.name for rule in rules})


def table_of(label: str) -> At:
    """Where a cluster's own tables are in the site file."""
    return () if label == OWN else ("clusters", label)
