"""A piece of work that sends a backup out or takes one in, under this host's lock.

Python 3.6, standard library alone.
"""

import os
import tarfile

from . import backup_create, backup_restore, files, state, transfer
from .processes import Failed

_VERBS = {"create": backup_create.create, "restore": backup_restore.restore}


def carry_out(work, talk, asker):
    """One backup, out or in; the last message is 'transferred' or 'refused'."""
    lock = None
    try:
        state.raise_fence(work["site"], work["number"])
        lock = state.take_lock(work["who"], work["patience"], asker.gone)
        value = _VERBS[work["transfer"]](talk, asker, work["run"], **work["args"])
        talk.say(t="transferred", value=value)
    except transfer.Gone:
        pass
    except (Failed, files.Refused, OSError, ValueError, tarfile.TarError) as error:
        talk.say(t="refused", why=str(error))
    finally:
        if lock is not None:
            os.close(lock)
