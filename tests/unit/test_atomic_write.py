"""Files are written whole or not at all, for whom they are meant."""

import os
import stat

import pytest

from fabfile.core import atomic_write
from fabfile.core.contract import BadInput


def modes(folder):
    return {p.name: oct(stat.S_IMODE(p.stat().st_mode)) for p in folder.iterdir()}


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_mode_is_the_one_asked_for_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        atomic_write.write("--out", {tmp_path / "a": "ä", tmp_path / "b": ""}, 0o600)
        atomic_write.write("--prom", {tmp_path / "c": "c"}, 0o644)
    finally:
        os.umask(before)
    assert modes(tmp_path) == {"a": "0o600", "b": "0o600", "c": "0o644"}
    assert (tmp_path / "a").read_text("utf-8") == "ä"


def test_what_was_there_is_replaced_and_its_mode_is_not_kept(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o666)
    atomic_write.write("--out", {tmp_path / "a": "new"}, 0o600)
    assert (tmp_path / "a").read_text() == "new" and modes(tmp_path) == {"a": "0o600"}


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    atomic_write.write("--out", {tmp_path / "a": "new"}, 0o600)
    assert (tmp_path / "elsewhere").read_text() == "kept"
    assert not (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("broken", ["fsync", "fchmod", "replace"])
def test_a_full_disk_leaves_all_as_it_was(tmp_path, monkeypatch, broken):
    """The second of two files fails: nothing of either is there, and nothing is left over."""
    (tmp_path / "a").write_text("old")
    calls = []

    def full(*args):
        calls.append(args)
        if broken == "replace" or len(calls) > 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"os.{broken}", full)
    with pytest.raises(BadInput, match="--out: .*No space left on device"):
        atomic_write.write("--out", {tmp_path / "a": "new", tmp_path / "b": "new"}, 0o600)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "old"}


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "b").mkdir()
    with pytest.raises(BadInput, match="b: expected a file or nothing, found a folder"):
        atomic_write.write("--out", {tmp_path / "a": "", tmp_path / "b": ""}, 0o600)
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        atomic_write.write("--out", {tmp_path / "a": "new"}, 0o600)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name, words", [("absent", "no such folder; make it"), ("file", "expected a folder, found")]
)
def test_a_folder_that_is_not_fit_is_said(tmp_path, name, words):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=words):
        atomic_write.refuse_unfit("--out", tmp_path / name)
    atomic_write.refuse_unfit("--out", tmp_path)


def test_a_folder_without_the_right_to_write_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, how: False)
    with pytest.raises(BadInput, match="no right to write there"):
        atomic_write.refuse_unfit("--out", tmp_path)
