"""Whose a file is that decides what is run here: it, and every folder and link on its path."""

import os
from pathlib import Path

import pytest

from fabfile.core import own_files
from fabfile.core.contract import BadInput

NOBODY = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")


def made(home, *parts, text="x"):
    path = home.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def refused(path):
    try:
        own_files.read(path, "the file")
    except BadInput as stop:
        return str(stop)
    return ""


def plain(home):
    return made(home, "a", "b")


def others_may_write_the_file(home):
    path = plain(home)
    path.chmod(0o646)
    return path


def its_group_may_write_the_file(home):
    path = plain(home)
    os.chown(path, -1, 4242)
    path.chmod(0o664)
    return path


def a_group_of_others_may_write_its_folder(home):
    path = plain(home)
    os.chown(path.parent, -1, 4242)
    path.parent.chmod(0o775)
    return path


def others_may_write_its_folder(home):
    path = plain(home)
    path.parent.chmod(0o777)
    return path


def others_may_write_a_folder_far_above(home):
    path = made(home, "a", "b", "c", "d")
    (home / "a").chmod(0o757)
    return path


def it_is_anothers(home):
    path = plain(home)
    os.chown(path, NOBODY, NOBODY)
    return path


def its_folder_is_anothers(home):
    path = plain(home)
    os.chown(path.parent, NOBODY, NOBODY)
    return path


def anothers_in_a_sticky_folder(home):
    path = it_is_anothers(home)
    path.parent.chmod(0o1777)
    return path


def a_sticky_folder_of_anothers(home):
    path = plain(home)
    path.parent.chmod(0o1777)
    os.chown(path.parent, NOBODY, NOBODY)
    return path


def a_link_of_anothers(home):
    (home / "l").symlink_to(plain(home))
    os.chown(home / "l", NOBODY, NOBODY, follow_symlinks=False)
    return home / "l"


def a_link_into_a_folder_of_others(home):
    path = others_may_write_its_folder(home)
    (home / "l").symlink_to(path)
    return home / "l"


def a_link_from_a_folder_of_others(home):
    aim = plain(home)
    (home / "open").mkdir()
    (home / "open").chmod(0o777)
    (home / "open" / "l").symlink_to(aim)
    return home / "open" / "l"


def a_folder_that_is_a_link_through_others(home):
    made(home, "open", "real", "f")
    (home / "open").chmod(0o777)
    (home / "l").symlink_to("open/real")
    return home / "l" / "f"


def back_out_of_a_folder_of_others(home):
    plain(home)
    (home / "open").mkdir()
    (home / "open").chmod(0o777)
    return home / "open" / ".." / "a" / "b"


def a_chain_of_links(home):
    path = it_is_anothers(home)
    (home / "l1").symlink_to("a/b")
    (home / "l2").symlink_to(home / "l1")
    assert path.exists()
    return home / "l2"


@AS_ROOT
@pytest.mark.parametrize(
    "state, said",
    [
        (others_may_write_the_file, "others may write it (mode 0646); "),
        (its_group_may_write_the_file, "the group 4242 may write it"),
        (a_group_of_others_may_write_its_folder, "/a: the group 4242 may write it"),
        (others_may_write_its_folder, "/a: others may write it (mode 0777)"),
        (others_may_write_a_folder_far_above, "/a: others may write it"),
        (it_is_anothers, "it belongs to nobody"),
        (its_folder_is_anothers, "/a: it belongs to nobody"),
        (anothers_in_a_sticky_folder, "it belongs to nobody"),
        (a_sticky_folder_of_anothers, "/a: it belongs to nobody"),
        (a_link_of_anothers, "it belongs to nobody"),
        (a_link_into_a_folder_of_others, "/a: others may write it"),
        (a_link_from_a_folder_of_others, "/open: others may write it"),
        (a_folder_that_is_a_link_through_others, "/open: others may write it"),
        (back_out_of_a_folder_of_others, "/open: others may write it"),
        (a_chain_of_links, "it belongs to nobody"),
    ],
)
def test_what_others_may_alter_is_refused(tmp_path, state, said):
    found = refused(state(tmp_path))
    assert said in found and "take a copy in a folder that is yours alone" in found


def roots(home):
    return Path("/etc/passwd")


def readable_by_all(home):
    path = plain(home)
    path.chmod(0o666 & ~0o022)
    return path


def in_a_sticky_folder(home):
    path = plain(home)
    path.parent.chmod(0o1777)
    return path


def by_links_of_ones_own(home):
    plain(home)
    (home / "x").symlink_to("a")
    (home / "y").symlink_to(home / "x")
    return home / "y" / ".." / "a" / "." / "b"


@pytest.mark.parametrize("state", [plain, roots, readable_by_all, in_a_sticky_folder])
def test_what_is_the_operators_or_roots_is_read(tmp_path, state):
    assert not refused(state(tmp_path))


def test_links_of_ones_own_are_followed(tmp_path):
    assert own_files.read(by_links_of_ones_own(tmp_path), "the file") == b"x"


def test_a_relative_path_is_looked_at_from_here(tmp_path, monkeypatch):
    path = others_may_write_its_folder(tmp_path)
    monkeypatch.chdir(path.parent)
    assert "others may write it" in refused(Path("b"))


@AS_ROOT
def test_the_group_that_is_its_users_own_may_write(tmp_path):
    path = plain(tmp_path)
    path.chmod(0o664)  # root:root, of which nobody else is a member
    assert not refused(path)


@AS_ROOT
def test_who_became_root_by_sudo_has_files_of_his_own(tmp_path, monkeypatch):
    path = it_is_anothers(tmp_path)
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    assert not refused(path)
    monkeypatch.setenv("SUDO_UID", "1")
    assert "belongs to nobody" in refused(path)


@AS_ROOT
def test_an_access_list_is_seen(tmp_path):
    path = plain(tmp_path)
    # setfacl -m u:65534:rw, as it lies on the disk: the group's bits are the list's mask
    entries = [(1, 6, -1), (2, 6, NOBODY), (4, 4, -1), (16, 6, -1), (32, 4, -1)]
    listed = b"".join(
        tag.to_bytes(2, "little")
        + rights.to_bytes(2, "little")
        + (who % 2**32).to_bytes(4, "little")
        for tag, rights, who in entries
    )
    try:
        os.setxattr(path, "system.posix_acl_access", (2).to_bytes(4, "little") + listed)
    except OSError:
        pytest.skip("this file system has no access lists")
    assert "access list" in refused(path)


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "loop"])
def test_what_is_no_file_is_said_and_not_waited_for(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/null")
    else:
        path.symlink_to(path)
    with pytest.raises((BadInput, OSError)):
        own_files.read(path, "the file")


def test_it_is_bounded(tmp_path):
    path = plain(tmp_path)
    path.write_bytes(b"x" * 11)
    assert own_files.read(path, "the file", 11)
    with pytest.raises(BadInput, match="expected at most 10 bytes"):
        own_files.read(path, "the file", 10)
