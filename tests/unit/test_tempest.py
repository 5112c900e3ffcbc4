"""The table of a run of tempest: nothing is lost, no reason is missing."""

import configparser
import re
from pathlib import Path

import pytest

from tests.tempest import conf
from tests.tempest.table import LeftOut, Outcome, table

HERE = Path(__file__).parents[1] / "tempest"
SELECTED = ["a.b.One.test_x[id-1]", "a.b.One.test_y[id-2]", "a.b.Two.test_z[id-3]"]
NOTHING = LeftOut(())


def outcome(test, status="success", reason="", traceback=""):
    return Outcome(test, status, 1.0, reason, traceback)


def test_all_pass():
    shown, good = table(SELECTED, [outcome(t) for t in SELECTED], NOTHING, 61)
    assert good
    assert "3  passed" in shown and "0  failed" in shown and "time: 1 min 1 s" in shown


def test_a_class_that_is_skipped_counts_its_tests():
    done = [outcome("setUpClass (a.b.One)", "skip", "no backup"), outcome(SELECTED[2])]
    shown, good = table(SELECTED, done, NOTHING, 1)
    assert good
    assert re.search(r"2  skipped:\n +2  no backup", shown)


@pytest.mark.parametrize("status", ["fail", "error", "inprogress", "uxsuccess"])
def test_what_neither_passed_nor_was_skipped_failed(status):
    done = [outcome(t) for t in SELECTED[:2]]
    done.append(outcome(SELECTED[2], status, traceback="Traceback\n  x\nOops: 500"))
    shown, good = table(SELECTED, done, NOTHING, 1)
    assert not good
    assert f"1  failed\n{'':10}  {SELECTED[2]}: Oops: 500" in shown


def test_a_class_that_could_not_be_set_up_failed():
    done = [outcome("setUpClass (a.b.One)", "fail"), outcome(SELECTED[2])]
    shown, good = table(SELECTED, done, NOTHING, 1)
    assert not good and "setUpClass (a.b.One): no traceback" in shown


def test_a_test_of_which_nothing_was_heard_is_no_success():
    shown, good = table(SELECTED, [outcome(SELECTED[0])], NOTHING, 1)
    assert not good and "2  never ended" in shown


def test_what_is_left_out_is_counted_with_its_reason():
    left_out = LeftOut(((re.compile(r"\.Two\."), "no way out"),))
    shown, good = table(SELECTED, [outcome(t) for t in SELECTED[:2]], left_out, 1)
    assert good
    assert re.search(r"1  skipped:\n +1  left out: no way out", shown)
    assert left_out.unused(SELECTED) == []
    assert left_out.unused(SELECTED[:2]) == [r"\.Two\."]


@pytest.mark.parametrize(
    "row", ["tests = 'x'", "tests = 'x'\nreason = ' '", "tests = 'x'\nreason = 'y'\nmore = 1"]
)
def test_a_row_without_a_reason_is_refused(row, tmp_path):
    path = tmp_path / "left_out.toml"
    path.write_text(f"[[left_out]]\n{row}\n")
    with pytest.raises((ValueError, KeyError)):
        LeftOut.read(path, "trixie")


def test_the_data_files_are_whole():
    assert LeftOut.read(HERE / "left_out.toml", "trixie").rows


def test_a_row_may_be_of_some_generations_alone(tmp_path):
    path = tmp_path / "left_out.toml"
    path.write_text('[[left_out]]\ntests = \'a\'\ngenerations = ["bullseye"]\nreason = "old"\n')
    assert LeftOut.read(path, "bullseye").reason("a") == "old"
    assert LeftOut.read(path, "trixie").reason("a") is None
    lines = (HERE / "selected.txt").read_text().splitlines()
    assert [re.compile(line) for line in lines if not line.startswith("#")]


def test_the_password_stays_as_it_is(tmp_path):
    """oslo.config fills in dollars: a password is no template."""
    cloud = conf.Cloud(
        "http://a:5000/v3", "p%s#x", "r", "i", "f", "g", "2.93", "3.70", "west", "s", True, True
    )
    parser = configparser.RawConfigParser()
    parser.read_string(conf.text(cloud, tmp_path))
    assert parser["auth"]["admin_password"] == "p%s#x"
    assert parser["service_available"]["swift"] == "false"
    assert parser["volume"]["volume_type"] == "west"
    assert parser["volume-feature-enabled"]["backup"] == "true"
    assert parser["image-feature-enabled"]["image_format_enforcement"] == "true"
