"""Root works in folders of other users, who put links, pipes and other files there meanwhile.

The table has what may lie there; the race has a user at play (tests/swapper.py) while root
edits, reads, gives attributes, takes away and takes back.
"""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fabfile.core.remote import files, places, processes, reads, state, steps

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root is led astray by others")
pytestmark = as_root
NOBODY = 65534
SWAPPER = Path(__file__).parents[1] / "swapper.py"
TEXT = "[DEFAULT]\na = b\n"
ROOTS = "# root's own\n"


class Ground:
    """A folder of nobody's with a file of options, and things of root's beside it."""

    def __init__(self, folder):
        folder.chmod(0o755)
        self.top, self.etc, self.root = folder, folder / "nova", folder / "root"
        self.conf, self.victim = self.etc / "nova.conf", self.root / "victim"
        self.etc.mkdir(0o750)
        self.root.mkdir(0o755)
        (self.root / "below").mkdir(0o700)
        self.victim.write_text(ROOTS)
        self.victim.chmod(0o600)
        self.conf.write_text(TEXT)
        os.chown(self.conf, NOBODY, NOBODY)
        os.chown(self.etc, NOBODY, NOBODY)
        self.before = self.roots()

    def roots(self):
        """All that root has there, with owner, mode and content."""
        paths = sorted(self.root.rglob("*")) + [self.root]
        return {
            str(path): (
                path.lstat().st_mode,
                path.lstat().st_uid,
                path.lstat().st_gid,
                path.lstat().st_nlink if path.is_file() else 0,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in paths
        }

    def planted(self, what):
        """Something else in the file's place."""
        self.conf.unlink()
        what(self)
        self.before = self.roots()


@pytest.fixture
def ground(monkeypatch):
    # Not pytest's own folder, which another session of pytest closes to others than root.
    folder = Path(tempfile.mkdtemp(prefix="stackrbd-places-", dir="/tmp"))
    monkeypatch.setattr(state, "STATE", str(folder / "state"))
    state.begin("r1", True)
    yield Ground(folder)
    shutil.rmtree(folder)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def carried_out(action):
    for _ in action:
        pass


def link(to):
    return lambda g: g.conf.symlink_to(to(g))


def middle_link(g):
    """The folder itself is nobody's link, in a folder of nobody's."""
    os.chown(g.top, NOBODY, NOBODY)
    g.etc.rmdir()
    g.etc.symlink_to(g.root)
    (g.root / "nova.conf").write_text(TEXT)


def moved_in(g):
    """A folder of root's own that nobody has moved about below its own."""
    os.chown(g.top, NOBODY, NOBODY)
    os.chown(g.etc, 0, 0)
    g.conf.symlink_to(g.victim)


def a_hard_link(g):
    os.link(g.victim, g.conf)


def a_second_name(g):
    g.conf.write_text(TEXT)
    os.chown(g.conf, NOBODY, NOBODY)
    os.link(g.conf, g.etc / "other")


def loop(g):
    g.conf.symlink_to("nova.conf")


PLANTED = {
    "a link to a file of root's": link(lambda g: g.victim),
    "a link by way of '..'": link(lambda g: "../root/victim"),
    "a link to the file of another user's": link(lambda g: "/etc/passwd"),
    "a link to nothing, in root's folder": link(lambda g: g.root / "new"),
    "a link to a folder of root's": link(lambda g: g.root),
    "a link through /proc": link(lambda g: "/proc/self/root/etc/passwd"),
    "a link to a device": link(lambda g: "/dev/zero"),
    "a link made by root there": lambda g: g.conf.symlink_to(g.victim),
    "a link to itself": loop,
    "the folder is a link": middle_link,
    "a folder of root's in a folder of nobody's": moved_in,
    "another name of root's file": a_hard_link,
    "a file with two names": a_second_name,
    "a pipe": lambda g: os.mkfifo(g.conf),
    "a folder": lambda g: g.conf.mkdir(),
}
ARGS = {"mode": "0640", "owner": "nobody", "group": "nogroup"}
WORK = {
    "edit": lambda p, seen: steps.edit("r1", p, [["libvirt", "rbd_user", "v"]], seen),
    "write": lambda p, seen: steps.write("r1", p, ["new\n"], before=seen, **ARGS),
    "attributes": lambda p, seen: steps.attributes("r1", p, **ARGS),
    "remove": lambda p, seen: steps.remove("r1", p, seen),
    "read": lambda p, seen: iter([reads.option_file(p), reads.file(p)]),
    "guard": lambda p, seen: iter([reads.now_of({"path": p})]),
}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("what", PLANTED)
def test_what_lies_in_anothers_folder_leads_root_nowhere(ground, what, work):
    ground.planted(PLANTED[what])
    if what in ("a folder", "a pipe") and work in ("attributes", "guard"):
        return  # nobody's own, and what it is says no more than that
    for seen in (digest(TEXT), digest(ROOTS), None):
        with pytest.raises((files.Refused, processes.Failed, OSError)):
            carried_out(WORK[work](str(ground.conf), seen))
        assert ground.roots() == ground.before
    assert not [name for name in os.listdir(ground.etc) if name.startswith(files.PREFIX)]


def test_a_refusal_names_the_link_where_it_leads_and_the_way_on(ground):
    ground.planted(PLANTED["a link to a file of root's"])
    with pytest.raises(files.Refused) as refused:
        files.read(str(ground.conf))
    for word in (str(ground.conf), str(ground.victim), "not followed", "put the file itself there"):
        assert word in str(refused.value)


@pytest.mark.parametrize("work", ["edit", "write", "attributes", "read"])
def test_a_link_to_a_name_beside_it_counts(ground, work):
    ground.conf.rename(ground.etc / "nova.conf.real")
    ground.conf.symlink_to("nova.conf.real")
    carried_out(WORK[work](str(ground.conf), digest(TEXT)))
    assert ground.conf.is_symlink()
    assert (ground.etc / "nova.conf.real").stat().st_uid == NOBODY


@pytest.mark.parametrize("how", ["the file", "the folder", "the folder above"])
def test_a_link_that_root_put_counts(ground, how):
    etc = ground.root / "etc"
    etc.mkdir()
    if how == "the file":
        (etc / "nova.conf").symlink_to(ground.conf)
    elif how == "the folder":
        (etc / "nova").symlink_to(ground.etc)
    else:
        (ground.root / "links").symlink_to("etc")
        (etc / "nova").symlink_to("../../nova")
    path = {
        "the file": etc / "nova.conf",
        "the folder": etc / "nova" / "nova.conf",
        "the folder above": ground.root / "links" / "nova" / "nova.conf",
    }[how]
    carried_out(WORK["edit"](str(path), digest(TEXT)))
    assert "rbd_user = v" in ground.conf.read_text()
    assert ground.conf.stat().st_uid == NOBODY and not ground.conf.is_symlink()


@pytest.mark.parametrize(
    "folder, mode, follows",
    [(0, 0o755, True), (0, 0o775, False), (0, 0o1777, True), (NOBODY, 0o755, False)],
)
def test_whose_folder_a_link_is_in(ground, folder, mode, follows):
    where = ground.top / "where"
    where.mkdir()
    (where / "link").symlink_to(ground.victim)
    os.chown(where, folder, 0)
    where.chmod(mode)
    if follows:
        assert files.read(str(where / "link")).decode() == ROOTS
        os.lchown(where / "link", NOBODY, NOBODY)
    if mode != 0o755 or not follows:
        with pytest.raises(files.Refused):
            files.read(str(where / "link"))


def test_a_file_of_roots_is_not_given_away_in_anothers_folder(ground):
    os.chown(ground.conf, 0, 0)
    with pytest.raises(files.Refused, match="not given to nobody"):
        files.attributes(str(ground.conf), "0640", "nobody", "nogroup")
    assert ground.conf.stat().st_uid == 0
    files.attributes(str(ground.conf), "0600", "root", "root")  # less than before
    files.write(str(ground.conf), b"whole", "0640", "nobody", "nogroup")
    assert ground.conf.stat().st_uid == NOBODY


def test_a_folder_of_roots_is_not_given_away_in_anothers_folder(ground):
    (ground.etc / "sub").mkdir(0o700)
    with pytest.raises(files.Refused, match="not given to nobody"):
        files.folder(str(ground.etc / "sub"), "0755", "nobody", "nogroup")
    files.folder(str(ground.etc / "new"), "0755", "nobody", "nogroup")
    assert (ground.etc / "new").stat().st_uid == NOBODY


@pytest.mark.parametrize("mode", ["4755", "2755", "6755", "07777", "100644"])
def test_nothing_is_written_that_runs_as_another(ground, mode):
    path = ground.root / "new"
    with pytest.raises(files.Refused, match="would run as another user|no mode"):
        files.write(str(path), b"x", mode, "root", "root")
    assert ground.roots() == ground.before


def test_an_edit_does_not_keep_the_right_to_run_as_its_owner(ground):
    ground.conf.chmod(0o4755)
    files.write(str(ground.conf), b"x")
    assert stat.S_IMODE(ground.conf.stat().st_mode) == 0o755


def swapped(monkeypatch, when, what):
    """Does what() at a moment of a write: 'checked' (before the last look) or 'renamed'."""
    expect, rename = files._expect, os.rename

    def late(there, old, before):
        if when == "checked":
            what()
        expect(there, old, before)
        if when == "renamed":
            what()

    monkeypatch.setattr(files, "_expect", late)
    return rename


def test_a_file_that_is_exchanged_before_the_rename_is_not_replaced(ground, monkeypatch):
    def other():
        ground.conf.unlink()
        ground.conf.write_text("of somebody\n")

    swapped(monkeypatch, "checked", other)
    with pytest.raises(files.Refused, match="other things there at this moment"):
        carried_out(WORK["edit"](str(ground.conf), digest(TEXT)))
    assert ground.conf.read_text() == "of somebody\n"
    assert os.listdir(ground.etc) == ["nova.conf"]


def test_a_file_that_is_written_into_before_the_rename_is_not_replaced(ground, monkeypatch):
    swapped(monkeypatch, "checked", lambda: ground.conf.write_text("[DEFAULT]\na = c\n"))
    with pytest.raises(files.Refused, match="other things there at this moment"):
        carried_out(WORK["edit"](str(ground.conf), digest(TEXT)))
    assert ground.conf.read_text() == "[DEFAULT]\na = c\n"


def test_a_temporary_file_that_is_exchanged_is_noticed(ground, monkeypatch):
    def other():
        (name,) = [n for n in os.listdir(ground.etc) if n.startswith(files.PREFIX)]
        (ground.etc / name).unlink()
        (ground.etc / name).symlink_to(ground.victim)

    swapped(monkeypatch, "renamed", other)
    with pytest.raises(files.Refused, match="other things there at this moment"):
        carried_out(WORK["edit"](str(ground.conf), digest(TEXT)))
    assert ground.roots() == ground.before


def test_a_validator_sees_the_new_file_whatever_its_name_leads_to(ground):
    def other_then_read(made):
        (name,) = [n for n in os.listdir(ground.etc) if n.startswith(files.PREFIX)]
        (ground.etc / name).unlink()
        (ground.etc / name).symlink_to(ground.victim)
        steps._validate(["sh", "-c", 'cat "$0"; exit 1', "{}"], made)

    with pytest.raises(files.Refused, match="objects: the very text$"):
        files.write(str(ground.conf), b"the very text", check=other_then_read)


def test_what_cannot_be_kept_of_a_file_stops_its_write(ground, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    os.setxattr(ground.conf, "user.origin", b"packaged")
    monkeypatch.setattr(files.os, "setxattr", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(str(ground.conf), b"new")
    assert ground.conf.read_text() == TEXT and os.listdir(ground.etc) == ["nova.conf"]


@pytest.mark.parametrize("path", ["nova.conf", "", "a/../b", "/etc/a\0b"])
def test_a_path_is_whole(path):
    with pytest.raises(places.Refused, match="expected an absolute path"):
        places.place(path)


# The race


def one_round(ground, number):
    """What root does in a run: reads, edits, gives attributes, takes away, takes back."""
    path = str(ground.conf)
    done, refused = 0, []
    seen = None
    try:
        seen = reads.option_file(path)
        done += 1
    except (files.Refused, processes.Failed, OSError, ValueError) as error:
        refused.append(str(error))
    value = [["libvirt", "rbd_user", f"v{number}"]]
    known = seen["sha256"] if seen else digest(TEXT)
    old = [{"run": "r1", "kept": state.keep("r1", TEXT.encode())}]
    for action in (
        steps.edit("r1", path, value, known),
        steps.attributes("r1", path, **ARGS),
        steps.write("r1", path, old, before=known, **ARGS),
        steps.write("r1", str(ground.etc / "key"), ["secret\n"], before=None, **ARGS),
        steps.remove("r1", str(ground.etc / "key"), digest("secret\n")),
    ):
        try:
            carried_out(action)
            done += 1
        except (files.Refused, processes.Failed, OSError, ValueError) as error:
            refused.append(str(error))
    return done, refused


@pytest.mark.parametrize("parent", [False, True])
def test_a_user_at_play_gets_nothing_of_roots(ground, parent):
    if parent:
        os.chown(ground.top, NOBODY, NOBODY)
        ground.before = ground.roots()
    argv = [sys.executable, "-S", str(SWAPPER), str(ground.etc), "nova.conf", str(ground.victim)]
    argv += ["60", "--uid", str(NOBODY)] + ["--parent"] * parent
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as swapper:
        assert swapper.stdout.readline() == "ready\n"
        count = [0, 0]
        for number in range(150):
            done, refused = one_round(ground, number)
            count[0] += done
            count[1] += len(refused)
            assert ground.roots() == ground.before, (number, refused)
        swapper.terminate()
    assert count[0] and count[1], count  # neither player had it all
