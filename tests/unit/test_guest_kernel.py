"""A guest's kernel that Nova takes for a disk: known before an instance is made."""

from dataclasses import replace

import pytest

from fabfile.core.contract import BadInput
from fabfile.doctor import checks
from fabfile.doctor.finding import WARNING
from fabfile.flow.proof import guest, verify

from .clouds import looked
from .states import release, site

SECTOR = bytes(510)
KERNEL, DISK = SECTOR + b"\0\0" + b"k" * 100, SECTOR + b"\x55\xaa" + b"k" * 100


def guest_in(folder, **files):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return site(verify={"guest": str(folder)})


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"vmlinuz": DISK, "initrd": KERNEL}, ("vmlinuz",)),
        ({"vmlinuz": DISK, "initrd": DISK}, ("vmlinuz", "initrd")),
        ({"vmlinuz": KERNEL, "initrd": KERNEL}, ()),
        ({"vmlinuz": SECTOR, "initrd": b""}, ()),  # shorter than a sector
        ({"vmlinuz": b"\x55\xaa" + KERNEL, "initrd": KERNEL}, ()),
        ({"disk.raw": DISK}, ()),  # its own disk may well be one; no kernel is there
        ({}, ()),
    ],
)
def test_which_files_bear_the_mark(tmp_path, files, found):
    assert guest.marked(guest_in(tmp_path, **files)) == found


def test_without_a_guest_there_is_nothing_to_look_at():
    assert guest.marked(site()) == ()


INSPECTS = {"2025.1", "2025.2", "2026.1", "2026.2"}


@pytest.mark.parametrize("name", ["zed", "2023.2", "2024.1", "2024.2", *sorted(INSPECTS)])
def test_by_the_release_in_use(tmp_path, monkeypatch, name):
    here, session = guest_in(tmp_path, vmlinuz=DISK), type("S", (), {})()
    session.site, table = here, release(name)
    monkeypatch.setattr(verify, "_release", lambda session: table)
    told = looked(here={"guest": guest.marked(here)})
    told = replace(told, facts=replace(told.facts, release=table), release=name)
    codes = {f.code: f for f in checks.findings(here, told)[0] if f.code == "here.guest"}
    if name not in INSPECTS:
        assert verify.refuse_kernel(session) is None and codes == {}
        return
    with pytest.raises(BadInput, match=r"verify.guest: .*vmlinuz.*mbr.*write zeros"):
        verify.refuse_kernel(session)
    assert codes["here.guest"].severity == WARNING and codes["here.guest"].mend


def test_where_the_release_is_not_told_nothing_is_refused(tmp_path, monkeypatch):
    session = type("S", (), {"site": guest_in(tmp_path, vmlinuz=DISK)})()
    monkeypatch.setattr(verify, "_release", lambda session: None)
    assert verify.refuse_kernel(session) is None
