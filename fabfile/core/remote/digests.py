"""Rows and a digest for each table of a dump, as the dump goes by.

Knows how the dump programs write: a newline inside of data is written as two characters, so that
every line of data is a row (MariaDB's), many rows (MySQL's) or begins a statement, and every line
that begins or ends something has a name between backticks: to look for these, and in MySQL's lines
for the ends of rows, is all that it costs besides the digest.  The digest of a table is that of its
lines; of one without a key, whose rows have no order, the sum of its rows' digests.  Python 3.6,
standard library alone.
"""

import hashlib
import re

BEGINS = re.compile(
    rb"-- (Current Database: |Dumping data for table |Table structure for |Dumping (?:routines|"
    rb"events|sequences) for |Temporary |Final view |Sequence structure )"
)
DATA_ENDS = b" ENABLE KEYS */;\n"
END = b"-- Dump completed"
_NAME = rb"`(?:[^`]|``)*`"
_MANY = re.compile(rb"INSERT INTO %s (?:\(%s(?:, %s)*\) )?VALUES (?=\()" % (_NAME, _NAME, _NAME))
_ROW = re.compile(rb"\([^'()]*(?:'[^'\\]*(?:\\.[^'\\]*)*'[^'()]*)*\)[,;]|.+", re.S)
"""A row and what follows it: nothing but strings has parentheses.  What is none is taken to its
end, so that each byte is looked at but once."""


def as_rows(line):
    """(how MySQL's statement with many rows in one line begins, these as MariaDB has them: a line
    each); what is no such statement begins with all of it."""
    begins = _MANY.match(line)
    if not begins:
        return line, b""
    found = _ROW.findall(line, begins.end())
    return begins.group(), b"\n".join(found[:-1]) + found[-1]


class Table:
    """One table's lines, or (structure) all the other lines of a database."""

    def __init__(self, loose=False):
        self.rows, self._digest, self._sum = 0, hashlib.sha256(), 0
        self._loose = loose

    def feed(self, lines, rows):
        """Whole lines; rows: whether each of them is one."""
        if rows:
            self.rows += lines.count(b"\n")
        if not (self._loose and rows):
            self._digest.update(lines)
            return
        for line in lines.split(b"\n")[:-1]:
            row = hashlib.sha256(line.rstrip(b",;")).digest()
            self._sum = (self._sum + int.from_bytes(row, "big")) % (1 << 256)

    def summary(self):
        if self._loose:
            self._digest.update(b"%064x" % self._sum)
        return [self.rows, self._digest.hexdigest()]


class Digests:
    """All tables of a dump: {'schema.table': [rows, digest]}; 'schema.' is its structure.

    loose: names 'schema.table' of the tables without a key.
    """

    def __init__(self, loose=()):
        self._loose = set(loose)
        self._tables, self._schema = {}, None  # type: ignore[var-annotated]
        self._now, self._is_data, self._in_rows = Table(), False, False
        self._rest, self._last = [], b""  # type: ignore[var-annotated]
        self.first = None

    @property
    def complete(self):
        """Whether the dump's last line came, and nothing after it."""
        return self._last.startswith(END) and not self._rest

    def feed(self, data):
        """Some bytes more."""
        cut = data.rfind(b"\n") + 1
        if not cut:
            self._rest.append(data)
            return
        block = b"".join(self._rest) + data[:cut]
        self._rest = [data[cut:]] if data[cut:] else []
        if self.first is None:
            self.first = block[: block.index(b"\n")]
        self._last = block[block.rstrip(b"\n").rfind(b"\n") + 1 :].strip() or self._last
        start, at = 0, block.find(b"`")
        while at >= 0:
            begin, end = block.rfind(b"\n", 0, at) + 1, block.index(b"\n", at) + 1
            if not (self._in_rows and block.startswith(b"(", begin)):
                self._now.feed(block[start:begin], self._in_rows)
                self._line(block[begin:end])
                start = end
            at = block.find(b"`", end)
        self._now.feed(block[start:], self._in_rows)

    def _line(self, line):
        """A line with a name in it that is no row."""
        self._in_rows = self._is_data and line.startswith(b"INSERT INTO ")
        if not BEGINS.match(line):
            line, many = as_rows(line) if self._in_rows else (line, b"")
            self._now.feed(line, False)
            self._now.feed(many, True)
            if self._is_data and line.endswith(DATA_ENDS):
                self._is_data, self._now = False, self._table("")
            return
        name = line.partition(b"`")[2].rpartition(b"`")[0].decode("utf-8", "replace")
        if line.startswith(b"-- Current Database: "):
            self._schema = name
        self._is_data = line.startswith(b"-- Dumping data ") and self._schema is not None
        if self._schema is not None:
            self._now = self._table(name if self._is_data else "")

    def _table(self, name):
        full = "%s.%s" % (self._schema, name)
        if full not in self._tables:
            self._tables[full] = Table(full in self._loose)
        return self._tables[full]

    def summary(self):
        """{'schema.table': [rows, digest]} of all that went by."""
        return {name: table.summary() for name, table in self._tables.items()}


def differing(expected, found):
    """The names of tables that are not the same, each with what differs."""
    said = []
    for name in sorted(set(expected) | set(found)):
        if name not in found:
            said.append("%s is not there" % name)
        elif name not in expected:
            said.append("%s is there besides" % name)
        elif list(expected[name]) != list(found[name]):
            what = "%d rows, expected %d" % (found[name][0], expected[name][0])
            same = found[name][0] == expected[name][0]
            said.append("%s: %s" % (name, "other content" if same else what))
    return said
