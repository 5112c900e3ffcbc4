"""What runs on a host: answers reads, carries out steps, and says so as it goes.

Comes in on standard input, one piece of work after the other, and leaves nothing behind
but what the steps write.  Hears from whoever sent it every few seconds; when it does
not, it finishes the step under way and ends.  Does not know Ceph or OpenStack.
Python 3.6, standard library alone.
"""

import json
import os
import signal
import sys
import syslog
import threading
import time

from . import files, processes, reads, state

BEAT, SILENCE = 5.0, 30.0
"""Seconds: how often each side says that it lives; after how long it counts as dead."""


class Conversation:
    """The way back for one piece of work: a JSON document a line, behind its nonce."""

    def __init__(self, nonce, stream):
        self._nonce, self._stream, self._lock = nonce, stream, threading.Lock()
        self._over = threading.Event()

    def say(self, **message):
        """Says it, behind what was to be said soon."""
        self.say_soon(**message)
        self.flush()

    def say_soon(self, **message):
        """Says it with the next that is said at once: each packet costs both sides time."""
        line = "%s %s\n" % (self._nonce, json.dumps(message))
        with self._lock:
            self._stream.write(line.encode("ascii"))

    def flush(self):
        with self._lock:
            self._stream.flush()

    def send_bytes(self, data):
        """Bytes as they are, behind a message that says how many."""
        line = '%s {"t": "bytes", "size": %d}\n' % (self._nonce, len(data))
        with self._lock:
            self._stream.write(line.encode("ascii"))
            self._stream.write(data)
            self._stream.flush()

    def beat(self):
        """Keeps saying that this end is alive, while a long step works."""
        while not self._over.wait(BEAT):
            try:
                self.say(t="beat")
            except OSError:
                return

    def over(self):
        self._over.set()


class Asker:
    """Whoever sends the work: what came from there, and whether it is there still."""

    def __init__(self, stream):
        self._stream, self._heard, self._ended = stream, time.monotonic(), False
        self._lines, self._news = [], threading.Condition()
        self._pieces = []  # type: ignore[var-annotated]

    def listen(self):
        """Hears to the end; an empty line says that the asker lives."""
        while not self._ended:
            line = self._stream.readline()
            piece = self._stream.read(int(line[6:])) if line.startswith(b"bytes:") else None
            if line.startswith(b"stackrbd:"):
                line += self._stream.read(int(line.split(b":")[2]))
            with self._news:
                self._heard = time.monotonic()
                self._ended = self._ended or not line
                if piece is not None:
                    self._pieces.append(piece)
                elif line.strip():
                    self._lines.append(line)
                self._news.notify_all()

    def begin(self):
        """Forgets what an earlier work asked for and did not take."""
        with self._news:
            del self._pieces[:]

    def piece(self):
        """The next bytes that were asked for; none at their end, None when the asker has gone."""
        with self._news:
            while not self._pieces:
                if self.gone():
                    return None
                self._news.wait(1)
            return self._pieces.pop(0)

    def next(self):
        """The next line that says something; None when the asker has gone."""
        with self._news:
            while not self._lines:
                if self.gone():
                    return None
                self._news.wait(1)
            return self._lines.pop(0)

    def gone(self):
        """Whether standard input has ended, or nothing came for too long."""
        return self._ended or time.monotonic() - self._heard > SILENCE

    def end(self, signum, frame):
        """A signal: as if the asker had left."""
        self._ended = True


def hold(work, talk, gone):
    """Holds the site's lock until the asker leaves or falls silent."""
    handle, number = state.hold_site(work["site"], work["who"])
    try:
        talk.say(t="held", number=number)
        while not gone():
            time.sleep(0.2)
    finally:
        os.close(handle)


def _past_deadline(signum, frame):
    processes.guard().end_all()
    os._exit(75)


def _always(action):
    thread = threading.Thread(target=action)
    thread.daemon = True
    thread.start()


def _tell_the_system(work):
    """One line in the host's own log for each run that writes."""
    syslog.openlog("stackrbd", syslog.LOG_PID, syslog.LOG_AUTH)
    things = ", ".join(sorted({step["thing"] for step in work["steps"]}))
    said = "%s: %s" % (work["who"], things)
    syslog.syslog(said.encode("utf-8", "replace").decode("utf-8"))


def _do(work, talk, asker):
    gone = asker.gone
    if "transfer" in work:
        from . import backup_work  # noqa: PLC0415 (sent with this kind of work alone)

        backup_work.carry_out(work, talk, asker)
    elif "reads" in work:
        state.let_others_end(work, gone)
        reads.answer(work["reads"], talk, gone)
    elif "hold" in work:
        hold(work, talk, gone)
    else:
        if work.get("log"):
            _tell_the_system(work)
        from . import steps  # noqa: PLC0415 (sent with this kind of work alone)

        if steps.carry_out(work, talk, gone):
            reads.answer(work["then"], talk, gone)


def _one(work, asker):
    """One piece of work, until its message 'end'."""
    asker.begin()
    processes.WAYS.clear()
    processes.WAYS.update(work.get("ways", {}))
    talk = Conversation(work["nonce"], sys.stdout.buffer)
    signal.alarm(work["deadline"])
    _always(talk.beat)
    try:
        _do(work, talk, asker)
    except state.Busy as busy:
        talk.say(t="busy", who=str(busy))
    except files.Refused as error:
        talk.say(t="refused", why=str(error))
    talk.over()
    signal.alarm(0)
    talk.say(t="end")


def main(load):
    """Reads its work from standard input, a JSON document a line, until the asker leaves.

    load: takes in more of the agent's modules, as they come over the wire.
    """
    os.umask(0o077)
    os.chdir("/")  # where programs are begun
    processes.guard()
    asker = Asker(sys.stdin.buffer)
    signal.signal(signal.SIGALRM, _past_deadline)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asker.end)
    _always(asker.listen)
    code = 0
    try:
        for line in iter(asker.next, None):
            if line.startswith(b"stackrbd:"):
                load(line)
            else:
                _one(json.loads(line.decode("utf-8")), asker)
    except OSError:
        code = 74  # nobody listens any more
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    os._exit(code)  # a thread still listens to standard input
