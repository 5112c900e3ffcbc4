"""Rows and a digest for each table of a dump, as the dump goes by.

Knows how MariaDB's dump program writes: a newline inside of data is written as two
characters, so that every line of data is a row or begins a statement.  The digest of a
table is that of its lines; of one without a key, whose rows have no order, the sum of its
rows' digests.  Python 3.6, standard library alone.
"""

import hashlib
import re

BEGINS = re.compile(
    rb"-- (Current Database: |Dumping data for table |Table structure for |Dumping (?:routines|"
    rb"events|sequences) for |Temporary |Final view |Sequence structure |GTID |Position |"
    rb"Dump completed)"
)
END = b"-- Dump completed"


class Table:
    """One table's lines, or (structure) all the other lines of a database."""

    def __init__(self, loose=False):
        self.rows, self._digest, self._sum = 0, hashlib.sha256(), 0
        self._loose = loose

    def feed(self, data, is_rows):
        if is_rows:
            self.rows += data.count(b"\n(") + data.startswith(b"(")
        if not (self._loose and is_rows):
            self._digest.update(data)
            return
        for line in data.split(b"\n"):
            if line.startswith(b"("):
                row = hashlib.sha256(line.rstrip(b",;")).digest()
                self._sum = (self._sum + int.from_bytes(row, "big")) % (1 << 256)

    def said(self):
        if self._loose:
            return [self.rows, "%064x" % self._sum]
        return [self.rows, self._digest.hexdigest()]


class Digests:
    """All tables of a dump: {'schema.table': [rows, digest]}; 'schema.' is its structure.

    loose: names 'schema.table' of the tables without a key.
    """

    def __init__(self, loose=()):
        self._loose = set(loose)
        self._tables, self._schema = {}, None  # type: ignore[var-annotated]
        self._now, self._is_rows, self._rest = Table(), False, b""
        self.complete, self.first = False, None

    def feed(self, data):
        """Some bytes more."""
        if self.first is None and b"\n" in data:
            self.first = data[: data.index(b"\n")]
        cut = data.rfind(b"\n") + 1
        if not cut:
            self._rest += data
            return
        block, self._rest = b"\n" + self._rest + data[:cut], data[cut:]
        start, at = 1, block.find(b"\n-- ")
        while at >= 0:
            end = block.index(b"\n", at + 1)
            line = block[at + 1 : end]
            if BEGINS.match(line):
                self._pass(block[start : at + 1])
                self._turn(line)
                start = end + 1
            at = block.find(b"\n-- ", end)
        self._pass(block[start:])

    def _pass(self, lines):
        self._now.feed(lines, self._is_rows)
        self.complete = self.complete and not lines.strip()

    def _turn(self, line):
        """To the table or the structure that begins here."""
        self._is_rows = False
        name = line.partition(b"`")[2].rpartition(b"`")[0].decode("utf-8", "replace")
        if line.startswith(END):
            self.complete = True
        elif line.startswith(b"-- Current Database: "):
            self._schema = name
        elif line.startswith(b"-- Dumping data for table ") and self._schema is not None:
            self._is_rows = True
            self._now = self._table(name)
            return
        self._now = self._table("") if self._schema is not None else Table()

    def _table(self, name):
        full = "%s.%s" % (self._schema, name)
        if full not in self._tables:
            self._tables[full] = Table(full in self._loose)
        return self._tables[full]

    def said(self):
        """{'schema.table': [rows, digest]} of all that went by."""
        return {name: table.said() for name, table in self._tables.items()}


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
