"""Runs programs on a host: clean environment, a deadline of their own, bounded output.

Knows how a program is ended together with all that it started; does not know what
any program is for.  Python 3.6, standard library alone.
"""

import os
import re
import signal
import subprocess
import threading

from . import files

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "LANG": "C",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
}
LARGEST = 8 * 1024 * 1024

running = set()  # type: ignore[var-annotated]


class Failed(Exception):
    """A read or step that did not work; the message is shown to the operator."""


def fingerprint(text):
    """How a secret is shown and compared: never itself."""
    return "sha256:" + files.sha256(text.strip().encode("utf-8", "surrogateescape"))


def masked(text, patterns):
    """The text with the first group of each pattern replaced by its fingerprint."""
    for pattern in patterns:
        text = re.sub(pattern, _mask_group, text, flags=re.M)
    return text


def _mask_group(found):
    whole, start = found.group(0), found.start(0)
    inner = found.start(1) - start, found.end(1) - start
    return whole[: inner[0]] + fingerprint(found.group(1)) + whole[inner[1] :]


def end_all():
    """Ends every program that is still running; package managers are left alone."""
    for process in list(running):
        _end(process)


def _end(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass


def _is_there(program):
    """As shutil.which(), which is slow to import."""
    folders = ENVIRONMENT["PATH"].split(":") if "/" not in program else [""]
    paths = [os.path.join(folder, program) for folder in folders]
    return any(os.path.isfile(path) and os.access(path, os.X_OK) for path in paths)


def call(argv, stdin=b"", timeout=60, killable=True):
    """(exit code, output, errors) of a command.

    Past the timeout its whole process group is ended and Failed raised; coreutils'
    timeout does the same should this agent die before it.  A command that is not
    killable (a package manager) is waited for instead.
    """
    if not _is_there(argv[0]):
        raise Failed("%s: no such program here" % argv[0])
    deadline = ["timeout", "-k", "5", str(int(timeout) + 2), *argv] if killable else argv
    process = subprocess.Popen(
        deadline,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    if killable:
        running.add(process)
    watch = threading.Timer(timeout, _end, (process,)) if killable else None
    if watch:
        watch.daemon = True
        watch.start()
    try:
        out, err = _communicate(process, stdin)
    finally:
        running.discard(process)
        if watch:
            watch.cancel()
    if len(out) > LARGEST:
        raise Failed("%s: more than %d bytes of output" % (" ".join(argv[:3]), LARGEST))
    if killable and process.returncode in (-signal.SIGKILL, 124, 137):
        raise Failed("%s: no answer within %d s" % (" ".join(argv[:3]), timeout))
    return process.returncode, text(out), text(err)


def _communicate(process, stdin):
    """As Popen.communicate, but ends a program that never stops talking."""
    errors = []
    readers = [threading.Thread(target=_drain, args=(process.stderr, errors))]
    if stdin:
        readers.append(threading.Thread(target=_feed, args=(process, stdin)))
    for reader in readers:
        reader.daemon = True
        reader.start()
    out = process.stdout.read(LARGEST + 1)
    if len(out) > LARGEST:
        _end(process)
    process.wait()
    for reader in readers:
        reader.join(5)
    return out, b"".join(errors)


def _drain(stream, kept):
    for data in iter(lambda: stream.read1(65536), b""):
        if len(kept) < 64:
            kept.append(data)


def _feed(process, stdin):
    try:
        process.stdin.write(stdin)
        process.stdin.close()
    except OSError:
        pass  # it did not want to hear all of it


def text(data):
    """Bytes as text; what is not UTF-8 is replaced."""
    return data.decode("utf-8", "replace")


def expect(argv, ok=(0,), **how):
    """As call(), but an exit code outside ok is a Failed with what was said."""
    code, out, err = call(argv, **how)
    if code not in ok:
        said = (err.strip() or out.strip())[-600:]
        raise Failed("%s: exit code %d: %s" % (" ".join(argv[:4]), code, said))
    return code, out, err
