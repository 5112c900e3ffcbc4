"""Takes a run back: a plan like any other, made from what the hosts kept of that run.

A step is taken back where what it left is still as it left it; where somebody changed
it since, the whole is refused.  A pool is never deleted, nor a user whose pools hold
images, nor a secret by which a guest has a disk; packages stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from fabfile.core.contract import CLOUD, INV, BadInput, Change, Facts, Host, Json, Read, Seen
from fabfile.model import advice, phases, services
from fabfile.model.services import CINDER_VOLUME, NOVA_COMPUTE
from fabfile.model.site import Site
from fabfile.resources import (
    by_cluster,
    cluster,
    domains,
    in_force,
    leaving,
    pool_contents,
    rotation,
    volume_hosts,
    volume_qos,
    volume_storage,
)
from fabfile.resources.resource import Resource

_FILES = ("write", "remove")
_MOST_GUESTS = 1000
_OLD, _ENOENT = "ceph.old.{}", 2
_SIGNS = {"+": "-", "-": "+", "~": "~", "!": "!"}
_IN_CINDER = {"volumes": volume_storage.VOLUMES, "service": volume_storage.SERVICES}
"""{what a step says of Cinder's rows, instead of a digest: what tells whether they are there}."""
_BEGINS = "begins"
"""What a file's edit says of the services that Cinder has by it."""


@dataclass(frozen=True)
class Undone:
    """A run to take back: its id, and what it did through the cloud's API (its changes).

    limited: the hosts that may be touched, where not all; strangers: hosts of the run that the
    site file does not name; named: the clients that its edits made services name; hosts: those of
    the site file on which it did something.
    """

    run: str
    cloud: Sequence[dict[str, Json]] = ()
    limited: Collection[str] | None = None
    strangers: Sequence[str] = ()
    named: Collection[str] = ()
    hosts: Collection[str] = ()

    @property
    def resource(self) -> Resource:
        """As the resource of the task undo."""
        return Resource("undo", self.reads, self.plan, self.notes, self.follow_up_reads)

    def reads(self, site: Site, host: Host) -> list[Read]:
        """What the run did on each host; on the first Ceph host, which pools hold images."""
        if host.name == CLOUD:
            done = {str(one.get("verb")) for one in self.cloud}
            found = [Read("volume_types", "volume_types")] if self.cloud else []
            found += [volume_hosts.GUARDED] if any(map(_made_type, self.cloud)) else []
            found += [volume_qos.READ] if done & {"qos", "no_qos"} else []
            found += [volume_storage.SERVICES] if "close_backend" in done else []
            rotates = site.cloud and any(part.replaced for part in site.parts)
            return [*found, *([leaving.ATTACHMENTS] if rotates else [])]
        found = [
            Read("run", "run", {"run": self.run}),
            Read("pending_restarts", "pending_restarts"),
        ]
        if NOVA_COMPUTE in services.on(host):
            found.append(domains.read(site.platform_of(host), _MOST_GUESTS))
        found += by_cluster.reads(site, host, _of_a_rotation)
        found += by_cluster.reads(site, host, _rules)
        return found + by_cluster.reads(site, host, pool_contents.reads)

    def follow_up_reads(self, site: Site, facts: Facts) -> list[Read]:
        """The volumes and Cinder's services, where the run moved, renamed or began some.

        Of those that it began a row may stay: files go back where Cinder does not answer, too.
        """
        steps = [step for seen in facts.hosts.values() for step in seen.get("run", ())]
        begun = any(step.get(_BEGINS) for step in steps)
        needed = {key for key in _IN_CINDER if any(key in step for step in steps)}
        asked = _IN_CINDER.items()
        return [replace(r, needed=key in needed) for key, r in asked if begun or key in needed]

    def plan(self, site: Site, facts: Facts) -> list[Change]:
        """The run's steps backwards, the last wave first, each restart at its end.

        Raises BadInput for a run of which no host knows, and where anything that it
        left was changed since.
        """
        changes: list[Change] = self._cloud(facts)
        stale: list[str] = []
        known = False
        for host in site.all_hosts():
            steps = facts.hosts.get(host.name, {}).get("run", [])
            known = known or bool(steps)
            if self._may_touch(host.name):
                changes += _host(site, facts, host.name, steps, stale)
        shared = self._left_running(facts)
        changes = [change for change in changes if change.subject not in shared]
        if not known and (self.hosts or not self.cloud):
            raise BadInput(
                f"--run: no host knows of run {self.run!r}: it was another cloud's of that name, "
                f"or hosts were made anew since; see {INV} history"
            )
        if stale:
            raise BadInput(
                "stale: since that run, this was changed by somebody else, and is not taken "
                "back:\n  "
                + "\n  ".join(stale)
                + "\nput it as that run left it, or mend it by hand"
            )
        for part in site.parts:
            with by_cluster.saying_which(part):
                self._refuse_in_use(part, by_cluster.facts_of(part, facts), changes)
        return sorted(changes, key=lambda change: change.wave)

    def _refuse_in_use(self, part: Site, facts: Facts, changes: Sequence[Change]) -> None:
        """Raises BadInput where a rotation went on since: its stages are taken back backwards.

        A compute alone (--limit, a batch that a gate did not pass) may lose its secret again.
        """
        files = {(change.host, change.thing) for change in changes}
        whole = self.limited is None or set(self.limited) >= set(part.whole.hosts)
        hosts = {h.name for h in part.all_hosts() if whole or set(h.roles) != {NOVA_COMPUTE.role}}
        for new, old in part.replaced.items():
            goes = {new, *rotation.uuids(facts, new)}
            used = rotation.uses(part, facts, new, files)
            gone = [one for one in changes if one.sign == "-" and one.subject in goes]
            if used and any(one.host in hosts for one in gone):
                raise BadInput(
                    subject=f"undo: client.{new}",
                    expected="one that nobody has: its keys would go",
                    found=", ".join([*used[:3], *[f"{len(used) - 3} more"] * (len(used) > 3)]),
                    advice=f"take the later run back first ({INV} history has it); where guests or "
                    f"attachments have it, name client.{old} again, with replaces = {new!r}, and "
                    f"{INV} ceph.rotate (docs/rotation.md)",
                )
            told = facts.hosts.get(part.admin.name, {}).get(_OLD.format(old))
            if new in self.named and told and told["code"] and changes:
                raise BadInput(
                    subject=f"undo: client.{old}",
                    expected="it to be there: services would log in as it again",
                    found="a cluster that does not have it any more",
                    advice=f"take back first the run that took it away ({INV} history)",
                )

    def _left_running(self, facts: Facts) -> set[str]:
        """Services that the run began on hosts that are not touched: several may share one."""
        return {
            service
            for host, seen in facts.hosts.items()
            if not self._may_touch(host)
            for step in seen.get("run", ())
            if not _taken_back(step)
            for service in step.get(_BEGINS, ())
        }

    def notes(self, site: Site, facts: Facts, changes: Sequence[Change]) -> list[str]:
        """What stays."""
        found = [
            f"{host}: is not in the site file; what the run did there stays"
            for host in self.strangers
        ]
        for done in self.cloud:
            if more := _given_more(facts, done):
                found.append(
                    f"{done['thing']} stays: it is {' and '.join(more)} since the run made it; "
                    "delete it yourself"
                )
            if others := _limited_by_it(facts, done):
                found.append(
                    f"{done['thing']} stays as it is: volumes of type {', '.join(others)} have it "
                    "since the run"
                )
        for host in site.all_hosts():
            if not self._may_touch(host.name):
                continue
            steps = facts.hosts.get(host.name, {}).get("run", [])
            gone = {_thing(step) for step in steps if step.get("verb") and step["sign"] == "+"}
            for step in steps:
                if step["state"] == "failed" or step["verb_was"] == "restart":
                    continue
                if not step.get("verb") and _thing(step) in gone:
                    continue  # a secret's value goes with the secret
                found += _rows_stay(site, facts, host, step, changes)
                why = _stays(site, facts, host.name, step, changes)
                if not why and step.get("verb") == "no_folder":
                    names = _filled(step, [c for c in changes if c.host == host.name])
                    why = "it holds " + ", ".join(names[:5]) if names else None
                if why:
                    found.append(f"{host.name}: {step['thing']} ({step['sentence']}) stays: {why}")
        return found

    def _may_touch(self, host: str) -> bool:
        return self.limited is None or host in self.limited

    def _cloud(self, facts: Facts) -> list[Change]:
        changes = []
        if self.cloud and CLOUD not in facts.hosts:
            things = ", ".join(done["thing"] for done in self.cloud)
            raise BadInput(
                f"cloud: the run made, in the cloud's API, {things}; expected the name of a cloud "
                "of clouds.yaml, by which that is taken back, found none in the site file: write "
                "it there, or take back the hosts' part alone (--limit)"
            )
        for done in reversed(self.cloud):
            args = done["args"]
            if done.get("verb") == "qos":
                changes += _qos(facts, done)
                continue
            if done.get("verb") in _CAME_BACK:
                changes += _CAME_BACK[done["verb"]](facts, done)
                continue
            now = facts.of(CLOUD, "volume_types").get(args["name"])
            made = done["sign"] == "+"
            bound = (now or {}).get(volume_hosts.BOUND)
            if now is None or bound != args["backend_name"] or _given_more(facts, done):
                continue
            given = {volume_hosts.BOUND: args["backend_name"], **args.get("specs", {})}
            before = args.get("was", {volume_hosts.BOUND: None})
            was = {key: old for key, old in before.items() if now.get(key) == given.get(key)}
            if not made and not was:
                continue
            unbind = was == {volume_hosts.BOUND: None}
            words = "unbind" if unbind else f"as before: {', '.join(was)}"
            sign, sentence = ("-", "take away") if made else ("~", words)
            args = {"name": args["name"], "made": made}
            args |= {} if made or unbind else {"was": was}
            changes.append(
                Change(
                    CLOUD,
                    done["thing"],
                    sentence,
                    sign,
                    "no_volume_type",
                    args,
                    0,
                    kind="volume_type",
                    subject=args["name"],
                )
            )
        return changes


def _rules(part: Site, host: Host) -> list[Read]:
    """By which rule each pool lies: a run may have made one that the site file asks for no more."""
    return cluster.rules_in_use(part) if host == part.admin else []


def _of_a_rotation(part: Site, host: Host) -> list[Read]:
    """Who has the clients that take others' places, and whether those are there."""
    if not part.replaced:
        return []
    found = [read for one in services.on(host) for read in in_force.reads(part, host, one)]
    if host == part.admin:
        for old in part.replaced.values():
            ask = cluster.ceph(part, "auth", "get", f"client.{old}")
            args = {"argv": ask, "ok": [0, _ENOENT], "mask": [cluster.KEYS]}
            found.append(Read(_OLD.format(old), "argv", args))
    return found


def _made_type(done: dict[str, Json]) -> bool:
    return done.get("verb") == "volume_type" and done["sign"] == "+"


def _given_more(facts: Facts, done: dict[str, Json]) -> list[str]:
    """What somebody gave a type that the run made, and deleting it would lose for good."""
    if not _made_type(done):
        return []
    guarded: dict[str, list[str]] = facts.hosts.get(CLOUD, {}).get(volume_hosts.GUARDED.id, {})
    return guarded.get(done["args"]["name"], [])


def _limited_by_it(facts: Facts, done: dict[str, Json]) -> list[str]:
    """Other types to which somebody gave the QoS specs that the run made or altered."""
    if done.get("verb") != "qos" or not done["args"]["was"]:
        return []
    there = facts.hosts.get(CLOUD, {}).get(volume_qos.READ.id, {})
    return volume_qos.given_since(done["args"]["name"], there)


def _qos(facts: Facts, done: dict[str, Json]) -> list[Change]:
    """What a run did to a type's QoS specs, backwards; what others have since keeps its keys."""
    made = done["sign"] == "+"
    args = volume_qos.undone(done["args"], made, facts.of(CLOUD, volume_qos.READ.id))
    if not args:
        return []
    made = args["made"]
    words = [f"as before: {', '.join(args['was'])}"] if args["was"] else []
    words += [] if args["bound"] else [f"no longer for type {args['name']}"]
    sentence = "take away" if made else "; ".join(words)
    sign, name = "-" if made else "~", args["name"]
    return [
        Change(CLOUD, done["thing"], sentence, sign, "no_qos", args, 0, kind="qos", subject=name)
    ]


def _type_again(facts: Facts, done: dict[str, Json]) -> list[Change]:
    """A volume type that a run took away: made anew, by another id, with its extra specs."""
    args, was = done["args"], done["args"].get("was")
    if not was or args["name"] in facts.of(CLOUD, "volume_types"):
        return []
    specs = {key: value for key, value in was.items() if key != volume_hosts.BOUND}
    bound = was.get(volume_hosts.BOUND) or ""
    given = {"name": args["name"], "backend_name": bound, "specs": specs}
    return [_again(done, "volume_type", given, "volume_type", args["name"])]


def _qos_again(facts: Facts, done: dict[str, Json]) -> list[Change]:
    """QoS specs that a run took away."""
    args, was = done["args"], done["args"].get("was")
    if not was or not args["made"] or args["name"] in facts.of(CLOUD, volume_qos.READ.id):
        return []
    specs = dict.fromkeys(was)
    given = {"name": args["name"], "specs": was, "was": specs, "bound": False}
    return [_again(done, "qos", given, "qos", args["name"])]


def _open_again(facts: Facts, done: dict[str, Json]) -> list[Change]:
    """A service that a run closed; one whose row went too writes an open one when it starts."""
    name = done["args"]["service"]
    rows = {row["host"]: row for row in facts.of(CLOUD, "volume_services")}
    if name not in rows or rows[name]["enabled"]:
        return []
    return [_again(done, "open_backend", {"service": name}, "service", name)]


def _again(
    done: dict[str, Json], verb: str, args: dict[str, Json], kind: str, subject: str
) -> Change:
    sentence, thing = "as it was before the run", done["thing"]
    wave = phases.LAST  # its backend first
    return Change(CLOUD, thing, sentence, "+", verb, args, wave, kind=kind, subject=subject)


_CAME_BACK: dict[str, Callable[[Facts, dict[str, Json]], list[Change]]] = {
    "no_volume_type": _type_again,
    "no_qos": _qos_again,
    "close_backend": _open_again,
}
"""{verb of what a removal does through the cloud's API: what takes it back}."""


def _host(
    site: Site, facts: Facts, host: str, steps: Sequence[dict[str, Json]], stale: list[str]
) -> list[Change]:
    changes: list[Change] = []
    restarts = []
    owed = (
        facts.hosts.get(host, {}).get("pending_restarts", ())
        if any(map(_taken_back, steps))
        else ()
    )
    for step in reversed(steps):
        if "verb_was" not in step:
            continue  # it failed before it began
        if step["verb_was"] == "restart":
            # One that failed too: the unit has seen the files that are taken back.
            restarts.append(step)
        elif (
            step["state"] == "failed"
            and not _took_effect(step)
            or step.get("verb") == "no_folder"
            and _filled(step, changes)
        ):
            continue
        elif (
            step.get("verb")
            and not _stays(site, facts, host, step, changes)
            and _differs(facts, step)
        ):
            if _as_left(step):
                changes += [_back(host, step), *_begun(site, facts, host, step)]
            else:
                stale.append(f"{host}: {step['thing']}")
        elif _taken_back(step):
            # By an undo that was broken off: what it did not restart may still be up.
            changes += _begun(site, facts, host, step, even_up=bool(owed))
    files = any(change.verb in _FILES for change in changes)
    units = [u for step in restarts for u in step["args"]["units"] if files or u in owed]
    if units:
        owing = tuple(sorted(set(units)))
        changes = [replace(c, restarts=owing) if c.verb in _FILES else c for c in changes]
        waves = [c.wave for c in changes if c.verb in _FILES]
        wave = max(waves, default=phases.LAST - restarts[0]["wave"])
        sentence = "restart, and watch it stand"
        args = {"units": sorted(set(units))}
        changes.append(
            Change(
                host,
                ", ".join(args["units"]),
                sentence,
                "!",
                "restart",
                args,
                wave,
                kind="restart",
                subject=" ".join(args["units"]),
            )
        )
    return changes


def _what(step: dict[str, Json]) -> str:
    """Which thing it is about, by its plain name; runs of before have its words alone."""
    return str(step.get("subject") or step["thing"])


def _thing(step: dict[str, Json]) -> tuple[str, str]:
    """What tells it from other things: a pool and a user may have the same name."""
    kind = str(step.get("kind", ""))
    return "secret" if kind == "secret_value" else kind, _what(step)


def _filled(step: dict[str, Json], changes: Sequence[Change]) -> list[str]:
    """What a folder holds besides what is taken away anyway."""
    path = step["args"]["path"]
    gone = {change.args["path"] for change in changes if change.verb == "remove"}
    return [name for name in step.get("names", ()) if f"{path}/{name}" not in gone]


def _taken_back(step: dict[str, Json]) -> bool:
    """Whether it is a file that an undo, broken off before its restart, has brought back."""
    file = step.get("verb") in _FILES
    return file and step["state"] == "done" and bool(step["now"] == step["was"])


def _differs(facts: Facts, step: dict[str, Json]) -> bool:
    """Whether it is not as it was before the step.  Raises BadInput for volumes at work."""
    cloud = facts.hosts.get(CLOUD, {})
    if "service" in step:
        return any(row["host"] == step["service"] for row in cloud.get("volume_services", ()))
    if "volumes" not in step:
        return bool(step["now"] != step["was"])
    place, volumes = step["volumes"], cloud.get("volumes", ())
    volume_hosts.refuse_at_work(place, volumes)
    return any(volume["host"] == place for volume in volumes)


def _took_effect(step: dict[str, Json]) -> bool:
    """Whether a step that failed left something, and that is still there."""
    return "is" in step and bool(step["is"] != step["was"] and step["now"] == step["is"])


def _as_left(step: dict[str, Json]) -> bool:
    if _IN_CINDER.keys() & step.keys():
        return True
    if step["state"] == "done":
        return bool(step["now"] == step["is"])
    # Begun, and nobody knows whether it was done: for a file, its content tells.
    if step.get("becomes"):
        return bool(step["now"]) and step["now"].endswith(step["becomes"])
    return True


def _back(host: str, step: dict[str, Json]) -> Change:
    sign = _SIGNS[step["sign"]]
    sentence = "take away what the run added" if sign == "-" else "as it was before the run"
    # A row goes last: a process that has not been restarted yet would write it anew.
    wave = phases.LAST if "service" in step else phases.LAST - step["wave"]
    return Change(
        host,
        step["thing"],
        sentence,
        sign,
        step["verb"],
        step["args"],
        wave,
        diff=(f"undo: {step['sentence']}",),
        kind="undo",
        subject=_what(step),
        stays="what an undo takes away is not brought back",
    )


def _begun(
    site: Site, facts: Facts, host: str, step: dict[str, Json], even_up: bool = True
) -> list[Change]:
    """The rows of services that are no more with a step's file; one with volumes shows where."""
    cloud = facts.hosts.get(CLOUD, {})
    if "volumes" not in cloud:
        return []
    rows = {row["host"] for row in cloud.get("volume_services", ()) if even_up or not row["up"]}
    used = {volume["host"].partition("#")[0] for volume in cloud["volumes"]}
    return [
        replace(
            volume_hosts.row_taken_away(site, host, service),
            sentence="take away what the run added",
            wave=phases.LAST,  # as in _back()
            kind="undo",
        )
        for service in step.get(_BEGINS, ())
        if service in rows - used
    ]


def _rows_stay(
    site: Site, facts: Facts, host: Host, step: dict[str, Json], changes: Sequence[Change]
) -> Iterator[str]:
    """The rows of services that are no more with a step's file, where Cinder was not asked."""
    goes = (host.name, step["thing"]) in {(c.host, c.thing) for c in changes}
    if not goes or "volumes" in facts.hosts.get(CLOUD, {}):
        return
    for service in step.get(_BEGINS, ()):
        words = "service", "remove", CINDER_VOLUME.name, service
        remove = site.platform_of(host).by_hand("cinder-manage", *words)
        yield (
            f"{host.name}: service {service} stays, as Cinder's API was not asked: volumes of no "
            f"type may be put there until it counts as down; when it answers, and no volume is "
            f"there: {advice.shown(remove)}"
        )


def _stays(
    site: Site, facts: Facts, host: str, step: dict[str, Json], changes: Sequence[Change]
) -> str | None:
    """Why a step of a host is not taken back, or None.  changes: what is, before it."""
    if not step.get("verb"):
        return str(step.get("stays") or _as_told_before(step))
    if step.get("kind") == "secret" and (guest := _guest_of(facts, host, _what(step))):
        return f"running guests have disks by it, {guest} among them"
    part = _cluster_of(site, host)
    if part is None:
        return _of_no_cluster(step)
    mine = by_cluster.facts_of(part, facts)
    if step.get("kind") == "crush_rule":
        back = [c for c in changes if c.host == host and "crush_rule" in c.args.get("argv", ())]
        moved = {change.subject for change in back}
        used = sorted(cluster.pools_of_rule(part, mine, _what(step)) - moved)
        return f"pool {', '.join(used[:3])} lies by it" if used else None
    return _holds_images(mine.hosts.get(part.admin.name, {}), step.get("holds", ()))


def _cluster_of(site: Site, host: str) -> Site | None:
    """The part of the site whose cluster a host is of; the first one may be another host by now."""
    return next((p for p in site.parts if host in {h.name for h in p.with_role("ceph")}), None)


def _of_no_cluster(step: dict[str, Json]) -> str | None:
    """Why what a run did to a cluster stays whose host the site file does not call one of it."""
    asked = step.get("holds") or step.get("kind") == "crush_rule"
    return "whether it is in use was not seen: this is no host of a cluster now" if asked else None


def _holds_images(seen: Seen, pools: Sequence[str]) -> str | None:
    """Why a user of pools stays: one holds images, or nobody saw whether it does."""
    for pool in pools:
        for kind in ("images", "trash"):
            answer = seen.get(f"{kind}.{pool}")
            if answer is None:
                return f"whether pool {pool} holds images was not seen: it is not in the site file"
            found = pool_contents.listed(answer)
            if found is None:
                return f"whether pool {pool} holds images was not seen: rbd says no list of them"
            if found:
                return f"pool {pool} holds images"
    return None


def _guest_of(facts: Facts, host: str, uuid: str) -> str:
    """A running guest of a compute that has a disk by a libvirt secret; '' for none."""
    running = domains.running({host: facts.hosts.get(host, {})})
    return next((domain for _, domain, disk in running if disk.uuid == uuid.lower()), "")


def _as_told_before(step: dict[str, Json]) -> str:
    """Why a step stays whose run was made when steps did not say so themselves."""
    pool = step.get("kind") == "pool"
    return "a pool is never deleted" if pool else "it is not taken back by this tool"
