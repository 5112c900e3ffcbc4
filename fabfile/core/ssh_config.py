"""Reads ssh_config(5) as OpenSSH's client does, for many hosts at once; connects to nothing.

Paramiko's own reader leaves Include out without a word, and so reaches another machine, port or
user than ssh would.  `ssh -G` tells it all, at the price of a process a host, and only where ssh
is; so this is compared with it in tests.  Known here: Host, Match, Include, the first value that
wins, tokens and variables.  What cannot be followed (CanonicalizeHostname, unknown conditions of
Match) is refused in words.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
import pwd
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fabfile.core import own_files
from fabfile.core.contract import BadInput

Found = dict[str, str | list[str]]
"""{keyword in small letters: value}; of IdentityFile, known_hosts files and the like a list."""
_MOST_DEPTH = 16
_SUMMED = {"identityfile", "certificatefile"}
_LISTS = {*_SUMMED, "userknownhostsfile", "globalknownhostsfile"}
_COMMANDS = {"proxycommand", "knownhostscommand", "localcommand", "remotecommand"}
"""Keywords whose value is the rest of the line, as it is."""
_RUN_HERE = ("proxycommand", "knownhostscommand", "localcommand")
_KEYWORD = re.compile(r'"?([^\s="]+)"?[ \t]*=?[ \t]*(.*)', re.DOTALL)
_CONDITION = re.compile(r'[ \t]*=?[ \t]*(?:"([^"]*)"|([^\s="]+))')
_UNUSUAL = re.compile(r"[*?!]")
_WITH_VALUE = {"exec", "host", "originalhost", "user", "localuser", "tagged"}


@dataclass(frozen=True)
class _Line:
    where: str
    keyword: str
    words: tuple[str, ...] = ()
    rest: str = ""
    files: tuple[_File, ...] = ()


@dataclass
class _Section:
    """What stands between two of Host and Match; head is None before the first."""

    head: _Line | None
    lines: list[_Line] = field(default_factory=list)


@dataclass
class _File:
    sections: list[_Section] = field(default_factory=list)

    @cached_property
    def _named(self) -> dict[str, list[int]]:
        """{name: sections whose Host names it in full}: a fleet's file has thousands."""
        found: dict[str, list[int]] = {}
        for number, section in enumerate(self.sections):
            if self._is_plain(section):
                for name in set(section.head.words if section.head else ()):
                    found.setdefault(name, []).append(number)
        return found

    @cached_property
    def _others(self) -> list[int]:
        return [n for n, section in enumerate(self.sections) if not self._is_plain(section)]

    @staticmethod
    def _is_plain(section: _Section) -> bool:
        head = section.head
        return bool(head and head.keyword == "host" and not _UNUSUAL.search("".join(head.words)))

    def sections_for(self, host: str) -> Iterator[_Section]:
        """Those that may be about a host, in their order."""
        for number in sorted([*self._named.get(host, ()), *self._others]):
            yield self.sections[number]

    @cached_property
    def wants_final(self) -> bool:
        """Whether there is a second pass: ssh goes by every Match, also by one that cannot hold."""
        return any(
            attribute == "final"
            for line in self.all_lines()
            if line.keyword == "match"
            for attribute, _, _ in _conditions(line)
        )

    def all_lines(self) -> Iterator[_Line]:
        """Every line, also those of included files."""
        for section in self.sections:
            for line in [*filter(None, [section.head]), *section.lines]:
                yield line
                for file in line.files:
                    yield from file.all_lines()


class Configuration:
    """The parsed files.  Raises BadInput for what ssh would refuse too, with file and line.

    chosen: the one file in place of the user's and the system's.
    run: carries out a command of Match exec, and says whether it ended well.
    """

    def __init__(self, chosen: Path | None, run: Callable[[str], bool]) -> None:
        self._run = run
        self._home = os.path.expanduser("~")
        user, system = Path(self._home, ".ssh"), Path("/etc/ssh")
        sources = [(user / "config", user), (system / "ssh_config", system)]
        self._files = [
            found
            for path, folder in ([(chosen, user)] if chosen else sources)
            if (found := self._read(path, folder, 0)) is not None
        ]
        self._looked_up: dict[str, Found] = {}

    def commands(self) -> list[tuple[str, str]]:
        """[(keyword, command)]: all that the files may make run on this machine, each once."""
        found: dict[tuple[str, str], None] = {}
        for line in (line for file in self._files for line in file.all_lines()):
            if line.keyword in _RUN_HERE and line.rest.lower() != "none":
                found[line.keyword, line.rest] = None
            for attribute, value, _ in _conditions(line) if line.keyword == "match" else ():
                if attribute == "exec":
                    found["match exec", value] = None
        return list(found)

    def lookup(self, host: str) -> Found:
        """What holds for a host; 'hostname' always does."""
        if host not in self._looked_up:
            self._looked_up[host] = _Lookup(self._files, host, self._home, self._run).all()
        return self._looked_up[host]

    # Reading

    def _read(self, path: Path, folder: Path, depth: int) -> _File | None:
        try:
            text = own_files.read(path, "an SSH configuration").decode("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}: expected an SSH configuration") from None
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{path}: expected an SSH configuration in UTF-8; byte {error.start} is none"
            ) from None
        found = _File([_Section(None)])
        for number, text_of_line in enumerate(text.split("\n"), 1):
            line = self._parsed(text_of_line, f"{path}: line {number}", folder, depth)
            if line and line.keyword in {"host", "match"}:
                found.sections.append(_Section(line))
            elif line:
                found.sections[-1].lines.append(line)
        return found

    def _parsed(self, text: str, where: str, folder: Path, depth: int) -> _Line | None:
        text = text.strip(" \t\r\n\f")
        if not text or text.startswith("#"):
            return None
        matched = _KEYWORD.fullmatch(text)
        if not matched or not matched[2]:
            path, _, place = where.rpartition(": ")
            raise BadInput(
                f"{path}: expected an SSH configuration, found {text[:80]!r} in {place}: no "
                "KEYWORD VALUE"
            )
        keyword, rest = matched[1].lower(), matched[2]
        if "\0" in text:
            raise BadInput(f"{where}: expected text, found a zero byte")
        if keyword in _COMMANDS or keyword == "match":
            line = _Line(where, keyword, rest=rest)
            list(_conditions(line) if keyword == "match" else ())
            return line
        words = tuple(_words(rest, where))
        files: tuple[_File, ...] = ()
        if keyword == "include":
            files = tuple(self._included(words, where, folder, depth))
        return _Line(where, keyword, words, files=files)

    def _included(
        self, words: Sequence[str], where: str, folder: Path, depth: int
    ) -> Iterator[_File]:
        if depth >= _MOST_DEPTH:
            raise BadInput(f"{where}: Include: more than {_MOST_DEPTH} files in each other")
        for word in words:
            pattern = os.path.join(folder, os.path.expanduser(word))
            for path in sorted(glob.glob(pattern), key=os.fsencode):
                found = self._read(Path(path), folder, depth + 1)
                if found is not None:
                    yield found


class _Lookup:
    """One host's way through the files."""

    def __init__(
        self, files: Sequence[_File], host: str, home: str, run: Callable[[str], bool]
    ) -> None:
        self._files, self._given, self._home, self._run = files, host, home, run
        self._host = host
        self._found: Found = {}
        self._final = False

    def all(self) -> Found:
        """Both passes, and what is in place of tokens."""
        self._pass()
        self._refuse_canonical()
        self._host = self._expanded(str(self._found.get("hostname", "%h")), h=self._host).lower()
        self._found["hostname"] = self._host
        if any(file.wants_final for file in self._files):
            self._final = True
            self._pass()
            self._refuse_canonical()
        return self._in_full()

    def _pass(self) -> None:
        for file in self._files:
            self._through(file)

    def _through(self, file: _File) -> None:
        for section in file.sections_for(self._host):
            if section.head is None or self._holds(section.head):
                for line in section.lines:
                    self._take(line)

    def _take(self, line: _Line) -> None:
        for file in line.files:
            self._through(file)
        name = line.keyword
        value = line.rest or (list(line.words) if name in _LISTS else line.words[0])
        if name in _SUMMED:
            held = self._found.setdefault(name, [])
            if isinstance(held, list) and line.words[0] not in held:
                held.append(line.words[0])
        elif name in {"proxyjump", "proxycommand"}:
            # Whichever comes first keeps the other from counting.
            if not {"proxyjump", "proxycommand"} & set(self._found):
                self._found[name] = value
        elif name != "include":
            self._found.setdefault(name, value)

    # Conditions

    def _holds(self, head: _Line) -> bool:
        if head.keyword == "host":
            return _host_fits(self._host, head.words)
        # In this order, so that nothing is run for a host that another condition leaves out.
        return all(
            self._is(attribute, value) != negated for attribute, value, negated in _conditions(head)
        )

    def _is(self, attribute: str, value: str) -> bool:
        if attribute in {"all", "canonical", "final"}:
            # Nothing is made canonical here; to ssh, the last pass counts as such too.
            return attribute == "all" or self._final
        if attribute == "exec":
            return self._run(self._tokens(value))
        told = {
            "host": self._expanded(str(self._found.get("hostname", "%h")), h=self._host).lower(),
            "originalhost": self._given,
            "user": str(self._found.get("user", "")) or _local_user(),
            "localuser": _local_user(),
            "tagged": str(self._found.get("tag", "")),
        }[attribute]
        return _list_fits(told, value, attribute in {"host", "originalhost"})

    def _refuse_canonical(self) -> None:
        said = str(self._found.get("canonicalizehostname", "no")).lower()
        if said not in {"no", "false", "none"}:
            raise BadInput(
                f"{self._given}: its SSH configuration: CanonicalizeHostname {said}: names are not "
                "completed here: give the host's address in the site file, or write HostName and "
                "`CanonicalizeHostname no` for it"
            )

    # Tokens

    def _in_full(self) -> Found:
        found = self._found
        for name in ("proxyjump", "proxycommand"):
            if name in found and str(found[name]).lower() != "none":
                found[name] = self._tokens(str(found[name]))
        for name in _LISTS - {"globalknownhostsfile"}:
            if name in found:
                found[name] = [self._path(word) for word in found[name]]
        if "identityagent" in found and not str(found["identityagent"]).startswith("$"):
            found["identityagent"] = self._path(str(found["identityagent"]))
        return found

    def _path(self, word: str) -> str:
        """A file's name, with ~, tokens and ${variables}."""
        if word.lower() == "none":
            return "none"

        def variable(named: re.Match[str]) -> str:
            if named[1] not in os.environ:
                raise BadInput(
                    f"{self._given}: its SSH configuration: {word}: there is no variable {named[1]}"
                )
            return os.environ[named[1]]

        return os.path.expanduser(self._tokens(re.sub(r"\$\{([^}]*)\}", variable, word)))

    def _tokens(self, text: str) -> str:
        host = str(self._found.get("hostname", self._host))
        port = str(self._found.get("port", "22"))
        here, jump = socket.gethostname(), str(self._found.get("proxyjump", ""))
        # Who one is here need not be known where nothing asks for it.
        me = _local_user() if re.search(r"%[urC]", text) else ""
        user = str(self._found.get("user", me))
        return self._expanded(
            text,
            h=host,
            n=self._given,
            p=port,
            r=user,
            u=me,
            d=self._home,
            i=str(os.getuid()),
            k=str(self._found.get("hostkeyalias", self._given)),
            L=here.split(".", 1)[0],
            l=here,
            j=jump,
            C=hashlib.sha1(f"{here}{host}{port}{user}{jump}".encode()).hexdigest(),  # noqa: S324
        )

    def _expanded(self, text: str, **known: str) -> str:
        def value(named: re.Match[str]) -> str:
            if named[1] == "%":
                return "%"
            if named[1] not in known:
                raise BadInput(
                    f"{self._given}: its SSH configuration: {text}: %{named[1]} is not known there"
                )
            return known[named[1]]

        return re.sub(r"%(.?)", value, text)


def _local_user() -> str:
    """Who one is on this machine.  Raises BadInput where nobody knows."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        found = os.environ.get("LOGNAME") or os.environ.get("USER")
    if not found:
        raise nameless()
    return found


def nameless() -> BadInput:
    """That nobody knows as whom to log in."""
    return BadInput(
        f"user {os.getuid()} has no name on this machine: write `User` into the SSH configuration, "
        "or `user` for the hosts into the site file"
    )


def _conditions(line: _Line) -> Iterator[tuple[str, str, bool]]:
    """(attribute, value, negated) of a Match.  Raises BadInput for what is not known here."""
    words: list[str] = []
    at = 0
    text = line.rest.rstrip()
    while at < len(text):
        matched = _CONDITION.match(text, at)
        if not matched:
            raise BadInput(f"{line.where}: Match: expected conditions, found {text[at:][:80]!r}")
        words.append(matched[1] if matched[1] is not None else matched[2])
        if matched[2] and matched[2].startswith("#"):
            words.pop()
            break
        at = matched.end()
    while words:
        word = words.pop(0)
        attribute, negated = word.lower().removeprefix("!"), word.startswith("!")
        if attribute in {"all", "canonical", "final"}:
            yield attribute, "", negated
        elif attribute in _WITH_VALUE and words:
            yield attribute, words.pop(0), negated
        else:
            raise BadInput(
                f"{line.where}: Match: {word!r} is not known here, or has no value: expected all, "
                f"canonical, final, {', '.join(sorted(_WITH_VALUE))}"
            )


def _host_fits(host: str, patterns: Sequence[str]) -> bool:
    """Whether a Host line is about a host: one '!' that fits says no."""
    fitting = [p for p in patterns if _fits(host, p.removeprefix("!"))]
    return bool(fitting) and not any(p.startswith("!") for p in fitting)


def _list_fits(told: str, patterns: str, small: bool) -> bool:
    """As _host_fits, of a list with commas."""
    if small:
        told, patterns = told.lower(), patterns.lower()
    return _host_fits(told, patterns.split(","))


def _fits(text: str, pattern: str) -> bool:
    """Only '*' and '?' stand for something."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _words(text: str, where: str) -> Iterator[str]:
    """A line's words, as OpenSSH splits them: quotes, backslashes, a comment at the end."""
    word: list[str] | None = None
    quote, at = "", 0
    while at < len(text):
        letter, after = text[at], text[at + 1 : at + 2]
        if word is None and letter in " \t":
            at += 1
            continue
        if word is None and letter == "#":
            break
        word = [] if word is None else word
        if letter == "\\" and (after in ("'", '"', "\\") or (after == " " and not quote)) and after:
            word.append(after)
            at += 1
        elif not quote and letter in " \t":
            yield "".join(word)
            word = None
        elif letter == quote:
            quote = ""
        elif not quote and letter in "\"'":
            quote = letter
        else:
            word.append(letter)
        at += 1
    if quote:
        raise BadInput(f"{where}: a {quote} is opened and not closed")
    if word is not None:
        yield "".join(word)
