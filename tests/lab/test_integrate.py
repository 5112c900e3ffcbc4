"""The main job on the real cloud: what issue and README promise of it."""

import configparser
import re
import subprocess

import pytest
from oslo_config import cfg

from .conftest import PACKAGED, PROJECT, inv, on, result

COMPUTES = ("compute01", "compute02")
UNITS = {
    "controller01": ("glance-api", "cinder-volume", "cinder-api", "mariadb"),
    "compute01": ("nova-compute", "libvirtd"),
    "compute02": ("nova-compute", "libvirtd"),
}
FILES = {
    "ceph01": "/etc/ceph /etc/sudoers.d",
    "controller01": "/etc/ceph /etc/glance /etc/cinder /etc/sudoers.d /etc/apt",
    "compute01": "/etc/ceph /etc/nova /etc/libvirt/secrets /etc/sudoers.d /etc/apt",
    "compute02": "/etc/ceph /etc/nova /etc/libvirt/secrets /etc/sudoers.d /etc/apt",
}
pytestmark = pytest.mark.lab


def state():
    """File times and service starts: what a second run must not touch."""
    found = {}
    for host, folders in FILES.items():
        found[host] = on(host, script=f"find {folders} -type f -printf '%p %T@ %C@\\n' | sort")
    for host, units in UNITS.items():
        for unit in units:
            argv = ("systemctl", "show", "-p", "ActiveEnterTimestamp", "-p", "MainPID", unit)
            found[host, unit] = on(host, *argv)
    return found


def effective(text, tmp_path):
    """{(section, key): [values]} by oslo.config's own parser."""
    path = tmp_path / "read.conf"
    path.write_text(text)
    sections = {}
    cfg.ConfigParser(str(path), sections).parse()
    return {(s, k): v for s, keys in sections.items() for k, v in keys.items()}


def comments(text):
    return [line for line in text.splitlines() if line.startswith(("#", ";"))]


@pytest.fixture(scope="module")
def before(lab):
    """The three files of the unconnected cloud."""
    return {path: on(host, "cat", path) for path, host in CONFS.items()}


CONFS = {
    "/etc/glance/glance-api.conf": "controller01",
    "/etc/cinder/cinder.conf": "controller01",
    "/etc/nova/nova.conf": "compute01",
}


def test_check_first_then_integrate_and_writes_nothing_before(before, lab):
    untouched = state()
    shown = inv("integrate", "--check", "--diff", expect=2)
    assert "Plan: " in shown
    assert "+ pool volumes" in shown
    inv("integrate", expect=3)  # nobody to ask, and no --yes
    assert state() == untouched
    inv("integrate", "--yes")


PLANTED = "AQ" + "x" * 36 + "=="


@pytest.mark.plants_a_key
def test_the_scan_finds_a_key_in_a_short_process(lab):
    subprocess.run(["true", PLANTED], check=True)


@pytest.mark.plants_a_key
def test_the_scan_finds_a_key_in_a_log(lab):
    on("compute02", script=f"echo '{PLANTED}' > /var/log/planted.log")


@pytest.mark.plants_a_key
def test_the_scan_finds_a_key_in_the_journal(lab):
    on("compute02", script=f"logger '{PLANTED[:10]}''{PLANTED[10:]}'")


def test_second_run_touches_nothing(integrated):
    untouched = state()
    assert "Nothing to do" in inv("integrate", "--yes")
    inv("integrate", "--check")
    assert state() == untouched


def test_configuration_keeps_every_comment_and_other_option(before, integrated, tmp_path):
    ours = re.compile(
        r"rbd|enabled_backends|show_image_direct_url|default_backend|volume_|report_d|rados"
    )
    for path, host in CONFS.items():
        now = on(host, "cat", path)
        assert comments(now) == comments(before[path])
        old, new = effective(before[path], tmp_path), effective(now, tmp_path)
        changed = {at for at in set(old) | set(new) if old.get(at) != new.get(at)}
        assert changed
        assert all(ours.search(key) or section in ("rbd", "file") for section, key in changed)


def test_secret_is_the_clusters_key_on_every_compute(integrated):
    key = on("ceph01", "ceph", "auth", "get-key", "client.volumes").strip()
    uuids = set()
    for host in COMPUTES:
        uuid = on(host, "virsh", "-q", "secret-list").split()[0]
        uuids.add(uuid)
        assert on(host, "virsh", "-q", "secret-get-value", uuid).strip() == key
    conf = configparser.RawConfigParser(strict=False)
    conf.read_string(on("controller01", "cat", "/etc/cinder/cinder.conf"))
    assert uuids == {conf["rbd"]["rbd_secret_uuid"]}


def test_keyrings_belong_to_their_service_alone(integrated):
    for client, owner in (("images", "glance"), ("volumes", "cinder")):
        path = f"/etc/ceph/ceph.client.{client}.keyring"
        assert on("controller01", "stat", "-c", "%a,%U,%G", path).strip() == f"640,{owner},{owner}"
    assert on("compute01", "stat", "-c", "%a", "/etc/ceph/ceph.conf").strip() == "644"


def test_an_option_altered_by_hand_is_named_and_mended(integrated):
    on("compute02", script="sed -i 's/^rbd_user = .*/rbd_user = wrong/' /etc/nova/nova.conf")
    untouched = state()
    shown = inv("integrate", "--check", "--diff", expect=2)
    assert "compute02" in shown and "- [libvirt] rbd_user = wrong" in shown
    assert "compute01" not in shown and "controller01" not in shown
    inv("integrate", "--yes")
    after = state()
    touched = {at for at in after if after[at] != untouched[at]}
    assert touched == {"compute02", ("compute02", "nova-compute")}
    inv("integrate", "--check")


def test_a_task_alone_finds_the_same_uuid(integrated):
    uuid = on("compute01", "virsh", "-q", "secret-list").split()[0]
    script = "sed -i '/^rbd_secret_uuid/d;/^rbd_user/d' /etc/nova/nova.conf"
    on("compute01", script=script)
    on("controller01", script="sed -i '/^rbd_secret_uuid/d' /etc/cinder/cinder.conf")
    inv("controller.cinder", "--yes")
    assert f"rbd_secret_uuid = {uuid}" in on("controller01", "cat", "/etc/cinder/cinder.conf")
    assert "restart" in inv("services.restart", "--check", expect=2)
    inv("services.restart", "--yes")
    inv("compute.nova", "--yes")
    inv("services.restart", "--yes")
    inv("integrate", "--check")


def test_a_wrong_value_in_libvirt_is_found_and_set_right(integrated):
    uuid = on("compute02", "virsh", "-q", "secret-list").split()[0]
    wrong = f"echo bm90IHRoZSBrZXk= | virsh -q secret-set-value --secret {uuid} --file /dev/stdin"
    on("compute02", script=wrong)
    shown = result(inv("compute.secret", "--check", "--json", expect=2))
    assert [(c["host"], c["sign"]) for c in shown["changes"]] == [("compute02", "~")]
    inv("compute.secret", "--yes")
    inv("integrate", "--check")


def test_bad_input_is_one_clear_answer(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text('name = "x"\nsise = 1\n[hosts]\na = { roles = ["cinder"] }\n')
    inv("integrate", "--check", "--site", str(site), expect=3)
    inv("integrate", "--check", "--limit", "nobody", expect=3)
    inv("--dry", "integrate", expect=3)


def test_the_proof(integrated):
    inv("verify", timeout=900)


def test_grizzly_writes_the_sources_own_lines(integrated, tmp_path):
    """On a lab host's files: the release of 2013 itself is not installed here."""
    job, confs = "/etc/init/cinder-volume.conf", ("glance/glance-api.conf", "cinder/cinder.conf")
    on("controller01", script=f"mkdir -p /etc/init; echo 'start on runlevel' > {job}")
    for conf in confs:
        on("controller01", "cp", "-a", f"/etc/{conf}", f"/etc/{conf}.kept")
    on("controller01", "sed", "-i", "/^enabled_backends/d", f"/etc/{confs[1]}")
    site = tmp_path / "grizzly.toml"
    text = (PROJECT / "config" / "site.toml").read_text()
    site.write_text(text.replace('release = "auto"', 'release = "grizzly"'))
    for task in ("controller.glance", "controller.cinder"):
        inv(task, "--yes", "--site", str(site))
        inv(task, "--check", "--site", str(site))
    glance, cinder = (on("controller01", "cat", f"/etc/{conf}") for conf in confs)
    for line in ("default_store = rbd", "rbd_store_user = images", "rbd_store_pool = images"):
        assert re.search(f"^{line}$", glance, re.M)
    assert re.search("^volume_driver = cinder.volume.driver.RBDDriver$", cinder, re.M)
    upstart = on("controller01", "cat", job)
    assert upstart == 'env CEPH_ARGS="--id volumes"\nstart on runlevel\n'
    for conf in confs:
        on("controller01", "mv", f"/etc/{conf}.kept", f"/etc/{conf}")
    inv("integrate", "--check")


PRISTINE = {"glance": "glance-api.conf", "cinder": "cinder.conf", "nova": "nova.conf"}


OURS = {
    "glance": {
        *(("DEFAULT", key) for key in ("enabled_backends", "show_image_direct_url")),
        ("glance_store", "default_backend"),
        ("file", "filesystem_store_datadir"),
        *(("rbd", f"rbd_store_{key}") for key in ("ceph_conf", "pool", "user")),
    },
    "cinder": {
        ("DEFAULT", "enabled_backends"),
        *(("rbd", f"volume_{key}") for key in ("driver", "backend_name")),
        *(("rbd", f"rbd_{key}") for key in ("pool", "user", "ceph_conf", "secret_uuid")),
        ("rbd", "report_discard_supported"),
    },
    "nova": {("libvirt", "rbd_user"), ("libvirt", "rbd_secret_uuid")},
}


@pytest.mark.parametrize("service", PRISTINE)
def test_debians_pristine_file_loses_nothing(service, integrated, tmp_path):
    """The file as Debian's package brings it, put in the host's place and integrated."""
    host, path = next((h, p) for p, h in CONFS.items() if p.endswith(PRISTINE[service]))
    pristine = (PACKAGED / PRISTINE[service]).read_text()
    on(host, "cp", "-a", path, f"{path}.kept")
    on(host, script=f"cat > {path} <<'PRISTINE'\n{pristine}PRISTINE\n")
    inv("compute.nova" if service == "nova" else f"controller.{service}", "--yes")
    now = on(host, "cat", path)
    on(host, "mv", f"{path}.kept", path)
    inv("services.restart", "--yes")
    assert comments(now) == comments(pristine)
    old, new = effective(pristine, tmp_path), effective(now, tmp_path)
    changed = {at for at in set(old) | set(new) if old.get(at) != new.get(at)}
    assert changed == OURS[service]
