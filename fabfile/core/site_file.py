"""Finds the operator's files, and parses TOML ones; does not know what they mean."""

from __future__ import annotations

import functools
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from fabfile.core import own_files
from fabfile.core.contract import INV, STACKRBD, BadInput, Json

PROJECT = Path(__file__).resolve().parents[2]
_IN_A_WHEEL = PROJECT / "fabfile" / "config"
CONFIG = _IN_A_WHEEL if _IN_A_WHEEL.is_dir() else PROJECT / "config"
"""The tables of releases, platforms and hazards, and the start of a site file."""
HERE = ("config/site.toml", "site.toml", "mysite.toml")
"""Where `stackrbd` looks for a site file, from the current folder."""


def expanded(path: str, where: str) -> Path:
    """A path of the operator's, with ~ and ~user.  Raises BadInput, where: what named it."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = path.partition("/")[0]
        raise BadInput(f"{where}: {path}: {user} has no home folder here") from None


def locate(option: str) -> Path:
    """The site file: --site, else STACKRBD_SITE, else the checkout's config/site.toml.

    `stackrbd` has no checkout: the one of HERE that is there.  Raises BadInput for none and for
    two, which may be of two clouds.
    """
    if option or os.environ.get("STACKRBD_SITE"):
        return expanded(option or os.environ["STACKRBD_SITE"], "--site")
    if INV != STACKRBD:
        return PROJECT / "config" / "site.toml"
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise BadInput("there is no folder here any more: cd to another one") from None
    found = [name for name in HERE if os.path.lexists(name)]
    if len(found) == 1:
        return here / found[0]
    seen = " and ".join(found) or "none"
    raise BadInput(
        f"{here}: expected one site file here ({', '.join(HERE)}), found {seen}: "
        + ("" if found else f"{INV} init writes a start, ")
        + "--site or STACKRBD_SITE names one"
    )


def load_own(path: Path) -> dict[str, Json]:
    """A site file.  Raises BadInput as load() does, and for one that others may alter."""
    return _parsed(path, lambda: own_files.read(path, "the site file"))


def load(path: Path) -> dict[str, Json]:
    """A TOML file as a dict.  Raises BadInput with file, line and cause."""
    return _parsed(path, path.read_bytes)


def parsed(text: str, where: str) -> dict[str, Json]:
    """A site file's text.  Raises BadInput."""
    return _parsed(Path(where), text.encode)


def _parsed(path: Path, read: Callable[[], bytes]) -> dict[str, Json]:
    import tomli  # noqa: PLC0415 (start-up time)

    text = ""
    try:
        text = read().decode("utf-8")
        return tomli.loads(text)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; `{INV} init` writes a start") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: byte {error.start}: expected UTF-8") from None
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        hint = "; it begins with a byte order mark" if text.startswith("\ufeff") else ""
        raise BadInput(f"{path}: not TOML: {error}{hint}") from None


def lines(text: str) -> dict[tuple[str, ...], int]:
    """{a key's path: the line where it is said}, of a TOML text that was parsed before.

    A statement is as many lines as make TOML: a value may go on over several.  A key inside an
    inline table, or a list, is on its statement's first line.
    """
    import tomli  # noqa: PLC0415 (start-up time)

    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    statement, first = "", 1
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        statement, first = statement + line, first if statement else number
        try:
            said = tomli.loads(statement)
        except ValueError:
            continue
        paths = list(_paths(said))
        if statement.lstrip().startswith("["):
            table, paths = paths[0], [()]
        found |= {(*table, *path): first for path in paths}
        statement = ""
    return found


def _paths(value: Json) -> Iterator[tuple[str, ...]]:
    """Every key of a table, the deepest first."""
    if isinstance(value, list):
        value = value[0] if value and isinstance(value[0], dict) else None
    if not isinstance(value, dict):
        return
    for key, one in value.items():
        yield from ((key, *path) for path in _paths(one))
        yield (key,)


@functools.cache
def releases() -> tuple[dict[str, Json], ...]:
    """All tables of config/releases/, read once: every look asks for them."""
    return tuple(load(path) for path in sorted((CONFIG / "releases").glob("*.toml")))


def platforms() -> list[dict[str, Json]]:
    """All tables of config/platforms/."""
    return [load(path) for path in sorted((CONFIG / "platforms").glob("*.toml"))]


def deployers() -> list[dict[str, Json]]:
    """All tables of config/deployers/."""
    return [load(path) for path in sorted((CONFIG / "deployers").glob("*.toml"))]


def hazards() -> list[dict[str, Json]]:
    """Options that are dead or unsafe: the rows of config/hazards.toml."""
    rows: list[dict[str, Json]] = load(CONFIG / "hazards.toml")["option"]
    return rows


def start(out: str) -> int:
    """Writes a commented start to a new file; it names the command that was typed.

    Raises BadInput where one is already.
    """
    path = expanded(out, "--out")
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(re.sub(r"\binv\b", INV, (CONFIG / "start.toml").read_text("utf-8")))
    except FileExistsError:
        raise BadInput(f"{path}: is there already; name another file by --out") from None
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    print(f"{path}: written. Fill it in, then: {INV} hosts.check --site {shlex.quote(str(path))}")
    return 0


def refuse_existing(path: Path) -> None:
    """Raises BadInput where something is, or nothing can be written."""
    if os.path.lexists(path):
        raise BadInput(f"{path}: is there already; name another file by --out")
    if not path.parent.is_dir():
        raise BadInput(f"{path}: there is no folder {path.parent}; make it, or name another file")


def write_new(path: Path, text: str) -> None:
    """A new file of the operator's alone, whole.  Raises BadInput."""
    try:
        with own_files.new(path) as stream:
            stream.write(text.encode("utf-8"))
    except FileExistsError:
        raise BadInput(f"{path}: is there already; name another file by --out") from None
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
