"""The README's pictures: a terminal's recording, as SVG that loads nothing."""

import re
import subprocess
import xml.etree.ElementTree as ET

import pytest

from manual import recorder, terminal


@pytest.mark.parametrize(
    "output, expected",
    [
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\n\n\n", ["a"]),
        ("reading 1\rreading 2\r\ndone\r\n", ["reading 2", "done"]),
        ("\x1b[32m+\x1b[0m pool\r\n", ["\x1b[32m+\x1b[0m pool"]),
        ("\x1b[2Ka\x1b[1Ab\x1b[?25h\r\n", ["ab"]),
        ("\x1b(Bx\x07\r\n", ["x"]),
        ("", []),
        ("no end", ["no end"]),
    ],
)
def test_a_recording_has_lines(output, expected):
    assert terminal.lines_of(output) == expected


@pytest.mark.parametrize("number, kept", [(0, 0), (5, 5), (17, 17), (18, 17), (400, 17)])
def test_a_long_output_is_shortened_in_its_middle(number, kept):
    found = terminal.shortened([str(n) for n in range(number)])
    assert len(found) == kept
    if number > kept:
        assert f"{number - 16} more lines" in found[9]
        assert (found[0], found[-1]) == ("0", str(number - 1))


RUNS = [
    ("inv plan", "\x1b[32m+\x1b[0m pool volumes <new> & more\r\n" * 40),
    ("inv verify", "ok   an image " + "x" * 300 + "\r\n\x1b]0;title\x07日本語\r\n"),
]


def test_the_picture_is_svg_that_loads_nothing():
    made = terminal.svg("stackrbd", RUNS)
    root = ET.fromstring(made)  # noqa: S314 (made here)
    assert root.tag.endswith("svg")
    text = "".join(root.itertext()).replace("\xa0", " ")
    assert "$ inv plan" in text and "$ inv verify" in text and "24 more lines" in text
    assert "pool volumes <new> & more" in text
    assert not re.search(r"url\((?!#)|@import|<script|<image|href=", made)
    assert re.findall(r"https?://[^\s\"<]+", made) == [
        "http://www.w3.org/2000/svg",
        "https://www.textualize.io",
    ]
    wide = max(float(x) for x in re.findall(r'<text[^>]* x="([\d.]+)"', made))
    assert wide < float(root.get("viewBox").split()[2])


def test_it_is_the_same_each_time():
    assert terminal.svg("stackrbd", RUNS) == terminal.svg("stackrbd", RUNS)


def test_pictures_stand_in_a_readme_once():
    text = (recorder.ROOT / "README.md").read_text()
    images = recorder.IMAGES["README.md"]
    once = recorder.with_pictures(text, images)
    assert recorder.with_pictures(once, images) == once
    lines = once.splitlines()
    assert [lines.count(image) for image in images] == [1, 1]
    assert set(text.splitlines()) <= set(lines)


def test_a_command_is_recorded_as_a_terminal_has_it(monkeypatch, tmp_path):
    monkeypatch.setattr(recorder, "ROOT", tmp_path)
    program = tmp_path / ".venv" / "bin" / "say"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\ntest -t 1 && echo terminal $COLUMNS $CI; exit $1\n")
    program.chmod(0o755)
    assert terminal.lines_of(recorder.recorded("say 0")) == ["terminal 100 1"]
    with pytest.raises(subprocess.CalledProcessError):
        recorder.recorded("say 3")
