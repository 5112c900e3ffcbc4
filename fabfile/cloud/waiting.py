"""Asks OpenStack again and again until what was asked for is there, or its time is up.

Knows what a service answers while it is just not answering; what is asked, and what it
means, is the caller's matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from fabfile.cloud.connection import failures
from fabfile.core.contract import Stop, Unproved

T = TypeVar("T")
RaiseIfStopped = Callable[[], None]
_PAUSE_SECONDS = 1.0
MOST = 4
"""So many times its seconds a wait takes at most, however its end comes nearer."""


def until(  # noqa: PLR0913 - one loop for all waits
    what: str,
    ask: Callable[[], T],
    done: Callable[[T], object],
    *,
    seconds: float,
    fatal: tuple[str, ...] = (),
    why: Callable[[T], str] = lambda now: "",
    progress: Callable[[T], str] = lambda now: "",
    end: str = "",
    raise_if_stopped: RaiseIfStopped = lambda: None,
) -> T:
    """Ask until it is done; Unproved, with the last answer, after so many seconds.

    progress: of an answer, how far it is, '' where it does not say; the seconds begin anew with
    each change, since a host at its limit is slow and not broken.  In all no more than MOST times
    the seconds.
    raise_if_stopped: raises Interrupted where it is to wait no more.
    """
    began = moved = time.monotonic()
    far = ""
    while True:
        raise_if_stopped()
        asked = _asked(ask)
        if asked[1] is None:
            if done(asked[0]):
                return asked[0]
            if (told := progress(asked[0])) not in {"", far}:
                far, moved = told, time.monotonic()
            state = _status(asked[0])
            if any(word in fatal for word in state.split(", ")):
                raise Unproved(f"{what}: {_because(state, why, asked[0])}")
        else:
            state = asked[1]
        now = time.monotonic()
        if now > min(moved + seconds, began + MOST * seconds):
            late = f"not there after {now - began:.0f} s; last: "
            found = f"{late}{_because(state, why, asked[0])}"
            raise Unproved("; ".join(filter(None, (f"{what}: {found}", end))))
        time.sleep(_PAUSE_SECONDS)


def expected() -> tuple[type[Exception], ...]:
    """What says that the proof failed, and not that this program has a bug."""
    return Stop, OSError, *failures()


def _asked(ask: Callable[[], T]) -> tuple[T, None] | tuple[None, str]:
    """(answer, None), or (None, why not) while a service is just not answering."""
    from keystoneauth1.exceptions import ConnectFailure  # noqa: PLC0415 (slow to load)
    from openstack.exceptions import HttpException  # noqa: PLC0415 (slow to load)

    try:
        return ask(), None
    except ConnectFailure as error:
        return None, str(error)
    except HttpException as error:
        # A service that is restarting; also a console that is not there yet.
        if error.status_code in (404, 409, 500, 502, 503, 504):
            return None, str(error)
        raise


def _because(state: str, why: Callable[[T], str], now: T | None) -> str:
    reason = why(now) if now is not None else ""
    return f"{state}: {reason}" if reason else state


def _status(answer: object) -> str:
    """The status of one thing or of several, or the last lines of a console."""
    if not isinstance(answer, list):
        return str(getattr(answer, "status", answer))
    words = [str(getattr(item, "status", item)) for item in answer[-3:]]
    return ", ".join(words) or "nothing yet"
