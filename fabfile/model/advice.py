"""What a printed command does, and whether it may be printed: the one place that decides it.

An operator types what a finding shows.  So a command is words (core.contract.Command), and a
text is made of it here alone: every word is quoted, a UUID is a UUID, a name a name.  What
restarts or destroys something is shown only where all that could speak against it was looked
at; else it is said what to look at.  A command that has no row here is not shown at all.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import NamedTuple

from fabfile.core.contract import INV, Command


class Effect(IntEnum):
    """What a command does to what is there, the worst last."""

    READS = 0
    CHANGES = 1
    RESTARTS = 2
    """It interrupts a service or a guest."""
    DESTROYS = 3
    """What it takes away does not come back by itself."""


# What can speak against a command: {what was to be looked at: how a person looks at it}

LOOKS = {
    "cells": "every cell of Nova's (nova-manage cell_v2 list_cells): its instances are in a "
    "database of its own",
    "databases": "every Cinder's and Glance's database that uses these pools",
    "backend": "rbd_pool and rbd_ceph_conf of that backend on every host with cinder-volume",
    "backups": "backup_ceph_conf and backup_ceph_pool of every cinder-backup",
    "locations": "every location of the image (openstack image show)",
    "name": "the image by its own name (rbd info) and the pool's trash (rbd trash ls --all)",
    "owners": "who else writes that pool (ceph auth ls): another cloud may",
    "share": "why so many names of that pool have no row: another cloud's, or an older database",
    "watchers": "who has it open (rbd status); one that was opened to be read is not shown there",
    "clones": "what was cloned from it (rbd children --all)",
    "snapshots": "what its snapshots are of (rbd snap ls --all)",
    "free": "whether it is mirrored, in a group or on its way (rbd info, rbd status)",
    "expired": "until when the trash keeps it (rbd trash ls --all --long)",
    "nova": "the instance's own attachments (openstack server volume list)",
    "attachment": "what Cinder keeps of that attachment: a new start takes it from there",
    "daemon": "which daemon it is, and on which host (ceph health detail; ceph orch ps)",
    "maintenance": "whether somebody is at work: OSDs that are down, an upgrade (ceph status)",
    "usage": "how full each OSD is (ceph osd df)",
    "room": "whether there are as many hosts, and room, for the copies (ceph osd df tree)",
    "healthy": "that every placement group has its copies (ceph status)",
    "clients": "which clients still need it (ceph health detail)",
    "uses": "what else logs in by that name (ceph auth get; the services' files of options)",
    "key": "that Ceph has the same key",
    "guests": "which of the two libvirt daemons has the running guests",
    "service": "whether a service of that name is only down, and all its volumes",
    "readers": "which programs of that host read it",
}


class Rule(NamedTuple):
    """What a command does, and what has to be looked at before."""

    effect: Effect
    needs: frozenset[str] = frozenset()


def _rules(effect: Effect, *rows: str, needs: str = "") -> dict[str, Rule]:
    return dict.fromkeys(rows, Rule(effect, frozenset(needs.split())))


RULES: dict[str, Rule] = {
    **_rules(
        Effect.READS,
        "ceph health detail",
        "ceph df",
        "ceph osd df",
        "ceph osd df tree",
        "ceph osd dump",
        "ceph status",
        "ceph versions",
        "ceph auth get ENTITY",
        "ceph crash ls-new",
        "ceph orch ps",
        "ceph mon dump",
        "ceph daemon NAME mon_status",
        "ceph daemon NAME sessions",
        "rbd children --all SPEC",
        "rbd status SPEC",
        "rbd info SPEC",
        "rbd snap ls --all SPEC",
        "rbd trash ls --all --long -p NAME",
        "openstack server show UUID",
        "openstack server list --all-projects",
        "openstack image show UUID",
        "openstack volume show UUID",
        "openstack volume backup show UUID",
        "openstack volume list --all-projects",
        "openstack --os-volume-api-version 3.27 volume attachment list --all-projects",
        "virsh dumpxml NAME",
        "log UNIT -n NUMBER",
        "state UNIT",
        "du -xhd1 PATH",
        "ls -ld PATH",
    ),
    **_rules(
        Effect.CHANGES,
        # A task of ours plans, shows its plan and asks.
        "inv TASK",
        "inv services.restart --all",
        "inv ceph.mons --refresh",
        "inv ceph.mons --hard-reboot UUID",
        "inv ceph.rotate --instance UUID --move NAME",
        "inv remove --client NAME",
        "inv remove --client SPEC",
        "make install",
        "chmod 600 PATH",
        "sed -i TEXT PATH",
        "printf %s\\n LINE...",
        "ceph osd set-require-min-compat-client NAME",
        "unmask UNIT",
        "enable UNIT",
        "enable-now UNIT",
        "start UNIT",
        "upgrade NAME...",
        "restorecon -v PATH",
        "setsebool -P NAME on",
        "ceph mon enable-msgr2",
        "rbd mirror pool enable NAME image",
        "rbd mirror pool peer bootstrap create --site-name NAME NAME",
        "rbd mirror pool peer bootstrap import --site-name NAME NAME PATH",
        "ceph auth add USER DAEMON TEXT",
        "ceph auth add USER DAEMON TEXT DAEMON TEXT",
        "ceph auth add USER DAEMON TEXT DAEMON TEXT DAEMON TEXT",
        "ceph osd pool set NAME pg_num NUMBER",
        # What another team is asked to make (resources/request.py).
        "ceph config generate-minimal-conf",
        "ceph osd pool create NAME",
        "ceph osd pool create NAME erasure NAME",
        "ceph osd pool create NAME NUMBER NUMBER",
        "ceph osd pool create NAME NUMBER NUMBER erasure NAME",
        "ceph osd erasure-code-profile set NAME TEXT TEXT TEXT",
        "ceph osd erasure-code-profile set NAME TEXT TEXT TEXT TEXT",
        "ceph osd crush rule create-replicated NAME default host NAME",
        "ceph osd pool application enable NAME rbd",
        "ceph osd pool set NAME pg_autoscale_mode NAME",
        "ceph osd pool set NAME compression_mode NAME",
        "ceph osd pool set NAME compression_algorithm NAME",
        "ceph osd pool set-quota NAME max_bytes NUMBER",
        "ceph osd pool set-quota NAME max_objects NUMBER",
        "rbd pool init NAME",
        "ceph osd pool application enable NAME NAME --yes-i-really-mean-it",
        "ceph osd pool set NAME allow_ec_overwrites true",
        "rbd resize --size SIZE SPEC",
        "rbd snap create SNAP",
        "rbd snap protect SNAP",
        "rbd trash restore -p NAME HEX",
        "openstack server unlock UUID",
        "openstack volume set --size NUMBER UUID",
        # What is moved out of a backend or store that goes (inv remove).
        "openstack volume set --type NAME --retype-policy on-demand UUID",
        "glance image-import --import-method copy-image --stores NAME UUID",
        "ceph config set mon mon_allow_pool_delete true",
        # A service writes its row itself when it starts.
        "cinder-manage service remove cinder-volume SERVICE",
        "openstack volume set --state in-use --attached UUID",
        # nova-manage refuses an instance that is not stopped.
        "nova-manage volume_attachment refresh UUID UUID PATH",
    ),
    # What keeps a host's time serves nobody else.
    **_rules(
        Effect.CHANGES,
        "restart systemd-timesyncd",
        "restart chrony",
        "restart chronyd",
        "restart ntp",
        "restart ntpsec",
        "step-clock",
    ),
    # Ceph's daemons
    **_rules(
        Effect.RESTARTS,
        "restart UNIT",
        "ceph orch daemon restart DAEMON-ID",
        "snap restart UNIT",
        needs="daemon",
    ),
    **_rules(Effect.RESTARTS, "ceph osd unset FLAG", needs="maintenance"),
    **_rules(
        Effect.RESTARTS,
        "ceph osd set-full-ratio RATIO",
        "ceph osd set-backfillfull-ratio RATIO",
        "ceph osd set-nearfull-ratio RATIO",
        needs="usage",
    ),
    **_rules(
        Effect.RESTARTS,
        "ceph config set mon auth_allow_insecure_global_id_reclaim false",
        needs="clients",
    ),
    **_rules(
        Effect.RESTARTS,
        "ceph osd pool set NAME size NUMBER",
        "ceph osd pool set NAME size 1 --yes-i-really-mean-it",
        "ceph osd pool set NAME crush_rule NAME",
        "ceph osd pool set NAME target_size_ratio TEXT",
        needs="room",
    ),
    **_rules(Effect.RESTARTS, "ceph osd pool set NAME min_size NUMBER", needs="healthy"),
    **_rules(
        Effect.DESTROYS,
        "ceph auth caps USER DAEMON TEXT",
        "ceph auth caps USER DAEMON TEXT DAEMON TEXT",
        "ceph auth caps USER DAEMON TEXT DAEMON TEXT DAEMON TEXT",
        needs="uses",
    ),
    # Hosts
    **_rules(Effect.RESTARTS, "disable-now UNIT", needs="guests"),
    **_rules(Effect.RESTARTS, "chmod o= PATH", needs="readers"),
    **_rules(Effect.DESTROYS, "rm PATH", "mv PATH PATH", needs="readers"),
    **_rules(Effect.DESTROYS, "virsh secret-undefine UUID", needs="key"),
    **_rules(Effect.RESTARTS, "openstack server reboot --hard UUID", needs="attachment"),
    **_rules(
        Effect.DESTROYS,
        "cinder-manage volume update_host --currenthost SERVICE --newhost SERVICE",
        needs="service",
    ),
    # Rows and images
    **_rules(
        Effect.DESTROYS,
        "openstack volume delete --force UUID",
        needs="databases backend name nova",
    ),
    **_rules(Effect.DESTROYS, "openstack image delete UUID", needs="databases name locations"),
    **_rules(
        Effect.DESTROYS,
        "openstack volume backup delete --force UUID",
        needs="databases name backups",
    ),
    **_rules(
        Effect.DESTROYS,
        "rbd trash mv SPEC",
        needs="cells databases owners share watchers clones free",
    ),
    **_rules(
        Effect.DESTROYS,
        "rbd snap unprotect SNAP",
        "rbd snap rm SNAP",
        needs="cells databases owners share watchers clones snapshots free",
    ),
    **_rules(
        Effect.DESTROYS,
        "rbd trash rm SPEC",
        needs="cells databases owners share clones free expired",
    ),
    **_rules(
        Effect.DESTROYS,
        "openstack --os-volume-api-version 3.27 volume attachment delete UUID",
        "openstack volume set --state available --detached UUID",
        needs="cells databases watchers nova",
    ),
}
"""{a command's form: what it does, and what is looked at before}: words in capitals are shapes.

The first row that fits counts.  None names several units: systemd 262 does nothing with any of
them when it does not know one.
"""

CEPHS_OWN = r"admin|bootstrap-.*|crash(?:\..*)?"
"""Users by which the cluster itself is run: with other caps of theirs, nobody gets in any more."""
_SHAPES = {
    "UUID": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "NAME": r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,252}",
    "UNIT": r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,252}",
    "TASK": r"[a-z][a-z_]*(?:\.[a-z_]+)?",
    "SPEC": r"[A-Za-z0-9_][A-Za-z0-9_.+-]*/[A-Za-z0-9_][A-Za-z0-9_.:+-]*",
    "SNAP": r"[A-Za-z0-9_][A-Za-z0-9_.+-]*/[A-Za-z0-9_][A-Za-z0-9_.:+-]*@[A-Za-z0-9_.:+-]+",
    "HEX": r"[0-9a-f]{1,64}",
    "NUMBER": r"[0-9]{1,18}",
    "SIZE": r"[0-9]{1,9}[GMT]?",
    "RATIO": r"0?\.[0-9]{1,3}",
    "PATH": r"/.*",
    "SERVICE": r"[A-Za-z0-9_][A-Za-z0-9_.:@#+-]*",
    "ENTITY": r"client\.[A-Za-z0-9_][A-Za-z0-9_.-]*",
    "USER": rf"client\.(?!(?:{CEPHS_OWN})$)[A-Za-z0-9_][A-Za-z0-9_.-]*",
    "DAEMON": r"mon|osd|mgr|mds",
    "DAEMON-ID": r"(?:osd\.[0-9]+|(?:mon|mgr|mds)\.[A-Za-z0-9_][A-Za-z0-9_.-]*)",
    "FLAG": r"noout|noin|noup|nodown|noscrub|nodeep-scrub|nobackfill|norecover|norebalance"
    r"|notieragent|nosnaptrim|pause",
    "TEXT": r".+",
    "LINE": r".*",
}
_LONGEST = 4000
"""Letters of a word: caps of many pools are long, a name is not."""
_NO_FORM = (
    "no command is shown: a name in it is not of the form that is expected; look at it by hand"
)


def rule(command: Command) -> Rule | None:
    """What a command does; None where no row is of its form, or a word has another shape."""
    deed = command.deed
    if not all(_is_plain(word) for word in (*command.argv, *deed, command.into)):
        return None
    if bool(command.into) != (deed[0] == "printf"):
        return None
    known = next((one for form, one in _forms() if _fits(form, deed)), None)
    rest = rule(command.otherwise) if command.otherwise else Rule(Effect.READS)
    if known is None or rest is None:
        return None
    return Rule(max(known.effect, rest.effect), known.needs | rest.needs)


def lacking(command: Command) -> tuple[str, ...]:
    """What was not looked at and could speak against it, in the order of LOOKS."""
    found = rule(command)
    return tuple(n for n in LOOKS if found and n in found.needs and n not in command.looked)


def may_be_typed(command: Command) -> bool:
    """Whether it is shown as a command: of a known form, and nothing was left out."""
    return rule(command) is not None and not lacking(command)


def shown(*commands: Command) -> str:
    """What an operator reads: commands that follow each other, or what is to be looked at.

    Where one of them may not be typed, none is shown.
    """
    if any(rule(command) is None for command in commands):
        return _NO_FORM
    missing = dict.fromkeys(name for command in commands for name in lacking(command))
    if missing:
        return "look first at: " + "; ".join(LOOKS[name] for name in missing)
    return " && ".join(_text(command) for command in commands)


def _text(command: Command) -> str:
    first, *others = command.argv
    text = shlex.join([INV if first == "inv" else first, *others])
    if command.into:
        text += f" >> {shlex.quote(command.into)}"
    return f"{text} || {_text(command.otherwise)}" if command.otherwise else text


def _is_plain(word: str) -> bool:
    """One line of letters that a terminal shows as they are."""
    return word.isprintable() and len(word) <= _LONGEST


@functools.cache
def _forms() -> Sequence[tuple[tuple[str, ...], Rule]]:
    return [(tuple(form.split()), one) for form, one in RULES.items()]


def _fits(form: Sequence[str], words: Iterable[str]) -> bool:
    given = list(words)
    if form[-1].endswith("...") and len(given) >= len(form):
        last = form[-1].removesuffix("...")
        form = [*form[:-1], *[last] * (len(given) - len(form) + 1)]
    return len(form) == len(given) and all(map(_is_of, form, given))


def _is_of(shape: str, word: str) -> bool:
    if shape in _SHAPES:
        return re.fullmatch(_SHAPES[shape], word) is not None
    return shape == word
