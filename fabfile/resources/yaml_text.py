"""A YAML file's variables at its top, and the same text with some of them altered.

Lines are exchanged and everything else keeps its bytes, comments above all; then the new text is
read again: what nobody asked for must be what it was.  Tags and anchors are read as what they
stand for, and nothing of a file is ever carried out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from fabfile.core.contract import Json

_MOST, _MOST_ALIASES, _DEEPEST = 1 << 20, 20, 32
"""Letters of a file; aliases, of which a few, nested, stand for millions of values; and levels: for
each of its tokens PyYAML looks at all that are open."""
_OPENING = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
NAMES = ("name", "client_name")
"""By which of its keys an item of a list is known: the first that it has."""
_NO_TEXT = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
_LINE = re.compile("[^\n]*\n|[^\n]+")
_ODD_BREAK = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
"""What YAML alone counts as the end of a line."""


def read(text: str) -> dict[str, Json]:
    """{variable: value}, each scalar as it is written.  Raises ValueError for what is no such file.

    Of a variable that is there twice, the last one counts, as for Ansible.
    """
    node = _top(text)
    return {} if node is None else _made(lambda: yaml.BaseLoader("").construct_document(node))


def altered(
    text: str,
    values: Mapping[str, Json],
    lists: Mapping[str, Sequence[Json]],
    tables: Mapping[tuple[str, ...], str] | None = None,
) -> str:
    """The text with these variables.

    values: what each is to be; lists: items by their name, which replace or join those that are
    there; tables: {(variable, key, ...): its value}, with other keys as they are.  Raises
    ValueError where that cannot be done by exchanging their own lines alone.
    """
    found, tables = text, tables or {}
    for name, value in values.items():
        found = _with(found, name, _line(name, value))
    for name, items in lists.items():
        found = _with_items(found, name, items)
    for path, value in tables.items():
        found = _with_key(found, path, value)
    ours = {*values, *lists, *(path[0] for path in tables)}
    named = ", ".join(sorted(ours))
    before, after = read(text), read(found)
    if any(before.get(k) != after.get(k) for k in {*before, *after} - ours):
        raise ValueError(f"an edit of {named} would alter more")
    for name in {path[0] for path in tables}:
        keys = {path[1:]: value for path, value in tables.items() if path[0] == name}
        if after.get(name) != _laid_over(before.get(name), keys):
            raise ValueError(f"an edit of {name} would not be what counts, or would alter more")
    if any(after.get(k) != v for k, v in values.items() if isinstance(v, str)):
        raise ValueError(f"an edit of {named} would not be what counts")
    return found


def _made(make: Any) -> Any:
    """What PyYAML makes; its faults in the words of one line."""
    try:
        return make()
    except OverflowError:  # "\\UFFFFFFFF"
        raise ValueError("a letter that there is not") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        said = [getattr(error, name, None) for name in ("context", "problem")]
        raise ValueError(f"{where}{', '.join(filter(None, said)) or 'not YAML'}") from None


def _top(text: str) -> yaml.MappingNode | None:
    """The mapping at a file's top; None for a file without any."""
    if len(text) > _MOST:
        raise ValueError(f"more than {_MOST} letters")
    if odd := _ODD_BREAK.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        raise ValueError(f"line {line}: ends with {odd.group()!r}, expected '\\n'")
    _made(lambda: _refuse_bombs(text))
    node = _made(lambda: yaml.compose(text, yaml.BaseLoader))
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
        return None
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise ValueError("expected variables, each on lines of its own (name: value)")
    for key, _ in node.value:
        if key.value == "<<":  # its variables would count as not there
            raise ValueError(f"line {key.start_mark.line + 1}: '<<', expected its variables here")
    return node


def _refuse_bombs(text: str) -> None:
    """Raises ValueError for what takes hours to read, or stands for more than it says."""
    depth = aliases = 0
    for token in yaml.scan(text):
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        aliases += isinstance(token, yaml.AliasToken)
        if depth > _DEEPEST:
            raise ValueError(f"nested deeper than {_DEEPEST}")
        if aliases > _MOST_ALIASES:
            raise ValueError(f"more than {_MOST_ALIASES} aliases")


def _place(text: str, name: str) -> tuple[yaml.Node, int, int] | None:
    """(a variable's value, its first line, the line after its last), of the last that counts."""
    node = _top(text)
    pairs = [(k, v) for k, v in (node.value if node else ()) if k.value == name]
    if not pairs:
        return None
    key, value = pairs[-1]
    if value.start_mark.index < key.end_mark.index:  # it stands where its anchor does
        line = key.start_mark.line + 1
        raise ValueError(f"line {line}: {name} is an alias (*), expected its value itself")
    return value, key.start_mark.line, _end(text, value)


def _end(text: str, node: yaml.Node) -> int:
    """The line after a node's last: a collection ends, to PyYAML, where the next thing begins."""
    lines, mark = _LINE.findall(text), node.end_mark
    block = isinstance(node, yaml.CollectionNode) and not node.flow_style
    # Where the text ends in the middle of a line, that line is the node's own.
    begins_next = (block or mark.column == 0) and (mark.index < len(text) or text[-1:] == "\n")
    end: int = mark.line if begins_next else mark.line + 1
    while end > node.start_mark.line + 1 and re.fullmatch(r"\s*(#.*)?\n?", lines[end - 1]):
        end -= 1
    return min(end, len(lines))


def _with(text: str, name: str, new: str) -> str:
    """The text with a variable's lines: in place of its own, below its example, or at the end."""
    lines, place = _LINE.findall(text), _place(text, name)
    if place and (whole := _spliced(text, place[0], new)):
        return whole
    if place:
        return "".join([*lines[: place[1]], new, *lines[place[2] :]])
    ended = text if not text or text.endswith("\n") else f"{text}\n"
    examples = [n for n, line in enumerate(lines) if re.match(rf"#\s*{re.escape(name)}\s*:", line)]
    for at in examples[:1]:
        candidate = "".join([*lines[: at + 1], new, *lines[at + 1 :]])
        if ended == text and _reads(candidate, text, name):
            return candidate
    return f"{ended}{new}"


def _spliced(text: str, node: yaml.Node, new: str) -> str:
    """The text with another value on a variable's line, whose comment stays; '' for other forms."""
    begin, end = node.start_mark, node.end_mark
    if not isinstance(node, yaml.ScalarNode) or begin.line != end.line or new.count("\n") > 1:
        return ""
    value = new.partition(": ")[2].rstrip("\n")
    blank = " " if text[begin.index - 1] == ":" else ""
    return f"{text[: begin.index]}{blank}{value}{text[end.index :]}"


def _reads(candidate: str, text: str, name: str) -> bool:
    """Whether the new line is a variable of its own there, and not a part of something else."""
    try:
        found = read(candidate)
    except ValueError:
        return False
    return name in found and {k: v for k, v in found.items() if k != name} == read(text)


def _laid_over(found: Json, keys: Mapping[tuple[str, ...], str]) -> Json:
    """A table with these values in it, as it is read."""
    made: dict[str, Json] = dict(found) if isinstance(found, Mapping) else {}
    for path, value in keys.items():
        below = made.get(path[0])
        made[path[0]] = _laid_over(below, {path[1:]: value}) if path[1:] else value
    return made


def _line(name: str, value: Json) -> str:
    if isinstance(value, (str, bool)):
        return f"{name}: {json.dumps(value)}\n"
    return f"{name}:\n{_dumped(value, '  ')}"


def _dumped(value: Json, indent: str) -> str:
    form = {"sort_keys": False, "default_flow_style": False, "allow_unicode": True}
    text = yaml.safe_dump(value, width=1 << 20, **form)
    return "".join(f"{indent}{line}\n" for line in text.splitlines())


def _nested(path: Sequence[str], value: str, indent: str, step: str) -> str:
    """The lines of a key in tables in each other."""
    lines = [f"{indent}{step * n}{_key(name)}:\n" for n, name in enumerate(path[:-1])]
    last = len(path) - 1
    return "".join([*lines, f"{indent}{step * last}{_line(_key(path[-1]), value)}"])


def _key(name: str) -> str:
    """A key as it is written: those of an option's or a backend's usual form need no quotes."""
    plain = re.fullmatch(r"[A-Za-z_][\w.-]*", name)
    return name if plain and name.lower() not in _NO_TEXT else json.dumps(name)


def _with_key(text: str, path: Sequence[str], value: str) -> str:
    """The text with a key of a table at its top, or of one in it, however deep."""
    node, rest = _top(text), list(path)
    key: yaml.Node | None = None
    while isinstance(node, yaml.MappingNode) and rest:
        pairs = [(k, v) for k, v in node.value if k.value == rest[0]]
        if not pairs:
            break
        key, below = pairs[-1]
        if below.start_mark.index < key.end_mark.index:
            line = key.start_mark.line + 1
            raise ValueError(f"line {line}: {rest[0]} is an alias (*), expected its value itself")
        if isinstance(below, yaml.MappingNode) and below.flow_style and rest[1:]:
            return _unfolded(text, key, below, rest[1:], value)
        node, rest = below, rest[1:]
    if key is None:
        ended = text if not text or text.endswith("\n") else f"{text}\n"
        return f"{ended}{_nested(path, value, '', '  ')}"
    lines = _LINE.findall(text)
    if not rest:
        if whole := _spliced(text, node, _line("", value)):
            return whole
        raise ValueError(f"line {key.start_mark.line + 1}: expected {path[-1]}: VALUE, on one line")
    if isinstance(node, yaml.MappingNode):
        column, end = node.start_mark.column, _end(text, node)
        return _inserted(lines, end, _nested(rest, value, " " * column, "  "))
    if isinstance(node, yaml.ScalarNode) and node.value.lower() in ("", "null", "~"):
        line, column = key.start_mark.line, key.start_mark.column + 2
        if not node.value and not node.style:
            return _inserted(lines, line + 1, _nested(rest, value, " " * column, "  "))
    raise ValueError(f"line {key.start_mark.line + 1}: expected keys and values, each on a line")


def _inserted(lines: Sequence[str], at: int, new: str) -> str:
    before = [*lines[: at - 1], _ended(lines[at - 1])]
    return "".join([*before, new, *lines[at:]])


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n"


def _unfolded(text: str, key: yaml.Node, node: yaml.Node, rest: Sequence[str], value: str) -> str:
    """The text with a table in braces on lines of its own, and a key in it."""
    found = _plain(text, node)
    last = found
    for name in rest[:-1]:
        last = last.setdefault(name, {})
        if not isinstance(last, dict):
            raise ValueError(f"line {key.start_mark.line + 1}: {name}: expected keys and values")
    last[rest[-1]] = value
    lines, line = _LINE.findall(text), key.start_mark.line
    behind = lines[node.end_mark.line][node.end_mark.column :]
    if behind.strip() and not behind.strip().startswith("#"):
        raise ValueError(f"line {line + 1}: expected {rest[0]} in a table on lines of its own")
    head = text[: node.start_mark.index].rstrip(" ")
    indent = " " * (key.start_mark.column + 2)
    return f"{head}{behind.rstrip()}\n{_dumped(found, indent)}" + "".join(
        lines[node.end_mark.line + 1 :]
    )


def _with_items(text: str, name: str, items: Iterable[Json]) -> str:
    """The text with a list that has these items, each known by its name; others stay."""
    place = _place(text, name)
    if place is None or not isinstance(place[0], yaml.SequenceNode) or not place[0].value:
        return _with(text, name, _line(name, list(items)))
    if place[0].flow_style:
        kept = [_plain(text, one) for one in place[0].value]
        return _with(text, name, _line(name, _joined(kept, items)))
    for item in items:
        text = _with_item(text, name, item)
    return text


def _joined(kept: Sequence[Json], items: Iterable[Json]) -> list[Json]:
    new = {known_as(item) or item: item for item in items}
    found = [_merged(one, new.pop(name, {})) if (name := known_as(one)) else one for one in kept]
    return [*found, *(item for name, item in new.items() if name not in kept)]


def _merged(found: Json, item: Json) -> Json:
    """An item with what it is to have; tables in it keep their other keys."""
    if not isinstance(found, Mapping) or not isinstance(item, Mapping):
        return item
    return {**found, **{key: _merged(found.get(key), value) for key, value in item.items()}}


def known_as(item: Json) -> str:
    """By what an item of a list is known; '' for one that has no name."""
    if not isinstance(item, Mapping):
        return ""
    found = next((item[key] for key in NAMES if isinstance(item.get(key), str)), "")
    return str(found)


def _with_item(text: str, name: str, item: Json) -> str:
    node, _, end = _place(text, name)  # type: ignore[misc]  # the list was there
    lines = _LINE.findall(text)
    begins = [_dash(lines, one) for one in node.value]
    indent = re.match(r"\s*", lines[begins[0]]).group()  # type: ignore[union-attr]
    mine = [n for n, one in enumerate(node.value) if _name_of(one) == (known_as(item) or item)]
    if not mine:
        return _inserted(lines, end, _dumped([item], indent))
    kept = _merged(_plain(text, node.value[mine[-1]]), item)
    begin, last = begins[mine[-1]], _end(text, node.value[mine[-1]])
    return "".join([*lines[:begin], _dumped([kept], indent), *lines[last:]])


def _dash(lines: Sequence[str], node: yaml.Node) -> int:
    """The line on which an item's dash is.  Raises ValueError where it stands by itself."""
    line = node.start_mark.line
    if not re.match(r"\s*-\s", lines[line]):
        raise ValueError(f"line {line + 1}: expected '- ' before an item of a list")
    return int(line)


def _name_of(node: yaml.Node) -> str | None:
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    found = {k.value: v.value for k, v in pairs if isinstance(v, yaml.ScalarNode)}
    return known_as(found) or None


def _plain(text: str, node: yaml.Node) -> Any:
    """A part of the file with its types, to be written anew.  Raises ValueError for tags."""
    part = text[node.start_mark.index : node.end_mark.index]
    if "!" in part or "&" in part or "*" in part:
        raise ValueError(f"line {node.start_mark.line + 1}: a tag or an anchor in a list of ours")
    padded = " " * node.start_mark.column + part
    return _made(lambda: yaml.safe_load(padded))
