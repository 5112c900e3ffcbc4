"""Commands that edit a file of options: run by sed itself, read as oslo.config does."""

import subprocess

import pytest

from fabfile.core.remote import options
from fabfile.model import advice
from fabfile.resources import sed

FILE = """\
[DEFAULT]
before = a
# stores = commented
stores = file,
   http,
\trbd
after = b

[other]
stores = theirs,
  too
[DEFAULT]
stores = again
"""
ONE = "[DEFAULT]\nbefore = a\nstores = x\nafter = b\n[other]\nstores = y\n"
LAST = "[DEFAULT]\nbefore = a\nstores = x,\n  y,\n  z"
COMMENT = "[DEFAULT]\nbefore = a\nstores = x,\n  y\n# after = c\n  \nafter = b\n"
GLUED = "[DEFAULT]\nbefore = a,\n c\nstores:x\nafter = b\n d\n"
REPEATED = "[DEFAULT]\nbefore = a\nstores = a,\n b\nstores = c,\n d\n\nafter = b\n"
TWICE = "[DEFAULT]\nstores = a\nstores = b\nbefore = a\n  c\n[x]\nstores = d\n"


def run(command, path, text):
    """What the file is after an operator typed the command."""
    path.write_text(text)
    assert advice.may_be_typed(command)
    subprocess.run(["sh", "-c", advice.shown(command)], check=True)
    return path.read_text()


@pytest.mark.parametrize("text", [FILE, ONE, LAST, COMMENT, GLUED, REPEATED, TWICE])
def test_an_option_is_taken_out_whole_and_no_other_is_touched(tmp_path, text):
    """A line that goes on in the next would leave that one to the option above."""
    path = tmp_path / "x.conf"
    after = run(sed.without(str(path), "DEFAULT", "stores"), path, text)
    expected = [one for one in options.active(text) if one[:2] != ("DEFAULT", "stores")]
    assert options.active(after) == expected


@pytest.mark.parametrize("text", [FILE, ONE, LAST, COMMENT, GLUED, REPEATED, TWICE])
@pytest.mark.parametrize("new", ["file", "a/b&c\\1", "x:y,z = 1"])
def test_an_option_is_given_another_value_whole(tmp_path, text, new):
    path = tmp_path / "x.conf"
    after = run(sed.setting(str(path), "DEFAULT", "stores", new), path, text)
    expected = [
        (s, k, new) if (s, k) == ("DEFAULT", "stores") else (s, k, v)
        for s, k, v in options.active(text)
    ]
    assert options.active(after) == expected
