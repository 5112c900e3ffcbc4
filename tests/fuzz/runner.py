"""Runs one input and judges how it ended: a value, a Stop of the project's own, or a failure."""

import contextlib
import functools
import io
import random
import re
import resource
import shutil
import signal
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

from fabfile.core.contract import Stop
from fabfile.core.text import clean

from .targets import TARGETS, Case

DEADLINE, ASLEEP = 5.0, 120.0
"""Seconds that one input may compute, and last on a machine where others compute too; nearly all
take milliseconds."""
MOST_MEMORY = 256
"""MiB that one input may add."""
_SHOWN = re.compile(
    r"[^\S\n ]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What must not be in a text for a terminal or a page."""


class TooLong(BaseException):
    """It was still at work at its deadline."""


class Odd(Exception):
    """What was said is not fit to be shown."""


@dataclass(frozen=True)
class Failure:
    """An input that ended as none may.

    case: SEED/TARGET/NUMBER, by which it runs again; where: the line of ours that it ended in.
    """

    case: str
    error: str
    where: str
    trace: str

    @property
    def kind(self):
        """The same fault has the same: other inputs find it again."""
        return f"{self.case.split('/')[1]}: {self.where}: {self.error.partition(':')[0]}"


def _too_long(number, frame):
    raise TooLong()


@contextlib.contextmanager
def _bounded():
    """A deadline, and memory that grows by so much at most."""
    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, DEADLINE),
        signal.SIGALRM: (signal.ITIMER_REAL, ASLEEP),
    }
    before = {number: signal.signal(number, _too_long) for number in timers}
    old = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as stream:
        now = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (MOST_MEMORY << 20), old[1]))
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_AS, old)
        for number, action in before.items():
            signal.signal(number, action)


@functools.cache
def _seeds(name):
    return list(TARGETS[name].seeds())


def damaged(name, case):
    """(its chance, the damaged input) of a case SEED/TARGET/NUMBER."""
    rng = random.Random(case)
    return rng, TARGETS[name].damage(rng, rng.choice(_seeds(name)))


def run(case):
    """Runs one case; its Failure, or None."""
    name = case.split("/")[1]
    target = TARGETS[name]
    rng, found = damaged(name, case)
    folder = Path(tempfile.mkdtemp(prefix="stackrbd-fuzz-"))
    out = io.StringIO()
    given = Case(rng, folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), _bounded():
            try:
                target.act(given, found)
            except Stop as stop:
                # As fabfile.command shows it.
                given.say(clean(f"stackrbd: {stop}"))
            except target.ends:
                pass
        odd = next(filter(None, map(_SHOWN.search, (out.getvalue(), *given.texts))), None)
        if odd:
            text = odd.string[max(0, odd.start() - 60) : odd.end() + 20]
            raise Odd(f"{odd.group()!r} in {text!r}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _failure(case, error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return None


def _failure(case, error):
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if "/fabfile/" in one.filename] or frames
    where = f"{'/'.join(ours[-1].filename.split('/')[-3:])}:{ours[-1].lineno}"
    said = f"{type(error).__name__}: {str(error)[:200]}"
    return Failure(case, said, where, "".join(traceback.format_exception(error))[-6000:])


def few(seed, inputs, name):
    """The cases of one target, where so many are shared out among all."""
    return list(cases(seed, inputs, (name,), tuple(TARGETS)))


def cases(seed, inputs, names=tuple(TARGETS), among=()):
    """So many cases, shared out among the targets; among: others that have a share too."""
    whole = sum(TARGETS[name].share for name in among or names)
    for name in names:
        for number in range(max(1, inputs * TARGETS[name].share // whole)):
            yield f"{seed}/{name}/{number}"
