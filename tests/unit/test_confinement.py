"""What SELinux and AppArmor deny: the kernel's lines, what matters of them, and labels.

The lines are of the forms of auditd and of the kernel's own log; no host here has a policy.
"""

import pytest

from fabfile.core.remote import confinement, steps
from fabfile.core.remote.processes import Failed

NOW = 1_700_000_000
SELINUX = (
    'type=AVC msg=audit({at}.123:45): avc:  denied  {{ {does} }} for  pid=812 comm="glance-api" '
    "{what} scontext=system_u:system_r:{who}:s0 tcontext=system_u:object_r:x_t:s0 "
    "tclass={kind} permissive={permissive}"
)
APPARMOR = (
    '{at}.5 n1 kernel: audit: type=1400 audit({at}.5:7): apparmor="DENIED" operation="open" '
    'profile="libvirt-0d1a0000-0000-4000-8000-000000000001" name="{what}" pid=1 '
    'comm="qemu-system-x86" requested_mask="r" denied_mask="r" fsuid=64055 ouid=0'
)


def selinux(
    does="read",
    what='name="ceph.conf"',
    who="glance_api_t",
    kind="file",
    permissive=0,
    at=NOW,
):
    return SELINUX.format(does=does, what=what, who=who, kind=kind, permissive=permissive, at=at)


def apparmor(what="/etc/ceph/ceph.client.volumes.keyring", at=NOW):
    return APPARMOR.format(what=what, at=at)


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Its files, what programs answer ({name: answer}), and what was called."""
    answers, called = {}, []

    def call(argv, **how):
        called.append(argv)
        return answers.get(argv[0], (0, "", ""))

    monkeypatch.setattr(confinement, "call", call)
    monkeypatch.setattr(confinement, "_now", lambda: float(NOW + 60))
    for name in ("_ENFORCE", "_APPARMOR", "_AUDIT"):
        monkeypatch.setattr(confinement, name, str(tmp_path / name))
    return tmp_path, answers, called


def test_where_neither_is_on_nothing_is_asked(host):
    (host[0] / "_AUDIT").write_text(selinux())
    found = confinement.confinement(["/etc/ceph"], 3600)
    assert found == {"selinux": "off", "labels": [], "denials": []}
    assert host[2] == []


@pytest.mark.parametrize("text, mode", [("1", "enforcing"), ("0\n", "permissive"), ("", "off")])
def test_the_mode_is_the_kernels(host, text, mode):
    (host[0] / "_ENFORCE").write_text(text)
    assert confinement.confinement([], 1)["selinux"] == mode


@pytest.mark.parametrize(
    "line, expected",
    [
        (selinux(), ("selinux", "read", "glance_api_t", "ceph.conf", "file", False)),
        (
            selinux("name_connect", "dest=6789", kind="tcp_socket", permissive=1),
            ("selinux", "name_connect", "glance_api_t", "6789", "tcp_socket", True),
        ),
        (
            selinux("read open", 'path="/etc/ceph/ceph.conf" dev="vda1" ino=1', "svirt_t"),
            ("selinux", "read open", "svirt_t", "/etc/ceph/ceph.conf", "file", False),
        ),
        (
            apparmor(),
            (
                "apparmor",
                "r",
                "libvirt-0d1a0000-0000-4000-8000-000000000001",
                "/etc/ceph/ceph.client.volumes.keyring",
                "open",
                False,
            ),
        ),
        ("user said avc: denied { read } and nothing else", None),
        ('x apparmor="ALLOWED" operation="open" name="/etc/ceph/x" DENIED', None),
        ("", None),
    ],
)
def test_a_line_of_the_kernels(line, expected):
    found = confinement.denials([(1.0, line)])
    keys = ("by", "does", "who", "what", "kind", "permitted")
    assert [tuple(one[key] for key in keys) for one in found] == ([expected] if expected else [])


def test_equal_denials_are_one_and_old_ones_are_none(host):
    at, answers, called = host
    (at / "_APPARMOR").write_text("Y\n")
    old = apparmor("/etc/ceph/old", at=NOW - 7200)
    (at / "_AUDIT").write_text("\n".join([selinux(), selinux(at=NOW + 5), old, "x"]))
    answers["journalctl"] = (0, apparmor() + "\n" + apparmor() + "\n", "")
    found = confinement.confinement([], 3600)["denials"]
    assert [(one["by"], one["last"]) for one in found] == [("selinux", NOW + 5), ("apparmor", NOW)]
    assert f"--since=@{NOW + 60 - 3600}" in called[-1]


def test_what_could_not_be_looked_at_is_not_nothing(host):
    at, answers, _ = host
    (at / "_ENFORCE").write_text("1")
    answers["journalctl"] = (1, "", "Failed to open journal")
    with pytest.raises(Failed, match="journalctl: Failed to open"):
        confinement.confinement([], 60)
    answers["restorecon"] = (255, "", "no policy")
    with pytest.raises(Failed, match="restorecon: no policy"):
        confinement.confinement([str(at)], 60)


def test_labels_are_compared_with_the_policys(host):
    at, answers, called = host
    (at / "_ENFORCE").write_text("0")
    answers["restorecon"] = (0, f"Would relabel {at} from u:o:tmp_t:s0 to u:o:etc_t:s0\nx\n", "")
    found = confinement.confinement([str(at), str(at / "absent")], 60)["labels"]
    assert found == [{"path": str(at), "is": "u:o:tmp_t:s0", "should": "u:o:etc_t:s0"}]
    assert called[0] == ["restorecon", "-n", "-v", str(at)]


# New files get the label of their place

OWN = {"mode": "0644", "owner": "root", "group": "root"}


@pytest.fixture
def labelled(monkeypatch):
    found = []
    monkeypatch.setattr(confinement, "restore", found.append)
    monkeypatch.setattr(steps.files, "write", lambda path, *_, **__: None)
    monkeypatch.setattr(steps.files, "folder", lambda path, *_: None)
    monkeypatch.setattr(steps.state, "keep", lambda run, data: "kept")
    return found


@pytest.mark.parametrize("is_there", [False, True])
def test_what_is_new_is_labelled_and_what_is_there_keeps_its_label(tmp_path, labelled, is_there):
    path, brought = tmp_path / "x", tmp_path / "brought"
    brought.write_text("new")
    if is_there:
        path.write_text("old")
    before = steps.files.sha256(b"old") if is_there else None
    made = {"path": str(path), "before": before, **OWN}
    for step in (
        steps.write("r", content=["new"], **made),
        steps.place("r", staged=str(brought), **made),
    ):
        list(step)
    assert labelled == ([] if is_there else [str(path)] * 2)


def test_a_new_folder_is_labelled(tmp_path, labelled):
    list(steps.folder("r", str(tmp_path / "new"), **OWN))
    assert labelled == [str(tmp_path / "new")]


@pytest.mark.parametrize("enforce, asked", [("1", 1), ("0", 1), (None, 0)])
def test_labels_are_restored_where_there_is_selinux(host, enforce, asked):
    if enforce:
        (host[0] / "_ENFORCE").write_text(enforce)
    confinement.restore("/etc/x")
    assert host[2] == [["restorecon", "/etc/x"]] * asked
    host[1]["restorecon"] = (1, "", "Operation not permitted")
    if asked:
        with pytest.raises(Failed, match="restorecon /etc/x: Operation not permitted"):
            confinement.restore("/etc/x")
