"""Which processes a host's control groups hold, also while the groups go."""

import os
import shutil

import pytest

from lab import cgroups


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """{group: its processes} as files below one root."""

    def are(**found):
        for name, numbers in found.items():
            folder = tmp_path / cgroups.LAB / name.replace("__", "/")
            folder.mkdir(parents=True)
            (folder / "cgroup.procs").write_text("".join(f"{number}\n" for number in numbers))
        return tmp_path / cgroups.LAB

    monkeypatch.setattr(cgroups, "_roots", lambda: [tmp_path])
    return are


def test_of_a_host_and_all_below_it(groups):
    groups(ceph01=[1], ceph01__payload__system=[2, 3], compute01=[4])
    assert cgroups.members("ceph01") == {1, 2, 3}
    assert cgroups.members("none") == set()


@pytest.mark.parametrize("gone", ["payload", "payload/system", "payload/system/getty"])
def test_a_group_that_goes_while_it_is_looked_at(groups, monkeypatch, gone):
    top = groups(ceph01=[1], ceph01__payload__system__getty=[2]) / "ceph01"
    real = os.scandir

    def scandir(path):
        if isinstance(path, int):  # rmtree's
            return real(path)
        found = list(real(path))
        if os.fspath(path) == os.fspath((top / gone).parent):
            shutil.rmtree(top / gone, ignore_errors=True)
        return _Entries(found)

    monkeypatch.setattr(os, "scandir", scandir)
    assert cgroups.members("ceph01") == {1}


class _Entries(list):
    """What os.scandir answers: closed at its end."""

    def __enter__(self):
        return iter(self)

    def __exit__(self, *_):
        return None

    def __next__(self):
        if not self:
            raise StopIteration
        return self.pop(0)

    def close(self):
        return None
