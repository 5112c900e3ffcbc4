"""A kept plan: for its owner alone, whole, and refused where it is not one."""

import json
import resource
import signal
from types import SimpleNamespace

import pytest
from invoke import Config, Context, Exit

from fabfile import integration
from fabfile.core import journal
from fabfile.core.contract import BadInput, Change, Plan, Ref
from fabfile.flow import plan_file
from fabfile.flow.converge import _refuse_stale
from fabfile.flow.session import Options

CHANGE = Change("n1", "a file", "write", "~", "write", {"content": ["k = ", Ref("key:x")]}, 2)


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text("name = 'x'\n")
    said = []
    screen = SimpleNamespace(say=lambda line, whole=False: said.append(line))
    return SimpleNamespace(path=path, options=Options(limit="n*"), screen=screen, said=said)


@pytest.fixture
def kept(run, tmp_path):
    path = tmp_path / "plan.json"
    plan_file.save(str(path), run, Plan((CHANGE,)))
    return path


def test_it_comes_back_as_it_was_written(kept, run):
    document = plan_file.load(str(kept))
    assert kept.stat().st_mode & 0o777 == 0o600
    assert document["changes"] == journal.as_data([CHANGE])
    assert document["changes"][0]["args"]["content"] == ["k = ", {"ref": "key:x"}]
    assert (document["limit"], plan_file.site_of(document)) == ("n*", str(run.path))
    _refuse_stale(document["changes"], Plan((CHANGE,)))


def test_it_is_never_written_over_a_file(kept, run):
    before = kept.read_text()
    with pytest.raises(BadInput, match="is there already"):
        plan_file.save(str(kept), run, Plan((CHANGE,)))
    assert kept.read_text() == before


def test_another_site_file_makes_it_stale(kept, run):
    run.path.write_text("name = 'y'\n")
    with pytest.raises(BadInput, match="stale"):
        plan_file.site_of(plan_file.load(str(kept)))


@pytest.mark.parametrize(
    "now",
    [
        (),
        (CHANGE, CHANGE),
        (Change("n1", "a file", "write", "~", "write", {"content": ["other"]}, 2),),
        (Change("n2", *list(vars(CHANGE).values())[1:]),),
    ],
)
def test_another_plan_makes_it_stale(kept, now):
    with pytest.raises(BadInput, match="stale"):
        _refuse_stale(plan_file.load(str(kept))["changes"], Plan(now))


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "found no JSON"),
        ("{", "found no JSON"),
        ("[]", "something else"),
        ("{}", "something else"),
        ('{"changes": []}', "something else"),
    ],
)
def test_what_is_no_plan_is_refused(tmp_path, text, said):
    path = tmp_path / "x"
    path.write_text(text)
    with pytest.raises(BadInput, match=said):
        plan_file.load(str(path))


def test_a_plan_of_another_format_is_refused(kept):
    document = json.loads(kept.read_text())
    kept.write_text(json.dumps({**document, "stackrbd plan": 2}))
    with pytest.raises(BadInput, match="expected format 1, found 2"):
        plan_file.load(str(kept))


def test_hosts_that_were_left_out_and_how_many_may_be_are_kept_with_it(run, tmp_path):
    run.options = Options(max_fail="2%")
    plan_file.save(str(tmp_path / "p"), run, Plan((CHANGE,), (), {"n2": "is deaf"}))
    document = plan_file.load(str(tmp_path / "p"))
    assert document["max_fail"] == "2%"
    assert {h: str(why) for h, why in plan_file.left_out(document).items()} == {"n2": "n2: is deaf"}


def test_a_plan_from_before_hosts_could_be_left_out_leaves_out_none(kept):
    document = json.loads(kept.read_text())
    del document["left_out"], document["max_fail"]
    kept.write_text(json.dumps(document))
    assert plan_file.left_out(plan_file.load(str(kept))) == {}


def test_a_truncated_plan_is_refused(kept):
    kept.write_text(kept.read_text()[:-20])
    with pytest.raises(BadInput, match="found no JSON"):
        plan_file.load(str(kept))


def test_a_plan_that_is_not_there(tmp_path):
    with pytest.raises(BadInput, match="inv plan --out"):
        plan_file.load(str(tmp_path / "none"))


@pytest.mark.parametrize(
    "more",
    [
        {"site": "x"},
        {"site": {}},
        {"site": {"file": 5, "sha256": ""}},
        {"left_out": []},
        {"site": {"file": "a\0b", "sha256": ""}},
        {"left_out": {"n1": 5}},
        {"limit": 5},
        {"limit": None},
        {"max_fail": 3},
        {"changes": {}},
        {"changes": [1]},
        {"changes": None},
        {"changes": [{"host": {}}]},
        {"changes": [{**journal.as_data([CHANGE])[0], "host": []}]},
        {"changes": [{**journal.as_data([CHANGE])[0], "args": 5}]},
    ],
)
def test_a_plan_that_was_altered_by_hand_is_named(kept, more):
    document = json.loads(kept.read_text()) | more
    kept.write_text(json.dumps(document))
    (name,) = more
    with pytest.raises(BadInput, match=f"plan.json: {name}: not as inv plan --out writes it"):
        plan_file.load(str(kept))


def test_no_depth_of_brackets_is_a_plan(tmp_path):
    path = tmp_path / "p"
    path.write_text("[" * 100_000)
    with pytest.raises(BadInput, match="expected a plan by inv plan --out"):
        plan_file.load(str(path))


def test_half_a_plan_is_never_kept(run, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = tmp_path / "p"
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        with pytest.raises(BadInput, match="nothing was kept"):
            plan_file.save(str(path), run, Plan((CHANGE,) * 50))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert not path.exists()


def site(tmp_path, ssh):
    path = tmp_path / "s.toml"
    hosts = 'name = "prod"\nhosts.c1 = { roles = ["ceph"], address = "127.0.0.1", port = 9 }\n'
    path.write_text(f"{hosts}[ssh]\n{ssh}\n")
    return path


def applied(tmp_path, monkeypatch, ssh, yes=False):
    """How `inv apply` ends, of a plan that names a site file with that [ssh]."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = site(tmp_path, ssh)
    plan = {"stackrbd plan": 1, "made": "", "by": "", "limit": "", "changes": []}
    plan["site"] = {"file": str(path), "sha256": plan_file.digest(path)}
    (tmp_path / "change.json").write_text(json.dumps(plan))
    return lambda: integration.apply(Context(Config()), file=str(tmp_path / "change.json"), yes=yes)


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda folder: (folder / "s.toml").chmod(0o666), "the site file: others may write it"),
        (lambda folder: (folder / "change.json").chmod(0o666), "the plan: others may write it"),
        (lambda folder: folder.chmod(0o777), "others may write it"),
    ],
)
def test_what_a_plan_that_others_may_write_names_is_never_run(tmp_path, monkeypatch, spoil, said):
    apply = applied(tmp_path, monkeypatch, f'sudo_password_command = ["touch", "{tmp_path}/ran"]')
    spoil(tmp_path)
    with pytest.raises(Exit) as ended:
        apply()
    assert said in ended.value.message and ended.value.code == 3
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "ssh, shown",
    [
        ('sudo_password_command = ["touch", "{0}/ran", "a b"]', "touch {0}/ran 'a b'"),
        ('config = "{0}/c"', "proxycommand: touch {0}/ran; nc %h %p"),
    ],
)
def test_what_a_plans_site_file_runs_is_shown_before_it_is_run(
    tmp_path, monkeypatch, capsys, ssh, shown
):
    (tmp_path / "c").write_text(f"Host *\n  ProxyCommand touch {tmp_path}/ran; nc %h %p\n")
    apply = applied(tmp_path, monkeypatch, ssh.format(tmp_path))
    with pytest.raises(Exit, match="give --yes if that may be run"):
        apply()
    assert shown.format(tmp_path) in capsys.readouterr().out
    assert not (tmp_path / "ran").exists()
