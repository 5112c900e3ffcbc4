"""`python -m manual [FOLDER]`: makes the pages and has mkdocs make the site of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fabfile import namespace
from fabfile.core import site_file
from fabfile.model import platforms
from fabfile.model.site_schema import settings
from manual import pages, reference

ROOT = Path(__file__).resolve().parents[1]
MKDOCS = ROOT / ".docs" / "bin" / "mkdocs"
"""Its own environment's: `make docs` makes it of requirements-docs.lock."""


def write(folder: Path) -> None:
    """All pages below a folder."""
    debian = next(table for table in site_file.platforms() if table["name"] == "debian")
    made = reference.pages(namespace(), settings(), platforms.made_of(debian))
    for name in pages.documents():
        path = folder / pages.place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        own = name.startswith("reference/")
        text = made[path.name] if own else (ROOT / name).read_text("utf-8")
        path.write_text(pages.page(name, text), "utf-8")
    for picture in [*ROOT.glob("docs/*.svg"), *ROOT.glob("docs/pictures/*")]:
        path = folder / picture.relative_to(ROOT / "docs")
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(picture, path)


def main(to: Path) -> int:
    """Makes the site; the exit code of mkdocs, which refuses a link to nothing."""
    with tempfile.TemporaryDirectory(prefix="stackrbd-docs-") as temporary:
        folder = Path(temporary)
        write(folder / "pages")
        (folder / "mkdocs.yml").write_text(pages.configuration("pages", str(to.resolve())))
        argv = [str(MKDOCS), "build", "--quiet", "--strict", "--clean", "-f", "mkdocs.yml"]
        quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
        return subprocess.run(argv, check=False, cwd=folder, env=quiet).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".docs" / "site")))
