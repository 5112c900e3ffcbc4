"""A look at every process of this machine, again and again, while something goes on."""

import threading
import time
from pathlib import Path


class EveryProcess:
    """Calls look(its folder below /proc) for every process until it is left.

    pause: seconds between two rounds; none sees the most.
    """

    pause = 0.0

    def __init__(self):
        self._going = True
        self._thread = threading.Thread(target=self._all)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *why):
        self._going = False
        self._thread.join()

    def _all(self):
        while self._going:
            for place in Path("/proc").glob("[0-9]*"):
                self.look(place)
            time.sleep(self.pause)

    def look(self, place):
        """What is to be seen of one process, which may end meanwhile."""
        raise NotImplementedError
