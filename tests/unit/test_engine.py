"""The two functions that an engine has, and that a key is in no work that is given to one."""

import pickle
from types import SimpleNamespace

import pytest

from fabfile.core.contract import BadInput, Host, Ref, Secret, Unreachable
from fabfile.flow import engine
from fabfile.model import platforms
from fabfile.model.deployment import Cluster

from .states import DEBIAN

ADMIN = Host("ceph01", ("ceph",))
CLUSTERS = [Cluster("ceph", None, ADMIN, platforms.made_of(DEBIAN))]
LOCK = {"site": "x", "number": 7, "who": "me", "patience": 45}
KEY = "key:client.volumes"


class Fleet:
    """Answers a key to whom asks for it; keeps what it was given."""

    warnings = ()
    conversations = SimpleNamespace(raise_if_stopped=lambda: None)

    def __init__(self, dead=""):
        self.given, self.dead = [], dead

    def work(self, works, heard):
        self.given.append(works)
        for host, work in works.items():
            if host == self.dead:
                return {host: Unreachable(f"{host}: {self.dead}")}
            for read in work.get("reads", ()):
                heard(host, {"t": "read", "id": read["id"], "value": f"key-by-{read['id']}"})
        return {}


def work(*args):
    return {**LOCK, "run": "r", "steps": [{"id": 1, "args": {"stdin": list(args), "n": None}}]}


def test_keys_are_put_in_at_the_last_moment_and_fetched_once():
    fleet = Fleet()
    local = engine.Local(fleet, CLUSTERS)
    works = {"n1": work("a", Ref(KEY)), "n2": work(Ref(KEY))}
    assert local.apply(works, None) == {} and local.apply(works, None) == {}
    (asked, first, second) = fleet.given
    assert list(asked) == ["ceph01"]
    assert {name: asked["ceph01"][name] for name in LOCK} == LOCK
    (read,) = asked["ceph01"]["reads"]
    assert read["args"]["argv"][-1] == "client.volumes" and first == second
    given, key = first["n1"]["steps"][0]["args"]["stdin"]
    assert given == "a" and isinstance(key, Secret) and key.reveal().startswith("key-by")
    assert works["n1"]["steps"][0]["args"]["stdin"] == ["a", Ref(KEY)]


def test_where_no_key_is_needed_none_is_asked_for():
    fleet = Fleet()
    engine.Local(fleet, CLUSTERS).apply({"n1": work("a")}, None)
    assert [list(works) for works in fleet.given] == [["n1"]]


def test_a_key_that_cannot_be_fetched_stops_before_anything_is_begun():
    fleet = Fleet(dead="ceph01")
    with pytest.raises(Unreachable, match="ceph01"):
        engine.Local(fleet, CLUSTERS).apply({"n1": work(Ref(KEY))}, None)
    assert [list(works) for works in fleet.given] == [["ceph01"]]


def test_a_work_travels_with_refs_and_never_with_a_secret():
    travelled = pickle.loads(pickle.dumps(work(Ref(KEY))))  # noqa: S301 (our own)
    assert list(engine.refs(travelled)) == [KEY]
    for what in (Secret("k"), work(Secret("k")), {"n1": SimpleNamespace(a=[Secret("k")])}):
        with pytest.raises(TypeError, match="a secret is not written anywhere"):
            pickle.dumps(what)


def test_a_fleet_says_where_its_configuration_is_missing(tmp_path):
    ssh = SimpleNamespace(config=str(tmp_path / "none"), sudo_password_command=None)
    with pytest.raises(BadInput, match="no such file on worker a"):
        engine.fleet([ADMIN], ssh, 4, " on worker a")


def password_by(tmp_path, script):
    command = tmp_path / "command"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    config = SimpleNamespace(config=None, sudo_password_command=[str(command)])
    return engine.fleet([ADMIN], config, 1)


def test_a_password_of_any_letters_is_taken(tmp_path):
    password_by(tmp_path, r"printf 'a\374b\n'")


@pytest.mark.parametrize("script", ["exit 3", "exit 0"])
def test_a_command_that_prints_no_password_is_named(tmp_path, script):
    with pytest.raises(BadInput, match="^ssh.sudo_password_command: .*/command printed no passw"):
        password_by(tmp_path, script)


def test_a_command_that_is_not_there_is_named():
    config = SimpleNamespace(config=None, sudo_password_command=["/nowhere/pass", "show"])
    with pytest.raises(BadInput, match="^ssh.sudo_password_command: /nowhere/pass: No such file"):
        engine.fleet([ADMIN], config, 1)


def by_config(tmp_path, text):
    path = tmp_path / "ssh_config"
    path.write_bytes(text)
    config = SimpleNamespace(config=str(path), sudo_password_command=None)
    fleet = engine.fleet([Host("n1", ("compute",))], config, 1)
    return fleet._connection("n1")


@pytest.mark.parametrize(
    "text, said",
    [
        (b"Host\xff\n", "ssh_config: expected an SSH configuration"),
        (b"nonsense\n", "ssh_config: expected an SSH configuration"),
        *(
            (f"Host n1\n  Port {port}\n".encode(), f"n1: its SSH configuration: Port: .*{port[:9]}")
            for port in ("ssh", "0", "65536", "9" * 5000, "\u0663", "-1")
        ),
        (b"Host n1\n  ProxyJump b:99999\n", "ProxyJump: expected .*'b:99999'"),
    ],
)
def test_a_configuration_that_is_none_is_named(tmp_path, text, said):
    with pytest.raises(BadInput, match=said):
        by_config(tmp_path, text)


@pytest.mark.parametrize(
    "jump, user, host, port",
    [
        ("op@[fd00::1]:2222", "op", "fd00::1", 2222),
        ("[fd00::1]", None, "fd00::1", 22),
        ("b", None, "b", 22),
        ("op@b:23", "op", "b", 23),
        ("ssh://op@b:24", "op", "b", 24),
        ("a@x.org@b:25", "a@x.org", "b", 25),
    ],
)
def test_a_bastion_is_written_as_openssh_has_it(tmp_path, jump, user, host, port):
    made = by_config(tmp_path, f"Host n1\n  ProxyJump {jump}\n".encode()).gateway
    assert (made.host, made.port) == (host, port)
    assert user in (None, made.user)


def test_a_bastion_that_is_none_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"^ProxyJump: expected \[USER@\]HOST\[:PORT\]"):
        by_config(tmp_path, b"Host n1\n  ProxyJump a:b:c\n")


def test_a_bastion_that_is_reached_through_itself_is_named(tmp_path):
    with pytest.raises(BadInput, match="^ProxyJump: bastion: is to be reached through itself"):
        by_config(tmp_path, b"Host *\n  ProxyJump bastion\n")
