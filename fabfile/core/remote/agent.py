"""What runs on a host: answers reads, carries out steps, and says so as it goes.

Comes in on standard input together with its work, and leaves nothing behind but
what the steps write.  Hears from whoever sent it every few seconds; when it does not,
it finishes the step under way and ends.  Does not know Ceph or OpenStack.
Python 3.6, standard library alone.
"""

import json
import os
import signal
import sys
import syslog
import threading
import time

from . import processes, reads, record

BEAT, SILENCE = 5.0, 30.0
"""Seconds: how often each side says that it lives; after how long it counts as dead."""


class Conversation:
    """The way back: one JSON document a line, each behind the run's nonce."""

    def __init__(self, nonce, stream):
        self._nonce, self._stream, self._lock = nonce, stream, threading.Lock()

    def say(self, **message):
        line = "%s %s\n" % (self._nonce, json.dumps(message))
        with self._lock:
            self._stream.write(line.encode("ascii"))
            self._stream.flush()

    def beat_forever(self):
        """Keeps saying that this end is alive, while a long step works."""
        while True:
            time.sleep(BEAT)
            try:
                self.say(t="beat")
            except OSError:
                return


class Asker:
    """Whoever sent the work: there, or gone."""

    def __init__(self):
        self._heard, self._ended = time.monotonic(), False

    def listen_forever(self):
        while not self._ended:
            try:
                self._ended = os.read(0, 4096) == b""
            except OSError:
                self._ended = True
            self._heard = time.monotonic()

    def gone(self):
        """Whether standard input has ended, or nothing came for too long."""
        return self._ended or time.monotonic() - self._heard > SILENCE

    def end(self, signum, frame):
        """A signal: as if the asker had left."""
        self._ended = True


def hold(work, talk, gone):
    """Holds the site's lock until the asker leaves or falls silent."""
    handle, number = record.hold_site(work["site"], work["who"])
    try:
        talk.say(t="held", number=number)
        while not gone():
            time.sleep(0.2)
    finally:
        os.close(handle)


def _past_deadline(signum, frame):
    processes.end_all()
    os._exit(75)


def _always(action):
    thread = threading.Thread(target=action)
    thread.daemon = True
    thread.start()


def _tell_the_system(work):
    """One line in the host's own log for each run that writes."""
    syslog.openlog("stackrbd", syslog.LOG_PID, syslog.LOG_AUTH)
    things = ", ".join(sorted({step["thing"] for step in work["steps"]}))
    syslog.syslog("%s: %s" % (work["who"], things))


def main():
    """Reads its work from standard input, one JSON line; ends with the message 'end'."""
    os.umask(0o077)
    work = json.loads(sys.stdin.buffer.readline().decode("utf-8"))
    talk, asker = Conversation(work["nonce"], sys.stdout.buffer), Asker()
    signal.signal(signal.SIGALRM, _past_deadline)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asker.end)
    signal.alarm(work["deadline"])
    _always(talk.beat_forever)
    _always(asker.listen_forever)
    try:
        if "reads" in work:
            record.let_others_end(work, asker.gone)
            reads.answer(work, talk, asker.gone)
        elif "hold" in work:
            hold(work, talk, asker.gone)
        else:
            if work.get("log"):
                _tell_the_system(work)
            from . import steps  # noqa: PLC0415 (sent with this kind of work alone)

            steps.carry_out(work, talk, asker.gone)
        talk.say(t="end")
    except record.Busy as busy:
        talk.say(t="busy", who=str(busy))
        talk.say(t="end")
    except OSError:
        os._exit(74)  # nobody listens any more
    finally:
        os.close(1)
