"""ssh_config as OpenSSH reads it; where its client is here, it is the second opinion."""

import os
import random
import re
import shutil
import subprocess
import types
from pathlib import Path

import paramiko
import pytest

from fabfile.core import ssh, ssh_config
from fabfile.core.contract import BadInput, Host
from fabfile.core.ssh import connecting

SSH = shutil.which("ssh")
COMPARED = (
    "hostname",
    "user",
    "port",
    "proxyjump",
    "proxycommand",
    "hostkeyalias",
    "identityfile",
    "identitiesonly",
    "userknownhostsfile",
)


def configuration(tmp_path, text, files=None, run=lambda command: False):
    for name, content in (files or {}).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.replace("DIR", str(tmp_path)))
    path = tmp_path / "config"
    path.write_text(text.replace("DIR", str(tmp_path)))
    return ssh_config.Configuration(path, run)


def by_ssh(tmp_path, host):
    """What `ssh -G` says of the same file: {keyword: value, or values}."""
    done = subprocess.run(
        [SSH, "-G", "-F", tmp_path / "config", host],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=20,
    )
    if done.returncode:
        return None
    found = {}
    for line in done.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        if keyword == "identityfile":
            found.setdefault(keyword, []).append(value)
        else:
            found[keyword] = value
    return found


DEFAULTS = {"port": "22", "identitiesonly": "no"}
ABSENT = {"proxyjump", "proxycommand", "hostkeyalias", *DEFAULTS}
"""What ssh leaves out where nothing says it, or has a value for that is known."""


def same(ours, theirs):
    """What differs; tokens in it ssh shows as they are written."""
    different = {}
    for keyword in COMPARED:
        said, wanted = ours.get(keyword), theirs.get(keyword)
        said = " ".join(said) if keyword == "userknownhostsfile" and said else said
        if said is None:
            differs = keyword in ABSENT and wanted != DEFAULTS.get(keyword)
        else:
            differs = said != wanted and not (said == "none" and wanted is None)
        if differs:
            different[keyword] = (said, wanted)
    return different


INCLUDED = {
    "d/10.conf": "Host n1\n  HostName 192.0.2.31\n  User ops\n  Port 2222\n",
    "d/20.conf": "Host n2 !n1\n  HostName 192.0.2.32\nHost *\n  Port 2200\n",
    "d/.hidden.conf": "Host *\n  User nobody\n",
    "in/n1": "HostName 192.0.2.41\nHost n9\n  User nine\nMatch all\n  Port 4\n",
    "deep/1": "Include DIR/deep/2\n",
    "deep/2": "User deep\n",
}
TABLE = [
    ("Include DIR/d/*.conf\nHost *\n  Compression yes\n", "192.0.2.31", "ops", "2222"),
    ("Include DIR/d/10.conf DIR/d/20.conf\n", "192.0.2.31", "ops", "2222"),
    ('Include "DIR/d/10.conf"\n', "192.0.2.31", "ops", "2222"),
    ("include=DIR/d/1?.conf\n", "192.0.2.31", "ops", "2222"),
    ("Include DIR/nothing/* DIR/deep/1\n", "n1", "deep", None),
    ("Host n2\n  Include DIR/d/10.conf\nHost n1\n  User outer\n", "n1", "outer", None),
    ("Host n1\n  Include DIR/in/n1\n  User after\n", "192.0.2.41", "after", "4"),
    ("Host n*\n  Include DIR/in/n1\nHost n1\n  Port 5\n", "192.0.2.41", None, "4"),
    ("Port 1\nInclude DIR/d/10.conf\n", "192.0.2.31", "ops", "1"),
    ("Host n? !n1\n  User no\nHost N1\n  User big\nHost n1\n  User yes\n", "n1", "yes", None),
    ("Host !n2\n  User no\nHost * !n2\n  User yes\n", "n1", "yes", None),
    ("Host a b\tn1\n  User yes # me\n", "n1", "yes", None),
    ("Host n[1]\n  User no\n", "n1", None, None),
    ('Host "n1"\n  User "two words"\n', "n1", "two words", None),
    ("Host n1\n  HostName %h.example.org\n  Port = 7\n", "n1.example.org", None, "7"),
    ("HostName %h.%%x\n", "n1.%x", None, None),
    ("HOST n1\n\tUSER\tme\n\n   # comment\n#Port 9\n", "n1", "me", None),
    ("Match host n1,n2\n  User m\n", "n1", "m", None),
    ("Match host !n1,*\n  User m\n", "n1", None, None),
    ("Match !host n1\n  User m\n", "n1", None, None),
    ("Match host n1 user root\n  Port 3\n", "n1", None, "3" if os.geteuid() == 0 else None),
    ("User u\nMatch user u\n  Port 3\n", "n1", "u", "3"),
    ("HostName x1\nMatch host x1 originalhost n1\n  Port 3\n", "x1", None, "3"),
    ("Match all\n  User every\n", "n1", "every", None),
    ("Match final\n  User last\nHost n1\n  HostName y1\n", "y1", "last", None),
    ("Match final host y1\n  User last\nHost n1\n  HostName y1\n", "y1", "last", None),
    ("Host y1\n  User second\nMatch final all\nHost n1\n  HostName y1\n", "y1", "second", None),
    ("Match canonical\n  User no\n", "n1", None, None),
    ("Match exec false\n  User no\nMatch exec true\n  User yes\n", "n1", "yes", None),
    ('Match exec "test %h = n1"\n  User yes\n', "n1", "yes", None),
    ("Match host n2 exec true\n  User no\n", "n1", None, None),
    ("HostName N1.EXAMPLE\n", "n1.example", None, None),
]


def run(command):
    return subprocess.run(["/bin/sh", "-c", command], check=False).returncode == 0


@pytest.mark.parametrize("text, hostname, user, port", TABLE)
def test_a_host_is_where_ssh_would_look_for_it(tmp_path, text, hostname, user, port):
    found = configuration(tmp_path, text, INCLUDED, run).lookup("n1")
    assert (found["hostname"], found.get("user"), found.get("port")) == (hostname, user, port)
    if SSH:
        assert not same(found, by_ssh(tmp_path, "n1"))


VALUES = [
    ("ProxyJump b1,b2\nProxyCommand nc %h %p\n", {"proxyjump": "b1,b2"}),
    ("ProxyCommand nc %h %p # x\nProxyJump b\n", {"proxycommand": "nc n1 22 # x"}),
    ("ProxyCommand=nc  %n %r@%h:%p %%\nUser u\n", {"proxycommand": "nc  n1 u@n1:22 %"}),
    ("Host n1\n  ProxyJump none\nHost *\n  ProxyJump b\n", {"proxyjump": "none"}),
    ("ProxyJump %r@gate-%h:%p\nUser u\n", {"proxyjump": "u@gate-n1:22"}),
    ("HostKeyAlias one\nHostKeyAlias two\n", {"hostkeyalias": "one"}),
    (
        "IdentityFile /k/a\nIdentityFile /k/b\nIdentityFile /k/a\n",
        {"identityfile": ["/k/a", "/k/b"]},
    ),
    ("User u\nIdentityFile ~/%r-%h\n", {"identityfile": ["HOME/u-n1"]}),
    ("IdentityFile ${HOME}/k\n", {"identityfile": ["HOME/k"]}),
    (
        'UserKnownHostsFile ~/one "/with space/two"\n',
        {"userknownhostsfile": ["HOME/one", "/with space/two"]},
    ),
    ("UserKnownHostsFile none\n", {"userknownhostsfile": ["none"]}),
    ("UserKnownHostsFile /kh/%h\n", {"userknownhostsfile": ["/kh/n1"]}),
]


@pytest.mark.parametrize("text, wanted", VALUES)
def test_tokens_and_lists_are_as_ssh_has_them(tmp_path, monkeypatch, text, wanted):
    monkeypatch.setenv("HOME", "/home/me")
    found = configuration(tmp_path, text).lookup("n1")
    home = str(Path.home())
    for keyword, value in wanted.items():
        in_full = (
            [v.replace("HOME", home) for v in value]
            if isinstance(value, list)
            else value.replace("HOME", home)
        )
        assert found[keyword] == in_full


@pytest.mark.skipif(not SSH, reason="needs OpenSSH's client")
@pytest.mark.parametrize("seed", range(40))
def test_what_chance_writes_is_read_as_ssh_reads_it(tmp_path, seed):
    """Host, Match, Include and values, mixed; what ssh refuses, is refused."""
    dice = random.Random(seed)
    patterns = ("n1", "n2", "n*", "*", "!n1", "!n2", "?1", "N1", "*.x", "n1.x", '"n1"', "n[12]")
    values = (
        "User {w}",
        "Port {n}",
        "HostName {w}.x",
        "HostName %h.y",
        "HostKeyAlias {w}",
        "ProxyJump {w}",
        "ProxyCommand nc {w}",
        "IdentityFile /k/{w}",
        "IdentitiesOnly yes",
        "UserKnownHostsFile /kh/{w} /kh/b",
        "   port={n} # x",
        "User '{w} b'",
        "Include DIR/{f}",
        "Include DIR/f*",
        "# {w}",
        "",
    )
    conditions = ("host", "originalhost", "!host", "user", "!user", "localuser")

    def head():
        if dice.random() < 0.6:
            return "Host " + " ".join(dice.choices(patterns, k=dice.randint(1, 3)))
        if dice.random() < 0.3:
            return "Match " + dice.choice(
                ("all", "final", "canonical", "final all", "final host n1.x")
            )
        some = [
            f"{dice.choice(conditions)} {','.join(dice.choices(patterns[:8], k=2))}" for _ in "ab"
        ]
        return "Match " + " ".join(some[: dice.randint(1, 2)])

    def text(depth):
        lines = []
        for _ in range(dice.randint(1, 7)):
            if dice.random() < 0.4:
                lines.append(head())
            line = dice.choice(values)
            if "Include" in line and not depth:
                continue
            lines.append(
                line.format(w=dice.choice("abc"), n=dice.randint(1, 9), f=dice.choice(("f1", "f2")))
            )
        return "\n".join(lines) + "\n"

    files = {"f1": text(0), "f2": text(0)}
    for host in ("n1", "n2", "n1.x"):
        try:
            ours = configuration(tmp_path, text(1), files).lookup(host)
        except BadInput:
            ours = None
        theirs = by_ssh(tmp_path, host)
        assert (ours is None) == (theirs is None)
        assert not ours or not same(_bare(ours), _bare(theirs))


def _bare(found):
    """Without commands' tokens, which ssh shows as they are written."""
    return {k: v for k, v in found.items() if k != "proxycommand" or "%" not in v}


@pytest.mark.parametrize(
    "text, said",
    [
        ("Host\n", "line 1"),
        ('User "open\n', 'line 1: a " is opened'),
        ("Port\n", "line 1"),
        ("Include DIR/config\n", "more than 16 files"),
        ("Match\n", "line 1"),
        ("Match host\n", "line 1: Match: 'host'"),
        ("Match localnetwork 10.0.0.0/8\n", "'localnetwork' is not known here"),
        ("CanonicalizeHostname yes\n", "names are not completed here"),
        ("Host n1\n  CanonicalizeHostname always\n", "names are not completed here"),
        ("ProxyJump %q\n", "%q is not known"),
        ("IdentityFile ${NO_SUCH_VARIABLE}/x\n", "no variable NO_SUCH_VARIABLE"),
        ("User a\0b\n", "zero byte"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_words(tmp_path, text, said):
    with pytest.raises(BadInput) as refused:
        configuration(tmp_path, text).lookup("n1")
    assert said in str(refused.value)


@pytest.mark.parametrize("value", ["no", "none", "false", "No"])
def test_a_name_that_is_not_completed_is_no_matter(tmp_path, value):
    assert configuration(tmp_path, f"CanonicalizeHostname {value}\n").lookup("n1")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "d" / "10.conf").chmod(0o666),
        lambda folder: (folder / "d").chmod(0o777),
        lambda folder: (folder / "config").chmod(0o646),
    ],
)
def test_what_others_may_write_is_refused_included_files_too(tmp_path, spoil):
    configuration(tmp_path, "Include DIR/d/*.conf\n", INCLUDED)
    spoil(tmp_path)
    with pytest.raises(BadInput, match="others may write it"):
        ssh_config.Configuration(tmp_path / "config", run)


def test_what_it_may_run_is_known_before_it_is_run(tmp_path):
    ran = []
    files = {"x": "Host n1\n  ProxyCommand nc %h %p\n"}
    text = 'Include DIR/x\nMatch host n1 exec "test -e /x"\n  User u\nKnownHostsCommand /k %H\n'
    found = configuration(tmp_path, text + "Host n2\n  ProxyCommand none\n", files, ran.append)
    assert dict(found.commands()) == {
        "proxycommand": "nc %h %p",
        "match exec": "test -e /x",
        "knownhostscommand": "/k %H",
    }
    assert not ran
    found.lookup("n2")
    assert not ran  # another condition left it out
    found.lookup("n1")
    assert ran == ["test -e /x"]


def test_a_connection_goes_where_the_included_file_says(tmp_path):
    configuration(tmp_path, "Include DIR/d/*.conf\nHostKeyAlias cloud-%h\n", INCLUDED)
    fleet = ssh.Fleet([Host("n1", ("compute",))], ssh_config=tmp_path / "config")
    made = fleet._connection("n1")
    assert (made.host, made.user, made.port) == ("192.0.2.31", "ops", 2222)
    assert made._alias == "cloud-%h"


@pytest.mark.parametrize(
    "text, gateway",
    [
        ("ProxyCommand nc %h %p\n", "nc n1 22"),
        ("ProxyCommand none\n", None),
        ("ProxyJump none\n", None),
        ("ProxyJump NONE\nProxyCommand nc\n", None),
    ],
)
def test_the_gateway_is_the_one_that_ssh_would_use(tmp_path, text, gateway):
    configuration(tmp_path, text)
    fleet = ssh.Fleet([Host("n1", ("compute",))], ssh_config=tmp_path / "config")
    assert fleet._connection("n1").gateway == gateway


def test_a_large_file_is_looked_up_quickly(tmp_path):
    text = "".join(f"Host n{n}\n  HostName 10.0.{n // 256}.{n % 256}\n" for n in range(5000))
    found = configuration(tmp_path, text + "Host *\n  User ops\n")
    hosts = [found.lookup(f"n{n}") for n in range(0, 5000, 5)]
    assert hosts[-1] == {"hostname": "10.0.19.131", "user": "ops"}


# Keys that others may read

PRIVATE = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n"
NOT_FOR_OTHERS = [
    pytest.param(b"-----BEGIN RSA PRIVATE KEY-----\n", 0o640, id="the group"),
    pytest.param(PRIVATE, 0o604, id="all"),
    pytest.param(PRIVATE, 0o620, id="written by the group"),
    pytest.param(PRIVATE, 0o610, id="any right"),
]
FOR_US_ALONE = [
    pytest.param(PRIVATE, 0o600, id="ours"),
    pytest.param(PRIVATE, 0o400, id="ours, not to be written"),
    pytest.param(PRIVATE, 0o700, id="ours, and a program"),
    pytest.param(b"ssh-ed25519 AAAA op@x\n", 0o644, id="a public key"),
    pytest.param(b"", 0o644, id="nothing"),
    pytest.param(None, 0, id="not there"),
]


def a_key(folder, data, mode):
    path = folder / "id x"
    if data is not None:
        path.write_bytes(data)
        path.chmod(mode)
    return path


def fleet_with(folder, key):
    configuration(folder, f'Host n1\n  IdentityFile ~/none\n  IdentityFile "{key}"\n')
    return ssh.Fleet([Host("n1", ("compute",))], ssh_config=folder / "config")


@pytest.mark.parametrize("data, mode", NOT_FOR_OTHERS)
def test_a_key_that_others_may_read_is_named_before_anything_connects(tmp_path, data, mode):
    key = a_key(tmp_path, data, mode)
    said = f"n1: its SSH configuration: IdentityFile: {key}: a private key: others may read it "
    said += f"(mode {mode:04o}); chmod 600 '{key}'"
    with pytest.raises(BadInput, match=re.escape(said)):
        fleet_with(tmp_path, key)._connection("n1")


@pytest.mark.parametrize("data, mode", FOR_US_ALONE)
def test_a_key_that_ssh_would_use_is_none_to_be_named(tmp_path, data, mode):
    assert fleet_with(tmp_path, a_key(tmp_path, data, mode))._connection("n1")


@pytest.mark.skipif(os.getuid() != 0, reason="gives a file to another user")
def test_a_key_of_another_user_is_as_ssh_takes_it(tmp_path):
    key = a_key(tmp_path, PRIVATE, 0o644)
    os.chown(key, 65534, 65534)
    assert fleet_with(tmp_path, key)._connection("n1")


@pytest.mark.parametrize("open_", [True, False])
@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed here")
def test_it_is_what_openssh_says_of_that_key(tmp_path, open_):
    """ssh-keygen -y loads a private key by the same function as ssh."""
    key = tmp_path / "k"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    key.chmod(0o644 if open_ else 0o600)
    done = subprocess.run(
        ["ssh-keygen", "-y", "-f", key], check=False, capture_output=True, text=True
    )
    refused = "UNPROTECTED PRIVATE KEY FILE" in done.stderr
    assert refused == bool(connecting.open_key(key)) == open_


def test_a_key_that_nobody_named_is_left_out_and_said_where_the_login_is_refused(tmp_path):
    client, key = connecting.Client(), a_key(tmp_path, PRIVATE, 0o644)
    client.keys = {}
    for _ in range(2):
        with pytest.raises(connecting.OpenKey, match="others may read it"):
            client._key_from_filepath(str(key), paramiko.Ed25519Key, None)
    connection = types.SimpleNamespace(host="10.0.0.1", port=22, user="op", client=client)
    why = connecting.fault("n1", paramiko.AuthenticationException("no"), connection)
    assert f"check the key; not used: {key}: a private key: others may read it" in why.found
