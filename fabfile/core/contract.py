"""The few types that all rooms share.

Knows what a read, a change, a plan and an error are; does no I/O and knows
nothing of Ceph, OpenStack or SSH.

    Stop                 ends a run with an exit code
    |- Failed        1   a step did not work
    |- BadInput      3   the site file, an option or a request is wrong
    |  `- Refused          what was found is not altered by itself
    |- Unreachable   4   a host did not answer, or sudo is not allowed there
    |  |- UnknownHostKey     its key is in no known_hosts
    |  |- WrongHostKey       its key is another than known_hosts has
    |  |- UnknownName        its name leads to no address here
    |  |- LoginRefused       it takes no key of this user
    |  |- NoSession          its login works, or is slow, and no session opens
    |  |- NeedsPassword      sudo asks for a password there
    |  |- SudoRefused        sudo does not let the agent run there
    |  |- NoPython           there is nothing that could run the agent
    |  |- NoAgent            a session opens, and the agent does not start in it
    |  `- Unbelieved         what it answers cannot be an agent's answers
    |- Locked        5   somebody else is at work
    |- Unproved      6   the work was done, and the proof of it failed
    |- Unknown       7   a connection was cut; what happened must be read again
    |  `- Lost                  the worker that was at work there is gone
    `- Interrupted 130   the operator (or a signal) asked to stop
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

Json = Any
"""What JSON (or TOML) holds, its shape unchecked: for what comes in from outside alone."""
Message = Mapping[str, Json]
"""One message of an agent; core.answers knows the shapes."""
Args = Mapping[str, Any]
"""A verb's arguments by name: JSON, with a Ref or a Secret where a secret goes."""

STACKRBD = "stackrbd"
INV = next((name for name in (STACKRBD, "fab") if sys.argv[0].rpartition("/")[2] == name), "inv")
"""The command by which the operator called this: what is printed to be typed begins with it."""

CLOUD = "cloud"
"""The pseudo-host for what is read and changed through OpenStack's API."""


@dataclass(frozen=True)
class Command:
    """A command for a person's shell, as words; fabfile/model/advice.py alone makes a text of it.

    argv: as the shell is to hand them on.  deed: the same on every platform ('restart', unit),
    by which it is known what it does.  looked: what was looked at of all that could speak
    against it.  otherwise: what is run where it fails.  into: the file to which its output is
    added.
    """

    argv: tuple[str, ...]
    deed: tuple[str, ...]
    looked: frozenset[str] = frozenset()
    otherwise: Command | None = None
    into: str = ""

    def __str__(self) -> str:
        raise TypeError("what is shown of a command, model.advice.shown says")

    def __format__(self, form: str) -> str:
        return str(self)

    def having_seen(self, *looked: str) -> Command:
        """The same, after something more was looked at."""
        return replace(self, looked=self.looked.union(looked))


def typed(*words: str) -> Command:
    """A command that is the same on every platform."""
    return Command(words, words)


class Stop(Exception):
    """Ends a run; args[0] is shown to the operator, with no traceback.

    The sentence is for people alone.  Programs look at the fields: host: where, or '' for the
    site; subject: the name of what it is about; expected, found: what should be, and what is;
    why: what that does; advice: what a person does about it.  Without a sentence of its own, it
    is made of them.  clusters: those that it is said to be about, where a site has several.
    """

    code = 1
    clusters: tuple[str, ...] = ()

    def __init__(  # noqa: PLR0913
        self,
        text: str = "",
        *,
        host: str = "",
        subject: str = "",
        expected: str = "",
        found: str = "",
        why: str = "",
        advice: str = "",
    ) -> None:
        self.host, self.subject, self.advice = host, subject, advice
        self.expected, self.found, self.why = expected, found, why
        super().__init__(text or self._sentence())

    def _sentence(self) -> str:
        return "; ".join(filter(None, (self.summary, self.advice)))

    @property
    def summary(self) -> str:
        """The sentence without its advice."""
        said = f"expected {self.expected}, found {self.found}" if self.expected else self.found
        parts = ": ".join(filter(None, (self.host, self.subject, said, self.why)))
        return parts or str(self)

    def add(self, text: str) -> None:
        """Says one thing more, on a line of its own."""
        self.args = (f"{self}\n{text}",)

    @property
    def about(self) -> tuple[str, str, str]:
        """What makes two of them one, whatever their words."""
        return type(self).__name__, self.host, self.subject or str(self)


class Failed(Stop):
    """A step did not work."""


class BadInput(Stop):
    """What was asked for cannot be meant."""

    code = 3


class Refused(BadInput):
    """What was found must not be altered by itself.

    mend: commands for a shell of root there, after which the task goes on.
    """

    def __init__(self, text: str = "", *, mend: Sequence[Command] = (), **fields: str) -> None:
        super().__init__(text, **fields)
        self.mend = tuple(mend)


class Unreachable(Stop):
    """Hosts that could not be worked on; nothing was written anywhere."""

    code = 4


class UnknownHostKey(Unreachable):
    """A host whose key is in no known_hosts.

    line: what known_hosts would hold of it; fingerprint: 'SHA256:...'; file: where.
    """

    def __init__(
        self,
        text: str = "",
        line: str = "",
        fingerprint: str = "",
        file: str = "",
        **fields: str,
    ) -> None:
        super().__init__(text, **fields)
        self.line, self.fingerprint, self.file = line, fingerprint, file


class WrongHostKey(Unreachable):
    """Its key is another than known_hosts has, or is marked as revoked there."""


class UnknownName(Unreachable):
    """Its name leads to no address on this machine."""


class LoginRefused(Unreachable):
    """It takes no key of this user."""


class NoSession(Unreachable):
    """It speaks SSH and knows the user; what it does for a login does not come to an end."""


class NeedsPassword(Unreachable):
    """sudo asks for a password there."""


class SudoRefused(Unreachable):
    """sudo does not let the agent run there."""


class NoPython(Unreachable):
    """There is nothing that could run the agent."""


class NoAgent(Unreachable):
    """A session opens there, and the agent does not start in it."""


class Unbelieved(Unreachable):
    """It answers what an agent that was asked this would not."""


class Locked(Stop):
    """Another run holds a host or the site."""

    code = 5


class Unproved(Stop):
    """The proof that it works did not succeed."""

    code = 6


class Unknown(Stop):
    """The connection was cut while work was under way."""

    code = 7


class Lost(Unknown):
    """The worker of an engine that was at work on a host is gone."""


class Interrupted(Stop):
    """The operator asked to stop; args[0] says what was done until then."""

    code = 130


CHANGES_PENDING = 2


class Secret:
    """A text that is never shown: opaque until the one place that sends it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")

    def reveal(self) -> str:
        """The text itself; called where it is put on a wire, and nowhere else."""
        return self._text

    @property
    def fingerprint(self) -> str:
        """'sha256:' and 64 hex digits, as the hosts fingerprint their values."""
        return "sha256:" + hashlib.sha256(self._text.strip().encode()).hexdigest()


@dataclass(frozen=True)
class Ref:
    """Stands in a plan for a secret that is looked up when the plan is carried out."""

    name: str


@dataclass(frozen=True)
class Host:
    """One machine: how to reach it and what it is for.

    address, user and port may be None: then the SSH configuration holds.
    """

    name: str
    roles: tuple[str, ...]
    address: str | None = None
    user: str | None = None
    port: int | None = None


@dataclass(frozen=True)
class Read:
    """One question to a host: an agent's verb and its arguments (JSON).

    told: the shape of the JSON document that a command prints (core.shapes), where it is one.
    most: bytes of all lines of an answer that comes in parts.
    needed: whether nothing can be planned without it; what is not, the cloud's API may fail.
    """

    id: str
    verb: str
    args: Args = field(default_factory=dict)
    told: Any = None
    most: int = 64 * 1024 * 1024
    needed: bool = True

    def together(self, other: Read) -> Read:
        """One question for two of the same id: where it names packages, the names of both."""
        if self.verb not in ("packages", "repositories"):
            return self
        names = sorted({*self.args["names"], *other.args["names"]})
        return Read(self.id, self.verb, {"names": names})


Seen = Mapping[str, Json]
"""One host's answers: {read id: value}."""


@dataclass(frozen=True)
class Facts:
    """What was seen: {host: {read id: value}}, and what the run already knows.

    known: scalars that travel through the context ({'uuid.volumes': '...'}).
    release: what the site's OpenStack release needs (a file of config/releases).
    """

    hosts: Mapping[str, Seen]
    known: Mapping[str, str] = field(default_factory=dict)
    release: Mapping[str, Json] = field(default_factory=dict)

    def of(self, host: str, read: str) -> Json:
        """One answer; KeyError if it was never asked (a bug, not a state)."""
        return self.hosts[host][read]


@dataclass(frozen=True)
class Change:
    """One thing to do on one host: data, so that it can be shown, kept and undone.

    thing, sentence: the words that an operator is shown; nobody parses them.
    kind: what it is about: 'pool', 'user', 'keyring', 'restart' ...; subject: which one, by
    its plain name: a pool's, a client's, a path, a UUID, a unit's.
    sign: '+' new, '~' altered, '-' gone, '!' a restart.
    args: the verb's arguments; Ref where a secret goes.
    diff: lines for people, secrets as fingerprints.
    For a verb 'run', args may hold 'undo': the step that takes it back.
    stays: why it stays when its run is taken back, where nothing takes it back.
    restarts: units on the same host that must be restarted because of it.
    wave: 0 the cluster, 1 the control services, 2 the computes, 3 the cloud's API.
    """

    host: str
    thing: str
    sentence: str
    sign: str
    verb: str
    args: Args
    wave: int
    diff: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()
    kind: str = ""
    subject: str = ""
    stays: str = ""


@dataclass(frozen=True)
class Plan:
    """All changes in order; empty means converged.

    left_out: {host: why} of those that could not be read, and for which nothing is planned.
    """

    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.changes)

    def hosts(self) -> set[str]:
        """The hosts that it changes, the cloud aside."""
        return {change.host for change in self.changes} - {CLOUD}

    def waves(self) -> list[dict[str, list[tuple[int, Change]]]]:
        """[{host: [(number, change)]}], in the order in which they are carried out.

        number: the change's place in the plan.
        """
        found: dict[int, dict[str, list[tuple[int, Change]]]] = {}
        for number, change in enumerate(self.changes):
            wave = found.setdefault(change.wave, {})
            wave.setdefault(change.host, []).append((number, change))
        return [found[number] for number in sorted(found)]
