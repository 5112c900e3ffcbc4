"""A dump's tables, told apart as it goes by, however it is cut into pieces."""

import hashlib
import time

import pytest

from fabfile.core.remote.digests import Digests, differing

DUMP = b"""\
/*M!999999\\- enable the sandbox mode */
-- MariaDB dump 10.19
-- Current Database: `nova`
CREATE DATABASE `nova`;
-- Table structure for table `a`
CREATE TABLE `a` (
  `id` int);
-- Dumping data for table `a`
-- ORDER BY:  `id`

LOCK TABLES `a` WRITE;
/*!40000 ALTER TABLE `a` DISABLE KEYS */;
INSERT INTO `a` VALUES
(1,'-- Current Database: `x`'),
(2,'`'),
(3,'(');
INSERT INTO `a` VALUES
(4,'\\n-- Dumping data for table `b`');
/*!40000 ALTER TABLE `a` ENABLE KEYS */;
UNLOCK TABLES;
-- Dumping data for table `loose`
INSERT INTO `loose` VALUES
('z'),
('a');
/*!40000 ALTER TABLE `loose` ENABLE KEYS */;
UNLOCK TABLES;
-- Dumping routines for database 'nova'
CREATE PROCEDURE `p`() BEGIN
(1)
END ;
-- Current Database: `keystone`
-- Dumping data for table `a`
INSERT INTO `a` VALUES
(1);
/*!40000 ALTER TABLE `a` ENABLE KEYS */;

-- Dump completed
"""


def digests(text=DUMP, pieces=(10**9,), loose=("nova.loose",)):
    found = Digests(loose)
    while text:
        for size in pieces:
            if text[:size]:
                found.feed(text[:size])
            text = text[size:]
    return found


def rows(found):
    return {name: one[0] for name, one in found.summary().items() if not name.endswith(".")}


def test_rows_are_counted_by_table():
    found = digests()
    assert rows(found) == {"nova.a": 4, "nova.loose": 2, "keystone.a": 1}
    assert found.complete
    assert b"sandbox" in found.first


@pytest.mark.parametrize("pieces", [(1,), (7,), (100, 3), (64,), (1000,)])
def test_where_the_pieces_end_does_not_matter(pieces):
    assert digests(pieces=pieces).summary() == digests().summary()
    assert digests(pieces=pieces).complete


@pytest.mark.parametrize(
    "old, new, name",
    [
        (b"(3,'(')", b"(3,')')", "nova.a: other content"),
        (b"(2,'`'),\n", b"", "nova.a: 3 rows, expected 4"),
        (b"`id` int", b"`id` bigint", "nova.: other content"),
        (b"END ;", b"END;", "nova.: other content"),
        (b"-- Dumping data for table `loose`", b"-- Dumping data for table `more`", "nova.loose"),
    ],
)
def test_what_is_altered_is_named(old, new, name):
    assert old in DUMP
    said = differing(digests().summary(), digests(DUMP.replace(old, new)).summary())
    assert any(line.startswith(name) for line in said)


def test_the_order_of_rows_matters_only_where_there_is_a_key():
    other = DUMP.replace(b"('z'),\n('a');", b"('a'),\n('z');")
    assert differing(digests().summary(), digests(other).summary()) == []
    assert differing(digests(loose=()).summary(), digests(other, loose=()).summary())
    swapped = DUMP.replace(b"('z'),", b"('y'),")
    assert differing(digests().summary(), digests(swapped).summary()) == [
        "nova.loose: other content"
    ]


@pytest.mark.parametrize("end", [b"", b"-- Dump completed", b"-- Dump completed\nINSERT;\n"])
def test_a_dump_without_its_last_line_is_not_whole(end):
    assert not digests(DUMP.replace(b"-- Dump completed\n", end)).complete


def test_a_digest_is_that_of_the_tables_lines():
    text = (
        b"-- Current Database: `d`\n-- Dumping data for table `t`\nINSERT INTO `t` VALUES\n(1);\n"
    )
    expected = hashlib.sha256(b"INSERT INTO `t` VALUES\n(1);\n").hexdigest()
    assert digests(text).summary()["d.t"] == [1, expected]


MYSQL = b"""\
-- Current Database: `d`
-- Dumping data for table `t`
LOCK TABLES `t` WRITE;
INSERT INTO `t` (`id`, `odd VALUES (),('`) VALUES (1,'a\\\\'),(2,'),(\\'),('),(3,NULL);
INSERT INTO `t` (`id`, `odd VALUES (),('`) VALUES (4,0x29),(5,'`');
/*!40000 ALTER TABLE `t` ENABLE KEYS */;
-- Dumping data for table `loose`
INSERT INTO `loose` VALUES ('z'),('a),(');
/*!40000 ALTER TABLE `loose` ENABLE KEYS */;
-- Dump completed
"""


@pytest.mark.parametrize("pieces", [(10**9,), (1,), (7,), (64,)])
def test_rows_are_counted_where_many_are_in_a_line(pieces):
    assert rows(digests(MYSQL, pieces, ("d.loose",))) == {"d.t": 5, "d.loose": 2}
    found = digests(MYSQL, pieces, ("d.loose",)).summary()
    assert found == digests(MYSQL, loose=("d.loose",)).summary()


@pytest.mark.parametrize(
    "old, new, said",
    [
        (b"(3,NULL)", b"(3,'')", ["d.t: other content"]),
        (b",(3,NULL)", b"", ["d.t: 4 rows, expected 5"]),
        (b"('z'),('a),(')", b"('a),('),('z')", []),
        (b"('z'),('a),(')", b"('z'),('a'),('')", ["d.loose: 3 rows, expected 2"]),
    ],
)
def test_what_is_altered_is_named_where_many_rows_are_in_a_line(old, new, said):
    assert old in MYSQL
    other = digests(MYSQL.replace(old, new), loose=("d.loose",))
    assert differing(digests(MYSQL, loose=("d.loose",)).summary(), other.summary()) == said


def test_a_string_without_an_end_takes_no_longer_to_be_read():
    line = b"INSERT INTO `t` VALUES (1,'" + b"\\'" * 500_000 + b"\n"
    began = time.monotonic()
    assert digests(b"-- Current Database: `d`\n-- Dumping data for table `t`\n" + line)
    assert time.monotonic() - began < 5
