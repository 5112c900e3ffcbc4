"""Where a run's hosts are worked on: two functions, and the engine of this process.

    probe(works, on_message)    asks hosts; writes nothing
    apply(works, on_message)    carries out part of a plan

works: {host: work}, as an agent takes it, with a Ref where a secret goes; on_message(
host, message) is called with each of their messages, never twice at a time.  Both answer {host:
why} of those that did not end; a fault `Lost` is that of a host whose worker is gone.  An
engine looks up the secrets itself, over its own connections: no work holds one.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fabfile.core import own_files, site_file, ssh_config
from fabfile.core.contract import BadInput, Host, Json, Message, Read, Ref, Secret, Stop
from fabfile.flow import gather
from fabfile.flow.terminal import outcomes
from fabfile.model.deployment import Cluster
from fabfile.model.site_tables import Ssh
from fabfile.resources import auth

if TYPE_CHECKING:
    from fabfile.core.ssh import Fleet  # Fabric is slow to load

Works = Mapping[str, dict[str, Json]]
OnMessage = Callable[[str, Message], None]
_LOCK = ("site", "number", "who", "patience")
"""What a work says of the lock that it is done under."""


class Engine(Protocol):
    """What a run asks for: this process's own pool, or workers elsewhere."""

    def probe(self, works: Works, on_message: OnMessage) -> dict[str, Stop]:
        """Asks hosts."""

    def apply(self, works: Works, on_message: OnMessage) -> dict[str, Stop]:
        """Carries out part of a plan.  Raises Stop where nothing of it was begun."""

    def warnings(self) -> Sequence[str]:
        """What is to be said of known_hosts."""

    def close(self) -> None:
        """Leaves nothing behind."""


class Local:
    """This process's pool of threads, over one fleet.

    clusters: where their keys are; supplied: the keys that were handed over.
    """

    def __init__(
        self,
        fleet: Fleet,
        clusters: Sequence[Cluster],
        supplied: Callable[[], Mapping[str, Secret]] = dict,
    ) -> None:
        self.fleet, self._clusters, self._supplied = fleet, clusters, supplied
        self._keys: dict[str, Secret] = {}

    def probe(self, works: Works, on_message: OnMessage) -> dict[str, Stop]:
        """See the module."""
        faults: dict[str, Stop] = self.fleet.work(works, on_message)
        return faults

    def apply(self, works: Works, on_message: OnMessage) -> dict[str, Stop]:
        """See the module.  Raises what keeps a key from being fetched."""
        self._fetch(works)
        faults: dict[str, Stop] = self.fleet.work(
            {
                host: {**work, "steps": _put_in(work["steps"], self._keys)}
                for host, work in works.items()
            },
            on_message,
        )
        return faults

    def _fetch(self, works: Works) -> None:
        """The keys that are missing for these works, from the first Ceph host of each cluster."""
        needed = {name for work in works.values() for name in refs(work["steps"])}
        if needed:
            self._keys |= self._supplied()
        asked: dict[Host, list[Read]] = {}
        for name in sorted(needed - set(self._keys)):
            host, read = auth.key_read(self._clusters, name)
            asked.setdefault(host, []).append(read)
        if not asked:
            return
        work = next(iter(works.values()))
        answers = gather.FactCollector(asked)
        lock = {name: work[name] for name in _LOCK if name in work}
        platform_of = {one.admin: one.platform for one in self._clusters}.__getitem__
        questions = gather.works(asked, lock, platform_of)
        wanting = answers.wanting(self.fleet.work(questions, answers.on_message))
        self.fleet.conversations.raise_if_stopped()
        if wanting:
            raise outcomes.worst(wanting)
        for seen in answers.values.values():
            self._keys |= seen

    def warnings(self) -> Sequence[str]:
        """See the protocol."""
        found: Sequence[str] = self.fleet.warnings
        return found

    def close(self) -> None:
        """The fleet is closed by whoever made it."""


def refs(value: Any) -> Iterable[str]:
    """The names of all Refs in a work's data."""
    if isinstance(value, Ref):
        yield value.name
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from refs(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from refs(inner)


def _put_in(value: Any, keys: Mapping[str, Secret]) -> Any:
    """The same data, with secrets in the place of Refs."""
    if isinstance(value, Ref):
        return keys[value.name]
    if isinstance(value, Mapping):
        return {k: _put_in(v, keys) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_put_in(v, keys) for v in value]
    return value


def fleet(hosts: Iterable[Host], ssh: Ssh, forks: int, where: str = "") -> Fleet:
    """A fleet by the site's [ssh], as it is on this machine.  Raises BadInput.

    where: what is said of this machine, where it is not the operator's.
    """
    from fabfile.core.ssh import Fleet  # noqa: PLC0415 (Fabric is slow to load)

    config = _config(ssh, where)
    password = _printed(ssh.sudo_password_command) if ssh.sudo_password_command else None
    return Fleet(hosts, config, forks, password)


def _config(ssh: Ssh, where: str = "") -> Path | None:
    config = site_file.expanded(ssh.config, "ssh.config") if ssh.config else None
    if config and not config.is_file():
        hint = where or " (for the lab: inv lab.up)"
        raise BadInput(f"ssh.config: {config}: no such file{hint}")
    return config


def local_commands(ssh: Ssh) -> list[tuple[str, str]]:
    """[(who names it, command)]: what [ssh] makes run on this machine.  Raises BadInput."""
    found = []
    if ssh.sudo_password_command:
        found.append(("ssh.sudo_password_command", shlex.join(ssh.sudo_password_command)))
    config = _config(ssh)
    if config:
        read = ssh_config.Configuration(config, lambda command: False)
        found += [(f"{config}: {name}", command) for name, command in read.commands()]
    return found


def _printed(command: Sequence[str]) -> Secret:
    for word in (shutil.which(command[0]) or "", *command[1:]):
        if word.startswith("/") and Path(word).is_file():
            own_files.refuse_alterable(Path(word), "ssh.sudo_password_command")
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = getattr(error, "strerror", None) or "no answer within 60 s"
        raise BadInput(f"ssh.sudo_password_command: {command[0]}: {why}") from None
    if done.returncode or not done.stdout.strip():
        raise BadInput(f"ssh.sudo_password_command: {command[0]} printed no password")
    return Secret(done.stdout.splitlines()[0])
