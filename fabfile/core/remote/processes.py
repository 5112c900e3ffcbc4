"""Runs programs on a host: clean environment, a deadline of their own, bounded output.

Knows how a program is ended together with all that it started; does not know what
any program is for.  Python 3.6, standard library alone.
"""

import binascii
import contextlib
import fcntl
import os
import re
import select
import signal
import threading
import time

from . import files
from .places import as_bytes, from_bytes

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "LANG": "C",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
}
LARGEST = 8 * 1024 * 1024
PAGE = 256 * 1024
_SET_PIPE_SIZE = 1031
"""Linux's F_SETPIPE_SZ, which Python has a name for since 3.10."""
PIPE, NULL = -1, -3
"""subprocess.PIPE and DEVNULL, which is loaded where it is needed alone."""


class Failed(Exception):
    """A read or step that did not work; the message is shown to the operator.

    about: of which thing and what was found there, where programs are to know it.
    """

    about = {}  # type: dict[str, str]


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


_secrets = set()  # type: ignore[var-annotated]
_LEAST, _LEAST_PART = 4, 8
"""Letters: what is shorter is no secret, and no part of one that tells anything."""
_CREDENTIALS = (
    # Up to the last '@' of a word: a password that breaks a URL is what errors are about.
    (r"//[^\s/@:]*:\S*@|//[^\s/@]+@", "//***@"),
    (r"(?<![\w/])[\w.-]+:[^\s:@/]+@(?=[\w\[])", "***@"),
    (
        r"""(?i)((?:passw(?:or)?d|passphrase|secret|token|credential|authorization|transport_url"""
        r"""|(?:api|access|private|auth)[_-]?key)[\w-]*["']?\s*[=:]\s*"""
        r"""|(?:connection|\bkey)["']?\s*=\s*)"""
        r"""(?:"[^"]*"|'[^']*'|(?:(?:basic|bearer)\s+)?\S+)""",
        r"\1***",
    ),
    (r"\bA[Qg][A-D][A-Za-z0-9+/]{29,}={0,2}|\bgAAAA[\w-]{20,}=*", "***"),
)
"""What is a credential by its form: of a URL, behind its name, a cephx key, a Fernet token."""
_MOST_READ = 4096
"""Letters that are looked through for these forms: the time grows with the square of them."""


def hush(text):
    """From now on a secret is in no words of this agent, nor is what base64 makes of it."""
    for secret in (text, text.strip()):
        if len(secret) >= _LEAST:
            encoded = binascii.b2a_base64(secret.encode("utf-8", "surrogateescape"))
            _secrets.update((secret, encoded.decode("ascii").rstrip("=\n")))


def hushed(text):
    """A text without the secrets that are known here, nor what a cut has left of them at an end."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
        for size in range(len(secret) - 1, _LEAST_PART - 1, -1):
            if text.endswith(secret[:size]):
                text = text[:-size] + "***"
            if text.startswith(secret[-size:]):
                text = "***" + text[size:]
    return text


def said(words, most=600):
    """The end of what a program said, as it may be shown: without credentials, and then cut."""
    words = hushed(words.strip())
    if not words:
        return ""  # mostly; to compile the patterns takes a millisecond
    shown = words[-_MOST_READ:]
    for pattern, instead in _CREDENTIALS:
        shown = re.sub(pattern, instead, shown)
    # Where a cut was made, half a credential has no form any more: nothing near it is shown.
    return shown[-most:] if len(words) <= _MOST_READ or len(shown) > most else "***"


_WATCH = """\
trap '' HUP INT TERM
all=' '
while read -r what group; do
  case $what in
    began) all="$all$group " ;;
    over) all="${all%% $group *} ${all#* $group }" ;;
  esac
done
for group in $all; do kill -9 "-$group"; done
"""
"""What ends all process groups that are begun and not over, when nobody is left to say more."""


class Guard:
    """A process of its own that ends programs when this one is gone, however it went.

    One for all programs, and a shell: to copy this process for it takes four times as long.
    """

    def __init__(self):
        self._running = set()
        read, self._write = os.pipe()
        try:
            if _SPAWNS:
                ends = [(os.POSIX_SPAWN_DUP2, read, 0)]
                ends += [(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_RDWR, 0) for n in (1, 2)]
                _spawn("/bin/sh", ["sh", "-c", _WATCH], ends)
            else:
                _started(["/bin/sh", "-c", _WATCH], stdin=read, stdout=NULL, stderr=NULL)
        finally:
            os.close(read)

    def began(self, group):
        """A program with its process group."""
        self._running.add(group)
        os.write(self._write, b"began %d\n" % group)

    def over(self, group):
        """It has ended."""
        self._running.discard(group)
        os.write(self._write, b"over %d\n" % group)

    def end_all(self):
        """Ends every program that is still running; package managers are left alone."""
        for group in list(self._running):
            _end(group)


_guard = []  # type: ignore[var-annotated]


def guard():
    """This process's guard."""
    if not _guard:
        _guard.append(Guard())
    return _guard[0]


def _end(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass


def _path_of(program):
    """As shutil.which(), which is slow to import."""
    folders = ENVIRONMENT["PATH"].split(":") if "/" not in program else [""]
    paths = [as_bytes(os.path.join(folder, program)) for folder in folders]
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def _is_there(program):
    return _path_of(program) is not None


WAYS = {}  # type: ignore[var-annotated]
"""{a program: other ways in which it may be begun}, as the work under way says; '*' in a word
stands for the newest file of that name, in one folder."""


def begun(argv):
    """A command as it is begun here: by its program, or by the first other way that is there.

    Raises Failed where none is.
    """
    if _is_there(argv[0]):
        return argv
    ways = WAYS.get(argv[0], ())
    for way in ways:
        words = [_newest(word) for word in way]
        if None not in words and _is_there(words[0]):
            return words + list(argv[1:])
    nor = "".join(", nor %s" % " ".join(way) for way in ways)
    raise Failed("%s: no such program here%s" % (argv[0], nor))


def otherwise():
    """{a program that is not on the path: the words that begin it here}."""
    found = {}
    for program in WAYS:
        with contextlib.suppress(Failed):
            found[program] = begun([program])
    return {program: words for program, words in found.items() if words != [program]}


def _newest(word):
    """A word, or the file that it stands for; None where there is none, or of several folders."""
    if "*" not in word:
        return word
    import glob  # noqa: PLC0415 (slow to load, seldom needed)

    there = glob.glob(as_bytes(word))  # a link to nothing too
    found = [from_bytes(path) for path in there if os.path.isfile(path)]
    if len({os.path.dirname(path) for path in found}) != 1:
        return None
    return max(found, key=lambda path: os.stat(as_bytes(path)).st_mtime)


def first_of(programs):
    """The first of the programs that is here.  Raises Failed where none is."""
    for program in programs:
        if _is_there(program):
            return program
    raise Failed("%s: no such program here" % " or ".join(programs))


def call(argv, stdin=b"", timeout=60, killable=True, fds=(), apart=None):
    """(exit code, output, errors) of a command; fds: handles that it gets; apart: see Program.

    Past the timeout its whole process group is ended and Failed raised; it is ended
    too should this agent die before it.  A command that is not killable (a package
    manager) is waited for instead.  What a program says in cephadm's shell comes by a file:
    podman logs a container's output, keys too, in the journal.
    """
    argv = begun(argv)
    at = _in_shell(argv)
    if not at:
        return _called(argv, stdin, timeout, killable, fds, apart)
    import tempfile  # noqa: PLC0415 (slow to load, seldom needed)

    with tempfile.TemporaryDirectory(prefix="stackrbd-", dir=_SHELLS) as folder:
        aside = ["--mount", "%s:%s" % (folder, _WITHIN), "--", "sh", "-c", _TO_FILE, "sh"]
        words = argv[: at - 1] + aside + argv[at:]
        code, out, err = _called(words, stdin, timeout, killable, fds, apart)
        return code, out + _read(os.path.join(folder, "out")), err


_SHELLS, _WITHIN = "/run", "/mnt/stackrbd"
_TO_FILE = 'exec "$@" > %s/out' % _WITHIN


def _in_shell(argv):
    """Where in a command the program begins that runs in cephadm's shell; 0 for none."""
    at = argv.index("--") + 1 if "--" in argv else 0
    return at if at > 1 and argv[at - 2] == "shell" else 0


def _read(path):
    """The text of a file of a program's output; '' where there is none.  Raises Failed."""
    try:
        with open(as_bytes(path), "rb") as stream:
            data = stream.read(LARGEST + 1)
    except FileNotFoundError:
        return ""
    if len(data) > LARGEST:
        raise Failed("%s: more than %d bytes of output" % (path, LARGEST))
    return text(data)


def _called(argv, stdin, timeout, killable, fds, apart):
    watch = guard()
    pipes = {"stdin": PIPE if stdin else NULL, "stdout": PIPE, "stderr": PIPE}
    if fds or apart or not _SPAWNS:
        process = _started(argv, pass_fds=fds, preexec_fn=apart, **pipes)
    else:
        process = _Spawned(argv, bool(stdin))
    try:
        if killable:
            watch.began(process.pid)
        out, err = _communicate(process, stdin, timeout if killable else None)
        if killable:
            watch.over(process.pid)
    except OSError:
        _end(process.pid)  # the guard has gone
        raise
    if len(out) > LARGEST:
        raise Failed("%s: more than %d bytes of output" % (" ".join(argv[:3]), LARGEST))
    if killable and process.returncode == -signal.SIGKILL:
        raise Failed("%s: no answer within %d s" % (" ".join(argv[:3]), timeout))
    return process.returncode, text(out), text(err)


_SPAWNS = hasattr(os, "waitstatus_to_exitcode")
"""Since Python 3.9; posix_spawn is there since 3.8."""


def _spawn(path, argv, actions):
    """The number of a new process in a session of its own."""
    return os.posix_spawn(
        path,
        argv,
        ENVIRONMENT,
        file_actions=actions,
        setsid=True,
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # which Python itself ignores
    )


class _Spawned:
    """A program in its own session, with as much of Popen as call() needs.

    subprocess and what it loads are a tenth of an agent's start.
    """

    def __init__(self, argv, fed):
        path = _path_of(argv[0])
        if path is None:
            raise Failed("%s: no such program here" % argv[0])
        pipes = [os.pipe() for _ in range(3 if fed else 2)]
        (out, to_out), (err, to_err) = pipes[:2]
        actions = [(os.POSIX_SPAWN_DUP2, to_out, 1), (os.POSIX_SPAWN_DUP2, to_err, 2)]
        theirs, self.stdin = [to_out, to_err], None
        if fed:
            theirs.append(pipes[2][0])
            self.stdin = os.fdopen(pipes[2][1], "wb", 0)
            actions.append((os.POSIX_SPAWN_DUP2, pipes[2][0], 0))
        else:
            actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
        self.stdout, self.stderr = os.fdopen(out, "rb", 0), os.fdopen(err, "rb", 0)
        try:
            self.pid = _spawn(path, [as_bytes(word) for word in argv], actions)
        finally:
            for handle in theirs:
                os.close(handle)

    def wait(self):
        """Its end, as Popen has it."""
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _started(argv, **how):
    """A program in its own session.  Raises Failed where it cannot be set apart (preexec_fn)."""
    import subprocess  # noqa: PLC0415 (slow to load)

    try:
        words = [as_bytes(word) for word in argv]
        return subprocess.Popen(
            words, bufsize=0, env=ENVIRONMENT, cwd="/", start_new_session=True, **how
        )
    except subprocess.SubprocessError:
        raise Failed(
            "%s: cannot be set apart here: expected root that may make namespaces (CAP_SYS_ADMIN)"
            % argv[0]
        )


def _communicate(process, stdin, timeout):
    """(output, errors), as Popen.communicate; ends a program that never stops talking.

    timeout: seconds, after which it is ended too; None: it is waited for.
    """
    until = None if timeout is None else time.monotonic() + timeout
    out, err = bytearray(), bytearray()
    kept = {process.stdout.fileno(): (out, LARGEST + 1), process.stderr.fileno(): (err, 65536)}
    waiting = select.poll()
    for handle in kept:
        waiting.register(handle, select.POLLIN)
    if stdin:
        waiting.register(process.stdin, select.POLLOUT)
    left = set(kept)
    while left:
        rest = None if until is None else max(0.0, until - time.monotonic())
        if rest == 0:
            _end(process.pid)
            rest = until = None
        for handle, _ in waiting.poll(rest and rest * 1e3):
            if handle not in kept:
                stdin = _fed(process, stdin, waiting)
                continue
            data = os.read(handle, 65536)
            text, most = kept[handle]
            text += data[: most - len(text)]
            if not data:
                left.discard(handle)
                waiting.unregister(handle)
        if len(out) > LARGEST:
            _end(process.pid)
    if until is not None:
        _end_at(until, process.pid)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            stream.close()
    return bytes(out), bytes(err)


_MOMENT = 0.002


def _end_at(until, pid):
    """Ends a program that has closed its output and does not end by itself."""
    while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if time.monotonic() > until:
            _end(pid)
        time.sleep(_MOMENT)


_PLAIN = r"[\w./-]+\Z"


def together(program, commands, timeout=30):
    """What several commands of one program say, which takes them in one word as virsh does.

    None where one of them may have failed: its exit code is the last one's alone, but what
    fails says so on standard error.  Raises Failed.
    """
    end = "end-" + os.urandom(8).hex()
    if not all(re.match(_PLAIN, word) for command in commands for word in command):
        return None
    line = "; ".join("%s; echo %s" % (" ".join(command), end) for command in commands)
    try:
        code, out, err = call(program + [line], timeout=timeout)
    except Failed as error:
        raise Failed(str(error).replace(line, "; ".join(map(" ".join, commands))))
    told = out.split(end)
    whole = code == 0 and not err.strip() and len(told) == len(commands) + 1
    return told[:-1] if whole else None


def lines(argv, stdin=b"", timeout=600, page=PAGE, apart=None):
    """A command's output as it comes: lists of whole lines, some kB each; raises as expect().

    For what is too much to be one answer; nothing but a page is ever in memory.
    """
    with Program(argv, timeout, stdin=PIPE, apart=apart) as program:
        with contextlib.suppress(BrokenPipeError):  # it ends unheard: its own words say why
            program.process.stdin.write(stdin)
        program.process.stdin.close()
        rest = b""
        while True:
            data = os.read(program.process.stdout.fileno(), page)
            *whole, rest = (rest + data).split(b"\n")
            if len(rest) > LARGEST:
                raise Failed("%s: a line of more than %d bytes" % (argv[0], LARGEST))
            if whole:
                yield [text(line) for line in whole]
            if not data:
                break
        if rest:
            yield [text(rest)]
        program.expect()


class Program:
    """One that runs beside others: ended past its time, and when it is left before its end.

    What it says of its faults goes to a file without a name, so that it never waits for us.
    apart: what it does before it is that program, to have fewer rights (see sandbox).
    """

    def __init__(
        self,
        argv,
        timeout,
        stdin=NULL,
        stdout=PIPE,
        fds=(),
        apart=None,
    ):
        argv = begun(argv)
        self.argv, self._timeout, self._faults = argv, timeout, _nameless()
        self.process = _started(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=self._faults,
            pass_fds=fds,
            preexec_fn=apart,
        )
        for stream in (self.process.stdin, self.process.stdout):
            _widen(stream)
        guard().began(self.process.pid)
        self._late = threading.Timer(timeout, _end, [self.process.pid])
        self._late.daemon = True
        self._late.start()

    def __enter__(self):
        return self

    def __exit__(self, *why):
        if self.process.poll() is None:
            _end(self.process.pid)
        self._late.cancel()
        self.process.wait()
        guard().over(self.process.pid)
        os.close(self._faults)
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()

    def faults(self):
        """The end of what it said on standard error."""
        size = os.fstat(self._faults).st_size
        return said(text(os.pread(self._faults, 65536, max(0, size - 65536))))

    def expect(self, ok=(0,)):
        """Waits for its end.  Raises Failed with its own words for another exit code."""
        code = self.process.wait()
        if code == -signal.SIGKILL:
            told = (" ".join(self.argv[:3]), self._timeout)
            raise Failed("%s: was killed, or took longer than %d s" % told)
        if code not in ok:
            raise Failed("%s: exit code %d: %s" % (self.argv[0], code, self.faults()))
        return code


def _widen(stream):
    """A pipe that holds more: fewer turns between the programs at its ends."""
    if stream:
        try:
            fcntl.fcntl(stream.fileno(), _SET_PIPE_SIZE, 1 << 20)
        except OSError:
            pass  # no more are allowed here


def _nameless():
    """A file that is gone when it is closed."""
    path = "/run/.stackrbd-" + os.urandom(8).hex()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return handle


def _fed(process, data, waiting):
    """What is left to be fed; nothing where it does not want to hear all of it."""
    try:
        data = data[os.write(process.stdin.fileno(), data[: select.PIPE_BUF]) :]
    except OSError:
        data = b""
    if not data:
        waiting.unregister(process.stdin)
        process.stdin.close()
    return data


def text(data):
    """Bytes as text; what is not UTF-8 is replaced."""
    return data.decode("utf-8", "replace")


def expect(argv, ok=(0,), quiet=False, **how):
    """As call(), but an exit code outside ok is a Failed with what was said.

    quiet: what was said on standard output may be a key, and stays here.
    """
    code, out, err = call(argv, **how)
    if code not in ok:
        words = said(err) or ("" if quiet else said(out))
        raise Failed("%s: exit code %d: %s" % (" ".join(argv[:4]), code, words))
    return code, out, err
