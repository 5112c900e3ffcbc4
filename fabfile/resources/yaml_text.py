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
_LINE = re.compile("[^\n]*\n|[^\n]+")
_ODD_BREAK = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
"""What YAML alone counts as the end of a line."""


def read(text: str) -> dict[str, Json]:
    """{variable: value}, each scalar as it is written.  Raises ValueError for what is no such file.

    Of a variable that is there twice, the last one counts, as for Ansible.
    """
    node = _top(text)
    return {} if node is None else _made(lambda: yaml.BaseLoader("").construct_document(node))


def altered(text: str, values: Mapping[str, Json], lists: Mapping[str, Sequence[Json]]) -> str:
    """The text with these variables.

    values: what each is to be; lists: items by their name, which replace or join those that are
    there.  Raises ValueError where that cannot be done by exchanging their own lines alone.
    """
    found = text
    for name, value in values.items():
        found = _with(found, name, _line(name, value))
    for name, items in lists.items():
        found = _with_items(found, name, items)
    named = ", ".join(sorted({*values, *lists}))
    before, after = read(text), read(found)
    if any(before.get(k) != after.get(k) for k in {*before, *after} - {*values, *lists}):
        raise ValueError(f"an edit of {named} would alter more")
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


def _line(name: str, value: Json) -> str:
    if isinstance(value, str):
        return f"{name}: {json.dumps(value)}\n"
    return f"{name}:\n{_dumped(value, '  ')}"


def _dumped(value: Json, indent: str) -> str:
    form = {"sort_keys": False, "default_flow_style": False, "allow_unicode": True}
    text = yaml.safe_dump(value, width=1 << 20, **form)
    return "".join(f"{indent}{line}\n" for line in text.splitlines())


def _with_items(text: str, name: str, items: Iterable[Mapping[str, Json]]) -> str:
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


def _joined(kept: Sequence[Json], items: Iterable[Mapping[str, Json]]) -> list[Json]:
    new = {item["name"]: item for item in items}
    found = [{**one, **new.pop(one["name"], {})} if _named(one) else one for one in kept]
    return [*found, *new.values()]


def _named(item: Json) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("name"), str)


def _with_item(text: str, name: str, item: Mapping[str, Json]) -> str:
    node, _, end = _place(text, name)  # type: ignore[misc]  # the list was there
    lines = _LINE.findall(text)
    begins = [_dash(lines, one) for one in node.value]
    indent = re.match(r"\s*", lines[begins[0]]).group()  # type: ignore[union-attr]
    mine = [n for n, one in enumerate(node.value) if _name_of(one) == item["name"]]
    if not mine:
        ended = lines[end - 1] if lines[end - 1].endswith("\n") else f"{lines[end - 1]}\n"
        return "".join([*lines[: end - 1], ended, _dumped([dict(item)], indent), *lines[end:]])
    kept = {**_plain(text, node.value[mine[-1]]), **item}
    begin, last = begins[mine[-1]], _end(text, node.value[mine[-1]])
    return "".join([*lines[:begin], _dumped([kept], indent), *lines[last:]])


def _dash(lines: Sequence[str], node: yaml.Node) -> int:
    """The line on which an item's dash is.  Raises ValueError where it stands by itself."""
    line = node.start_mark.line
    if not re.match(r"\s*-\s", lines[line]):
        raise ValueError(f"line {line + 1}: expected '- ' before an item of a list")
    return int(line)


def _name_of(node: yaml.Node) -> str | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((v.value for k, v in pairs if k.value == "name"), None)


def _plain(text: str, node: yaml.Node) -> Any:
    """A part of the file with its types, to be written anew.  Raises ValueError for tags."""
    part = text[node.start_mark.index : node.end_mark.index]
    if "!" in part or "&" in part or "*" in part:
        raise ValueError(f"line {node.start_mark.line + 1}: a tag or an anchor in a list of ours")
    padded = " " * node.start_mark.column + part
    return _made(lambda: yaml.safe_load(padded))
