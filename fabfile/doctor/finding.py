"""A finding: what is wrong where, why, and the commands that mend it.

Knows how findings are folded, ordered and counted, and how a command is written down;
finds nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fabfile.core.contract import Command, Json, typed
from fabfile.core.text import counted
from fabfile.model import advice
from fabfile.model.site import Site

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)
"""error: something does not work, or will not.  warning: works, and will hurt.  note: to know."""
HERE = "here"
"""The pseudo-host for the operator's own machine."""


@dataclass(frozen=True)
class Step:
    """One thing to do.

    kind: 'task' (an inv task), 'root' (a command for a shell of root on the hosts) or
    'here' (one for the operator's own shell), 'words' (nothing that a machine could do).
    command: of every other kind than words; whether and how it is shown, model.advice decides.
    limited: whether the task is about the finding's hosts alone.
    host: where a command of root's is run, if not on the finding's hosts.
    """

    kind: str
    text: str = ""
    command: Command | None = None
    limited: bool = False
    host: str = ""


def task(name: str, *flags: str, limited: bool = True) -> Step:
    """An inv task; limited to the hosts of the finding where it works on hosts."""
    return Step("task", name, typed("inv", name, *flags), limited)


def root(command: Command, host: str = "") -> Step:
    """A command for root's shell on the finding's hosts, or on another."""
    return Step("root", command=command, host=host)


def here(*argv: str) -> Step:
    """A command for the operator's own shell."""
    return Step("here", command=typed(*argv))


def words(text: str) -> Step:
    """What only a person can decide."""
    return Step("words", text)


RESTART = task("services.restart")
RESTART_ALL = task("services.restart", "--all")


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, on one host or, folded, on several.

    code: its name for programs, such as 'libvirt.value.plain'; cause: in the field's words.
    """

    severity: str
    code: str
    hosts: tuple[str, ...]
    thing: str
    found: str
    expected: str
    cause: str
    mend: tuple[Step, ...] = ()


def folded(findings: Iterable[Finding]) -> list[Finding]:
    """Equal findings of several hosts as one, the worst first."""
    found: dict[Finding, list[str]] = {}
    for finding in findings:
        found.setdefault(replace(finding, hosts=()), []).extend(finding.hosts)
    one = [replace(f, hosts=tuple(dict.fromkeys(hosts))) for f, hosts in found.items()]
    return sorted(one, key=lambda finding: SEVERITIES.index(finding.severity))


def healthy(findings: Iterable[Finding]) -> bool:
    """Whether there is nothing but notes."""
    return all(finding.severity == NOTE for finding in findings)


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """{severity: how many}, of every severity."""
    found = [finding.severity for finding in findings]
    return {severity: found.count(severity) for severity in SEVERITIES}


def sentence(numbers: Mapping[str, int], answered: int, asked: int) -> str:
    """'2 errors, 1 warning, 0 notes; 4 of 4 hosts answered'.  numbers: as counts has them."""
    said = ", ".join(counted(n, s) for s, n in numbers.items())
    return f"{said}; {answered} of {asked} hosts answered"


# The commands


def commands(finding: Finding, site: Site, words_of_site: str) -> list[dict[str, Json]]:
    """The steps as a person types them, and as a program would.

    [{'run': text, 'kind': as Step's, 'hosts': where a command of root's is run}]
    words_of_site: ' --site FILE', where the operator gave one.  A command that may not be typed
    is words: what is to be looked at first.
    """
    found: list[dict[str, Json]] = []
    for step in finding.mend:
        hosts = [step.host] if step.host else list(finding.hosts)
        if step.command is None:
            found.append({"run": step.text, "kind": "words", "hosts": []})
            continue
        text = advice.shown(step.command)
        if not advice.may_be_typed(step.command):
            where = f"on {', '.join(hosts)}, " if step.kind == "root" else ""
            found.append({"run": f"{where}{text}", "kind": "words", "hosts": []})
            continue
        if step.kind == "task":
            text += words_of_site + (_limit(site, hosts) if step.limited else "")
        found.append({"run": text, "kind": step.kind, "hosts": hosts * (step.kind == "root")})
    return found


def label(command: Mapping[str, Json]) -> str:
    """What stands before one of commands(): a person's own work is no command."""
    return "by hand" if command["kind"] == "words" else "mend"


def as_data(finding: Finding, site: Site, words_of_site: str) -> dict[str, Json]:
    """As JSON has it; mend as commands has it."""
    told = {name: value for name, value in vars(finding).items() if name != "mend"}
    return {**told, "mend": commands(finding, site, words_of_site)}


def _limit(site: Site, hosts: Sequence[str]) -> str:
    """' --limit' with as few words as say it; nothing where it is about all hosts."""
    mine = set(hosts) & set(site.hosts)
    if not mine or mine == set(site.hosts):
        return ""
    for role in ("compute", "cinder", "glance", "ceph"):
        if len(mine) > 1 and {h.name for h in site.with_role(role)} == mine:
            return f" --limit {role}"
    return " --limit " + ",".join(h for h in site.hosts if h in mine)
