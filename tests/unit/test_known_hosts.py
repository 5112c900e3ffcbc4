"""known_hosts as ssh-keyscan, ssh-keygen -H and people write it."""

import pytest

from fabfile.core import known_hosts

CEPH = "AAAAC3NzaC1lZDI1NTE5AAAAIN9Z0YFNGzo3lTruHlU2nDCS9VsO7DpvD21v8jkwxlXD"
CTL = "AAAAC3NzaC1lZDI1NTE5AAAAIJQI/9KU4pda2aaSelhtbVnMNpBzKL5NGIu8Z2uJDP0o"
ECDSA = (
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBDLCncjtPusxgfGvr+mVMNwgbCTI1rZhBh23"
    "Jpt4TN4ICfeJhEDwmGG339rifDlR086nA0nD+1i5qZsxdHXsy00="
)
HASHED_CEPH01 = "|1|9q/GNZc5I7tstlUTd9FXLyamvL4=|2E9vkteTccR7oASR2V5BB7wvQVs="
HASHED_CTL_2222 = "|1|tt7vODCHhZydOBTZqrNn2fFrbAo=|V5WZy/1d2M6VoESz6oPsHSicypw="


def load(folder, text):
    path = folder / "known_hosts"
    path.write_text(text)
    return known_hosts.load([path])


def keys_of(found, name):
    return {key.get_base64() for key in (found.keys.lookup(name) or {}).values()}


@pytest.mark.parametrize(
    "line, name, other",
    [
        (f"ceph01 ssh-ed25519 {CEPH}", "ceph01", "ceph02"),
        (f"ceph01,10.0.0.1 ssh-ed25519 {CEPH}", "10.0.0.1", "10.0.0.2"),
        (f"ceph01\tssh-ed25519\t{CEPH}\ta comment", "ceph01", "a"),
        (f"  ceph01 ssh-ed25519 {CEPH} root@ceph01  ", "ceph01", "root@ceph01"),
        (f"[ceph01]:2222 ssh-ed25519 {CEPH}", "[ceph01]:2222", "ceph01"),
        (f"[2001:db8::1]:2222 ssh-ed25519 {CEPH}", "[2001:db8::1]:2222", "2001:db8::1"),
        (f"{HASHED_CEPH01} ssh-ed25519 {CEPH}", "ceph01", "ceph02"),
        (
            f"{HASHED_CTL_2222} ssh-ed25519 {CEPH}",
            "[ctl.example.org]:2222",
            "ctl.example.org",
        ),
    ],
)
def test_a_host_has_its_key_and_no_other_host_has(tmp_path, line, name, other):
    found = load(tmp_path, line + "\n")
    assert keys_of(found, name) == {CEPH}
    assert keys_of(found, other) == set()
    assert (found.revoked, found.warnings) == (set(), [])


def test_a_host_may_have_a_key_of_each_type(tmp_path):
    text = f"ceph01 ssh-ed25519 {CEPH}\nceph01 ecdsa-sha2-nistp256 {ECDSA}\n"
    assert keys_of(load(tmp_path, text), "ceph01") == {CEPH, ECDSA}


def test_a_revoked_key_is_remembered_and_trusted_for_nobody(tmp_path):
    found = load(tmp_path, f"@revoked * ssh-ed25519 {CEPH}\nctl ssh-ed25519 {CTL}\n")
    assert found.revoked == {CEPH}
    assert found.keys.keys() == ["ctl"]
    assert found.warnings == []


@pytest.mark.parametrize(
    "line, said",
    [
        (f"@cert-authority *.example.org ssh-ed25519 {CEPH}", "certificate authorities"),
        (f"@marker ceph01 ssh-ed25519 {CEPH}", "not a host key"),
        ("@revoked", "not a host key"),
        ("@revoked ceph01 ssh-ed25519", "not a host key"),
        ("ceph01", "not a host key"),
        ("ceph01 ssh-ed25519", "not a host key"),
        (f"ceph01 ssh-ed25519 {CEPH[:-1]}", "not a host key"),
        (f"ceph01 ssh-ed25519 {CEPH[:20]}", "not a host key"),
        ("ceph01 ssh-dss AAAAB3NzaC1kc3MAAACBAJ", "not a host key"),
        ("ceph01 2048 65537 2718281828459045", "not a host key"),
        ("<<<<<<< HEAD", "not a host key"),
        ("\x00\x01\x02", "not a host key"),
    ],
)
def test_a_line_that_is_of_no_use_is_named_and_the_rest_counts(tmp_path, line, said):
    found = load(tmp_path, f"{line}\nctl ssh-ed25519 {CTL}\n")
    assert found.keys.keys() == ["ctl"]
    assert keys_of(found, "ctl") == {CTL}
    assert found.revoked == set()
    (warning,) = found.warnings
    assert warning.startswith(f"{tmp_path / 'known_hosts'}: line 1: {said}")


def test_comments_and_empty_lines_are_passed_over_and_counted(tmp_path):
    found = load(tmp_path, f"# ceph01 ssh-ed25519 {CEPH}\n\n   \n\t# x\ngarbage\n")
    assert found.keys.keys() == []
    assert [w.split(": ")[1] for w in found.warnings] == ["line 5"]


def test_bytes_that_are_not_utf8_spoil_one_line_only(tmp_path):
    path = tmp_path / "known_hosts"
    path.write_bytes(b"caf\xe9\nctl ssh-ed25519 " + CTL.encode() + b"\n")
    found = known_hosts.load([path])
    assert keys_of(found, "ctl") == {CTL}
    assert len(found.warnings) == 1


def test_all_files_count_and_a_missing_one_is_empty(tmp_path):
    mine, system = tmp_path / "mine", tmp_path / "system"
    mine.write_text(f"ceph01 ssh-ed25519 {CEPH}\n")
    system.write_text(f"ctl ssh-ed25519 {CTL}\n")
    found = known_hosts.load([mine, tmp_path / "none", system])
    assert keys_of(found, "ceph01") == {CEPH}
    assert keys_of(found, "ctl") == {CTL}
    assert found.warnings == []
