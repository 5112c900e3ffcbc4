"""What a task's end looks like to the operator."""

import pytest
from invoke import Exit

from fabfile import command
from fabfile.core.contract import BadInput
from fabfile.flow import interrupts


def test_a_stop_is_said_without_control_characters(monkeypatch):
    monkeypatch.setattr(interrupts, "raising", lambda: None)

    def action():
        raise BadInput("n1: found \x1b[2J\nand\rmore")

    with pytest.raises(Exit) as caught:
        command.guarded(action)
    assert (caught.value.code, caught.value.message) == (3, "stackrbd: n1: found ?[2J\nand?more")
