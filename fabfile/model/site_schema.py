"""The site file's JSON schema, and its settings as rows: made of the tables themselves.

Pure.  What no schema can say, such as how tables meet, the check of a site file says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fabfile.core.contract import Json
from fabfile.model import site as sites
from fabfile.model import site_tables
from fabfile.model.site import Site
from fabfile.model.site_words import WORDS

DRAFT = "http://json-schema.org/draft-07/schema#"
"""What editors' plugins for TOML read."""
_MARK = "$ref"


def words_of(table: type[Any], key: str) -> str:
    """What a key of a table means; '' where nobody wrote it down."""
    for one in table.__mro__:
        if key in WORDS.get(one.__name__, {}):
            return WORDS[one.__name__][key]
    return ""


def schema() -> dict[str, Json]:
    """The site file's JSON schema: every key, its form, default and meaning."""
    found = Site.model_json_schema()
    for name, one in [("Site", found), *found["$defs"].items()]:
        table = getattr(site_tables, name, None) or getattr(sites, name)
        one.pop("description", None)  # the class's docstring is for who reads the sources
        for key, field in one.get("properties", {}).items():
            one["properties"][key] = _described(field, words_of(table, key))
    _close(found)
    return {"$schema": DRAFT, **found, "title": "stackrbd's site file"}


def as_json() -> str:
    """The schema as the text of a file."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _described(field: dict[str, Json], words: str) -> dict[str, Json]:
    """A key's schema with its meaning; draft 7 takes no word beside a reference."""
    field.pop("title", None)
    if _MARK in field:
        field = {"allOf": [{_MARK: field.pop(_MARK)}], **field}
    return {**field, "description": words}


def _close(node: Json) -> None:
    """A table by names: no key that is no name.  None cannot be said in TOML."""
    if isinstance(node, list):
        for one in node:
            _close(one)
    if not isinstance(node, dict):
        return
    if "patternProperties" in node:
        node["additionalProperties"] = False
    if "anyOf" in node:
        node["anyOf"] = [one for one in node["anyOf"] if one != {"type": "null"}]
    if node.get("default", "") is None:
        del node["default"]
    for key, value in node.items():
        if key != "default":
            _close(value)


# The settings as rows


@dataclass(frozen=True)
class Setting:
    """One key of the site file.

    key: dotted, NAME where the operator's own word stands; form, default: in words, '' for none.
    """

    key: str
    form: str
    default: str
    words: str
    required: bool = False


def settings() -> list[Setting]:
    """Every key of the site file, in its order."""
    whole = schema()
    return list(_rows("", whole, whole["$defs"]))


def _rows(at: str, table: Mapping[str, Json], known: Mapping[str, Json]) -> Iterator[Setting]:
    for key, field in table.get("properties", {}).items():
        yield from _of_field(f"{at}{key}", field, known, key in table.get("required", ()))


def _of_field(
    at: str, field: Mapping[str, Json], known: Mapping[str, Json], required: bool
) -> Iterator[Setting]:
    shape = _resolved(field, known)
    named = list(shape.get("patternProperties", {}).values())
    below = _resolved(named[0], known) if len(named) == 1 else {}
    if "properties" in shape:
        yield Setting(at, "table", "", field["description"], required)
        yield from _rows(f"{at}.", shape, known)
    elif "properties" in below:
        default = ", ".join(field.get("default") or ())
        yield Setting(f"{at}.NAME", "table", default, field["description"], required)
        yield from _rows(f"{at}.NAME.", below, known)
    else:
        default = "" if "default" not in field else as_toml(field["default"])
        yield Setting(at, _form(shape, known), default, field["description"], required)


def _resolved(field: Mapping[str, Json], known: Mapping[str, Json]) -> Mapping[str, Json]:
    """What a schema refers to; of one that may be left out, what it is else."""
    while True:
        if _MARK in field:
            field = known[field[_MARK].rpartition("/")[2]]
        elif len(field.get("allOf", field.get("anyOf", ()))) == 1:
            field = field.get("allOf", field.get("anyOf", ()))[0]
        else:
            return field


_TYPES = {
    "string": "text",
    "boolean": "true or false",
    "integer": "number",
    "number": "number",
    "object": "table",
}


def _form(field: Mapping[str, Json], known: Mapping[str, Json]) -> str:
    """A value's form in words: 'number, 1 to 256'."""
    field = _resolved(field, known)
    if "enum" in field or "const" in field:
        return ", ".join(map(str, field.get("enum", [field.get("const")])))
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_form(one, known) for one in field["anyOf"]))
    if field["type"] == "array":
        return f"list of {_form(field['items'], known)}"
    span = f", {field['minimum']:g} to {field['maximum']:g}" if "maximum" in field else ""
    return str(field.get("words", _TYPES[field["type"]] + span))


def as_toml(value: Json) -> str:
    """A value as the site file would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {as_toml(one)}" for key, one in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    return str(value)
