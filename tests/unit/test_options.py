"""The editor of oslo.config files, held against oslo.config's own parser."""

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oslo_config import cfg, iniparser

from fabfile.core.remote import options

HOSTILE = "a\n[keystone_authtoken]\npassword = evil"


def oslo(text):
    """{(section, key): [values]} as oslo.config reads the text from a file."""
    sections, normalized = {}, {}
    parser = cfg.ConfigParser("a file", sections)
    parser._add_normalized(normalized)
    lines = io.StringIO(text, newline=None).readlines()  # newlines as open() reads them
    iniparser.BaseParser.parse(parser, lines)
    return {(s, k): v for s, keys in normalized.items() for k, v in keys.items()}


names = st.text(st.sampled_from("abcxyz_"), min_size=1, max_size=3)
sections = st.sampled_from(["DEFAULT", "libvirt", "Libvirt", "rbd", "glance_store"])
plain = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=12
)
values = plain | st.sampled_from(['"', "''", '"q"', " lead", "trail ", "a = b", "#x", "a ; b"])
blanks = st.sampled_from(["", "   ", "\t"])
marks = st.sampled_from(["#", "# ", ";"])
comments = st.builds(lambda m, k, v: f"{m}{k} = {v}", marks, names, plain)
assignments = st.builds(
    lambda k, sep, v, more: "\n".join([f"{k}{sep}{v}", *more]),
    names,
    st.sampled_from(["=", " = ", ":", " : ", "= "]),
    values,
    st.lists(
        st.sampled_from(["  more", "\t# not a comment", "  [looks] like", " b = 2"]), max_size=2
    ),
)
headers = sections.map(lambda s: f"[{s}]")
documents = st.builds(
    lambda lines, newline, end: (
        newline.join("\n".join(lines).split("\n")) + (newline if end else "")
    ),
    st.lists(headers | assignments | comments | blanks, max_size=14),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
edits = st.lists(st.tuples(sections, names, values | st.none()), min_size=1, max_size=4)


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents, edits)
def test_any_document_any_edit(text, wanted):
    try:
        before = oslo(text)
    except iniparser.ParseError:
        with pytest.raises(options.ParseError):
            options.edit(text, wanted)
        return
    result = options.edit(text, wanted)
    after = oslo(result)
    final = {(options.same_section(s), k): v for s, k, v in wanted}
    for at, value in final.items():
        assert (after.get(at) or [None])[-1] == value
    for at in set(before) | set(after):
        if at not in final:
            assert after.get(at) == before.get(at)
    assert options.edit(result, wanted) == result or len(final) < len(wanted)
    assert comment_lines(text) == comment_lines(result)


def by_every_line(text):
    """As active(), or what it raises, by the way that looks at each line."""
    try:
        found = options._scanned(options._lines(text))[1]
    except options.ParseError as error:
        return str(error)
    return [(o.section, o.key, "\n".join(o.values)) for o in found]


def fast(text):
    try:
        return options.active(text)
    except options.ParseError as error:
        return str(error)


AT_ENDS = [
    "",
    "\n",
    "x",
    "#",
    "[x]",
    "[x]\na",
    "[x]\na=1",
    "\n[x]\na=1\n",
    "# a\n[x]\na=1",
    "[x]\na = 1\n more",
    "[x]\na = 1\n# between\n more",
    "[x]\na = 1\n\n more",
    "[x]\na = 1\n   \n more",
    "[x]\na = 1\n more\n\tand more\nb = 2\n",
    " [x]\na = 1\n",
    "[x]\n;a = 1\n#b = 2\nc = 3\n",
    "\ufeff[x]\na = 1\n",
    "#\n\ufeff[x]\na = 1\n",
    "\n\ufeffa = 1\n",
    "[x]\na = 1\u2028b = 2\x85c = 3\x0bd\x0ce\x1cf\n",
    "[x]\n\x0b= 1\na = \x0c\n",
    "[x]\na = \0\n\udcffb = \udcff\n",
    "[x]\r\na = 1\r\n more\r\n",
    "[x]\ra = 1\r more\r\rb = 2",
    "[x]\na = 1\r\n\r\n more\n",
    "[x]\n" + "#c\n" * 300 + "a\n",
    "#c\n" * 300 + "a = 1\n",
    "[x\n",
    "[]\n",
    "[x]\n= 1\n",
]


@pytest.mark.parametrize("text", AT_ENDS)
def test_the_fast_way_is_the_one_by_every_line(text):
    """What it finds, and which line it refuses."""
    assert fast(text) == by_every_line(text)


pieces = st.sampled_from(
    ["\n", "\n", "\r", "\r\n", " ", "\t", "#", ";", "[x]", "[", "]", "=", ":", "a", "b = 1", '"']
    + ["\ufeff", "\x85", "\u2028", "\x0b", "\x0c", "\x1c", "\0", "\udcff", "ü"]
)


@settings(max_examples=3000, deadline=None)
@given(st.lists(pieces, max_size=40).map("".join) | documents)
def test_the_fast_way_is_the_one_by_every_line_whatever_stands_there(text):
    assert fast(text) == by_every_line(text)


def test_lines_end_where_oslo_ends_them():
    text = "a\nb\r\nc\rd\x0be\x85f\u2028g\r\r\n\n"
    assert options._lines(text) == ["a\n", "b\r\n", "c\r", "d\x0be\x85f\u2028g\r", "\r\n", "\n"]


def comment_lines(text):
    return [line.rstrip() for line in text.splitlines() if line[:1] in "#;" and line]


def test_reads_as_oslo_does():
    text = "[DEFAULT]\na = 1\n  more\na: 'two'\n\n[x]\nb = c ; d\n[DEFAULT]\na=3\n"
    assert options.effective(text) == {("DEFAULT", "a"): "3", ("x", "b"): "c ; d"}
    assert {k: v[-1] for k, v in oslo(text).items()} == options.effective(text)


@pytest.mark.parametrize(
    "text, section, key, value, expected",
    [
        ("", "rbd", "a", "1", "[rbd]\na = 1\n"),
        ("[rbd]", "rbd", "a", "1", "[rbd]\na = 1\n"),
        ("[rbd]\n#a = 0\n#b = 0\n", "rbd", "a", "1", "[rbd]\n#a = 0\na = 1\n#b = 0\n"),
        ("[rbd]\n# a = 0\n", "rbd", "a", "1", "[rbd]\n# a = 0\na = 1\n"),
        ("[rbd]\na = 0\n  0\nb = 2\n", "rbd", "a", "1", "[rbd]\na = 1\nb = 2\n"),
        ("[rbd]\na = 0\n[DEFAULT]\na = 9\n", "rbd", "a", "1", "[rbd]\na = 1\n[DEFAULT]\na = 9\n"),
        ("[rbd]\r\na = 0\r\n", "rbd", "b", "1", "[rbd]\r\na = 0\r\nb = 1\r\n"),
        ("[rbd]\na = 0", "rbd", "a", "1", "[rbd]\na = 1"),
        ("[RBD]\na = 0\n", "rbd", "a", "1", "[RBD]\na = 1\n"),
        ("[rbd]\na = 1\n", "rbd", "a", "1", "[rbd]\na = 1\n"),
        ("[rbd]\na = 1\na = 2\n", "rbd", "a", None, "[rbd]\n"),
        ("[x]\nb = 1\n\n[y]\n", "x", "a", "1", "[x]\nb = 1\na = 1\n\n[y]\n"),
        ("[x]\nb = 1\n", "y", "a", " 1", '[x]\nb = 1\n\n[y]\na = " 1"\n'),
    ],
)
def test_edit(text, section, key, value, expected):
    assert options.edit(text, [(section, key, value)]) == expected


@pytest.mark.parametrize(
    "section, key, value",
    [
        ("x", "a", HOSTILE),
        ("x", "a", "tab\there"),
        ("x", HOSTILE, "1"),
        ("x", "[a", "1"),
        ("x", "#a", "1"),
        ("x", "a=b", "1"),
        ("x", "", "1"),
        ("x\n[y", "a", "1"),
        ("", "a", "1"),
    ],
)
def test_refuses_what_the_file_could_not_hold(section, key, value):
    with pytest.raises(ValueError):
        options.edit("[q]\n", [(section, key, value)])


@pytest.mark.parametrize(
    "text, where",
    [
        ("a = 1\n", "line 1"),
        ("[x]\n  a = 1\n", "line 2"),
        ("[x]\na = 1\n\n  b\n", "line 4"),
        ("[x\n", "line 1"),
        ("[x]\nno value\n", "line 2"),
        ("[x]\n= 1\n", "line 2"),
        ("\ufeff[x]\n", "line 1"),
    ],
)
def test_says_which_line_is_broken(text, where):
    with pytest.raises(options.ParseError, match=where):
        options.active(text)


def test_stray_changes_names_what_else_changed():
    before, after = "[x]\na = 1\nb = 2\n", "[x]\na = 9\nb = 3\n"
    assert options.stray_changes(before, after, [("x", "a", "9")]) == [("x", "b")]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("[DEFAULT]\na = 1\n\n[x]\nb = 2\n", "[DEFAULT]\na = 1\n"),
        ("[DEFAULT]\na = 1\n[x]\nb = 2\n", "[DEFAULT]\na = 1\n"),
        ("[DEFAULT]\n\n[X]\nb = 2\n\n[y]\nc = 3\n", "[DEFAULT]\n\n[y]\nc = 3\n"),
        ("[x]\nb = 2\n", ""),
        ("[x]\nb = 2\n  more\n[y]\n[x]\nb = 3\n", "[y]\n"),
        ("[DEFAULT]\r\n\r\n[x]\r\nb = 2\r\n", "[DEFAULT]\r\n"),
        # What a person wrote there keeps its heading.
        ("[x]\n# mine\nb = 2\n", "[x]\n# mine\n"),
        ("[x]\nb = 2\nc = 3\n", "[x]\nc = 3\n"),
        ("[y]\nb = 2\n", "[y]\nb = 2\n"),
    ],
)
def test_a_section_is_taken_out_whole(text, expected):
    assert options.edit(text, [["x", "b", None], ["x", None, None]]) == expected
    assert options.stray_changes(text, expected, [["x", "b", None], ["x", None, None]]) == []


@settings(deadline=None)
@given(st.lists(st.tuples(names, plain), min_size=1, max_size=4, unique_by=lambda one: one[0]))
def test_what_came_goes_byte_for_byte(given_):
    before = "[DEFAULT]\na = 1\n# x\n\n[rbd]\nb = 2\n"
    edits = [["new", key, value.strip()] for key, value in given_]
    after = options.edit(before, edits)
    out = [["new", key, None] for key, _ in given_]
    assert options.edit(after, [*out, ["new", None, None]]) == before
