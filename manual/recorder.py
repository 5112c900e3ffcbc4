"""`python -m manual.recorder`: the README's pictures, of a real run on the lab."""

from __future__ import annotations

import base64
import os
import pty
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from manual.terminal import WIDE, svg

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
RUNS = ("inv plan", "inv integrate --yes", "inv verify")
MARK = "<!-- pictures:"
IMAGES = {
    "README.md": (
        "![plan, integrate and verify on the lab](docs/pictures/run.svg)",
        "![the report of the lab](docs/pictures/report.png)",
    ),
    "README.ja.md": (
        "![ラボでの plan、integrate、verify](docs/pictures/run.svg)",
        "![ラボのレポート](docs/pictures/report.png)",
    ),
}


def recorded(command: str) -> str:
    """What a command writes to a terminal.  Raises CalledProcessError where it fails.

    CI: without rows that are drawn anew; colours stay.
    """
    words = shlex.split(command)
    argv = [str(ROOT / ".venv" / "bin" / words[0]), *words[1:]]
    ours, theirs = pty.openpty()
    env = {**os.environ, "CI": "1", "TERM": "xterm-256color", "COLUMNS": str(WIDE)}
    with subprocess.Popen(argv, stdout=theirs, stderr=theirs, env=env, cwd=ROOT) as process:
        os.close(theirs)
        found = _read(ours)
    os.close(ours)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv, found)
    return found.decode("utf-8", "replace")


def _read(terminal: int) -> bytes:
    """All until nobody writes there any more, which a terminal says by an error."""
    found = b""
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:
            return found
        if not piece:
            return found
        found += piece
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def with_pictures(text: str, images: tuple[str, ...]) -> str:
    """A README with its pictures below the mark; they stand there once."""
    lines = [line for line in text.splitlines() if line not in images]
    at = next(number for number, line in enumerate(lines) if line.startswith(MARK))
    rest = lines[at + 1 :]
    while rest and not rest[0]:
        rest.pop(0)
    pictures = [line for image in images for line in ("", image)]
    return "\n".join([*lines[: at + 1], *pictures, "", *rest]) + "\n"


def _report(to: Path) -> None:
    """The report's page, as a browser shows its head."""
    from tests.browser import devtools  # noqa: PLC0415 (the one part that needs a browser)

    with tempfile.TemporaryDirectory() as folder:
        recorded(f"inv report --out {shlex.quote(folder)}")
        with devtools.Browser() as browser:
            browser.window(1200, 800)
            browser.open(Path(folder) / "report.html")
            told = browser.call("Page.captureScreenshot", format="png")
    to.write_bytes(base64.b64decode(told["data"]))


def main() -> int:
    """Makes the pictures, and has the READMEs show them."""
    FOLDER.mkdir(exist_ok=True)
    made = svg("stackrbd", [(command, recorded(command)) for command in RUNS])
    (FOLDER / "run.svg").write_text(made, "utf-8")
    _report(FOLDER / "report.png")
    for name, images in IMAGES.items():
        path = ROOT / name
        path.write_text(with_pictures(path.read_text("utf-8"), images), "utf-8")
    print(f"{FOLDER}: run.svg, report.png; look at them before you commit them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
