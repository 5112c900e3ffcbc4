"""OpenStack-Ansible's roles of a release: their templates, rendered as Ansible renders them.

A variable is looked up where it counts most: what the operator says, a role's vars, group_vars, a
role's defaults; values that are templates are rendered in turn.  What nobody here knows (Keystone's
addresses) is undefined, and renders as nothing.
"""

import ast
import json
import os
import re
from pathlib import Path

import jinja2
import yaml
from jinja2.runtime import Context, missing

ROLES = Path(os.environ.get("STACKRBD_OSA_ROLES", "/nonexistent"))
"""A folder of RELEASE/{ceph_client,os_cinder,os_glance,os_nova,openstack-ansible}: the
repositories openstack/openstack-ansible-NAME, and openstack/openstack-ansible, of its branch."""
_FACTS = {
    "os_family": "Debian",
    "distribution": "Ubuntu",
    "distribution_version": "22.04",
    "distribution_major_version": "22",
    "hostname": "infra1",
    "architecture": "x86_64",
    "processor_vcpus": 4,
    "processor_threads_per_core": 1,
}


def _bool(value):
    return str(value).lower() in ("yes", "true", "on", "1")


class _Unknown(jinja2.ChainableUndefined):
    """What only a running cloud knows: whatever is made of it is nothing, too."""

    def __call__(self, *_, **__):
        return self

    __add__ = __radd__ = __mul__ = __rmul__ = __floordiv__ = __rfloordiv__ = __lt__ = __gt__ = (
        __call__
    )
    __le__ = __ge__ = __int__ = __call__


class _Variables(Context):
    """Names as Ansible resolves them: each value a template in turn."""

    def resolve_or_missing(self, key):
        found = super().resolve_or_missing(key)
        if found is missing:
            return found
        try:
            return self.environment.made(found)
        except (jinja2.TemplateError, TypeError):
            return self.environment.undefined(name=key)


class Role:
    """A role's variables, and the operator's over them."""

    def __init__(self, release, name, said, files, groups):
        folder = ROLES / release
        self.folder = folder / name
        beside = folder / "openstack-ansible/inventory/group_vars"
        group_files = sorted((beside / "all").glob("*.yml"))
        group_files += [path for one in groups for path in sorted((beside / one).glob("*.yml"))]
        group_files += [beside / f"{one}.yml" for one in groups]
        own = [self.folder / "defaults/main.yml"], [self.folder / "vars/main.yml"]
        own[1].append(self.folder / "vars/debian.yml")
        self.variables = {}
        for path in [*own[0], *group_files, *own[1]]:
            if path.exists():
                self.variables |= yaml.safe_load(path.read_text()) or {}
        groups_of = {one: ["infra1"] for one in (*groups, "cinder_volume", "nova_compute")}
        self.variables |= {
            "ansible_facts": _FACTS,
            "group_names": groups,
            "groups": {**groups_of, "all": ["infra1"]},
            "inventory_hostname": "infra1",
            "hostvars": {},
            **said,
        }
        self.environment = jinja2.Environment(  # noqa: S701 (no page: a file of options)
            undefined=_Unknown,
            trim_blocks=True,
            keep_trailing_newline=True,
            extensions=["jinja2.ext.do"],
        )
        self.environment.context_class = _Variables
        self.environment.made = self.made
        self.environment.filters |= {
            "bool": _bool,
            "ternary": lambda on, yes, no: yes if on else no,
            "to_json": lambda value: json.dumps(value, default=str),
            "urlsplit": lambda value, part="": "",
            "intersect": lambda a, b: [one for one in a if one in b],
            "difference": lambda a, b: [one for one in a if one not in b],
            "regex_search": lambda text, pattern: (re.search(pattern, text) or [""])[0],
            "unique": lambda items: [x for n, x in enumerate(items) if x not in items[:n]],
            "extract": lambda key, table, *_: table.get(key, ""),
            "combine": lambda a, b, **_: {**a, **b},
        }
        self.environment.tests["version"] = lambda *_: False
        self.environment.globals["lookup"] = lambda kind, path: files[path]

    def made(self, value):
        """A value with its templates rendered; a whole one has a type, as Ansible gives it."""
        if isinstance(value, dict):
            return {key: self.made(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.made(one) for one in value]
        if not isinstance(value, str) or not ("{{" in value or "{%" in value):
            return value
        text = self.environment.from_string(value).render(self.variables)
        try:
            return ast.literal_eval(text.strip()) if text.strip()[:1] in "[{TF" else text
        except (SyntaxError, ValueError):
            return text

    def get(self, name):
        """A variable's value."""
        return self.made(self.variables[name])

    def rendered(self, template):
        """One of its templates, as a text."""
        text = (self.folder / "templates" / template).read_text()
        return self.environment.from_string(text).render(self.variables)
