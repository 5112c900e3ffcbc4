"""A service's user that plays with names in its own folder while root works there.

    python3 -S tests/swapper.py FOLDER NAME VICTIM SECONDS [--uid N] [--parent]

For so many seconds it puts, again and again, other things in the place of FOLDER/NAME and of
the temporary files beside it: links to VICTIM, hard links, a pipe, a folder, and the file as it
was.  --parent: FOLDER itself too becomes a link to VICTIM's folder, for moments.  Needs the
standard library alone.  Prints how many swaps of each kind it managed, as JSON.
"""

import argparse
import contextlib
import json
import os
import random
import time

PREFIX = ".stackrbd-"


class Swapper:
    """One folder's owner, at play.  done: {kind of swap: how many}."""

    def __init__(self, folder, name, victim):
        self.folder, self.victim = folder, victim
        self.path = os.path.join(folder, name)
        self.own = os.path.join(folder, "own")
        with open(self.path, "rb") as stream:
            self.text = stream.read()
        self.done = {}

    def _put(self, make, path):
        """Makes something beside, and renames it into the place."""
        beside = os.path.join(self.folder, f"made-{random.getrandbits(48)}")
        make(beside)
        try:
            os.rename(beside, path)
        except OSError:
            os.rmdir(beside) if os.path.isdir(beside) else os.unlink(beside)
            raise

    def file(self, beside):
        with open(beside, "wb") as stream:
            stream.write(self.text)

    def link(self, beside):
        os.symlink(self.victim, beside)

    def relative(self, beside):
        os.symlink(os.path.relpath(self.victim, self.folder), beside)

    def hard(self, beside):
        os.link(self.victim, beside)

    def own_hard(self, beside):
        if not os.path.exists(self.own):
            self.file(self.own)
        os.link(self.own, beside)

    def pipe(self, beside):
        os.mkfifo(beside)

    def directory(self, beside):
        os.mkdir(beside)

    def at_the_file(self):
        for kind in random.sample(["link", "relative", "hard", "own_hard", "pipe", "directory"], 6):
            with self._counted("file " + kind):
                if os.path.isdir(self.path) and not os.path.islink(self.path):
                    os.rmdir(self.path)
                elif kind == "directory":
                    os.unlink(self.path)
                self._put(getattr(self, kind), self.path)
            time.sleep(random.random() * 0.0005)
            with contextlib.suppress(OSError):
                if os.path.isdir(self.path) and not os.path.islink(self.path):
                    os.rmdir(self.path)
                self._put(self.file, self.path)
            self.at_the_temporary()
            time.sleep(random.random() * 0.004)

    def at_the_temporary(self):
        until = time.monotonic() + random.random() * 0.01
        while time.monotonic() < until:
            for name in os.listdir(self.folder):
                if name.startswith(PREFIX):
                    kind = random.choice(["link", "relative", "own_hard", "file"])
                    with self._counted("temporary " + kind):
                        self._put(getattr(self, kind), os.path.join(self.folder, name))

    def at_the_folder(self):
        aside = self.folder + "-aside"
        with self._counted("folder link"):
            os.rename(self.folder, aside)
            try:
                os.symlink(os.path.dirname(self.victim), self.folder)
                time.sleep(random.random() * 0.001)
                os.unlink(self.folder)
            finally:
                os.rename(aside, self.folder)

    @contextlib.contextmanager
    def _counted(self, kind):
        try:
            yield
        except OSError:
            return
        self.done[kind] = self.done.get(kind, 0) + 1

    def play(self, seconds, parent):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.at_the_file()
            if parent:
                self.at_the_folder()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("name")
    parser.add_argument("victim")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--parent", action="store_true")
    asked = parser.parse_args()
    if asked.uid is not None:
        os.setgroups([])
        os.setgid(asked.uid)
        os.setuid(asked.uid)
    swapper = Swapper(asked.folder, asked.name, asked.victim)
    print("ready", flush=True)
    try:
        swapper.play(asked.seconds, asked.parent)
    finally:
        print(json.dumps(swapper.done), flush=True)


if __name__ == "__main__":
    main()
