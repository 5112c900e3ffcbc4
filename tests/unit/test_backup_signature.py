"""Who made a backup is known before anything of it is read."""

import base64
import os
import shutil
import struct
import subprocess

import pytest

from fabfile.backup import age, signature
from fabfile.backup.signature import Trust
from fabfile.core.contract import BadInput
from fabfile.flow import own_site
from fabfile.flow.backup import key

from .backups import a_signer, a_store, keep

DATA = b'{"format": 1}'


@pytest.fixture
def signer(tmp_path):
    return a_signer(tmp_path)


def test_a_signature_names_its_key(signer):
    text = signer.sign(DATA).encode()
    assert signature.signer_of(DATA, text, "sig") == signer.public
    with pytest.raises(BadInput, match="the backup was altered"):
        signature.signer_of(DATA + b" ", text, "sig")


def ssh_keygen(*words, data=b""):
    argv = [shutil.which("ssh-keygen"), *map(str, words)]
    return subprocess.run(argv, input=data, capture_output=True, check=True).stdout


def test_opensshs_own_program_says_the_same(signer, tmp_path):
    (tmp_path / "sig").write_text(signer.sign(DATA))
    (tmp_path / "allowed").write_text(f"backup {signer.public}\n")
    words = ["-f", tmp_path / "allowed", "-I", "backup", "-n", signature.NAMESPACE]
    assert b"Good" in ssh_keygen("-Y", "verify", *words, "-s", tmp_path / "sig", data=DATA)
    (tmp_path / "data").write_bytes(DATA)
    how = ["-q", "-f", tmp_path / "key.sign", "-n", signature.NAMESPACE]
    ssh_keygen("-Y", "sign", *how, tmp_path / "data")
    made = (tmp_path / "data.sig").read_bytes()
    assert signature.signer_of(DATA, made, "sig") == signer.public
    assert signature.fingerprint(signer.public).encode() in ssh_keygen("-lf", tmp_path / "key.sign")


@pytest.mark.parametrize(
    "harm",
    [
        lambda text: b"",
        lambda text: b"\n",
        lambda text: b"\xff" * 100,
        lambda text: text[:-40],
        lambda text: text.replace(b"SIGNATURE", b"SIGNATUR"),
        lambda text: text.replace(b"U1NIU0lH", b"U1NIU0lI"),
        lambda text: text.splitlines()[0] + b"\n" + text.splitlines()[-1],
        lambda text: text + b"more\n",
        lambda text: text.replace(b"\n", b"\n!!!", 1),
    ],
)
def test_what_is_no_signature_is_refused(signer, harm):
    with pytest.raises(BadInput, match="expected a signature of OpenSSH's"):
        signature.signer_of(DATA, harm(signer.sign(DATA).encode()), "sig")


def in_armour(blob):
    text = base64.b64encode(blob)
    return b"-----BEGIN SSH SIGNATURE-----\n" + text + b"\n-----END SSH SIGNATURE-----\n"


def test_a_signature_for_another_purpose_or_of_another_kind_is_none(signer):
    text = signer.sign(DATA).encode()
    blob = base64.b64decode(b"".join(text.splitlines()[1:-1]))
    for old, new in (
        (b"stackrbd-backup", b"stackrbd-bakcup"),
        (b"ssh-ed25519", b"ssh-ed25510"),
        (b"sha512", b"sha256"),
        (struct.pack(">I", 1), struct.pack(">I", 2)),
        (struct.pack(">I", 51), struct.pack(">I", 2**31)),
    ):
        with pytest.raises(BadInput, match="expected a signature of OpenSSH's"):
            signature.signer_of(DATA, in_armour(blob.replace(old, new)), "sig")
    with pytest.raises(BadInput, match="the backup was altered"):
        signature.signer_of(DATA, in_armour(blob[:-1] + bytes([blob[-1] ^ 1])), "sig")
    for end in range(0, len(blob), 7):
        with pytest.raises(BadInput):
            signature.signer_of(DATA, in_armour(blob[:end]), "sig")


@pytest.mark.parametrize(
    "make, mode, cause",
    [
        (None, 0o600, "no such file; inv backup.key makes it"),
        (signature.save_key, 0o644, "others may read it"),
        (lambda path: path.write_text("AAAA"), 0o600, "expected an Ed25519 key"),
        (lambda path: path.write_bytes(b"\xff" * 4000), 0o600, "expected an Ed25519 key"),
        (lambda path: path.write_bytes(b"\xff" * 9000), 0o600, "expected at most 4096 bytes"),
        (lambda path: path.mkdir(), 0o700, "Is a directory"),
    ],
)
def test_a_key_that_is_none_is_refused(tmp_path, make, mode, cause):
    path = tmp_path / "sign"
    if make:
        make(path)
        path.chmod(mode)
    with pytest.raises(BadInput, match=cause):
        signature.load_key(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("load", [signature.load_key, age.load_identities])
@pytest.mark.parametrize("which", ["file", "folder", "link"])
def test_a_key_that_another_may_exchange_is_refused(tmp_path, load, which):
    path = tmp_path / "keys" / "key"
    (signature.save_key if load is signature.load_key else age.save_identity)(path)
    load(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    asked = link if which == "link" else path
    given = {"file": path, "folder": path.parent, "link": link}[which]
    os.chown(given, 65534, 65534, follow_symlinks=False)
    with pytest.raises(BadInput, match="it belongs to nobody; who may write there decides"):
        load(asked)


@pytest.mark.parametrize("words", [["-t", "ed25519", "-N", "hush"], ["-t", "ecdsa", "-N", ""]])
def test_a_key_with_a_passphrase_or_of_another_kind_is_refused(tmp_path, words):
    ssh_keygen("-q", *words, "-f", tmp_path / "sign")
    with pytest.raises(BadInput, match="expected an Ed25519 key of OpenSSH's without a passphrase"):
        signature.load_key(tmp_path / "sign")


# A store believes those that it was told of


def forged(store, signer, other):
    """By somebody who can write there and knows the recipient, and has no key that signs."""
    return keep(store, "r")


def by_another_key(store, signer, other):
    return keep(store, "r", other)


def with_anothers_signature(store, signer, other):
    path = keep(store, "r")
    shutil.copy(keep(store, "r2", signer) / "manifest.json.sig", path)
    return path


def altered_since(store, signer, other):
    path = keep(store, "r", signer)
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text.replace('"units"', '"Units"'))
    return path


def part_exchanged(store, signer, other):
    path = keep(store, "r", signer)
    (path / "ctl.age").write_bytes(b"SEALED")
    return path


def part_exchanged_and_its_digest(store, signer, other):
    path, new = keep(store, "r", signer), keep(store, "r2", data=b"SEALED")
    for name in ("ctl.age", "manifest.json"):
        shutil.copy(new / name, path / name)
    return path


def signature_taken_away(store, signer, other):
    path = keep(store, "r", signer)
    (path / "manifest.json.sig").unlink()
    return path


def signature_that_leads_nowhere(store, signer, other):
    path = signature_taken_away(store, signer, other)
    (path / "manifest.json.sig").symlink_to("gone")
    return path


def signature_that_is_no_file(store, signer, other):
    path = signature_taken_away(store, signer, other)
    (path / "manifest.json.sig").mkdir()
    return path


def huge_signature(store, signer, other):
    path = keep(store, "r", signer)
    (path / "manifest.json.sig").write_bytes(b"-" * 10_000_000)
    return path


WRONG = [
    (forged, "is not signed.*--even-if-forged"),
    (signature_taken_away, "is not signed.*--even-if-forged"),
    (by_another_key, r'expected one of backup.signers, found SHA256:.*signers = \["ssh-ed25519'),
    (with_anothers_signature, "was altered"),
    (altered_since, "was altered"),
    (part_exchanged, "was altered"),
    (part_exchanged_and_its_digest, "was altered"),
    (signature_that_leads_nowhere, "is broken: a link"),
    (signature_that_is_no_file, "expected a file"),
    (huge_signature, "larger than"),
]


@pytest.mark.parametrize("make, cause", WRONG)
def test_what_is_not_authentic_is_refused_before_anything_of_it_is_decoded(
    tmp_path, monkeypatch, signer, make, cause
):
    (tmp_path / "other").mkdir()
    store = a_store(tmp_path, signer)
    make(store, signer, a_signer(tmp_path / "other"))
    monkeypatch.setattr(age, "reseal", None)  # nobody asks for a key
    with pytest.raises(BadInput, match=cause):
        store.outgoing("r", store.manifest("r"), [])
    with pytest.raises(BadInput, match=cause):
        store.refuse_altered("r")


def test_nobodys_backup_is_taken_where_nobody_is_believed(tmp_path, signer):
    store = a_store(tmp_path)
    keep(store, "r", signer)
    with pytest.raises(BadInput, match="expected one of backup.signers"):
        store.manifest("r")


@pytest.mark.parametrize("make, cause", WRONG)
def test_the_flag_takes_what_nobody_signed_and_nothing_that_is_signed_wrongly(
    tmp_path, signer, make, cause
):
    (tmp_path / "other").mkdir()
    make(a_store(tmp_path, signer), signer, a_signer(tmp_path / "other"))
    store = a_store(tmp_path, signer, unsigned=True)
    if "--even-if-forged" in cause:
        assert store.manifest("r")["record"] == "r"
        assert not store.is_signed("r")
        return
    with pytest.raises(BadInput, match=cause):
        store.refuse_altered("r")


def test_only_what_is_signed_is_the_last_one(tmp_path, signer):
    store = a_store(tmp_path, signer)
    keep(store, "r1", signer, time=1000)
    keep(store, "r2", time=2000)
    assert store.named("") == "r1"
    assert [name for name, about in store.all() if "broken" in about] == ["r2"]


# The keys


SITE = """\
name = "lab"
hosts.ceph01.roles = ["ceph"]
hosts.ctl.roles = ["glance", "cinder", "database"]
backup.identity = "{at}/keys/open"
backup.signing_key = "{at}/keys/sign"
"""


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text(SITE.format(at=tmp_path))
    return str(path)


def test_both_keys_are_made_for_their_owner_alone_and_never_written_over(tmp_path, site, capsys):
    assert key.make("", site) == 0
    said = capsys.readouterr().out
    for name in ("open", "sign"):
        assert (tmp_path / "keys" / name).stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "keys" / name).read_text() not in said
    assert 'recipients = ["age1' in said and 'signers = ["ssh-ed25519 AAAA' in said
    assert "PRIVATE" not in said and "SECRET" not in said
    before = {path: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    with pytest.raises(BadInput, match="never written over"):
        key.make("", site)
    assert {path: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before


def test_what_it_prints_is_a_site_file(tmp_path, site, capsys):
    key.make("", site)
    lines = [line for line in capsys.readouterr().out.splitlines() if " = " in line]
    with open(site, "a") as stream:
        stream.writelines(f"backup.{line}\n" for line in lines)
    found = own_site.named(site)
    assert key.trust(found) == Trust(frozenset(found.backup.signers))
    assert key.signer(found).public == found.backup.signers[0]


@pytest.mark.parametrize("there", ["open", "sign"])
def test_the_key_that_is_there_stays_and_the_other_is_made(tmp_path, site, there, capsys):
    key.make("", site)
    other = {"open": "sign", "sign": "open"}[there]
    (tmp_path / "keys" / other).unlink()
    before = (tmp_path / "keys" / there).read_bytes()
    capsys.readouterr()
    assert key.make("", site) == 0
    assert (tmp_path / "keys" / there).read_bytes() == before
    assert ("recipients" in capsys.readouterr().out) == (there == "sign")


def test_both_go_where_it_is_said(tmp_path, site, capsys):
    key.make(str(tmp_path / "stick" / "key"), site)
    assert {path.name for path in (tmp_path / "stick").iterdir()} == {"key", "key.sign"}
    assert f'signing_key = "{tmp_path}/stick/key.sign"' in capsys.readouterr().out


def test_ones_own_key_is_believed_and_others_only_by_name(tmp_path, site, signer):
    assert key.trust(own_site.named(site)) == Trust()
    with pytest.raises(BadInput, match="inv backup.key makes it"):
        key.signer(own_site.named(site))
    key.make("", site)
    with open(site, "a") as stream:
        stream.write(f'backup.signers = ["{signer.public}"]\n')
    found = own_site.named(site)
    assert key.trust(found).signers == {signer.public, key.signer(found).public}
    assert key.trust(found, True).unsigned
