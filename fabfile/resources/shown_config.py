"""What a release gets in the services' files, each option with its reason: for `inv config`.

Made by the planner's own tables (service_config), so that nothing that is written can be missing
here.  Pure; what only the hosts know stays open in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fabfile.core.contract import Json
from fabfile.model import services
from fabfile.model.deployment import Binding
from fabfile.model.effective import Effective
from fabfile.model.services import Service
from fabfile.model.site import Site
from fabfile.resources.service_config import ServiceConfig
from fabfile.resources.wanted_options import AT_FIRST

_ADDS = "added to what is there"


@dataclass(frozen=True)
class _Line:
    """One option of a file, or its first line: key as it is shown."""

    key: str
    value: str
    why: str


def of_release(site: Site, release: Mapping[str, Json], name: str) -> Iterator[Effective]:
    """Every option that is written into the services' files; name: the release's.

    Raises BadInput for what that release cannot have.
    """
    told = set()
    for service in services.SERVICES:
        hosts: dict[_Line, list[str]] = {}
        bindings = _bindings(site, service)
        for host, mine in bindings.items():
            for line in _lines(site, service, mine, release):
                hosts.setdefault(line, []).append(host)
        for line, found in hosts.items():
            some = tuple(found) if len(found) < len(bindings) else ()
            one = Effective(line.key, line.value, f"{name}, {line.why}", some)
            if one not in told:  # two services of one file, asked the same
                yield one
            told.add(one)


def _bindings(site: Site, service: Service) -> dict[str, Sequence[Binding]]:
    """{host: what is written into the service's file there}; of a deployer, what it is to write."""
    if site.written_by:
        handed = [one for one in site.handed if one.service == service and one.section]
        return {one.host.name: handed for one in handed[:1]}
    found = {host.name: site.written_of(host, service) for host in site.all_hosts()}
    return {host: mine for host, mine in found.items() if mine}


def _lines(
    site: Site, service: Service, bindings: Sequence[Binding], release: Mapping[str, Json]
) -> Iterator[_Line]:
    use = bindings[0]
    by = f", through {site.written_by.name}" if site.written_by else ""
    for (section, key), option in ServiceConfig(service).as_said(site, bindings, release).items():
        for text, why in option.said:
            if why == AT_FIRST and site.written_by:
                continue  # such a program names the stores itself
            added = f", {_ADDS}" if text.startswith("+") else ""
            shown = text.removeprefix("+")
            yield _Line(f"{use.file} [{section}] {key}", shown, f"{why}{added}{by}")
    head = release[service.project].get("head") if service.key == service.project else None
    path = use.platform.upstart.get(service.name)
    if head and path and not site.written_by:
        line = head["line"].format(client=use.client, pool=use.pool, conf=use.conf)
        yield _Line(f"{path}, first line", line, "as the site says")
