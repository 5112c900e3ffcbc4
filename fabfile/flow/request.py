"""ceph.request: prints what other teams are asked to make on their clusters; reaches no host."""

from __future__ import annotations

from fabfile.core import site_file
from fabfile.core.contract import BadInput, Facts, Json
from fabfile.flow import own_site
from fabfile.flow.session import Options
from fabfile.flow.terminal.screen import Screen
from fabfile.model import releases
from fabfile.model.site import Site
from fabfile.resources import request


def show(options: Options) -> int:
    """The page.  Raises BadInput where no cluster of the site file is another team's."""
    path = site_file.locate(options.site)
    site = own_site.checked(path)
    parts = [part for part in site.parts if part.is_supplied]
    if not parts:
        raise BadInput(
            f'{path}: clusters: expected one with access = "supplied", found none: integrate makes '
            "pools and users itself where there is an admin key (docs/clusters.md)"
        )
    screen, data = Screen(options.json), {}
    for part in parts:
        data[part.label] = request.page(part, _release(site))
        screen.say_all(data[part.label])
    screen.json({"site": site.name, "clusters": data})
    return 0


def _release(site: Site) -> dict[str, Json]:
    """OpenStack's table; where the site file names no release, Glance's needs of the newest."""
    if site.release == "auto":
        return {"glance": {"reads_clones": True}}
    return dict(releases.choose(site, Facts({}), site_file.releases()).table)
