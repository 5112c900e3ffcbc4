"""What a host can be told to do: each step changes one thing, whole or not at all.

Every step is a generator.  It looks and prepares, yields how it can be taken back,
and only then acts: what it yields is on the disk before anything is changed.

    {'verb', 'args'}   the step that takes it back
    {'guard'}          what to look at, to know whether it is still as it was left
    {'becomes'}        the sha256 of what a file is going to hold

Python 3.6, standard library alone.
"""

import contextlib
import errno
import os
import re
import time

from . import configuration, confinement, files, options, processes, reads, state
from . import packages as packages_of_host
from . import units as units_of_host
from .places import as_bytes
from .processes import Failed, call, expect, hush, hushed, said


def joined(run, parts, old=b""):
    """Content as it comes: plain text, secrets ({'secret': text}), old content, brought files.

    old: the file as it is, of which {'lines': [first, end]} are kept byte by byte.
    """
    return "".join(_part(run, part, old) for part in parts)


def _part(run, part, old):
    if not isinstance(part, dict):
        return part
    if "lines" in part:
        lines = re.findall("[^\n]*\n|[^\n]+", old.decode("utf-8", "surrogateescape"))
        return "".join(lines[part["lines"][0] : part["lines"][1]])
    if "secret" in part:
        return part["secret"]
    if "staged" in part:
        return (files.read(part["staged"]) or b"").decode("utf-8", "surrogateescape")
    return state.kept(part["run"], part["kept"]).decode("utf-8", "surrogateescape")


def guarded(path, before):
    """(the file's bytes, what it is), if they are those that the plan was made from."""
    data, described = files.look(path)
    seen = files.sha256(data) if data is not None else None
    if seen != before:
        raise Failed("%s: changed since the plan was made; run it again to plan anew" % path)
    return data, described


def _owned(seen):
    return {name: seen[name] for name in ("mode", "owner", "group")}


def _back(run, path, data, described, becomes=None):
    """How a file's change is taken back: by its old content, or by taking the file away.

    data, described: the file as guarded() saw it; becomes: what it is going to hold, None where
    it is taken away.
    """
    found = {"guard": {"path": path}}
    new = None
    if becomes is not None:
        new = found["becomes"] = files.sha256(becomes)
    if data is None:
        return dict(found, verb="remove", args={"path": path, "before": new})
    old = {"run": run, "kept": state.keep(run, data)}
    args = dict(_owned(described), path=path, before=new, content=[old])
    return dict(found, verb="write", args=args)


def edit(run, path, edits, before, validate=None, begins=()):
    """Sets options.  validate: the service's namespaces, and sections not theirs.

    begins: Cinder's services that there are by it, kept for who takes it back.
    """
    data, described = guarded(path, before)
    text = data.decode("utf-8", "surrogateescape")
    result = options.edit(text, edits)
    stray = options.stray_changes(text, result, edits)
    if stray:
        raise Failed("%s: the edit would also change %s; nothing was written" % (path, stray))
    new = result.encode("utf-8", "surrogateescape")
    yield dict(_back(run, path, data, described, new), begins=list(begins))
    files.write(
        path,
        new,
        check=validate and (lambda made: _objections(path, made, edits, **validate)),
        before=before,
    )


def _open_as(handle):
    """A path of what is open there, for a program that gets the handle: no name that others see."""
    return "/dev/fd/%d" % handle


def _objections(path, made, edits, namespaces, exclude):
    """Refuses options of ours that the service's own validator does not know."""
    argv = ["oslo-config-validator", "--input-file", _open_as(made)]
    argv += [word for name in namespaces for word in ("--namespace", name)]
    argv += [word for group in exclude for word in ("--exclude-group", group)]
    try:
        code, out, err = call(argv, timeout=120, fds=(made,))
    except Failed:
        return  # not installed here
    said = set(re.findall(r"([^\s:]+) is not part of the sample config", out + err))
    wrong = sorted(said & {"%s/%s" % (section, key) for section, key, _ in edits})
    if code and wrong:
        said = (path, ", ".join(wrong))
        raise files.Refused("%s: oslo-config-validator does not know %s" % said)


def write(run, path, content, mode, owner, group, before, check=None):
    """A whole file.  check: an argument list; '{}' stands for the file not yet in place."""
    data, described = guarded(path, before)
    new = joined(run, content, data or b"").encode("utf-8", "surrogateescape")
    yield _back(run, path, data, described, new)
    checked = check and (lambda made: _validate(check, made))
    files.write(path, new, mode, owner, group, checked, before)
    _label(path, data)


def _validate(check, made):
    """Runs a checking command on a file not yet in place; Refused if it objects."""
    name = _open_as(made)
    argv = [name if word == "{}" else word for word in check]
    code, out, err = call(argv, timeout=60, fds=(made,))
    if code:
        words = said((out + err).replace(name, "the new file"), 500)
        raise files.Refused("%s objects: %s" % (argv[0], words))


def place(run, path, staged, mode, owner, group, before):
    """A whole file, from where it was brought to this host."""
    data, described = guarded(path, before)
    new = files.read(staged)
    if new is None:
        raise Failed("%s: what was brought for %s is gone" % (staged, path))
    yield _back(run, path, data, described, new)
    files.write(path, new, mode, owner, group, before=before)
    _label(path, data)


def _label(path, before):
    """Gives a file that is new the label of its place; another's label is kept with it."""
    if before is None:
        confinement.restore(path)


def exchange(run, path, new, old, unit):
    """A folder in another's place, while the unit that works in it is at rest.

    What was there is kept under a third name.
    """
    from . import folders  # noqa: PLC0415 (sent with this kind of step alone)

    if not os.path.isdir(as_bytes(new)) or os.path.lexists(as_bytes(old)):
        raise Failed("%s: expected a folder, and nothing at %s" % (new, old))
    args = {"path": path, "new": old, "old": new, "unit": unit}
    yield {"verb": "exchange", "args": args, "guard": {"path": old}}
    units_of_host.stop([unit])
    try:
        folders.exchange(path, new, old)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EBUSY):
            raise
        folders.exchange_contents(path, new, old)
    for _ in restart(run, [unit]):
        pass


def remove(run, path, before):
    """Takes a file away."""
    data, described = guarded(path, before)
    yield _back(run, path, data, described)
    files.remove(path, before)


def attributes(run, path, mode, owner, group):
    """Owner and mode; the content stays."""
    seen = files.describe(path)
    if seen is None:
        raise Failed("%s: is not there any more; run it again to plan anew" % path)
    args = dict(_owned(seen), path=path)
    yield {"guard": {"path": path}, "verb": "attributes", "args": args}
    files.attributes(path, mode, owner, group)


def folder(run, path, mode, owner, group):
    """A folder with owner and mode."""
    if files.describe(path):
        yield from attributes(run, path, mode, owner, group)
        return
    yield {"guard": {"path": path}, "verb": "no_folder", "args": {"path": path}}
    files.folder(path, mode, owner, group)
    confinement.restore(path)


def no_folder(run, path):
    """Takes a folder away, if it is empty."""
    yield {}
    files.no_folder(path)


def run(run, argv, stdin=(), ok=(0,), timeout=60, undo=None, then=()):
    """A command.  undo: how it is taken back; an 'old' in its stdin is asked and kept now.

    then: further commands, where it alters something else too that is to be as these say.
    """
    if undo:
        undo = dict(undo, args=dict(undo["args"]))
        parts = undo["args"].get("stdin", ())
        undo["args"]["stdin"] = [_asked(run, part) for part in parts]
    yield undo or {}
    expect(argv, ok, stdin=joined(run, stdin).encode("utf-8"), timeout=timeout)
    for more in then:
        expect(more, ok, timeout=timeout)


def _asked(run, part):
    if not isinstance(part, dict):
        return part
    out = expect(part["old"], quiet=True, timeout=30)[1]
    return {"run": run, "kept": state.keep(run, out.encode("utf-8"))}


def install(run, packages, source=None):
    """Installs packages; where a source list is named, only that one is refreshed."""
    yield {}
    packages_of_host.install(packages, source)


_MOST_RESTARTS = 3
"""So often may systemd start a unit again before it counts as one that does not stand."""


def restart(run, units, settle=4.0):
    """Restarts units together and watches them until each has stood for a while.

    settle: seconds that a unit must stay up with the same process.
    """
    yield {"verb": "restart", "args": {"units": units}}
    most, words = units_of_host.patience(units_of_host.there(units))
    units_of_host.begin_restart(units)
    up = _up(units, most, words)
    _stay(up, time.monotonic() + settle)
    for unit, seen in units_of_host.show(units).items():
        if _fell(seen) or _process(seen) != up[unit]:
            said = (unit, settle, seen["SubState"], seen["Result"], _last_words(unit))
            raise Failed("%s came up and died within %d s (%s, %s)%s" % said)
    for unit in units:
        state.clear_restart(unit)


def restarted(run, units):
    """Notes that restarts which a write here made necessary on other hosts were done there."""
    yield {}
    for unit in units:
        state.clear_restart(unit)


def stop(run, units):
    """Stops units together; they are started again when it is taken back."""
    yield {"verb": "restart", "args": {"units": units}, "guard": {"units": units}}
    units_of_host.stop(units)


def enable(run, units):
    """Has units start with the host."""
    yield {}
    units_of_host.enable(units)


def _up(units, most, words):
    """{unit: the process that it came up with} when nothing is left to be done about any.

    most, words: how many seconds they may take, and by what.
    """
    until = time.monotonic() + most
    pause, up = 0.5, {}  # type: ignore[var-annotated]
    while True:
        time.sleep(pause)
        pause = min(2.0, pause * 1.6)  # a look is a program's start, on every host at once
        seen = units_of_host.show(units)
        for unit in units:
            again = int(seen[unit].get("NRestarts") or 0)
            fell = seen[unit]["ActiveState"] == "failed" or (unit in up and _fell(seen[unit]))
            if fell or again >= _MOST_RESTARTS:
                said = (unit, seen[unit]["Result"], again, _last_words(unit))
                raise Failed("%s did not stay up (%s, started again %d times)%s" % said)
            if not _fell(seen[unit]):
                up.setdefault(unit, _process(seen[unit]))
        late = ["%s (%s)" % (u, seen[u]["SubState"]) for u in units if not _settled(seen[u])]
        if not late:
            return up
        if time.monotonic() > until:
            raise Failed("not up within %d s (%s): %s" % (most, words, ", ".join(late)))


def _stay(up, until):
    """Waits so long, or until one of the processes is gone."""
    places = ["/proc/" + pid for pid, _ in up.values()]
    places = [place for place in places if os.path.exists(place)]
    while time.monotonic() < until and all(map(os.path.exists, places)):
        time.sleep(0.2)


def _process(seen):
    return seen.get("MainPID"), seen.get("NRestarts")


def _fell(seen):
    return seen["ActiveState"] != "active"


def _settled(seen):
    return not _fell(seen) and seen.get("Job", "0") in ("", "0")


def _last_words(unit):
    lines = units_of_host.last_lines(unit)
    lines = [line for line in lines if not configuration.CREDENTIAL.search(line)]
    return "; its last words: " + said(" | ".join(lines), 400) if lines else ""


STEPS = {
    "edit": edit,
    "write": write,
    "place": place,
    "exchange": exchange,
    "remove": remove,
    "attributes": attributes,
    "folder": folder,
    "no_folder": no_folder,
    "run": run,
    "install": install,
    "restart": restart,
    "restarted": restarted,
    "stop": stop,
    "enable": enable,
}


def _hush(step):
    """Sees to it that no secret that the step carries, or brings back, is in any words."""
    parts = [part for name in ("content", "stdin") for part in step["args"].get(name) or ()]
    for part in (part for part in parts if isinstance(part, dict)):
        if part.get("secret"):
            hush(part["secret"])
        if "kept" in part:
            old = processes.text(state.kept(part["run"], part["kept"]))
            hush(old)
            for name, value in re.findall(r"^[ \t]*([^\s=:#;]+)[ \t]*[=:][ \t]*(.*\S)", old, re.M):
                if configuration.hidden(name.lower(), value, ()):
                    hush(value)


def carry_out(work, talk, gone):
    """Does the steps in order, announces each before and after, stops at the first fault.

    gone: a callable that says whether whoever sent the work has left.
    Returns whether all were done.  Raises state.Busy where another run holds this host.
    """
    site, number, name = work["site"], work["number"], work["run"]
    state.raise_fence(site, number)
    lock = state.take_lock(work["who"], work["patience"], gone)
    try:
        state.begin(name, work["prunes"])
        for step in work["steps"]:
            if gone():
                return False
            if state.fenced(site, number):
                raise state.Busy("a newer run than this one")
            talk.say(t="begin", step=step["id"], waits=step["verb"] == "restart")
            try:
                _hush(step)
                _one(name, step)
            except (Failed, files.Refused, OSError, ValueError) as error:
                why = hushed(str(error))
                try:
                    state.note(name, step=step["id"], state="failed", why=why)
                except OSError as full:
                    why += "; %s" % full
                talk.say(t="failed", step=step["id"], why=why)
                return False
            talk.say_soon(t="done", step=step["id"])
        return True
    finally:
        os.close(lock)


def _one(name, step):
    action = STEPS[step["verb"]](name, **step["args"])
    back = next(action)
    guard = back.get("guard")
    was = reads.now_of(guard) if guard else None
    label = {key: step[key] for key in ("thing", "sentence", "sign", "wave")}
    label.update({key: step.get(key, "") for key in ("kind", "subject", "stays")})
    label["verb_was"] = step["verb"]
    state.note(name, step=step["id"], state="begun", was=was, **dict(label, **back))
    new = [unit for unit in step.get("restarts", ()) if unit not in state.pending_restarts()]
    state.mark_restart(new)
    try:
        for _ in action:
            pass
    except Exception:
        left = _left(guard)
        if left == {"is": was}:
            for unit in new:  # nothing was written: no restart is due
                state.clear_restart(unit)
        elif left:
            with contextlib.suppress(OSError):  # the cause counts more
                state.note(name, step=step["id"], state="failed", **left)
        raise
    after = {"is": reads.now_of(guard)} if guard else {}
    state.note(name, step=step["id"], state="done", **after)


def _left(guard):
    """What a step that failed has left, where there is somebody to say it."""
    try:
        return {"is": reads.now_of(guard)} if guard else {}
    except (Failed, files.Refused, OSError):
        return {}
