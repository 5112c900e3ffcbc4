"""Files on a host: written whole or not at all, on real folders."""

import errno
import grp
import hashlib
import os
import pwd
import stat

import pytest

from fabfile.core.remote import files, folders, steps

ME = pwd.getpwuid(os.getuid()).pw_name
OURS = grp.getgrgid(os.getgid()).gr_name
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "a.conf"
    path.write_bytes(b"old")
    path.chmod(0o640)
    return path


def mode_of(path):
    return oct(stat.S_IMODE(path.lstat().st_mode))


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_new_content_keeps_the_mode_and_leaves_no_temporary_file(conf):
    files.write(str(conf), b"new")
    assert (conf.read_bytes(), mode_of(conf)) == (b"new", "0o640")
    assert names(conf.parent) == ["a.conf"]


def test_the_old_file_is_replaced_and_not_written_into(conf):
    with conf.open("rb") as reader:
        files.write(str(conf), b"new and longer")
        assert reader.read() == b"old"


@as_root
def test_a_new_content_keeps_owner_and_group(conf):
    os.chown(conf, 12345, 54321)
    files.write(str(conf), b"new")
    assert (conf.stat().st_uid, conf.stat().st_gid, mode_of(conf)) == (12345, 54321, "0o640")


def test_a_new_content_keeps_extended_attributes(conf):
    try:
        os.setxattr(conf, "user.origin", b"packaged")
    except OSError as error:
        assert error.errno == errno.ENOTSUP
        pytest.skip("this file system has no extended attributes")
    files.write(str(conf), b"new")
    assert conf.read_bytes() == b"new"
    assert os.getxattr(conf, "user.origin") == b"packaged"


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("mode", ["0600", "0644", "0440"])
def test_a_named_mode_counts_whatever_was_there(conf, there, mode):
    if not there:
        conf.unlink()
    files.write(str(conf), b"new", mode, ME, OURS)
    assert conf.read_bytes() == b"new"
    assert files.describe(str(conf))["mode"] == mode


@as_root
def test_a_named_owner_counts(conf):
    files.write(str(conf), b"new", "0600", "nobody", "daemon")
    seen = files.describe(str(conf))
    assert (seen["owner"], seen["group"], seen["mode"]) == ("nobody", "daemon", "0600")


def test_the_mode_is_there_before_the_first_byte(conf, monkeypatch):
    opened, fdopen = [], os.fdopen

    def watched(handle, how):
        opened.append(oct(stat.S_IMODE(os.fstat(handle).st_mode)))
        return fdopen(handle, how)

    conf.chmod(0o666)
    monkeypatch.setattr(files.os, "fdopen", watched)
    files.write(str(conf), b"secret", "0600", ME, OURS)
    assert (conf.read_bytes(), opened) == (b"secret", ["0o600"])


def test_a_missing_file_is_not_made_without_a_mode(tmp_path):
    with pytest.raises(files.Refused, match="there is no such file"):
        files.write(str(tmp_path / "none"), b"new")
    assert names(tmp_path) == []


def test_a_missing_folder_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.write(str(tmp_path / "none" / "a"), b"new", "0644", ME, OURS)
    assert names(tmp_path) == []


def test_an_unknown_owner_leaves_all_as_it_was(conf):
    with pytest.raises(files.Refused, match="no such user or group here.*no-such-user"):
        files.write(str(conf), b"new", "0644", "no-such-user", OURS)
    assert (conf.read_bytes(), names(conf.parent)) == (b"old", ["a.conf"])


@pytest.mark.parametrize("fault", ["fsync", "rename"])
def test_a_fault_on_the_way_leaves_all_as_it_was(conf, monkeypatch, fault):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, fault, full)
    with pytest.raises(OSError, match="No space left"):
        files.write(str(conf), b"new")
    assert (conf.read_bytes(), names(conf.parent)) == (b"old", ["a.conf"])


def test_a_failed_validation_leaves_all_as_it_was(conf):
    argv = ["sh", "-c", 'echo "$1: line 1: bad"; grep -q right "$1"', "sh", "{}"]

    def check(made):
        steps._validate(argv, made)

    with pytest.raises(files.Refused, match="^sh objects: the new file: line 1: bad$"):
        files.write(str(conf), b"wrong", check=check)
    assert (conf.read_bytes(), names(conf.parent)) == (b"old", ["a.conf"])
    files.write(str(conf), b"right", check=check)
    assert conf.read_bytes() == b"right"


def test_a_missing_validator_leaves_all_as_it_was(conf):
    with pytest.raises(steps.Failed, match="no such program here"):
        files.write(
            str(conf), b"new", check=lambda made: steps._validate(["/no/such/program", "{}"], made)
        )
    assert (conf.read_bytes(), names(conf.parent)) == (b"old", ["a.conf"])


def test_what_a_killed_write_left_is_cleared_away(conf):
    (conf.parent / ".stackrbd-abc.new").write_text("half")
    files.write(str(conf), b"new")
    assert names(conf.parent) == ["a.conf"]


@pytest.mark.parametrize("absolute", [True, False])
def test_a_link_is_followed_once_and_stays_a_link(conf, absolute):
    folder = conf.parent / "elsewhere"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to(conf if absolute else "../a.conf")
    assert files.read(str(link)) == b"old"
    files.write(str(link), b"new")
    assert link.is_symlink()
    assert (conf.read_bytes(), mode_of(conf)) == (b"new", "0o640")
    assert (names(folder), names(conf.parent)) == (["link"], ["a.conf", "elsewhere"])


def make_link_to_link(path):
    path.with_name("between").symlink_to(path.with_name("a.conf"))
    path.symlink_to(path.with_name("between"))


KINDS = {
    "a link to a link": make_link_to_link,
    "a loop": lambda path: path.symlink_to(path),
    "a folder": lambda path: path.mkdir(),
    "a link to a folder": lambda path: path.symlink_to(path.parent),
    "a pipe": os.mkfifo,
    "a link to a device": lambda path: path.symlink_to("/dev/null"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_are_neither_read_nor_written(conf, kind):
    path = conf.with_name("odd")
    KINDS[kind](path)
    before = names(conf.parent)
    for work in (files.read, lambda p: files.write(p, b"new", "0644", ME, OURS)):
        with pytest.raises(files.Refused, match="odd: (not a regular file|a link to a link)"):
            work(str(path))
    assert (conf.read_bytes(), names(conf.parent)) == (b"old", before)


def test_a_dangling_link_reads_as_nothing(tmp_path):
    (tmp_path / "link").symlink_to("none")
    assert files.read(str(tmp_path / "link")) is None
    assert files.read(str(tmp_path / "none")) is None


def test_a_file_that_is_too_large_is_refused(conf, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 3)
    assert files.read(str(conf)) == b"old"
    monkeypatch.setattr(files, "LARGEST", 2)
    with pytest.raises(files.Refused, match="larger than 2 bytes"):
        files.read(str(conf))


def test_what_a_path_is(conf):
    os.mkfifo(conf.with_name("pipe"))
    seen = files.describe(str(conf))
    assert (seen["kind"], seen["mode"], seen["owner"], seen["group"]) == ("file", "0640", ME, OURS)
    assert files.describe(str(conf.parent))["kind"] == "directory"
    assert files.describe(str(conf.with_name("pipe")))["kind"] == "other"
    assert files.describe(str(conf.with_name("none"))) is None
    assert files.describe(str(conf / "below")) is None


@as_root
def test_an_owner_without_a_name_is_told_by_number(conf):
    os.chown(conf, 12345, 54321)
    seen = files.describe(str(conf))
    assert (seen["owner"], seen["group"]) == ("12345", "54321")


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_is_made_or_mended(tmp_path, there):
    path = tmp_path / "ceph"
    if there:
        path.mkdir(0o700)
        (path / "kept").touch()
    files.folder(str(path), "0755", ME, OURS)
    assert (path.is_dir(), mode_of(path)) == (True, "0o755")
    assert names(path) == ["kept"] * there


def test_attributes_leave_the_content(conf):
    files.attributes(str(conf), "0600", ME, OURS)
    assert (conf.read_bytes(), mode_of(conf)) == (b"old", "0o600")


def test_old_content_is_kept_for_root_alone(tmp_path):
    store = tmp_path / "runs" / "r1"
    path = files.keep(str(store), b"old")
    assert path == files.keep(str(store), b"old") == str(store / files.sha256(b"old"))
    assert names(store) == [files.sha256(b"old")]
    assert (store / files.sha256(b"old")).read_bytes() == b"old"
    assert (mode_of(store), mode_of(store / files.sha256(b"old"))) == ("0o700", "0o600")


def test_a_file_of_the_kernels_own_is_read():
    # A container's boot_id may be a plain file laid over it; the other one never is.
    for name in ("random/boot_id", "random/uuid"):
        assert len(files.read(f"/proc/sys/kernel/{name}").strip()) == 36


def tree(folder, **entries):
    folder.mkdir()
    for name, text in entries.items():
        (folder / name).mkdir() if text is None else (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("how", [folders.exchange, folders.exchange_contents])
def test_a_folder_changes_places_and_what_was_there_is_kept(tmp_path, how):
    live = tree(tmp_path / "live", a="old", below=None)
    new = tree(tmp_path / "new", a="new", more=None)
    how(str(live), str(new), str(tmp_path / "before"))
    assert {p.name for p in live.iterdir()} == {"a", "more"}
    assert (live / "a").read_text() == "new"
    assert (tmp_path / "before" / "a").read_text() == "old"
    assert {p.name for p in tmp_path.iterdir()} == {"live", "before"}


def test_a_folder_that_cannot_come_leaves_the_other_where_it_is(tmp_path):
    live = tree(tmp_path / "live", a="old")
    with pytest.raises(OSError):
        folders.exchange(str(live), str(tmp_path / "none"), str(tmp_path / "before"))
    assert (live / "a").read_text() == "old"


SIZES = [0, 1, files._SHORT, files._SHORT + 1, 350_000, files._LONG, files._LONG + 1]


@pytest.mark.parametrize("size", SIZES)
def test_a_digest_is_that_of_these_bytes_whatever_was_hashed_before(size):
    contents = [bytes([n]) * size for n in range(6)] + [b"\0" * max(0, size - 1) + b"\1"]
    for data in [*contents, *reversed(contents), bytes(bytearray(contents[0]))]:
        assert files.sha256(data) == hashlib.sha256(data).hexdigest()
    assert len(files._hashed) <= files._FEW
    changing = bytearray(contents[0])
    files.sha256(changing)
    changing[:1] = b"\7"[: len(changing)]
    assert files.sha256(changing) == hashlib.sha256(changing).hexdigest()
    assert files.sha256(contents[0]) == hashlib.sha256(contents[0]).hexdigest()
