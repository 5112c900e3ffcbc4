"""One target of the fuzzing, and one input that it is fed with."""

import json
import random
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fabfile.core.remote import files, processes
from fabfile.core.text import clean

from .. import mutation

AGENTS = (processes.Failed, files.Refused, OSError, ValueError)
"""What an agent's read may end in: it is said as that read's error."""


@dataclass
class Case:
    """One input's own things: chance, and a folder that is empty again for the next one."""

    rng: random.Random
    folder: Path
    texts: list[str] = field(default_factory=list)

    def say(self, text):
        """A line for a terminal, as Screen.say makes it."""
        self.texts.append(clean(text))

    def page(self, name, text):
        """A file that others read: the JUnit file must be XML."""
        if name.endswith(".xml"):
            ET.fromstring(text)  # noqa: S314 (it is our own)
        if not name.endswith(".json"):
            self.texts.append(text)

    def file(self, name, data):
        """A file of these bytes, for its owner alone."""
        path = self.folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o600)
        return path


@dataclass(frozen=True)
class Target:
    """kind: what comes from outside.  seeds: whole inputs.  damage(rng, one): a damaged one.

    act(case, input) reads it.  ends: what else than a Stop may end that.  share: of all inputs.
    """

    kind: str
    seeds: Callable[[], Sequence[Any]]
    damage: Callable[[random.Random, Any], Any]
    act: Callable[[Case, Any], None]
    ends: tuple[type[BaseException], ...] = ()
    share: int = 10


def _repeated(once):
    """Damages in one place or several."""

    def damage(rng, found):
        for _ in range(mutation.times(rng)):
            found = once(rng, found)
        return found

    return damage


as_value, as_data, as_text = map(_repeated, (mutation.value, mutation.data, mutation.text))


def as_document(rng, found):
    """Bytes of a JSON document: damaged as JSON, and sometimes as bytes."""
    made = json.dumps(as_value(rng, found)).encode("utf-8", "surrogatepass")
    return as_data(rng, made) if rng.random() < 0.3 else made
