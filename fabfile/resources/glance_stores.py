"""Glance's stores that are in force, which stay when the list of them is named.

Up to Stein, and as long as nobody says enabled_backends, Glance has a list of kinds ([glance_store]
stores; file and http where nobody says any) whose options share one section.  Named stores have a
section each: every kind of the list becomes one, with the options that are its own.  An image's
location does not change; without a store's name, Glance asks the stores of its scheme.
Source: glance_store/backend.py, multi_backend.py; glance/common/store_utils.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fabfile.core.contract import BadInput, Json
from fabfile.model.deployment import Binding
from fabfile.model.option_values import items
from fabfile.resources.in_force import Options, same
from fabfile.resources.wanted_options import as_table

RBD = "rbd"
BY_DEFAULT = "file,http"
_ALWAYS = "file"
"""The kind that gets a name whether the older list has it or not (config/releases, when_absent)."""
RESERVED = "os_glance_"
"""How the names of Glance's own stores begin, of which its validator does not know."""
_STAGING = f"{RESERVED}staging_store"
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "file": ("filesystem_",),
    "http": ("https_", "http_"),
    "swift": ("swift_", "default_swift_"),
    "s3": ("s3_",),
    "cinder": ("cinder_", "rootwrap_config"),
    RBD: ("rbd_", "rados_"),
}
"""{kind: how the options that are its own begin}; other kinds are not found by their scheme."""
_SCHEMES = {"filesystem": "file", "https": "http", "vsphere": "vmware"}
"""{what default_store may say: the kind that is meant}; else it is the kind, up to a '+'."""
_MASKED = "sha256:"
_LIST, _STORES = ("DEFAULT", "enabled_backends"), ("glance_store", "stores")
_POOL, _CONF = "rbd_store_pool", "rbd_store_ceph_conf"
_IDENTITY = (_POOL, _CONF, "rbd_store_user")


def kind(entry: str) -> str:
    """A store's kind, also of a class: glance.store.swift.Store is swift."""
    parts = entry.split(".")
    name = parts[-2] if len(parts) > 2 else entry
    return "file" if name == "filesystem" else name


def listed_plainly(options: Options) -> Options:
    """The same, with RBD stores that are listed by their class listed by their kind."""
    plain = {at: _plainly(options[at]) for at in (_LIST, _STORES) if at in options}
    return {**options, **plain}


def _plainly(listed: str) -> str:
    pairs = [entry.rpartition(":") for entry in items(listed)]
    if all(what == RBD or kind(what) != RBD for _, _, what in pairs):
        return listed
    return ",".join(f"{name}{colon}{_of_rbd(what)}" for name, colon, what in pairs)


def _of_rbd(what: str) -> str:
    return RBD if kind(what) == RBD else what


def refuse(
    uses: Sequence[Binding], data: Json, options: Options, lines: Iterable[tuple[str, str]]
) -> None:
    """Raises BadInput where images that are there could not be read any more.

    uses: the site's stores; data: the release's table; lines: (section, option) as often as said.
    """
    enabled, use = options.get(_LIST, ""), uses[0]
    if enabled:
        there = {entry.partition(":")[0] for entry in items(enabled)}
        for one in uses:
            _refuse_another_kind(one, enabled)
            _refuse_another_pool([one], options, one.section, one.section in there)
        return
    listed = kinds(options)
    named = "enabled_backends" in data.get("options", {}).get("DEFAULT", {})
    older = "glance_store" not in data.get("options", {})
    section = "DEFAULT" if older and _STORES not in options else "glance_store"
    _refuse_another_default(use, options, listed)
    if RBD in listed:
        _refuse_another_pool(uses, options, section, _default_kind(options) == RBD)
    if named:
        lines = list(lines)
        for one in uses:
            _refuse_what_cannot_move(one, options, listed, lines)


def _refuse_another_kind(use: Binding, enabled: str) -> None:
    """A store of the site's name that is no RBD store."""
    for entry in items(enabled):
        name, _, what = entry.partition(":")
        name = name.strip()
        if same(name) == same(use.section) and kind(what.strip()) == RBD and name != use.section:
            raise _refused(
                use,
                f"enabled_backends = {enabled}",
                f"the store's name as it is there, {name}",
                f"name it so: glance.store = {name!r}, or a table [glance.stores.{name}]",
            )
        if same(name) == same(use.section) and kind(what.strip()) != RBD:
            raise _refused(
                use,
                f"enabled_backends = {enabled}",
                f"a store {use.section} of kind {RBD}, or none of that name",
                "name the site's store otherwise: another glance.store",
            )


def kinds(options: Options) -> list[str]:
    """The kinds of the older list, the library's own default included."""
    older = options.get(("DEFAULT", "known_stores"), BY_DEFAULT)
    listed = items(options.get(_STORES, older))
    return list(dict.fromkeys(map(kind, listed)))


def moved(uses: Sequence[Binding], options: Options) -> dict[str, Json]:
    """{section: {option: value}} that gives every kind of the older list a name of its own.

    uses: the site's stores, one of which is the older list's RBD store from then on.  The folder
    for imports goes along: beside a list of stores, node_staging_uri is not read.
    """
    found: dict[str, dict[str, str]] = {}
    listed = kinds(options)
    others = [one for one in listed if one != RBD]
    for one in listed:
        name = _successor(uses, options).section if one == RBD else one
        for (section, key), value in options.items():
            mine = section == "glance_store" and key.startswith(_OPTIONS.get(one, ()))
            if mine and key not in _IDENTITY:
                found.setdefault(name, {})[key] = value
    scheme, _, staging = options.get(("DEFAULT", "node_staging_uri"), "").partition("://")
    if scheme == "file" and staging.startswith("/"):
        found[_STAGING] = {"filesystem_store_datadir": staging}
    names = {"enabled_backends": "+" + ",".join(f"{one}:{one}" for one in others)}
    tables: dict[str, Json] = {"DEFAULT": names} if others else {}
    for name, table in found.items():
        tables |= as_table(name, table)
    return tables


def _successor(uses: Sequence[Binding], options: Options) -> Binding:
    """The one of the site's stores in which the older list's RBD store goes on: of its place."""
    pool = options.get(("glance_store", _POOL), "images")
    conf = options.get(("glance_store", _CONF), "")
    fit = [one for one in uses if one.pool == pool]
    return next((one for one in fit if conf in one.confs), (fit or list(uses))[0])


def default(uses: Sequence[Binding], options: Options) -> str:
    """The name that the older list's default store gets; Glance does not start without one.

    Source: verify_store of glance_store/multi_backend.py.
    """
    store = _default_kind(options) or "file"
    return _successor(uses, options).section if store == RBD else store


def _default_kind(options: Options) -> str:
    said = options.get(("glance_store", "default_store"), "")
    return _SCHEMES.get(said, said.partition("+")[0])


def _refuse_another_default(use: Binding, options: Options, listed: Iterable[str]) -> None:
    """A default store that no list has: Glance does not start so; whether it has images is open."""
    said, store = options.get(("glance_store", "default_store"), ""), _default_kind(options)
    if store and store not in (*listed, RBD):
        raise _refused(
            use,
            f"[glance_store] default_store = {said}, and stores without it",
            "a default store that is listed",
            f"add {store} to [glance_store] stores if images are in it; else take the line out",
        )


def _refuse_another_pool(
    uses: Sequence[Binding], options: Options, section: str, is_used: bool
) -> None:
    """An RBD store that is there keeps its pool and cluster: locations name both.

    uses: those of the site that may take its place; is_used: also where it says nothing of itself,
    and has all by default.
    """
    at, use = same(section), uses[0]
    if not is_used and not any(key.startswith("rbd_store_") for s, key in options if s == at):
        return
    pool = options.get((at, _POOL), "images")
    mine = [one for one in uses if one.pool == pool] or uses
    pools = tuple(one.pool for one in uses)
    confs = tuple(conf for one in mine for conf in one.confs)
    fits = {_POOL: ("images", pools), _CONF: ("", confs)}
    for key, (default, fit) in fits.items():
        value = options.get((at, key), default)
        if value not in fit:
            raise _refused(
                use,
                f"[{section}] {key} = {value}",
                f"{key} = {fit[0]}",
                "name the site's store otherwise (glance.store), or, for another pool, adopt it "
                "(glance.pool); where no image is in it, set the option right yourself",
            )


def _refuse_what_cannot_move(
    use: Binding, options: Options, listed: Iterable[str], lines: Iterable[tuple[str, str]]
) -> None:
    said = list(lines)
    by_hand = (
        "name the stores yourself first: enabled_backends = NAME:KIND,... with a section NAME for "
        "each, and default_backend in [glance_store]; integrate then adds its own beside them"
    )
    for one in dict.fromkeys((*listed, _ALWAYS)):
        if one != RBD and same(one) == same(use.section):
            wanted = f"another name than {use.section} for the site's store"
            raise _refused(use, f"a store of kind {one}", wanted, "change glance.store")
    for one in listed:
        if one not in _OPTIONS:
            raise _refused(use, f"a store of kind {one}", "kinds that Glance can name", by_hand)
        for (section, key), value in options.items():
            if one == RBD or section != "glance_store" or not key.startswith(_OPTIONS[one]):
                continue
            if value.startswith(_MASKED):
                found = f"[glance_store] {key}, a credential of store {one}"
                raise _refused(use, found, "options that can be copied", by_hand)
            if said.count((section, key)) > 1:
                found = f"[glance_store] {key}, several times"
                raise _refused(use, found, "options that are there once", by_hand)


def _refused(use: Binding, found: str, expected: str, advice: str) -> BadInput:
    return BadInput(
        host=use.host.name,
        subject=use.file,
        expected=expected,
        found=found,
        why="images that are there could not be read any more",
        advice=advice,
    )
