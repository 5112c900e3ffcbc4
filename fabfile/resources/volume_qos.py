"""The QoS specs of a backend's volume type: made, set, and given to the type, through Cinder's API.

They bear the type's name.  Keys that the site file does not name stay; a type that has other
specs keeps them, and specs that other types have too are not altered.  Limits of the front end are
Nova's, which sets them where a volume is attached.
Source: cinder/volume/qos_specs.py; nova/virt/libvirt/volume/volume.py (get_config).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fabfile.core.contract import CLOUD, BadInput, Change, Facts, Host, Json, Read
from fabfile.model.deployment import Backend
from fabfile.model.phases import Leaving, Phase
from fabfile.model.site import Site
from fabfile.resources import volume_hosts
from fabfile.resources.resource import Leaves, Resource, Stays

READ = Read("qos_specs", "qos_specs")


def asked(site: Site) -> list[Backend]:
    """The backends whose type the site file limits."""
    return [one for one in site.cinder.all if one.qos and one.volume_type]


def reads(site: Site, host: Host) -> list[Read]:
    """All specs, once, from the cloud."""
    return [READ] if host.name == CLOUD and site.cloud and asked(site) else []


def plan(site: Site, facts: Facts) -> list[Change]:
    """What the types' specs lack.  Raises BadInput for a type that has others."""
    if READ.id not in facts.hosts.get(CLOUD, {}):
        return []
    there = facts.of(CLOUD, READ.id)
    found = (_of(one, str(one.volume_type), there) for one in asked(site))
    return [change for change in found if change]


def notes(site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
    """From when on it counts, and what else counts from then on."""
    there = facts.hosts.get(CLOUD, {}).get(READ.id, {})
    found = []
    for change in changes:
        if change.kind != "qos" or change.sign != "~":
            continue
        found.append(
            f"{change.thing}: volumes that are attached keep their limits until they are attached "
            "anew"
        )
        backend = next(one for one in asked(site) if one.volume_type == change.subject)
        has = there[change.subject]["specs"].items()
        besides = [f"{key} = {value}" for key, value in has if key not in backend.qos]
        if besides and not change.args["bound"]:
            found.append(f"{change.thing}: it limits volumes by {', '.join(besides)} too")
    return found


def _of(backend: Backend, name: str, there: Mapping[str, Json]) -> Change | None:
    others = [other for other, told in there.items() if other != name and name in told["types"]]
    if others:
        raise BadInput(
            subject=f"{backend.said}.qos",
            expected=f"a volume type {name} with no QoS, or with that of its name",
            found=f"QoS {others[0]}",
            advice="take it from the type (openstack volume qos disassociate), or take qos out",
        )
    told = there.get(name)
    has = told["specs"] if told else {}
    missing = {key: value for key, value in backend.qos.items() if has.get(key) != value}
    bound = told is not None and name in told["types"]
    if bound and not missing:
        return None
    also = [one for one in (told["types"] if told else ()) if one != name]
    if also and missing:
        raise BadInput(
            subject=f"{backend.said}.qos",
            expected=", ".join(f"{key} = {value}" for key, value in missing.items()),
            found=f"QoS {name} with {', '.join(f'{k} = {v}' for k, v in has.items())}, which "
            f"volumes of type {', '.join(also)} have too",
            why="these would be limited otherwise from then on",
            advice="take it from that type (openstack volume qos disassociate), name another "
            f"{backend.said}.volume_type, or say what is there",
        )
    was = {key: has.get(key) for key in missing}
    words = [f"{key} = {value}" for key, value in missing.items()]
    words += [] if bound else [f"for volumes of type {name}"]
    lines = [
        line
        for key, value in missing.items()
        for line in [*([f"- {key} = {was[key]}"] if was[key] else []), f"+ {key} = {value}"]
    ]
    return Change(
        CLOUD,
        f"QoS {name}",
        ", ".join(words),
        "~" if told else "+",
        "qos",
        {"name": name, "specs": missing, "was": was, "bound": bound},
        wave=Phase.API,
        diff=tuple(lines),
        kind="qos",
        subject=name,
    )


def leaving(site: Site, rest: Site, facts: Facts) -> Leaves:
    """The specs of types that go; those of one that stays, or that another has too, stay."""
    there, kept = facts.hosts.get(CLOUD, {}).get(READ.id, {}), asked(rest)
    found: list[Change | Stays] = []
    for one in (one for one in asked(site) if one not in kept):
        name = str(one.volume_type)
        if (told := there.get(name)) is None:
            continue
        if why := volume_hosts.type_stays(site, rest, facts, one):
            found.append(Stays(CLOUD, f"QoS {name}", f"its type stays: {why}"))
            continue
        if others := [other for other in told["types"] if other != name]:
            why = f"type {', '.join(others)} has it too"
            found.append(Stays(CLOUD, f"QoS {name}", why))
            continue
        args = {"name": name, "made": True, "was": dict(told["specs"]), "bound": False}
        lines = tuple(f"- {key} = {value}" for key, value in told["specs"].items())
        found.append(
            Change(
                CLOUD,
                f"QoS {name}",
                "take away",
                "-",
                "no_qos",
                args,
                Leaving.API,
                lines,
                kind="qos",
                subject=name,
            )
        )
    return found


def given_since(name: str, there: Mapping[str, Json]) -> list[str]:
    """The types beside its own that have specs by now which a run made or altered.

    No run alters those of several types, and Cinder deletes none that a type has.
    """
    return [one for one in there.get(name, {"types": ()})["types"] if one != name]


def undone(args: Mapping[str, Json], made: bool, there: Mapping[str, Json]) -> dict[str, Json]:
    """What is taken back of a change; {} where nothing of it is there any more.

    args: that change's; made: whether it made the specs; there: as they are now.
    """
    told = there.get(args["name"])
    if told is None:
        return {}
    now = told["specs"]
    was = {key: old for key, old in args["was"].items() if now.get(key) == args["specs"].get(key)}
    bound = args["bound"] or args["name"] not in told["types"]
    if given_since(args["name"], there):
        made, was = False, {}  # they are other volumes' limits by now
    if not made and not was and bound:
        return {}
    return {"name": args["name"], "made": made, "was": was, "bound": bound}


RESOURCE = Resource("controller.cinder", reads, plan, notes, leaving=leaving)
