"""The site's pages: which document stands where, and how they name each other.  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

NAV: Mapping[str, tuple[str, ...]] = {
    "Start": ("README.md", "README.ja.md", "docs/own-cloud.md", "docs/site-file.md"),
    "How to": (
        "docs/adopt.md",
        "docs/stores.md",
        "docs/backends.md",
        "docs/several.md",
        "docs/clusters.md",
        "docs/platforms.md",
        "docs/pools.md",
        "docs/clones.md",
        "docs/volume-backups.md",
        "docs/replication.md",
        "docs/monitors.md",
        "docs/rotation.md",
        "docs/remove.md",
        "docs/fleets.md",
        "docs/scale.md",
        "docs/verify.md",
        "docs/recovery.md",
        "docs/upgrades.md",
    ),
    "Look": ("docs/doctor.md", "docs/report.md"),
    "Reference": (
        "reference/tasks.md",
        "reference/settings.md",
        "reference/exit-codes.md",
        "reference/files.md",
        "docs/releases.md",
        "CHANGELOG.md",
    ),
    "Trust": (
        "docs/trust.md",
        "SECURITY.md",
        "docs/faults.md",
        "docs/proofs.md",
        "docs/generations.md",
        "docs/speed.md",
    ),
    "Inside": (
        "docs/architecture.md",
        "CONTRIBUTING.md",
        "docs/decisions/README.md",
        "docs/decisions/age.md",
        "docs/decisions/agent.md",
        "docs/decisions/backup-signatures.md",
        "docs/decisions/editor.md",
        "docs/decisions/fabric.md",
        "docs/decisions/host-keys.md",
        "docs/decisions/patchwork.md",
        "docs/decisions/undo.md",
    ),
}
"""{a part of the site: its documents, by their places in the project}."""
TITLES = {"README.ja.md": "日本語: "}
"""What stands for a document's own heading, where that is another's too."""
_NAMED = re.compile(r"(?<![\w/.-])((?:docs/(?:decisions/)?)?[\w.-]+\.md)(?![\w-])")
"""A document that a text names as a reader of the project finds it."""
_CODE = re.compile(r"(`[^`\n]*`|\[[^\]\n]*\]\([^)\n]*\))")


def documents() -> list[str]:
    """Every document of the site."""
    return [name for names in NAV.values() for name in names]


def place(name: str) -> str:
    """A document's place on the site: 'docs/decisions/README.md' is 'decisions/index.md'."""
    found = PurePosixPath(name.removeprefix("docs/"))
    return str(found.with_name("index.md") if found.name == "README.md" else found)


def page(name: str, text: str) -> str:
    """A document as the site has it: what it names of the others becomes a link.

    Only in running text: a command, a block of code and a link stay as they are.
    """
    found, fenced = [], False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        code = fenced or line.startswith(("    ", "```", "#"))
        found.append(line if code else _linked(name, line))
    return "\n".join(found) + "\n"


def _linked(name: str, line: str) -> str:
    pieces = _CODE.split(line)
    return "".join(
        _moved(name, piece)
        if piece.startswith("[")
        else piece
        if piece.startswith("`")
        else _NAMED.sub(lambda found: _link(name, found.group(1)), piece)
        for piece in pieces
    )


def _link(name: str, other: str) -> str:
    return f"[{other}]({_from(name, other)})" if other in documents() else other


def _moved(name: str, link: str) -> str:
    """A link that a document has itself, from where it is to where it will be."""
    words, _, target = link.removesuffix(")").partition("](")
    if "://" in target or target.startswith("#"):
        return link
    path, mark, anchor = target.partition("#")
    other = str(PurePosixPath(*_normal(PurePosixPath(name).parent / path)))
    moved = _from(name, other) if other in documents() or other.startswith("docs/") else path
    return f"{words}]({moved}{mark}{anchor})"


def _normal(path: PurePosixPath) -> list[str]:
    found: list[str] = []
    for part in path.parts:
        if part == "..":
            found.pop()
        else:
            found.append(part)
    return found


def _from(name: str, other: str) -> str:
    """The way from one document's place to another's."""
    up = place(name).count("/")
    return "../" * up + place(other)


def configuration(pages: str, to: str) -> str:
    """mkdocs.yml.  pages, to: absolute folders.  Nothing is loaded from elsewhere."""
    lines = [
        "site_name: stackrbd",
        f"docs_dir: {pages}",
        f"site_dir: {to}",
        "use_directory_urls: false",
        "strict: true",
        "validation: {anchors: warn, links: {not_found: warn, unrecognized_links: warn}}",
        "theme:",
        "  name: material",
        "  font: false",
        "  features: [navigation.tabs, navigation.indexes, search.highlight, content.code.copy]",
        "  palette:",
        "    - {media: '(prefers-color-scheme: light)', scheme: default, primary: indigo}",
        "    - {media: '(prefers-color-scheme: dark)', scheme: slate, primary: indigo}",
        "plugins: [search]",
        "markdown_extensions: [tables, toc, pymdownx.superfences, pymdownx.highlight]",
        "nav:",
    ]
    for part, names in NAV.items():
        lines.append(f"  - {part}:")
        lines += [f"    - {TITLES.get(name, '')}{place(name)}" for name in names]
    return "\n".join(lines) + "\n"
