"""What a host keeps: restarts that writes made necessary, of an earlier version as well."""

import pytest

from fabfile.core.remote import state, steps


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "STATE", str(tmp_path))
    return tmp_path


def test_restarts_that_an_earlier_version_noted_are_pending(kept):
    (kept / "owed").mkdir()
    (kept / "owed/nova-compute").touch()
    assert state.pending_restarts() == ["nova-compute"]
    assert (kept / "owed/nova-compute").exists()  # to ask writes nothing
    state.mark_restart(["glance-api"])
    assert state.pending_restarts() == ["glance-api", "nova-compute"]
    assert not (kept / "owed").exists()


def test_a_restart_that_an_earlier_version_noted_can_be_done(kept):
    (kept / "owed").mkdir()
    (kept / "owed/nova-compute").touch()
    state.clear_restart("nova-compute")
    assert state.pending_restarts() == []


def test_a_restart_that_was_not_pending_is_cleared(kept):
    state.clear_restart("nova-compute")
    assert state.pending_restarts() == []


def test_a_restart_on_another_host_is_owed_here_until_it_is_noted(kept):
    state.mark_restart(["cinder-volume-after-clones", "glance-api"])
    assert list(steps.restarted("run", ["cinder-volume-after-clones"])) == [{}]
    assert state.pending_restarts() == ["glance-api"]
