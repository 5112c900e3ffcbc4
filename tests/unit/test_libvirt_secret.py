"""The secret in each compute's libvirt: what is defined, and how its value travels."""

import base64
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

from fabfile.core.contract import BadInput, Facts, Ref, Refused
from fabfile.model import site as sites
from fabfile.resources import libvirt_secret
from fabfile.resources.libvirt_secret import OPTIONS

from .states import (
    DEBIAN,
    EPHEMERAL,
    FSID,
    HOSTS,
    KEY,
    OTHER,
    PLATFORMS,
    THIRD,
    VIRSH_READS_FILES,
    cluster,
    secret,
    site,
    user,
)

NEW_KEY = "sha256:" + "b" * 64


VOLUMES = (user("volumes"),)


def plan(n1, users=VOLUMES, known=None, virsh=VIRSH_READS_FILES, **more):
    hosts = {"ceph01": cluster(users=users), "n1": {"libvirt.secrets": n1, OPTIONS: virsh}}
    known = known or {"uuid.volumes": FSID}
    return libvirt_secret.plan(site(**more), Facts(hosts, known))


def defined(change):
    """(uuid, usage type, name, ephemeral, private) of the XML that is sent."""
    assert change.args["argv"] == ["virsh", "-q", "secret-define", "/dev/stdin"]
    root = ET.fromstring("".join(change.args["stdin"]))  # noqa: S314 (our own)
    usage = root.find("usage")
    return (
        root.findtext("uuid"),
        usage.get("type"),
        usage.findtext("name"),
        root.get("ephemeral"),
        root.get("private"),
    )


def test_a_missing_secret_is_defined_and_then_filled():
    define, fill = plan({})
    assert defined(define) == (FSID, "ceph", "client.volumes secret", "no", "no")
    assert fill.args["argv"][2:5] == ["secret-set-value", "--secret", FSID]
    assert [(c.host, c.verb, c.sign, c.wave) for c in (define, fill)] == [("n1", "run", "+", 2)] * 2
    assert fill.diff == ("- value (none)", f"+ value {KEY}")


def test_the_key_goes_by_standard_input_and_never_by_an_argument():
    fill = plan({})[1]
    assert fill.args["stdin"] == [Ref("key:client.volumes")]
    assert fill.args["argv"][-2:] == ["--file", "/dev/stdin"]
    assert fill.args["stdin"] == [Ref("key:client.volumes")]


@pytest.mark.parametrize("value", [KEY, KEY + "\n", f" {KEY} \n"])
def test_values_are_compared_without_the_newline_of_virsh(value):
    assert plan(secret(FSID, value=value)) == []


def test_a_changed_key_is_set_anew_under_the_same_uuid():
    (fill,) = plan(secret(FSID.upper()), users=[user("volumes", NEW_KEY)])
    assert (fill.sign, fill.args["argv"][4]) == ("~", FSID)
    assert fill.diff == (f"- value {KEY}", f"+ value {NEW_KEY}")


def test_a_key_that_the_run_makes_is_waited_for():
    (fill,) = plan(secret(FSID), users=[])
    assert fill.args["stdin"] == [Ref("key:client.volumes")]
    assert fill.diff[1] == "+ value (made during the run)"


@pytest.mark.parametrize(
    "there, name",
    [
        (secret(OTHER, name="somebody else's"), "client.volumes secret"),
        (secret(OTHER, name="client.volumes"), "client.volumes secret"),
        (secret(OTHER), f"client.volumes secret {FSID}"),
        ({**secret(OTHER), **secret(THIRD, "x")}, f"client.volumes secret {FSID}"),
    ],
)
def test_a_name_that_is_taken_gets_longer(there, name):
    assert defined(plan(there)[0])[2] == name


def test_a_secret_of_another_kind_is_no_hindrance():
    there = secret(OTHER)
    there[OTHER]["xml"]["out"] = (
        f"<secret ephemeral='no' private='yes'><uuid>{OTHER}</uuid>"
        "<usage type='volume'><volume>/a.img</volume></usage></secret>"
    )
    assert defined(plan(there)[0])[2] == "client.volumes secret"


def test_a_private_secret_is_named_with_its_host():
    with pytest.raises(BadInput, match=f"^n1: libvirt secret {FSID} is private"):
        plan(secret(FSID, private="yes", value=None))


def test_a_client_of_its_own_for_novas_disks_has_its_own_secret():
    users = [user("volumes"), user("vms", NEW_KEY)]
    known = {"uuid.volumes": FSID, "uuid.vms": OTHER}
    define, fill = plan(secret(FSID), users, known, **EPHEMERAL)
    assert defined(define)[:3] == (OTHER, "ceph", "client.vms secret")
    assert (fill.args["argv"][4], fill.args["stdin"]) == (OTHER, [Ref("key:client.vms")])
    there = {**secret(FSID), **secret(OTHER, "client.vms secret", NEW_KEY)}
    assert plan(there, users, known, **EPHEMERAL) == []


def test_only_computes_that_were_asked_are_planned():
    assert {c.host for c in plan({})} == {"n1"}


def test_what_is_no_xml_is_named():
    assert libvirt_secret.usage_of("") is None
    assert libvirt_secret.usage_of("<secret/>") == ""


# virsh before libvirt 6.2 takes a value as an argument alone

OLD_HELP = """  SYNOPSIS
    secret-set-value <secret> <base64>

  OPTIONS
    [--secret] <string>  secret UUID
    [--base64] <string>  base64-encoded secret value
"""


def told(text, code=0):
    return {"code": code, "out": text, "err": ""}


@pytest.mark.parametrize("there", [{}, secret(FSID, value=None), secret(FSID, value=NEW_KEY)])
def test_an_older_virsh_is_told_no_key_as_an_argument(there):
    fill = plan(there, virsh=told(OLD_HELP))[-1]
    assert fill.args["argv"][:3] == ["python3", "-I", "-c"]
    assert fill.args["argv"][4:] == [FSID]
    assert fill.args["stdin"] == [Ref("key:client.volumes")]
    if fill.args["undo"]:
        back = fill.args["undo"]["args"]
        assert back["argv"] == fill.args["argv"] and list(back["stdin"][0]) == ["old"]


@pytest.mark.parametrize(
    "virsh", [None, told("", 1), told("error: command 'secret-set-value' doesn't exist", 1)]
)
def test_what_virsh_takes_is_known_before_anything_is_written(virsh):
    with pytest.raises(Refused, match=r"n1: libvirt secret .*libvirt 6\.2") as stop:
        plan({}, virsh=virsh)
    assert "--limit" in stop.value.advice
    assert plan(secret(FSID), virsh=virsh) == []  # nothing to set, nothing to refuse


def test_a_virsh_in_a_container_has_its_library_there():
    table = {**DEBIAN, "name": "boxed"}
    table["commands"] = {**DEBIAN["commands"], "virsh": ["podman", "exec", "-i", "l", "virsh"]}
    raw = {"name": "test", "hosts": HOSTS, "platform": "boxed"}
    here = sites.check(raw, "site.toml", [*PLATFORMS, table])
    hosts = {"ceph01": cluster(users=VOLUMES), "n1": {"libvirt.secrets": {}}}
    known = {"uuid.volumes": FSID}
    hosts["n1"][OPTIONS] = told(OLD_HELP)
    with pytest.raises(Refused, match="n1: libvirt secret"):
        libvirt_secret.plan(here, Facts(hosts, known))
    hosts["n1"][OPTIONS] = VIRSH_READS_FILES
    fill = libvirt_secret.plan(here, Facts(hosts, known))[1]
    assert fill.args["argv"][:6] == ["podman", "exec", "-i", "l", "virsh", "secret-set-value"]


LIBRARY = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int connection, secret;
void *virConnectOpen(const char *name) { return name || getenv("DOWN") ? 0 : &connection; }
void *virSecretLookupByUUIDString(void *conn, const char *uuid) {
    return conn == &connection && !strcmp(uuid, getenv("UUID")) ? &secret : 0; }
int virSecretSetValue(void *one, const unsigned char *value, size_t size, unsigned flags) {
    if (one != &secret || flags || getenv("REFUSES")) return -1;
    FILE *kept = fopen(getenv("KEPT"), "w");
    fwrite(value, 1, size, kept);
    return fclose(kept); }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A folder with a libvirt.so.0 that keeps what it is given in a file."""
    if not shutil.which("cc"):
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("library")
    (folder / "it.c").write_text(LIBRARY)
    made = ["cc", "-shared", "-fPIC", "-o", str(folder / "libvirt.so.0"), str(folder / "it.c")]
    subprocess.run(made, check=True)
    return folder


def filled(folder, given, **environment):
    """(exit code, what is said, the value that libvirt got) of the planned argument list."""
    argv = plan({}, virsh=told(OLD_HELP))[1].args["argv"]
    kept = folder / "kept"
    kept.unlink(missing_ok=True)
    found = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(folder), "KEPT": str(kept)}
    done = subprocess.run(
        argv,
        input=given,
        capture_output=True,
        env={"UUID": FSID, **found, **environment},
        check=False,
    )
    said = (done.stdout + done.stderr).decode()
    return done.returncode, said, kept.read_bytes() if kept.exists() else None


@pytest.mark.parametrize("value", [b"a real key", bytes(range(256)), b"\0\0", b"x" * 28])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_library_is_given_the_key_itself(library, value, end):
    given = base64.b64encode(value) + end
    assert filled(library, given) == (0, "", value)


@pytest.mark.parametrize("wrong", [{"DOWN": "1"}, {"UUID": OTHER}, {"REFUSES": "1"}])
def test_a_library_that_does_not_take_it_fails_the_step_and_says_no_key(library, wrong):
    key = base64.b64encode(b"a real key")
    code, said, kept = filled(library, key, **wrong)
    assert (code, kept) == (1, None)
    assert "libvirt did not take" in said and key.decode() not in said


def test_a_module_in_the_working_folder_is_not_run(library, tmp_path, monkeypatch):
    (tmp_path / "base64.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert filled(library, base64.b64encode(b"k"))[0] == 0
