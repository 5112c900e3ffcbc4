"""Which files of options a service reads, and in which order: as oslo.config finds them.

Knows oslo.config's search and nothing of any option: what the project is called, and what a
WSGI server's application reads, comes with the question.  Python 3.6, standard library alone.
Source: find_config_files and ConfigOpts._parse_config_files of oslo_config/cfg.py.
"""

import os
import re

from . import files, options, processes, units
from .places import as_bytes, as_text, from_bytes

CREDENTIAL = re.compile(
    r"password|passwd|key|secret|token|connection|transport_url|credential", re.I
)
URL_LOGIN = re.compile(r"://[^/\s@]*:[^/\s@]*@")
_VARIABLE = r"OS_(.+)__(.+)\Z"
_WSGI = r"(?i)uwsgi|wsgi|apache2|httpd|gunicorn"
_GIVEN_KEY = r"--[\w-]*(?:password|passwd|secret|token|key(?!ring|file))[=\s]+(\S+)"
_MOST_FILES, _MOST_NAMED = 256, 32


def hidden(name, value, plain):
    """Whether an option's value carries a credential."""
    if name in plain:
        return False
    return bool(CREDENTIAL.search(name) or URL_LOGIN.search(value))


def lines_of(path, data, plain=()):
    """The active lines of a file's bytes, credentials as fingerprints.  Raises Failed."""
    try:
        lines = options.active(data.decode("utf-8", "surrogateescape"))
    except options.ParseError as error:
        raise processes.Failed("%s: %s" % (path, error))
    return [[s, k, processes.fingerprint(v) if hidden(k, v, plain) else v] for s, k, v in lines]


def sources(unit, project, main, plain=(), variables=(), wsgi=None):
    """All that a service reads of its options, in the order in which the last one counts.

    {'main': the service's own file, 'running': whether a process was looked at, 'files':
    [[path, active lines]], 'environment': {name: value}}.  The main file's lines are left
    out: they are asked for with its digest.  variables: names of the environment beside
    oslo.config's own OS_*__*.  wsgi: {'names': files, 'folder': a variable} where a WSGI
    server's application names its files itself: then it is given no arguments.
    """
    process = units.process(unit)
    found = []
    order = _order(process, project, main, wsgi)
    if len(order) > _MOST_FILES:
        raise processes.Failed("%s reads more than %d files of options" % (unit, _MOST_FILES))
    for path in order:
        own = path == main or _is_one(path, main)
        data = None if own else files.read(path)
        if own or data is not None:
            told = as_text(as_bytes(path))
            found.append([main, []] if own else [told, lines_of(told, data, plain)])
    return {
        "main": main,
        "running": process["running"],
        "files": found,
        "environment": _told(process["environment"], plain, variables),
    }


def named_files(path, match, between, words, mask, also=(), variable=None):
    """{path: what it is, a file with its text, masked; or None} of the files that a file names.

    match: what finds the lists of files in its text, each its first group; between: what stands
    between two files; words: {'$name': what it stands for}.  also: lists that count without
    being named; variable: (unit, name) of one more list, in the unit's environment.
    """
    text = re.sub(r"\\\n", " ", from_bytes(files.read(path) or b""))
    lists = re.findall(match, text, re.M) + list(also)
    if variable:
        lists.append(units.process(variable[0])["environment"].get(variable[1], ""))
    found = {}
    for name in re.split(between, " ".join(lists)):
        for word, meaning in words.items():
            name = name.replace(word, meaning).replace("${%s}" % word[1:], meaning)
        name = name.strip("\"'")
        if name.startswith("/") and len(found) < _MOST_NAMED:
            found[as_text(as_bytes(name))] = _with_text(name, mask)
    return found


def _with_text(path, mask):
    seen = files.describe(path)
    if seen and seen["kind"] == "file":
        data = files.read(path) or b""
        seen["sha256"] = files.sha256(data)
        seen["text"] = processes.masked(processes.text(data), mask)
    return seen


def _is_one(path, main):
    """Whether both are one file: /etc/cinder may be a link."""
    try:
        return os.path.samefile(as_bytes(path), as_bytes(main))
    except OSError:
        return False


def _told(environment, plain, variables):
    """The variables that count, without the credentials in them."""
    found = {}
    for name, value in environment.items():
        name, value = as_text(as_bytes(name)), as_text(as_bytes(value))
        match = re.match(_VARIABLE, name)
        if match:
            secret = hidden(match.group(2).lower(), value, plain)
            found[name] = processes.fingerprint(value) if secret else value
        elif name in variables:
            found[name] = processes.masked(value, [_GIVEN_KEY])
    return found


def _order(process, project, main, wsgi):
    """Every file, the first one first.

    Files by default come before folders by default, and both before the arguments: with
    --config-file and without --config-dir, PROJECT.conf.d is read first and counts least.
    """
    if "copies" in process:
        return _copied(process, main)
    words, own = list(process["words"]), False
    program = _program(words)
    if words and re.search(_WSGI, program):
        own = bool(wsgi)
        words = [program] if own else [program] + _handed_over(words)
    elif project not in program:
        # Something that begins it, such as a shell: the service itself is not seen here.
        program = os.path.basename(main)[: -len(".conf")]
    order = []
    if own:
        folder = process["environment"].get(wsgi["folder"]) or os.path.dirname(main)
        order += [os.path.join(folder.strip(), name) for name in wsgi["names"]]
    elif not any(_is(word, "--config-file") for word in words):
        places = _places(process, project)
        order += _first(places, project + ".conf")
        order += _first(places, program + ".conf") if program else []
    if not any(_is(word, "--config-dir") for word in words):
        order += _folders(process, project, program)
    return order + _named(words, process)


def _copied(process, main):
    """Of a container: what its command names, or its own file, as the host has them."""
    copies = process["copies"]
    folders = [
        copies[dest] for dest in sorted(copies) if re.search(r"\.conf\.d/[^/]+\.conf$", dest)
    ]
    named = [copies.get(path, path) for path in _named(process["words"], process)]
    own = [main] if main in copies.values() else []
    return folders + (named or own)


def _is(word, option):
    return word == option or word.startswith(option + "=")


def _program(words):
    """What sys.argv[0] is called, without its .py."""
    names = [word for word in words if word and not word.startswith("-")]
    if len(names) > 1 and re.match(r"(python|pypy)[\d.]*\Z", os.path.basename(names[0])):
        names = names[1:]
    name = os.path.basename(names[0]) if names else ""
    return name[:-3] if name.endswith(".py") else name


def _handed_over(words):
    """The arguments that uwsgi gives its program, by its own ones or by a file."""
    found = [_split(value) for value in _values(words, "--pyargv")]
    for path in _values(words, "--ini"):
        text = processes.text(files.read(path) or b"")
        found += [_split(value) for value in re.findall(r"^\s*pyargv\s*=(.*)$", text, re.M)]
    return [word for some in found for word in some]


def _split(text):
    return re.findall(r"\S+", text)


def _values(words, option):
    for word, following in zip(words, words[1:] + [""]):
        if word == option:
            yield following
        elif word.startswith(option + "="):
            yield word[len(option) + 1 :]


def _places(process, project):
    """The folders in which oslo.config looks, the first one that has it counting."""
    home, snap = process["home"], process["environment"]
    places = [os.path.join(home, "." + project), home] if home else []
    places += [os.path.join("/etc", project), "/etc"]
    below = [snap.get(name) for name in ("SNAP_COMMON", "SNAP")]
    return places + [os.path.join(path, "etc", project) for path in below if path]


def _first(places, name):
    found = [os.path.join(place, name) for place in places]
    return [path for path in found if os.path.exists(as_bytes(path))][:1]


def _folders(process, project, program):
    places = _places(process, project)
    found = _first(places, project + ".conf.d")
    if program and program != project:
        found += _first(places, program + ".conf.d")
    return [path for folder in found for path in _of_folder(folder)]


def _of_folder(folder):
    """The files of a folder that count, in their order, as glob's *.conf finds them.

    Raises Failed where they are too many: whose folder it is may fill it.
    """
    found = []
    try:
        with os.scandir(as_bytes(folder)) as entries:
            for entry in entries:
                if entry.name.endswith(b".conf") and not entry.name.startswith(b"."):
                    found.append(os.path.join(folder, from_bytes(entry.name)))
                if len(found) > _MOST_FILES:
                    break
    except OSError:
        return []
    if len(found) > _MOST_FILES:
        raise processes.Failed("%s: more than %d files of options" % (folder, _MOST_FILES))
    return sorted(found)


def _named(words, process):
    """What the arguments name.  argparse takes a beginning of an option's name for the whole."""
    found = []
    for word, following in zip(words, words[1:] + [""]):
        name, equals, value = word.partition("=")
        value = _whole(value if equals else following, process)
        if len(name) >= len("--config-f") and "--config-file".startswith(name):
            found.append(value)
        elif len(name) >= len("--config-d") and "--config-dir".startswith(name):
            found += _of_folder(value)
    return found


def _whole(path, process):
    if path == "~" or path.startswith("~/"):
        path = process["home"] + path[1:]
    return os.path.normpath(os.path.join(process["folder"], path))
