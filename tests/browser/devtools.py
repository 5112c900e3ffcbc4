"""A headless Chromium, spoken to by its DevTools protocol over two pipes: no library needed."""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BROUGHT = Path(__file__).parents[2] / ".browser"
"""Where `make browser` unpacks one."""
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PATIENCE = 30.0
# The pipes have to be descriptors 3 and 4 of the browser.
_START = (
    "import os, sys; r, w, *argv = sys.argv[1:]; os.dup2(int(r), 3); os.dup2(int(w), 4); "
    "os.execvp(argv[0], argv)"
)


def found():
    """(program, environment) of a browser, or None: the one brought, else the system's."""
    own = BROUGHT / "usr/lib/chromium/chromium-headless-shell"
    if own.exists():
        libraries = {str(path.parent) for path in BROUGHT.glob("usr/lib/**/lib*.so*")}
        return str(own), {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}
    there = next((path for name in NAMES if (path := shutil.which(name))), None)
    return (there, {}) if there else None


class Browser:
    """One browser with one page; a context manager."""

    def __init__(self):
        program, more = found()
        self._numbers = itertools.count(1)
        self._folder = tempfile.TemporaryDirectory(prefix="stackrbd-browser-")
        ours = [os.pipe(), os.pipe()]
        far = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (ours[0][0], ours[1][1])]
        for fd in (ours[0][0], ours[1][1]):
            os.close(fd)
        self._to, self._from = ours[0][1], ours[1][0]
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._folder.name}",
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *map(str, far), program, *flags, "about:blank"],
            pass_fds=far,
            env={**os.environ, **more},
            stderr=subprocess.DEVNULL,
        )
        for fd in far:
            os.close(fd)
        self._rest, self.events, self._session = b"", [], None
        pages = self.call("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for part in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{part}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (OSError, EOFError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._folder.cleanup()

    def call(self, method, **parameters):
        """One command's result; what the browser tells meanwhile is kept in events."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while True:
            told = self._next(until)
            if told.get("id") == number:
                if "error" in told:
                    raise AssertionError(f"{method}: {told['error']['message']}")
                return told["result"]
            self.events.append(told)

    def _next(self, until):
        while b"\0" not in self._rest:
            if not select.select([self._from], [], [], max(0, until - time.monotonic()))[0]:
                raise AssertionError(f"the browser said nothing for {PATIENCE} s")
            piece = os.read(self._from, 1 << 20)
            if not piece:
                raise EOFError("the browser has ended")
            self._rest += piece
        one, _, self._rest = self._rest.partition(b"\0")
        return json.loads(one)

    # What a test does

    def window(self, wide, high, dark=False, media="", script=True):
        """The window's size, what the reader prefers, and whether scripts run."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=wide,
            height=high,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}  # else clicks miss
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme, still])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)

    def open(self, path):
        """Opens a file, or an address, and waits until it has been read."""
        self.events.clear()
        self.call("Page.navigate", url=path if isinstance(path, str) else path.as_uri())
        until = time.monotonic() + PATIENCE
        while not any(told.get("method") == "Page.loadEventFired" for told in self.events):
            self.events.append(self._next(until))

    def ask(self, expression):
        """The value of an expression in the page."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, expression):
        """Asks until it is so: events of the page come a little later."""
        until = time.monotonic() + PATIENCE
        while not self.ask(expression):
            assert time.monotonic() < until, expression
            time.sleep(0.02)

    def click(self, selector):
        """A click of the mouse in the middle of an element, which has to be what is hit there."""
        x, y, hit = self.ask(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const r = e.getClientRects()[0], x = r.x + r.width / 2, y = r.y + r.height / 2;"
            "return [x, y, e.contains(document.elementFromPoint(x, y))]; })()"
        )
        assert hit, f"{selector}: something else lies over it"
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text):
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)

    def key(self, name, code):
        """One key; code: its Windows key code."""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=name,
                code=name,
                windowsVirtualKeyCode=code,
                text="\r" if name == "Enter" else "",
            )

    def picture(self, path, selector=""):
        """The whole page as a PNG, or one element of it."""
        more = {}
        if selector:
            x, y, width, height = self.ask(
                f"(() => {{ const r = document.querySelector({json.dumps(selector)})"
                ".getBoundingClientRect(); return [r.x + scrollX, r.y + scrollY, r.width, r.height]"
                "; })()"
            )
            more["clip"] = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, **more)["data"]
        Path(path).write_bytes(base64.b64decode(data))
