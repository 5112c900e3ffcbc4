"""One input, damaged: cut, flipped, of another type, too deep, too large, of odd letters.

Everything comes of a random.Random: the same seed makes the same input.
"""

import json
import re

EVIL_TEXTS = (
    "",
    " ",
    "\n",
    "\t",
    "\0",
    "a\nb",
    "x\r\ny",
    "x\x1b[2J",
    "x\x9b2Jy",
    "x\u202ey",
    "\u2028",
    "\udc80\udcff",
    "é" * 5,
    "٣",
    "²",
    "-1",
    "0",
    "00",
    "1e999",
    "0x10",
    "9" * 30,
    "9" * 5000,
    "nan",
    "null",
    "None",
    "[]",
    "{}",
    "{0}{x}",
    "%s%n",
    "%(x)s",
    "\\",
    "'",
    '"',
    "$(touch x)",
    "`x`",
    "; rm -rf /",
    "--force",
    "-",
    "/",
    "..",
    "../../etc/passwd",
    "/etc/../etc/shadow",
    "*",
    "[",
    "(",
    "<a>&b;",
    "]]>",
    "=",
    ":",
    ",",
    "#",
    "@",
    "@:/#",
    "client.",
    "[::1]:6789/0",
    "999.999.999.999:99999",
    "x" * 70_000,
    ("a" * 40 + "!") * 50,
    " " * 5000 + "x",
    "\\u0000",
)
EVIL_NUMBERS = (
    *(0, -1, 1, 2, 3, 255, 2**31, -(2**31), 2**53, 2**63, 2**64, 10**39, -(10**39)),
    *(0.0, -0.5, 0.5, 1e-300, 1e300, -1e300, 1e19, float("nan"), float("inf")),
)
_WORD = re.compile(r"[0-9]+|[A-Za-z_]+|[^\sA-Za-z0-9_]")
_BYTES = (
    b"\0",
    b"\xff",
    b"\xc3",
    b"\n",
    b"\r",
    b"\x1b",
    b'"',
    b"{",
    b"[",
    b"\\",
    b" ",
    b"\t",
    b"=",
)


def _deep(rng, value):
    for _ in range(rng.choice((3, 50, 400))):
        value = [value] if rng.random() < 0.5 else {"x": value}
    return value


def evil(rng, like=None):
    """Some odd value; like: mostly of that one's type, so that it is not refused at once."""
    kind = type(like) if rng.random() < 0.7 else rng.choice((str, int, float, bool, list, dict))
    if kind is str:
        return rng.choice(EVIL_TEXTS)
    if kind is bool:
        return rng.random() < 0.5
    if kind in (int, float):
        found = rng.choice(EVIL_NUMBERS)
        return int(found) if kind is int and abs(found) < 1e300 else found
    if kind is list:
        return rng.choice(([], [None], [[]], [{}], ["x"] * 3, list(range(40)), [0, "", None]))
    if kind is dict:
        return rng.choice(({}, {"": ""}, {"x": None}, {"\x1b[2J": 1}, {"x\ny": {}}, {"*": []}))
    return None


def value(rng, found):
    """JSON (what json.loads gives) with one place altered."""
    if isinstance(found, (dict, list)) and found and rng.random() < 0.93:
        return _container(rng, found)
    roll = rng.random()
    if isinstance(found, str) and roll < 0.6:
        return document_or_text(rng, found)
    if roll < 0.02:
        return _deep(rng, found)
    return evil(rng, found)


def _container(rng, found):
    made = dict(found) if isinstance(found, dict) else list(found)
    key = rng.choice(list(made) if isinstance(made, dict) else range(len(made)))
    roll = rng.random()
    if roll < 0.75:
        made[key] = value(rng, made[key])
    elif roll < 0.87:
        del made[key]
    elif roll < 0.9:
        made[key] = evil(rng, made[key])
    elif isinstance(made, dict):
        other = rng.choice((*EVIL_TEXTS, text(rng, key), text(rng, key)))
        made[other] = made.pop(key) if rng.random() < 0.5 else made[key]
    elif roll < 0.95:
        made.insert(rng.randrange(len(made) + 1), made[rng.randrange(len(made))])
    else:
        made.insert(key, evil(rng, made[key]))
    return made


def document_or_text(rng, found):
    """A text that may be JSON itself, as programs print it."""
    if found[:1] in ("{", "[") and rng.random() < 0.8:
        try:
            return json.dumps(value(rng, json.loads(found)))
        except (ValueError, RecursionError):
            pass
    return text(rng, found)


def text(rng, found):
    """A text with one place altered: a cut, a word, a line."""
    roll = rng.random()
    if not found or roll < 0.05:
        return rng.choice(EVIL_TEXTS)
    if roll < 0.15:
        return found[: rng.randrange(len(found))]
    if roll < 0.3:
        lines = found.split("\n")
        at = rng.randrange(len(lines))
        lines[at : at + 1] = rng.choice(
            ([], [lines[at]] * 2, [rng.choice(lines)], [rng.choice(EVIL_TEXTS)])
        )
        return "\n".join(lines)
    if roll < 0.75:
        words = list(_WORD.finditer(found))
        if words:
            word = rng.choice(words)
            new = rng.choice((*EVIL_TEXTS, rng.choice(words).group(), ""))
            return found[: word.start()] + new + found[word.end() :]
    at = rng.randrange(len(found) + 1)
    if roll < 0.9:
        return found[:at] + rng.choice(EVIL_TEXTS) + found[at:]
    return found[:at] + found[at + rng.choice((1, 2, 10)) :]


def data(rng, found):
    """Bytes with one place altered."""
    roll = rng.random()
    made = bytearray(found)
    at = rng.randrange(len(made) + 1)
    if not made or roll < 0.1:
        return bytes(made[:at])
    if roll < 0.3:
        made[at % len(made)] ^= 1 << rng.randrange(8)
    elif roll < 0.45:
        made[at:at] = rng.choice(_BYTES) * rng.choice((1, 1, 3, 5000))
    elif roll < 0.55:
        del made[at : at + rng.choice((1, 4, 40))]
    elif roll < 0.65:
        end = at + rng.choice((1, 10, 100))
        made[at:at] = made[at:end]
    else:
        lossless = made.decode("utf-8", "surrogateescape")
        return text(rng, lossless).encode("utf-8", "surrogatepass")
    return bytes(made)


def times(rng):
    """How many places of one input are altered."""
    return rng.choice((1, 1, 1, 2, 3, 6))
