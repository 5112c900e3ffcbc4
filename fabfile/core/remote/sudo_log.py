"""What sudo writes down of what passes through this agent: keys come in and go out that way.

Reads `sudo -l` as sudo's own rules have it: defaults for all, then for a target user, then for
a command, and last the tags of the rule that fits.  What may fit counts where it begins a log;
what ends one counts only where it surely fits.  Does not decide what follows from it.
Python 3.6, standard library alone.
Source: sudoers(5), 'SUDOERS OPTIONS' and 'Tag_Spec'; display_privs of sudo's parse.c.
"""

import os
import re
import sys

from . import processes
from .places import as_bytes, from_bytes

FLAGS = {
    "log_input": "log_input",
    "log_stdin": "log_input",
    "log_output": "log_output",
    "log_stdout": "log_output",
}
"""Options, and which of the two logs they are about; a terminal's own do not count, as there is
none."""
_FLAG = re.compile(r"(!?)\b(log_(?:input|output|stdin|stdout))\b")
_TAG = r"(NO)?LOG_(INPUT|OUTPUT):"
_BOUND = r"Defaults([>!@:])[ \t]*"
_HEADS = (
    ("matching", re.compile(r"^Matching Defaults entries for [^\n]*:[ \t]*$", re.M)),
    ("bound", re.compile(r"^Runas and Command-specific defaults for [^\n]*:[ \t]*$", re.M)),
    ("rules", re.compile(r"^(?:Sudoers entry:|User [^\n]* may run the following[^\n]*:)", re.M)),
)
_seen = {}  # type: ignore[var-annotated]


def seen(environment):
    """{'sudo_keeps': what it writes down, 'sudo_unknown': why that cannot be said, or ''}.

    environment: as sudo gave it.  Without sudo nothing is written down.
    """
    user = environment.get("SUDO_USER")
    if not user:
        return {"sudo_keeps": [], "sudo_unknown": ""}
    if user not in _seen:
        _seen[user] = _asked(user, environment.get("SUDO_COMMAND", ""))
    return _seen[user]


def _asked(user, command):
    argv = ["sudo", "-n", "-l", "-U", user]
    try:
        code, out, err = processes.call(argv, timeout=20)
    except (processes.Failed, OSError) as error:
        return _unknown(str(error))
    if code:
        return _unknown("%s: exit code %d: %s" % (" ".join(argv), code, (err or out)[-300:]))
    return judged(out, (command.split() or [from_bytes(os.fsencode(sys.executable))])[0])


def _unknown(why):
    return {"sudo_keeps": [], "sudo_unknown": " ".join(why.split())}


def judged(text, program):
    """As seen(), from what `sudo -l` says of a user who runs the program as root."""
    parts = _parts(text)
    logs = {"log_input": "", "log_output": ""}
    for sign, name in _FLAG.findall(parts["matching"]):
        logs[FLAGS[name]] = "" if sign else name
    for kind in ">!":
        for entry in _bound(parts["bound"], kind):
            _take_bound(logs, kind, entry, program)
    after = _by_rules(logs, parts["rules"], program)
    if after is None:
        return _unknown("sudo -l: no rule there has %s run as root: %r" % (program, text[-200:]))
    return {
        "sudo_keeps": [after[name] for name in sorted(after) if after[name]],
        "sudo_unknown": "",
    }


def _parts(text):
    """The text by its headings."""
    found = {name: head.search(text) for name, head in _HEADS}
    begins = sorted(match.start() for match in found.values() if match)
    parts = {}
    for name, match in found.items():
        ends = [place for place in begins if match and place > match.start()] + [len(text)]
        parts[name] = text[match.end() : ends[0]] if match else ""
    return parts


def _bound(text, kind):
    pieces = re.split(_BOUND, text) if text else []
    return [body for mark, body in zip(pieces[1::2], pieces[2::2]) if mark == kind]


def _take_bound(logs, kind, entry, program):
    """Takes in one 'Defaults!command ...' or 'Defaults>user ...'."""
    entry = " ".join(entry.split())
    flag = _FLAG.search(entry)
    if not flag:
        return
    names = _words(_before_flags(entry))
    fits = [_fits_user(name) if kind == ">" else _fits(name, program) for name in names]
    for sign, name in _FLAG.findall(entry):
        if not sign and (any(fit is not False for fit in fits) or not fits):
            logs[FLAGS[name]] = name
        elif sign and True in fits and not any(name.startswith("!") for name in names):
            logs[FLAGS[name]] = ""


def _before_flags(entry):
    """Whom an entry is bound to: up to its last member's end, which a space and a flag follow."""
    place, rest = 0, entry
    for found in re.finditer(r"[^,]+(?:,\s*|\Z)", entry):
        words = rest[found.start() : found.end()].strip(", ").split(" ")
        if len(words) > 1 and re.match(r"!?[a-z_]+(?:[-+]?=.*)?\Z", words[1]):
            return entry[:place] + words[0]
        place = found.end()
    return entry[: _FLAG.search(entry).start()]  # type: ignore[union-attr]


def _words(text):
    return [word.strip() for word in text.split(",") if word.strip()]


def _by_rules(logs, text, program):
    """What is kept by the last rule that fits, each of both logs; None where none does."""
    after, fitted = dict(logs), False
    for users, commands in re.findall(r"^[ \t]*\(([^)]*)\)((?:.|\n(?![ \t]*\())*)", text, re.M):
        as_root = _any(map(_fits_user, _words(users.partition(":")[0])))
        tags = {}  # type: ignore[var-annotated]
        for command in re.split(r"(?<!\\),", " ".join(commands.split())):
            rest = command.strip()
            while True:
                said = re.match(r"([A-Z_]+):\s*|[A-Z_]+=\S+\s+", rest)
                if not said:
                    break
                tag = re.match(_TAG, said.group(0))
                if tag:
                    tags["log_" + tag.group(2).lower()] = "" if tag.group(1) else tag.group(0)
                rest = rest[said.end() :]
            fit = _both(as_root, _fits(rest, program))
            if fit is False:
                continue
            fitted = True
            for name, before in list(after.items()):
                mine = tags.get(name, logs[name])
                after[name] = mine if fit else mine or before
    return after if fitted else None


# Whether something fits: True, False, or None where that cannot be said


def _any(fits):
    fits = list(fits)
    return True if True in fits else None if None in fits or not fits else False


def _both(one, other):
    return False if False in (one, other) else True if one and other else None


def _fits_user(name):
    """Whether a word of a list of target users is root."""
    if name in ("root", "ALL", "#0"):
        return True
    return False if re.match(r"[a-z_][a-z0-9_.-]*\$?\Z|#[0-9]+\Z|!", name) else None


def _fits(command, program):
    """Whether a command, as sudoers has it, is the program with whatever arguments."""
    command, _, arguments = command.partition(" ")
    if command == "ALL":
        return True
    if command.startswith("!") or command in ("list", "sudoedit"):
        return False
    if not command.startswith("/") or "\\" in command:
        return None  # an alias, a digest, an expression
    if command.endswith("/"):
        same = os.path.dirname(program) + "/" == command
    else:
        import fnmatch  # noqa: PLC0415 (seldom needed)

        same = fnmatch.fnmatchcase(program, command) and command.count("/") == program.count("/")
        same = same or _is_one(command, program)
    return None if same and arguments else same


def _is_one(command, program):
    """Whether both are one file under one name: /bin may be a link to /usr/bin."""
    if os.path.basename(command) != os.path.basename(program):
        return False
    try:
        return os.path.samefile(as_bytes(command), as_bytes(program))
    except OSError:
        return False
