"""init --cloud as a task: who is asked how often, what is refused, what is printed and written."""

import json
import stat
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import tomli

from fabfile.adopt import settled
from fabfile.cloud import connection, holdings, machines, offered, qos, volume_types
from fabfile.core import site_file
from fabfile.core.contract import BadInput, Failed, Unreachable
from fabfile.flow import engine
from fabfile.flow.inspect import adopting
from fabfile.flow.session import Options
from fabfile.model import site as sites

from . import adopted as a
from . import clouds
from . import test_adopt_clusters as two_clusters
from .states import DEBIAN, PLATFORMS


class Fleet:
    """Hosts that answer by the name of what they are asked; asked: each trip, as (host, reads)."""

    warnings = ()

    def __init__(self, seen, gone=()):
        self.seen, self.gone, self.asked, self.trips = seen, dict(gone), [], {}
        self.conversations = SimpleNamespace(raise_if_stopped=lambda: None, stop=lambda: None)

    def work(self, works, heard, streams=None):
        faults = {}
        for host, work in works.items():
            assert not work.get("steps") and "hold" not in work
            self.trips[host] = self.trips.get(host, 0) + 1
            self.asked.append((host, [read["id"] for read in work["reads"]]))
            if host in self.gone:
                faults[host] = Unreachable(f"{host}: {self.gone[host]}")
                continue
            for read in work["reads"]:
                self.answer(host, read, heard)
        return faults

    def answer(self, host, read, heard):
        known = self.seen.get(host, {})
        value = known.get(read["id"])
        if read["verb"] == "packages":
            value = {name: known.get("packages", {}).get(name) for name in read["args"]["names"]}
        elif read["id"] not in known and read["verb"] not in ("options", "file"):
            heard(host, {"t": "read", "id": read["id"], "error": "no such thing"})
            return
        if read["id"] == "host":
            value = {**value, "time": time.time()}
        heard(host, {"t": "read", "id": read["id"], "value": value})

    def close(self):
        pass


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(connection, "connect", lambda *_: None)
    monkeypatch.setattr(machines, "read", lambda cloud: a.API)
    monkeypatch.setattr(volume_types, "read", lambda cloud: a.TYPES["volume_types"])
    monkeypatch.setattr(qos, "read", lambda cloud: {})
    monkeypatch.setattr(offered, "read", lambda cloud: a.OFFERED)
    monkeypatch.setattr(holdings, "read", lambda cloud: a.VOLUMES)

    def act(seen=None, gone=(), **flags):
        fleet = Fleet(a.hosts() if seen is None else seen, gone)
        monkeypatch.setattr(engine, "fleet", lambda hosts, ssh, forks, where="": fleet)
        asked = adopting.Asked(**{"out": "new.toml", "cloud": "prod", "ceph": "ceph01", **flags})
        code = adopting.adopt({}, Options(json=True), asked)
        said = capsys.readouterr()
        return code, json.loads(said.out.splitlines()[-1]), fleet, said.err

    return act


def test_two_trips_to_each_host_and_a_file_of_ones_own(run, tmp_path):
    code, told, fleet, shown = run()
    file = tmp_path / "new.toml"
    assert code == 0
    assert fleet.trips == dict.fromkeys(("ceph01", "ctl", "n1", "n2"), 2)
    assert told["changes"] == 0 and told["refused"] == [] and told["connected"]
    assert told["file"] == str(file) or told["file"] == "new.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    site = sites.check(tomli.loads(file.read_text()), "new.toml", PLATFORMS)
    assert [one.name for one in site.cinder.all] == [a.BACKEND]
    assert "Its plan was empty when it was written." in file.read_text()
    assert "written in " in shown


def test_hosts_of_another_platform_are_asked_again_as_that_one(run, tmp_path, monkeypatch):
    arch = {**DEBIAN, "name": "arch", "systems": ["arch"]}
    monkeypatch.setattr(site_file, "platforms", lambda: [*PLATFORMS, arch])
    seen = a.hosts()
    seen["n2"]["host"]["os"] = "arch"
    code, told, fleet, _ = run(seen)
    assert code == 0 and told["connected"]
    assert fleet.trips == {"ceph01": 2, "ctl": 2, "n1": 2, "n2": 3}
    raw = tomli.loads((tmp_path / "new.toml").read_text())
    assert {name: host.get("platform") for name, host in raw["hosts"].items()} == {
        "ceph01": None,
        "ctl": None,
        "n1": None,
        "n2": "arch",
    }


def test_the_guest_is_proposed_of_what_is_there_and_fits_the_site_file(run, tmp_path):
    run()
    text = (tmp_path / "new.toml").read_text()
    lines = text[text.index("#[verify]") :].splitlines()
    assert lines == [
        "#[verify]",
        '#flavor = "lab.tiny"  # the smallest there is',
        '#image = "cirros"',
        '#guest = "<folder>"',
    ]
    raw = tomli.loads(text + "\n".join(line.removeprefix("#") for line in lines[:3]))
    assert sites.check(raw, "new.toml", PLATFORMS).verify.image == "cirros"


@pytest.mark.parametrize("empty", [True, False])
def test_the_last_lines_send_to_what_is_left_to_do(run, monkeypatch, empty):
    made = settled.settled
    refused = () if empty else ("ctl: it is another pool's",)
    monkeypatch.setattr(settled, "settled", lambda *said: replace(made(*said), refused=refused))
    *_, shown = run()
    last = shown[shown.index("written in ") :]
    assert ("inv plan --site new.toml" in last) != empty
    assert "inv doctor --site new.toml" in last
    said = " ".join(last.split())
    assert "inv verify needs [verify] of that file filled in, and only you know which" in said
    assert last.rstrip().endswith("inv verify --site new.toml")


def test_without_a_cloud_verify_needs_that_too(run, tmp_path):
    (tmp_path / "hosts").write_text("[control]\nctl\n[compute]\nn1\nn2\n")
    *_, shown = run(cloud="", inventory=str(tmp_path / "hosts"))
    assert "inv verify needs `cloud` and [verify]" in " ".join(shown.split())


def test_a_cloud_that_does_not_say_what_it_offers_is_described_all_the_same(
    run, tmp_path, monkeypatch
):
    def refused(cloud):
        raise Failed("glance-api is down")

    monkeypatch.setattr(offered, "read", refused)
    code, _, _, shown = run()
    assert code == 0 and "None is proposed for [verify]: glance-api is down" in shown
    assert '#flavor = "<a flavor that is there>"\n' in (tmp_path / "new.toml").read_text()


@pytest.mark.parametrize("named", ["ceph01,west01", ""], ids=["named", "by their admin keyrings"])
def test_a_second_cluster_costs_one_trip_to_its_host_and_where_its_conf_is(run, tmp_path, named):
    (tmp_path / "hosts").write_text("[control]\nctl\nceph01\nwest01\n[compute]\nn1\nn2\n")
    code, told, fleet, _ = run(two_clusters.seen(), ceph=named, inventory=str(tmp_path / "hosts"))
    assert (code, told["changes"], told["refused"]) == (0, 0, [])
    assert told["hosts"]["west01"] == {"roles": ["ceph"], "cluster": "west"}
    first = 2 if named else 3
    assert fleet.trips == {"ceph01": first, "west01": 3, "ctl": 3, "n1": 2, "n2": 2}
    asked = [host for host, names in fleet.asked if "ceph.users" in names]
    assert asked == ["ceph01", "west01", "ceph01"]


def test_a_file_that_is_there_is_refused_before_anybody_is_asked(run, tmp_path):
    (tmp_path / "new.toml").write_text("mine")
    with pytest.raises(BadInput, match="is there already; name another file by --out"):
        run()
    assert (tmp_path / "new.toml").read_text() == "mine"


def test_a_link_that_leads_nowhere_is_refused_too(run, tmp_path):
    (tmp_path / "new.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="is there already"):
        run()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "flags, said",
    [
        ({"out": "none/new.toml"}, "there is no folder"),
        ({"cloud": "", "ceph": ""}, "no host is named"),
        ({"cloud": "a b"}, "--cloud: expected a name"),
        ({"ceph": "a b"}, "--ceph: expected a host's name"),
        ({"inventory": "none"}, "--inventory"),
        ({"sudo_password_command": "a 'b"}, "--sudo-password-command"),
    ],
)
def test_what_cannot_be_meant_is_refused(run, tmp_path, flags, said):
    with pytest.raises(BadInput, match=said):
        run(**flags)
    assert not (tmp_path / "new.toml").exists()


def test_without_ceph_the_host_with_the_admin_keyring_is_found(run, tmp_path):
    seen = a.hosts()
    seen["ctl"] |= {
        n: v
        for n, v in seen["ceph01"].items()
        if n.startswith("ceph.") and n not in ("ceph.conf", "ceph.keyrings")
    }
    seen["ctl"]["adopt.there"] = a.there(admin=True)
    code, told, fleet, _ = run(seen, ceph="")
    assert told["hosts"]["ctl"]["roles"][0] == "ceph"
    assert fleet.trips["ctl"] == 3


def test_where_nobody_has_it_the_monitors_are_named(run, tmp_path):
    with pytest.raises(
        BadInput, match=f"--ceph HOST .ceph.conf names monitors at {clouds.MONITOR}"
    ):
        run(ceph="")
    assert not (tmp_path / "new.toml").exists()


def test_hosts_that_are_gone_are_left_out_and_the_exit_code_tells(run, tmp_path):
    code, told, _, shown = run(gone={"n2": "no route to host"}.items())
    assert code == Unreachable.code
    assert told["left_out"] == {"n2": "not reached: n2: no route to host"}
    assert told["changes"] == 0
    assert "Left out: n2: not reached" in shown


@pytest.mark.parametrize("gone", [["ceph01"], ["ceph01", "ctl", "n1", "n2"]])
def test_without_the_cluster_nothing_is_written(run, tmp_path, gone):
    with pytest.raises(Unreachable):
        run(gone=dict.fromkeys(gone, "no route to host").items())
    assert not (tmp_path / "new.toml").exists()


def test_a_host_that_cannot_ask_the_cluster_is_not_taken_for_it(run, tmp_path):
    seen = a.hosts()
    del seen["ceph01"]["ceph.monmap"]
    with pytest.raises(Failed, match="name another host by --ceph"):
        run(seen)
    assert not (tmp_path / "new.toml").exists()


def test_the_inventory_says_how_hosts_are_reached(run, tmp_path):
    (tmp_path / "hosts").write_text(
        "[control]\nctl ansible_host=192.0.2.1 ansible_user=ops\n[compute]\nn1\nn2\n"
    )
    _, told, _, _ = run(inventory=str(tmp_path / "hosts"))
    assert told["hosts"]["ctl"]["address"] == "192.0.2.1"
    assert told["hosts"]["ctl"]["user"] == "ops"


def test_how_the_operator_reaches_hosts_is_in_the_file(run, tmp_path):
    (tmp_path / "ssh").write_text("Host *\n")
    run(ssh_config="ssh", sudo_password_command="cat '/x y'", clouds_yaml="clouds.yaml")
    raw = tomli.loads((tmp_path / "new.toml").read_text())
    assert raw["ssh"] == {"config": str(tmp_path / "ssh"), "sudo_password_command": ["cat", "/x y"]}
    assert raw["clouds_yaml"] == str(tmp_path / "clouds.yaml")


def test_no_key_and_no_fingerprint_is_written_or_shown(run, tmp_path):
    _, told, _, shown = run()
    everything = (tmp_path / "new.toml").read_text() + json.dumps(told) + shown
    assert "sha256:" not in everything
