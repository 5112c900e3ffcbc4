"""Folders that change places, whole: those of a database's server.

What is in such a folder is the server's user's, who may play with names meanwhile: what is
done in it by path is done as that user.  Python 3.6, standard library alone.
"""

import os
import shutil
import subprocess

from . import files, places, processes
from .files import Refused
from .places import as_bytes


def exchange(path, new, old):
    """A folder in another's place, by two renames; OSError with everything as it was."""
    files.rename(path, old)
    try:
        files.rename(new, path)
    except OSError:
        files.rename(old, path)
        raise
    files.sync_folder(os.path.dirname(path))


def exchange_contents(path, new, old):
    """The same where the folder itself cannot be renamed: a mount, or an overlay's lower one.

    What was there is copied whole before anything is taken away.
    """
    beside = old + files.SUFFIX
    _expect_roots(old)
    owner = os.lstat(as_bytes(path))
    unread = _run(["find", new, "!", "-readable", "-print", "-quit"], owner)
    if unread:
        raise Refused("%s: cannot be read by the owner of %s" % (unread.strip(), path))
    shutil.rmtree(as_bytes(beside), ignore_errors=True)
    try:
        _run(["cp", "-a", "--", path, beside])
    except Refused:
        shutil.rmtree(as_bytes(beside), ignore_errors=True)
        raise
    _run(["sync", "-f", beside])
    files.rename(beside, old)
    files.sync_folder(os.path.dirname(old))
    for name in os.listdir(as_bytes(path)):
        entry = os.path.join(as_bytes(path), name)
        if os.path.isdir(entry) and not os.path.islink(entry):
            shutil.rmtree(entry)  # follows no link, at whatever moment it is put there
        else:
            os.unlink(entry)
    _run(["cp", "-a", "--", new + "/.", path], owner)
    shutil.rmtree(as_bytes(new))
    _run(["sync", "-f", path])


def _expect_roots(path):
    """Raises Refused where somebody else than root may put things beside a path."""
    with places.place(path) as there:
        if not there.by_root(os.fstat(there.folder)):
            raise Refused("%s: expected the folder that this is in to be root's alone" % path)


def _run(argv, owner=None):
    """What a program says; owner: of the entry that has this state, who runs it."""
    drops = owner is not None and owner.st_uid and os.geteuid() == 0

    def drop():
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)

    try:
        done = subprocess.run(
            [as_bytes(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=processes.ENVIRONMENT,
            cwd="/",
            preexec_fn=drop if drops else None,
        )
    except subprocess.SubprocessError as error:
        raise Refused("%s: %s" % (argv[0], error))
    if done.returncode:
        raise Refused("%s: %s" % (argv[0], processes.said(processes.text(done.stderr), 300)))
    return processes.text(done.stdout)
