"""Sets options in Debian's sample files in place, every comment kept.

Small on purpose: it knows the shape of those files alone (no continued lines, no
repeated keys). The product's own editor is another one, and is tested on the files
that this one leaves.
"""

import re
from pathlib import Path

Settings = dict[str, dict[str, str]]


def set_in_file(file: Path, settings: Settings) -> None:
    """Edit `file` in place; owner and mode stay."""
    file.write_text(set_in_text(file.read_text(), settings))


def set_in_text(text: str, settings: Settings) -> str:
    """`text` with the options set: over the active line, else below the commented
    default, else at the section's end."""
    lines = text.splitlines()
    for section, options in settings.items():
        if f"[{section}]" not in lines:
            lines += ["", f"[{section}]"]
        for name, value in options.items():
            _set(lines, section, name, f"{name} = {value}".rstrip())
    return "\n".join(lines) + "\n"


def _set(lines: list[str], section: str, name: str, line: str) -> None:
    first = lines.index(f"[{section}]") + 1
    last = next((n for n in range(first, len(lines)) if lines[n].startswith("[")), len(lines))
    active = re.compile(rf"{re.escape(name)}\s*=")
    commented = re.compile(rf"#\s?{re.escape(name)}\s*=")
    for number in range(first, last):
        if active.match(lines[number]):
            lines[number] = line
            return
    for number in range(first, last):
        if commented.match(lines[number]):
            lines.insert(number + 1, line)
            return
    while last > first and not lines[last - 1].strip():
        last -= 1
    lines.insert(last, line)
