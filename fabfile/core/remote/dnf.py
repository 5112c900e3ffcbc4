"""The packages of this host, as rpm and dnf keep them.

Nothing is installed whose signature dnf would not check.  Python 3.6, standard library alone.
"""

import fnmatch
import os
import re
import time

from . import files
from .processes import Failed, call, expect, said, text

_CONF, _REPOS = "/etc/dnf/dnf.conf", "/etc/yum.repos.d"
_LOCKED = "/etc/dnf/plugins/versionlock.list"
_ON = ("1", "yes", "true", "on")
_FORM = "%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\n"
_LOCK, _PATIENCE = 200, 120
"""dnf's exit code where another one is at work (dnf(8)), and seconds until that is a fault."""
_DOES = {
    "Installing": "install",
    "Installing dependencies": "install",
    "Installing weak dependencies": "install",
    "Upgrading": "upgrade",
    "Reinstalling": "reinstall",
    "Downgrading": "downgrade",
    "Removing": "remove",
    "Removing dependent packages": "remove",
    "Removing unused dependencies": "remove",
}
_REPLACES = r"\s+replacing\s+(\S+)\.[^.\s]+\s+(\S+)$"
_LOSES = ("downgrade", "remove")


def versions(names):
    """{package: version, or None where it is not installed}.

    Raises Failed where rpm does not say of a package that it is not installed: its database may
    be damaged, and that is no absence.
    """
    argv = ["rpm", "-q", "--qf", _FORM, "--"] + list(names)
    _, out, err = expect(argv, range(len(names) + 1))
    found, absent = {}, set()
    for line in out.splitlines():
        name, _, version = line.partition(" ")
        absent.update(re.findall(r"^package (\S+) is not installed$", line))
        if name in names:
            found[name] = version
    unknown = [name for name in names if name not in found and name not in absent]
    if unknown:
        raise Failed("rpm does not say whether %s is installed: %s" % (unknown[0], said(err)))
    return {name: found.get(name) for name in names}


def install(names, source=None):
    """Installs packages, after a dry run that says what else comes, from where.

    source: the file of a repository whose metadata is fetched anew, and whose key is taken for
    that: a dry run takes none.  Raises Failed for a package whose signature would not be checked,
    and where something would be removed or go back.
    """
    options = ["--setopt=install_weak_deps=False", "--setopt=timeout=20", "--setopt=retries=2"]
    if source:
        name = os.path.basename(source)[: -len(".repo")]
        fresh = ["--repo=" + name, "--setopt=%s.metadata_expire=1" % name]
        _worked(["dnf", "-y"] + options + fresh + ["makecache"])
    code, out, err = _waited(["dnf", "--assumeno"] + options + ["install", "--"] + list(names))
    objection = _objection(transaction(out), enabled()) or _fault(code, out, err)
    if objection:
        raise Failed("dnf: %s; nothing was installed" % objection)
    # What dnf.conf says of a repository that says nothing can change until then.
    options.append("--setopt=*.gpgcheck=1")
    _worked(["dnf", "-y"] + options + ["install", "--"] + list(names))


def _worked(argv):
    """Runs dnf.  Raises Failed, with its own words, where it did not do that."""
    code, out, err = _waited(argv)
    if code:
        raise Failed("dnf: %s" % said(_errors(out, err) or out + err))


def _waited(argv):
    """(exit code, output, errors) of dnf, once no other one holds its lock."""
    until = time.monotonic() + _PATIENCE
    while True:
        done = call(argv[:1] + ["--setopt=exit_on_lock=1"] + argv[1:], killable=False)
        if done[0] != _LOCK or time.monotonic() > until:
            return done
        time.sleep(2)


def _errors(out, err):
    """What went wrong, in dnf's words."""
    rows = (out + "\n" + err).splitlines()
    told = re.compile(r"(?i)^\s*(?:error|problem|- )|already locked|filtered out|no match|\bnot\b")
    return " | ".join(row.strip() for row in rows if told.search(row))


def _fault(code, out, err):
    """Why a dry run came to nothing; '' where it came to its end."""
    if not code or (code == 1 and "Operation aborted." in out + err):
        return ""
    return said(_errors(out, err) or out + err)


def transaction(out):
    """What a run of dnf says it would do: [{'does', 'name', 'version', 'repository'}].

    Source: list_transaction() of dnf/cli/output.py (dnf 4): a table below each heading, a package
    a line, which goes on below where it does not fit.
    """
    found, does, row = [], "", []  # type: ignore[var-annotated]
    for line in out.splitlines() + [""]:
        replaced = does and re.match(_REPLACES, line)
        deeper = line.startswith("  ") and row and not replaced
        if row and not deeper:
            if len(row) < 4:
                raise Failed("dnf: expected a package's name, architecture, version, repository")
            fields = dict(zip(("name", "arch", "version", "repository"), row))
            del fields["arch"]
            found.append(dict(fields, does=does))
            row = []
        if replaced:
            name, version = replaced.groups()
            gone = {"does": "remove", "name": name, "version": version, "repository": "@System"}
            found.append(gone)
            continue
        heading = re.match(r"(\S.*):$", line)
        if heading:
            does = _DOES.get(heading.group(1), "")
        elif not line.startswith(" "):
            does = does if line.strip() and not line.startswith("=") else ""
        elif does:
            row = row + line.split()
    return found


def _objection(rows, there):
    """Why a transaction is not carried out; '' where nothing speaks against it."""
    for row in rows:
        if row["does"] in _LOSES:
            return "it would %s %s %s" % (row["does"], row["name"], row["version"])
        own = [one for one in there if one["id"] == row["repository"]]
        if not own or not own[0]["gpgcheck"]:
            about = (row["name"], row["repository"])
            return "%s would come from the repository %s, which has no gpgcheck=1" % about
    return ""


def repositories(names):
    """What dnf would do about packages that are missing, as far as its cache knows, and from where.

    {'enabled': as enabled() has it, 'held': {name: where a lock or exclusion of it is said},
    'would': as transaction() has it; None where nothing can be said before dnf fetches anew}.
    Nothing is fetched.
    """
    missing = [name for name, version in versions(names).items() if version is None]
    would = None
    if missing:
        argv = ["dnf", "-C", "--assumeno", "--setopt=logfilelevel=0", "--setopt=exit_on_lock=1"]
        argv += ["--setopt=install_weak_deps=False", "install", "--"] + missing
        code, out, err = call(argv, timeout=60)
        would = None if _fault(code, out, err) else transaction(out)
    return {"enabled": enabled(), "held": _held(missing), "would": would}


def _sections():
    """(file, section, {option: value}) of dnf.conf and of all files of repositories."""
    import configparser  # noqa: PLC0415 (slow to load, seldom needed)
    import glob  # noqa: PLC0415 (slow to load, seldom needed)

    for path in [_CONF] + sorted(glob.glob(_REPOS + "/*.repo")):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(text(files.read(path) or b""), path)
        except configparser.Error as error:
            raise Failed("%s: %s" % (path, said(str(error).splitlines()[0])))
        for section in parser.sections():
            yield path, section, dict(parser.items(section))


def enabled():
    """The repositories that dnf takes packages from.

    [{'id', 'file', 'gpgcheck': whether packages' signatures are checked}].  No address: it may
    hold a login.
    """
    default, found = {}, []  # type: ignore[var-annotated]
    for path, section, options in _sections():
        if section == "main":
            default = options if path == _CONF else default
            continue
        both = dict(default, **options)
        if options.get("enabled", "1").strip().lower() in _ON:
            checked = both.get("gpgcheck", "0").strip().lower() in _ON
            found.append({"id": section, "file": path, "gpgcheck": checked})
    return found


def _held(names):
    """{package: 'where: what'} of those that a lock or an exclusion speaks of."""
    said_of = [
        (path, pattern)
        for path, _, options in _sections()
        for key in ("exclude", "excludepkgs")
        for pattern in re.split(r"[\s,]+", options.get(key, "").strip())
        if pattern
    ]
    rows = text(files.read(_LOCKED) or b"").splitlines()
    said_of += [(_LOCKED, row.strip()) for row in rows if row.strip() and row.strip()[0] != "#"]
    found = {}
    for path, pattern in said_of:
        bare = re.sub(r"^!?(?:\d+:)?", "", pattern)
        for name in names:
            if fnmatch.fnmatchcase(name, bare) or re.match(re.escape(name) + r"-\d", bare):
                found.setdefault(name, "%s: %s" % (path, pattern))
    return found
