"""How much a backup may hold of a host, made and restored there: what goes beyond it is named."""

import io
import os
import socket
import tarfile

import pytest

from fabfile.core.remote import backup_create, backup_paths, backup_restore, places
from fabfile.core.remote.backup_create import LARGEST_MANIFEST
from fabfile.core.remote.processes import Failed

MOST = 20
MADE = {
    "files in one folder": lambda top: [(top / f"f{n}").touch() for n in range(MOST + 1)],
    "folders": lambda top: [(top / f"d{n}").mkdir() for n in range(MOST + 1)],
    "a deep tree": lambda top: (top / "/".join("d" * (MOST + 1))).mkdir(parents=True),
    "links": lambda top: [(top / f"l{n}").symlink_to("x") for n in range(MOST + 1)],
    "pipes, which no backup holds": lambda top: [os.mkfifo(top / f"p{n}") for n in range(MOST + 1)],
    "names that are no UTF-8": lambda top: [
        open(os.fsencode(top) + b"/\xff%d" % n, "w").close() for n in range(MOST + 1)
    ],
}


class Here:
    """Whoever asks is there."""

    def gone(self):
        return False


@pytest.fixture
def making(monkeypatch):
    monkeypatch.setattr(backup_create.processes, "first_of", lambda names: names[0])
    monkeypatch.setattr(backup_paths, "MOST", MOST)
    made = backup_create._Making(None, Here(), ["age1"])
    made._put = lambda data: None
    return made


def members(making, folders):
    making._members([str(one) for one in folders], {}, {}, None, {})


@pytest.mark.parametrize("fill", MADE.values(), ids=MADE)
def test_a_folder_of_too_many_names_is_named_whatever_they_are(making, tmp_path, fill):
    other, top = tmp_path / "other", tmp_path / "top"
    for path in (other, top):
        path.mkdir()
    (other / "nova.conf").touch()
    fill(top)
    with pytest.raises(Failed, match=f"at most 20 .* below {top} are at least 20"):
        members(making, [other, top])


def test_a_folder_of_many_more_is_not_listed_whole(making, tmp_path, monkeypatch):
    for number in range(50 * MOST):
        (tmp_path / f"f{number}").touch()
    taken, own = [], places.Place.names

    def names(*args):
        for name in own(*args):
            taken.append(name)
            yield name

    monkeypatch.setattr(places.Place, "names", names)
    with pytest.raises(Failed, match="at most 20"):
        members(making, [tmp_path])
    assert len(taken) == MOST + 1


def test_so_many_as_are_held_are_no_fault(making, tmp_path):
    for number in range(MOST):
        (tmp_path / f"f{number}").touch()
    with socket.socket(socket.AF_UNIX) as odd:
        (tmp_path / "f0").unlink()
        odd.bind(str(tmp_path / "f0"))
        members(making, [tmp_path])
    assert len(making.files) == MOST  # the folder is one, the socket none


@pytest.mark.parametrize("over, refused", [(0, False), (1, True)])
def test_a_manifest_goes_into_one_message(over, refused):
    manifest = {"files": {"/x": []}, "database": {"tables": {"a": []}}, "z": ""}
    manifest["z"] = "z" * (LARGEST_MANIFEST + over - len(backup_create._as_json(manifest)))
    if not refused:
        assert len(backup_create._as_json(manifest)) == LARGEST_MANIFEST
        return
    with pytest.raises(Failed, match="names of 1 files and folders, and of 1 tables"):
        backup_create._as_json(manifest)


# Restored


def a_tar(found):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for name, data in found:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = stream.getvalue().rstrip(b"\0")
    return io.BytesIO(data + bytes(-len(data) % 512 + 1024))


def taking(folder, database=None):
    manifest = {"files": {}, **({"database": database} if database else {})}
    return backup_restore._Taking(None, Here(), str(folder), manifest)


def sql(pieces):
    return [(f"sql/{number + 1:06}", data) for number, data in enumerate(pieces)]


@pytest.mark.parametrize(
    "found, cause",
    [
        ([(f"said/n{n}", b"") for n in range(65)], "more than 64 members of said/"),
        (sql([b""]), "sql/000001 is not the manifest's"),
        (sql([b"--", b""]), "sql/000002 is not the manifest's"),
        (sql([b"-- a", b"-- b", b"x"]), "sql/000003 is not the manifest's"),
        ([("said/x", b""), ("said/x", b"")], "said/x is not expected there"),
        ([*sql([b"--"]), ("said/x", b"")], "said/x is not expected there"),
        ([*sql([b"--"]), *sql([b"--"])], "sql/000001 is not the manifest's"),
    ],
)
def test_members_beyond_what_a_backup_has_are_named(tmp_path, monkeypatch, found, cause):
    monkeypatch.setattr(backup_restore.transfer, "write_all", lambda *_: None)
    taken = taking(tmp_path, {"size": 8, "loose": []})
    taken._digests = backup_restore.Digests([])
    taken._load = type("Load", (), {"process": type("Process", (), {"stdin": None})})
    with pytest.raises(Failed, match=cause):
        taken._members(a_tar(found))


def test_so_many_words_as_a_backup_has_are_taken(tmp_path):
    taking(tmp_path)._members(a_tar([(f"said/n{n}", b"x") for n in range(64)]))
    assert len(list((tmp_path / "said").iterdir())) == 64


def test_a_manifest_of_too_many_files_is_refused_before_anything_is_touched(monkeypatch, tmp_path):
    monkeypatch.setattr(backup_restore.state, "STATE", str(tmp_path / "none"))
    held = dict.fromkeys((f"/etc/{n}" for n in range(backup_paths.MOST + 1)), [])
    with pytest.raises(Failed, match="50001 files and folders, where at most 50000"):
        backup_restore.restore(None, Here(), "r", {}, {"files": held}, ["/etc"], False)
    assert not (tmp_path / "none").exists()
