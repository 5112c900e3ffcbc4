"""`config`: every value that counts, and where it comes from; reaches no host."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from fabfile.core import own_files, site_file
from fabfile.core.contract import INV, BadInput, Facts
from fabfile.core.text import hung, named
from fabfile.flow import own_site
from fabfile.flow.session import Options
from fabfile.flow.terminal.screen import Screen
from fabfile.model import effective, releases, site_schema
from fabfile.model.effective import Effective
from fabfile.model.site import Site
from fabfile.resources import shown_config

_WIDEST = 44
"""Of the keys: one that is longer pushes its own line alone."""


def show(options: Options) -> int:
    """Prints a line a value.  Raises BadInput as each task does for the site file."""
    path = site_file.locate(options.site)
    site = own_site.checked(path)
    text = own_files.read(path, "the site file").decode()
    found = effective.of_site(site, site_file.lines(text), path.name)
    wanted, why = _of_release(site)
    screen = Screen(options.json)
    screen.say(f"{path} ({_named_by(options.site)})")
    open_ = sorted(set(effective.not_said(site)))
    keys = max((len(one.key) for one in found if len(one.key) <= _WIDEST), default=0)
    screen.say_all(_lines(found, keys, screen.columns))
    screen.say("Not said, and without a default:")
    screen.say_all(_open_lines(open_, screen.columns))
    screen.say_all(("", *hung("", why, screen.columns), *_lines(wanted, 0, screen.columns)))
    told = [asdict(one) for one in (*found, *wanted)]
    whole = {"release": site.release, "values": told, "not_said": open_}
    screen.json({"site_file": str(path), **whole})
    return 0


def write_schema(out: str) -> int:
    """Writes the site file's JSON schema into a new file.  Raises BadInput where one is."""
    path = site_file.expanded(out or "site.schema.json", "--out")
    site_file.refuse_existing(path)
    site_file.write_new(path, site_schema.as_json())
    print(
        f"{path}: written. Editors that know TOML's schemas (taplo, Even Better TOML) complete a "
        f"site file whose first line is:\n#:schema {_beside(path)}"
    )
    return 0


def _beside(path: Path) -> str:
    """As a site file of the same folder names it."""
    return f"./{path.name}"


def _named_by(option: str) -> str:
    if option:
        return "named by --site"
    return "named by STACKRBD_SITE" if os.environ.get("STACKRBD_SITE") else "found without a flag"


def _of_release(site: Site) -> tuple[list[Effective], str]:
    """What the release's table adds, and the line before it."""
    if site.release == "auto":
        return [], (
            "release = \"auto\": what the services' files get besides, the hosts' packages say. "
            f"Name the release in the site file to see it here; {INV} plan shows it of the hosts"
        )
    try:
        chosen = releases.choose(site, Facts({}, {}, {}), site_file.releases())
        found = list(shown_config.of_release(site, chosen.table, chosen.name))
    except BadInput as stop:
        return [], str(stop)
    return found, f"What OpenStack {chosen.name} gets in the services' files:"


def _open_lines(keys: Sequence[str], columns: int) -> Iterator[str]:
    """A line a table, with its settings."""
    tables: dict[str, list[str]] = {}
    for key in sorted(keys, key=lambda key: "." in key):
        table, _, name = key.rpartition(".")
        tables.setdefault(table or "(no table)", []).append(name)
    width = max(map(len, tables), default=0)
    for table, names in tables.items():
        yield from hung(f"  {table:<{width}}  ", ", ".join(names), columns)


def _lines(found: Sequence[Effective], keys: int, columns: int) -> Iterator[str]:
    """A line a value; in a window that is too narrow for both, its origin hangs below it."""
    for one in found:
        value = f"{one.key:<{keys}} = {one.shown}"
        origin = f"# {one.origin}" + (f", on {named(one.hosts)}" if one.hosts else "")
        if columns and len(value) + 2 + len(origin) > columns:
            yield value
            yield from hung("    ", origin, columns)
        else:
            yield f"{value}  {origin}"
