"""Reads and edits OpenStack's configuration files, line by line.

Knows oslo.config's file format, which is not INI: a key starts in column 0, any
indented line continues the value above it, a blank line ends it, there are no
comments behind a value, sections and keys may repeat (the last value counts),
section names other than DEFAULT ignore case, and one pair of quotes is taken off.
Does not know any option's name or meaning, nor where the files are.

Pure, and Python 3.6: the same module runs on the hosts.
"""

import io
import re

_TELLS = re.compile("\n[^#;\n][^\n]*")
_CONTROL = r"[\x00-\x1f\x7f\x85\u2028\u2029]"


class ParseError(ValueError):
    """A line that oslo.config refuses; the message begins with its number."""


class _Option:
    """One assignment: lines[first:last] of the file hold it."""

    def __init__(self, section, key, value, first):
        self.section, self.key = section, key
        self.values, self.first, self.last = [value], first, first + 1


def same_section(name):
    """The name under which oslo.config looks a section up."""
    return name if name == "DEFAULT" else name.lower()


def _lines(text):
    """The lines with their ends: \\n, \\r\\n or \\r, and no other that splitlines() knows."""
    return io.StringIO(text, newline="").readlines()


def _telling(lines):
    """(index, line) of those that are no comment and not empty: a sample file is all comments."""
    return [(index, raw) for index, raw in enumerate(lines) if raw[0] not in "#;\n"]


def _found_telling(text):
    """As _telling() of a text without \\r, in a tenth of its time: no other line is looked at.

    The indexes are not the lines' own: they say which lines stand below each other, and which is
    the first.
    """
    index, end, told = 0, 0, []
    for found in _TELLS.finditer("\n" + text):
        index += 1 if found.start() == end else 2
        end = found.end()
        told.append((index - 1, found.group()[1:]))
    return told


def _bare(line):
    return line.rstrip()


def _split(line, number):
    found = re.search("[:=]", line)
    if not found:
        raise ParseError("line %d: no '=' or ':' found" % number)
    key, value = line[: found.start()].strip(), line[found.end() :].strip()
    if not key:
        raise ParseError("line %d: a value without a name" % number)
    if value and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return key, value


def _section_name(line, number):
    if not line.endswith("]") or len(line) <= 2:
        raise ParseError("line %d: a section must read [name]" % number)
    return line[1:-1]


def _scan(telling, end):
    """All sections, as [name, first line, end], and all options of what tells in a file."""
    sections, options, current, before = [], [], None, -1
    for index, raw in telling:
        if index != before + 1:
            current = None  # a comment or an empty line is between them
        before = index
        line, number = _bare(raw), index + 1
        if index == 0 and line.startswith("\ufeff"):
            raise ParseError("line 1: starts with a byte order mark")
        if not line:
            current = None
        elif line[0] in " \t":
            if current is None:
                raise ParseError("line %d: continues a value, but none is above" % number)
            current.values.append(line.lstrip())
            current.last = index + 1
        else:
            current = None
            if line[0] == "[":
                if sections:
                    sections[-1][2] = index
                sections.append([_section_name(line, number), index, end])
            else:
                key, value = _split(line, number)
                if not sections:
                    raise ParseError("line %d: a value before any section" % number)
                current = _Option(sections[-1][0], key, value, index)
                options.append(current)
    return sections, options


def _scanned(lines):
    return _scan(_telling(lines), len(lines))


def _options_of(text):
    if "\r" not in text:
        try:
            return _scan(_found_telling(text), 0)[1]
        except ParseError:
            pass  # which line it is, the way by all lines says
    return _scanned(_lines(text))[1]


def active(text):
    """Every assignment of a file, in order, as (section, key, value).

    Raises ParseError where oslo.config would refuse the file.
    """
    return [(o.section, o.key, "\n".join(o.values)) for o in _options_of(text)]


def effective(text):
    """{(section, key): value} as a service reads it: the last one counts."""
    return {(same_section(s), k): v for s, k, v in active(text)}


def _checked(kind, text):
    if re.search(_CONTROL, text):
        raise ValueError("%s %r holds a control character" % (kind, text))
    return text


def _quoted(value):
    _checked("value", value)
    if value != value.strip() or (value and value[0] == value[-1] and value[0] in "\"'"):
        return '"%s"' % value
    return value


def _assignment(key, value):
    _checked("option name", key)
    if not re.match(r"[^\s\[#;:=][^:=]*\Z", key) or key != key.strip():
        raise ValueError("%r is not an option's name" % key)
    return ("%s = %s" % (key, _quoted(value))).rstrip()


def _place(lines, sections, section, key):
    """The line above which a new option goes, or None without its section.

    Right below its commented default where the sample file has one, else behind
    the last line of the section's first stretch that is not blank.
    """
    ours = [s for s in sections if same_section(s[0]) == same_section(section)]
    commented = re.compile(r"[#;]\s?%s\s*[=:]" % re.escape(key))
    for _, first, end in ours:
        for index in range(first + 1, end):
            if commented.match(lines[index]):
                return index + 1
    for _, first, end in ours[:1]:
        while end > first + 1 and not _bare(lines[end - 1]):
            end -= 1
        return end
    return None


def _end_of_line(lines):
    found = re.search(r"(\r\n|\n|\r)\Z", lines[0]) if lines else None
    return found.group() if found else "\n"


def _terminated(lines, newline):
    if lines and lines[-1][-1] not in "\r\n":
        lines[-1] += newline


def _set(lines, found, section, key, value):
    sections, options = found
    newline = _end_of_line(lines)
    line = _assignment(key, value)
    mine = [o for o in options if o.key == key and same_section(o.section) == same_section(section)]
    if mine:
        last = mine[-1]
        ending = lines[last.last - 1][len(lines[last.last - 1].rstrip("\r\n")) :]
        lines[last.first : last.last] = [line + ending]
        return
    at = _place(lines, sections, section, key)
    _terminated(lines, newline)
    if at is None:
        name = "[%s]" % _checked("section", section)
        _section_name(name, len(lines) + 1)
        gap = [newline] if lines and _bare(lines[-1]) else []
        lines.extend(gap + [name + newline, line + newline])
    else:
        lines.insert(at, line + newline)


def _unset(lines, options, section, key):
    for option in reversed(options):
        if option.key == key and same_section(option.section) == same_section(section):
            del lines[option.first : option.last]


def _drop(lines, sections, section):
    """Takes a section's heading away where nothing but blank lines is left below it.

    At the end of the file the blank line above goes too: it is there for the heading alone.
    """
    for name, first, end in reversed(sections):
        if same_section(name) != same_section(section) or any(map(_bare, lines[first + 1 : end])):
            continue
        last = end == len(lines)
        del lines[first:end]
        if last and first and not _bare(lines[first - 1]):
            del lines[first - 1]


def _in_force(options, section, key):
    """An option's value as a service reads it, or None."""
    found = None
    for option in options:
        if option.key == key and same_section(option.section) == same_section(section):
            found = "\n".join(option.values)
    return found


def edit(text, edits):
    """The text with each (section, key, value) set, or taken out for value None.

    For key None, the section's heading is taken out where nothing else is left of it.
    Comments, order, line endings and all other options stay as they are; setting
    what is already in force changes nothing.  Raises ParseError for a file that
    oslo.config would refuse, ValueError for a name or value it could not hold.
    """
    lines = _lines(text)
    found = _scanned(lines)  # type: ignore[var-annotated]
    for section, key, value in edits:
        found = found or _scanned(lines)
        if key is None:
            _drop(lines, found[0], section)
        elif _in_force(found[1], section, key) == value:
            continue
        elif value is None:
            _unset(lines, found[1], section, key)
        else:
            _set(lines, found, section, key, value)
        found = None  # another line may be another one's now
    return "".join(lines)


def stray_changes(before, after, edits):
    """Options outside the edits whose values differ between two texts."""
    meant = {(same_section(section), key) for section, key, _ in edits}
    old, new = _all_values(before), _all_values(after)
    return sorted(k for k in set(old) | set(new) if old.get(k) != new.get(k) and k not in meant)


def _all_values(text):
    found = {}
    for section, key, value in active(text):
        found.setdefault((same_section(section), key), []).append(value)
    return found
