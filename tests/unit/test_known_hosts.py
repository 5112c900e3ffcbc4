"""known_hosts as ssh-keyscan, ssh-keygen -H and people write it."""

import base64
import socket
import struct
import threading
import time
from pathlib import Path

import paramiko
import pytest
from fabric import Config

from fabfile.core import known_hosts
from fabfile.core.contract import BadInput, UnknownHostKey, Unreachable
from fabfile.core.ssh import conversing

CEPH = "AAAAC3NzaC1lZDI1NTE5AAAAIN9Z0YFNGzo3lTruHlU2nDCS9VsO7DpvD21v8jkwxlXD"
CTL = "AAAAC3NzaC1lZDI1NTE5AAAAIJQI/9KU4pda2aaSelhtbVnMNpBzKL5NGIu8Z2uJDP0o"
ECDSA = (
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBDLCncjtPusxgfGvr+mVMNwgbCTI1rZhBh23"
    "Jpt4TN4ICfeJhEDwmGG339rifDlR086nA0nD+1i5qZsxdHXsy00="
)
RSA = paramiko.RSAKey.generate(2048)
RSA_OF_A_MEGABYTE = b"".join(
    struct.pack(">I", len(part)) + part for part in (b"ssh-rsa", b"\1\0\1", b"\1" * (1 << 20))
)
HASHED_CEPH01 = "|1|9q/GNZc5I7tstlUTd9FXLyamvL4=|2E9vkteTccR7oASR2V5BB7wvQVs="
HASHED_CTL_2222 = "|1|tt7vODCHhZydOBTZqrNn2fFrbAo=|V5WZy/1d2M6VoESz6oPsHSicypw="


def load(folder, text):
    path = folder / "known_hosts"
    path.write_text(text)
    return known_hosts.load([path])


def keys_of(found, name):
    return {key.get_base64() for key in found.keys_of(name)}


def names_in(found):
    return [names for names, _ in found.keys]


@pytest.mark.parametrize(
    "line, name, other",
    [
        (f"ceph01 ssh-ed25519 {CEPH}", "ceph01", "ceph02"),
        (f"ceph01,10.0.0.1 ssh-ed25519 {CEPH}", "10.0.0.1", "10.0.0.2"),
        (f"ceph01\tssh-ed25519\t{CEPH}\ta comment", "ceph01", "a"),
        (f"ceph01  ssh-ed25519 \t {CEPH}", "ceph01", "ceph02"),
        (f"Ceph01 ssh-ed25519 {CEPH}", "cepH01", "ceph02"),
        (f"*.example.org ssh-ed25519 {CEPH}", "a.b.example.org", "example.org"),
        (f"ceph0? ssh-ed25519 {CEPH}", "ceph01", "ceph011"),
        (f"* ssh-ed25519 {CEPH}", "[2001:db8::1]:2222", ""),
        (f"*.example.org,!ctl.* ssh-ed25519 {CEPH}", "a.example.org", "ctl.example.org"),
        (f"!ctl.*,*.example.org ssh-ed25519 {CEPH}", "a.example.org", "ctl.example.org"),
        (f"!ctl ssh-ed25519 {CEPH}", None, "ceph01"),
        (f"[*.example.org]:2222 ssh-ed25519 {CEPH}", "[a.example.org]:2222", "a.example.org"),
        (f"a.example.org ssh-ed25519 {CEPH}", "a.example.org", "a-example.org"),
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
    assert name is None or keys_of(found, name) == {CEPH}
    assert not other or keys_of(found, other) == set()
    assert (found.revoked, found.warnings) == (set(), [])


def test_a_host_may_have_a_key_of_each_type(tmp_path):
    text = f"ceph01 ssh-ed25519 {CEPH}\nceph01 ecdsa-sha2-nistp256 {ECDSA}\n"
    assert keys_of(load(tmp_path, text), "ceph01") == {CEPH, ECDSA}


def test_a_host_may_have_two_keys_of_one_type(tmp_path):
    text = f"ceph01 ssh-ed25519 {CEPH}\n* ssh-ed25519 {CTL}\n"
    assert keys_of(load(tmp_path, text), "ceph01") == {CEPH, CTL}


def test_a_type_of_key_that_can_be_compared_is_asked_for_first(tmp_path):
    found = load(tmp_path, f"ceph01 ecdsa-sha2-nistp256 {ECDSA}\n")
    asked = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512")
    assert found.first_known("ceph01", asked) == (asked[1], asked[0], asked[2])
    assert found.first_known("ceph02", asked) == asked


def test_an_rsa_key_signs_in_several_ways(tmp_path):
    found = load(tmp_path, f"h ssh-rsa {RSA.get_base64()}\n")
    asked = ("ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256")
    assert found.first_known("h", asked) == ("rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519")


def test_a_certificate_authority_vouches_for_nobody_and_is_known_by_its_names(tmp_path):
    found = load(tmp_path, f"@cert-authority *.example.org,ctl ssh-ed25519 {CEPH}\n")
    assert names_in(found) == []
    assert found.has_authority("a.example.org")
    assert found.has_authority("ctl")
    assert not found.has_authority("example.com")
    assert found.warnings == []


@pytest.mark.parametrize(
    "line",
    [
        f"{'*a' * 40}b ssh-ed25519 {CEPH}",
        f"{'?' * 60}{'*a' * 40}b ssh-ed25519 {CEPH}",
        f"ceph01 ssh-rsa {base64.b64encode(RSA_OF_A_MEGABYTE).decode()}",
    ],
    ids=["stars", "stars behind marks", "a long key"],
)
def test_an_odd_line_takes_no_time(tmp_path, line):
    begun = time.process_time()
    assert load(tmp_path, line + "\n").keys_of("a" * 120) == []
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("old", [None, "", "a b\n", "a b"])
def test_lines_are_added_behind_what_is_there(tmp_path, old):
    path = tmp_path / "new" / "known_hosts"
    if old is not None:
        path.parent.mkdir()
        path.write_text(old)
    known_hosts.add(path, ["x y", "z"])
    assert path.read_text() == (f"{old.rstrip()}\n" if old else "") + "x y\nz\n"


def test_a_revoked_key_is_remembered_and_trusted_for_nobody(tmp_path):
    found = load(tmp_path, f"@revoked * ssh-ed25519 {CEPH}\nctl ssh-ed25519 {CTL}\n")
    assert found.revoked == {CEPH}
    assert names_in(found) == ["ctl"]
    assert found.warnings == []


@pytest.mark.parametrize(
    "line, said",
    [
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
        ("ceph01 ssh-rsa AAAA", "not a host key"),
        ("ceph01 ssh-ed25519 !!!!", "not a host key"),
        (f"ceph01 ssh-rsa {CEPH}", "not a host key"),
        (f"ceph01 ecdsa-sha2-nistp256 {CEPH}", "not a host key"),
        (f"ceph01 ecdsa-sha2-nistp384 {ECDSA}", "not a host key"),
        (f"ceph01 ssh-ed25519 {ECDSA}", "not a host key"),
        ("@revoked ceph01 ssh-rsa AAAA", "not a host key"),
        ("@cert-authority", "not a host key"),
        (f"|1|bad|bad ssh-ed25519 {CEPH}", "not a hashed name"),
        (f"|1|!!!= ssh-ed25519 {CEPH}", "not a hashed name"),
        (f"|2|{HASHED_CEPH01[3:]} ssh-ed25519 {CEPH}", "not a hashed name"),
        (f"{HASHED_CEPH01},ceph01 ssh-ed25519 {CEPH}", "not a hashed name"),
        (f"{HASHED_CEPH01[:-2]} ssh-ed25519 {CEPH}", "not a hashed name"),
    ],
)
def test_a_line_that_is_of_no_use_is_named_and_the_rest_counts(tmp_path, line, said):
    found = load(tmp_path, f"{line}\nctl ssh-ed25519 {CTL}\n")
    assert names_in(found) == ["ctl"]
    assert keys_of(found, "ctl") == {CTL}
    assert found.revoked == set()
    (warning,) = found.warnings
    assert warning.startswith(f"{tmp_path / 'known_hosts'}: line 1: {said}")


def test_comments_and_empty_lines_are_passed_over_and_counted(tmp_path):
    found = load(tmp_path, f"# ceph01 ssh-ed25519 {CEPH}\n\n   \n\t# x\ngarbage\n")
    assert names_in(found) == []
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


class Server(paramiko.ServerInterface):
    def check_auth_password(self, username, password):
        return paramiko.AUTH_SUCCESSFUL


SHOWN = {"ecdsa-sha2-nistp256": paramiko.ECDSAKey.generate(), "ssh-rsa": RSA}
"""What the host below has; by itself, paramiko asks for the first."""


@pytest.fixture
def host():
    """'[127.0.0.1]:port' of a host that shows these keys."""
    listening, serving = socket.create_server(("127.0.0.1", 0)), []

    def serve():
        transport = paramiko.Transport(listening.accept()[0])
        serving.append(transport)
        for key in SHOWN.values():
            transport.add_server_key(key)
        transport.start_server(threading.Event(), Server())

    threading.Thread(target=serve, daemon=True).start()
    yield f"[127.0.0.1]:{listening.getsockname()[1]}"
    for transport in serving:
        transport.close()
    listening.close()


def reach(found, host):
    connection = conversing.HostConnection(
        "127.0.0.1",
        user="op",
        port=int(host.split(":")[1]),
        config=Config(lazy=True),
        connect_kwargs={"password": "x", "allow_agent": False, "look_for_keys": False},
    )
    connection.prepare("ctl", found, None, conversing.Shared())
    try:
        connection.reach()
    finally:
        connection.client.close()


def lines(host, *keys):
    return "".join(f"{host} {kind} {text}\n" for kind, text in keys)


KNOWN = [(kind, key.get_base64()) for kind, key in SHOWN.items()]
STRANGE = ("ecdsa-sha2-nistp256", ECDSA)


@pytest.mark.parametrize(
    "keys", [KNOWN, KNOWN[:1], KNOWN[1:], [KNOWN[0], STRANGE], [STRANGE, KNOWN[0]]]
)
def test_a_host_that_shows_one_of_its_keys_is_reached(tmp_path, host, keys):
    reach(load(tmp_path, lines(host, *keys)), host)


@pytest.mark.parametrize(
    "before, keys, said",
    [
        ("", [STRANGE], "ctl: the host key of 127.0.0.1:.* is not the one in known_hosts"),
        ("", [("ssh-ed25519", CEPH)], "is not the one in known_hosts"),
        ("@revoked ", [KNOWN[0]], "ctl: its host key is marked @revoked"),
    ],
)
def test_a_host_that_shows_another_key_is_not(tmp_path, host, before, keys, said):
    found = load(tmp_path, before + lines(host, *keys))
    with pytest.raises(Unreachable, match=said) as caught:
        reach(found, host)
    assert not isinstance(caught.value, UnknownHostKey)


def test_a_host_that_is_not_known_is_told_with_the_line_that_would_make_it_known(tmp_path, host):
    found = load(tmp_path, "")
    with pytest.raises(UnknownHostKey) as caught:
        reach(found, host)
    assert caught.value.line + "\n" == lines(host, KNOWN[0])


def test_a_folder_in_its_place_is_a_warning(tmp_path):
    (warning,) = known_hosts.load([tmp_path]).warnings
    assert warning == f"{tmp_path}: Is a directory; left out"


def test_keys_are_added_to_a_file_of_any_letters(tmp_path):
    path = tmp_path / "known_hosts"
    path.write_bytes(b"# M\xfcller's")
    known_hosts.add(path, ["h ssh-ed25519 AAAA"])
    assert path.read_bytes() == b"# M\xfcller's\nh ssh-ed25519 AAAA\n"


def test_a_file_that_others_may_write_says_of_nobody_who_it_is(tmp_path):
    path = tmp_path / "known_hosts"
    path.write_text("")
    path.chmod(0o666)
    with pytest.raises(BadInput, match="known_hosts: others may write it"):
        known_hosts.load([path])
    assert not known_hosts.load([Path("/dev/null"), tmp_path / "absent"]).warnings
