"""What is edited in a file of options when a backend or a store goes: pure.

Its section, byte for byte as if it had never been there; its name in the list of what is started;
and a default that names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fabfile.core.contract import Refused
from fabfile.model.deployment import Binding
from fabfile.model.option_values import items
from fabfile.model.services import CINDER_VOLUME, Service
from fabfile.model.site import Site
from fabfile.resources.glance_stores import kind
from fabfile.resources.in_force import Options, same

Edit = tuple[str, str | None, str | None]
"""(section, option, value): None as value takes the option out, as option the section's heading."""
_LIST = "enabled_backends"
_STORE = ("glance_store", "default_backend")


def sections(active: Iterable[Sequence[str]], gone: Iterable[str]) -> list[Edit]:
    """What takes whole sections out of a file; active: its lines."""
    found: list[Edit] = []
    for section in gone:
        mine = [line for line in active if same(line[0]) == same(section)]
        found += dict.fromkeys((section, line[1], None) for line in mine)
        found += [(section, None, None)] if mine else []
    return found


def lists(service: Service, gone: Sequence[Binding], now: Options, rest: Site) -> list[Edit]:
    """What is started without those, and what is then the default.

    Raises Refused where nothing would be left to start.
    """
    names = {same(one.section) for one in gone}  # as their sections are compared
    listed = items(now.get(("DEFAULT", _LIST), ""))
    left = [item for item in listed if same(_name(item)) not in names]
    found: list[Edit] = []
    if left != listed:
        if not left:
            raise _the_last(service, gone[0], sorted({one.section for one in gone}))
        found.append(("DEFAULT", _LIST, ",".join(left)))
    if same(now.get(_STORE, "")) in names and left:
        ours = [one.name for one in rest.glance.all if one.name in map(_name, left)]
        default = rest.glance.default.name
        others = sorted(left, key=_only_reads)
        found.append((*_STORE, default if default in ours else [*ours, _name(others[0])][0]))
    return found


def _only_reads(item: str) -> bool:
    """Whether no image can be put into a store (glance_store/_drivers/http.py has no add())."""
    return kind(item.partition(":")[2].strip()) == "http"


def _name(item: str) -> str:
    """The name of a backend, or of a store with its kind behind it."""
    return item.partition(":")[0].strip()


def _the_last(service: Service, binding: Binding, names: Sequence[str]) -> Refused:
    what = "backend" if service == CINDER_VOLUME else "store"
    return Refused(
        host=binding.host.name,
        subject=binding.file,
        expected=f"another {what} beside {', '.join(names)} in {_LIST}",
        found="none",
        why=f"{service.name} would have no {what} left",
        advice=f"name the {what} that comes in the site file and integrate it first; where "
        f"{service.name} is to go as a whole, stop it there and take {binding.file} out yourself",
    )
