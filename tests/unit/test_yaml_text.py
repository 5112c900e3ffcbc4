"""Variables of a YAML file are set by exchanging their lines: all else keeps its bytes."""

import pytest

from fabfile.resources import yaml_text

ITEM = {"name": "a", "x": "2", "enabled": True}
VALUES = [
    ("", 'q: "1"\n'),
    ("---\n", '---\nq: "1"\n'),
    ("a: 1", 'a: 1\nq: "1"\n'),
    ("# all\n# comments\n", '# all\n# comments\nq: "1"\n'),
    ('#q: "0"\n# more\na: 1\n', '#q: "0"\nq: "1"\n# more\na: 1\n'),
    ("b: |\n  #q: 0\n  c\n#  q: 0\n", 'b: |\n  #q: 0\n  c\n#  q: 0\nq: "1"\n'),
    ("b: |\n  x\n#q: 0\nc: 1\n", 'b: |\n  x\n#q: 0\nq: "1"\nc: 1\n'),
    ("q:   0   # why\nz: 1\n", 'q:   "1"   # why\nz: 1\n'),
    ("q:\nz: 1\n", 'q: "1"\nz: 1\n'),
    ("q: # none\n", 'q: "1" # none\n'),
    ("q: '0'\nq: 7 # twice\n", "q: '0'\nq: \"1\" # twice\n"),
    ("q: |\n  two\n  lines\n\n# z\nz: 1\n", 'q: "1"\n\n# z\nz: 1\n'),
    ("q: [1, 2] # c\nz: 1\n", 'q: "1"\nz: 1\n'),
    ("q: !vault |\n  $ANSIBLE_VAULT\n  616263\nz: 1\n", 'q: "1"\nz: 1\n'),
    ("q: 0 # why\r\nz: 1\r\n", 'q: "1" # why\r\nz: 1\r\n'),
    ("\ufeffq: 0\nz: 1\n", '\ufeffq: "1"\nz: 1\n'),
    ("'q': 0\nz: 1\n", "'q': \"1\"\nz: 1\n"),
    ("s: !vault |\n  $ANSIBLE_VAULT\n", 's: !vault |\n  $ANSIBLE_VAULT\nq: "1"\n'),
    ("a: &x {b: 1}\nc: *x\n", 'a: &x {b: 1}\nc: *x\nq: "1"\n'),
]


@pytest.mark.parametrize("text, expected", VALUES)
def test_a_variable_is_set_and_the_rest_stays(text, expected):
    found = yaml_text.altered(text, {"q": "1"}, {})
    assert found == expected
    assert yaml_text.read(found)["q"] == "1"


LISTS = [
    ("", "l:\n  - name: a\n    x: '2'\n    enabled: true\n"),
    ("l: []\nz: 1\n", "l:\n  - name: a\n    x: '2'\n    enabled: true\nz: 1\n"),
    (
        "l:\n  # ours\n  - name: a\n    x: 1\n    y: '{{ v }}'\n\n"
        "  # other\n  - name: b\n\n# z\nz: 1\n",
        "l:\n  # ours\n  - name: a\n    x: '2'\n    y: '{{ v }}'\n    enabled: true\n\n"
        "  # other\n  - name: b\n\n# z\nz: 1\n",
    ),
    ("l:\n- name: b", "l:\n- name: b\n- name: a\n  x: '2'\n  enabled: true\n"),
    ("l:\n- name: b\n\n# end\n", "l:\n- name: b\n- name: a\n  x: '2'\n  enabled: true\n\n# end\n"),
    (
        "l: [x, [y], {name: [z]}, {b: 1}]\n",
        "l:\n  - x\n  - - y\n  - name:\n    - z\n  - b: 1\n"
        "  - name: a\n    x: '2'\n    enabled: true\n",
    ),
    (
        "l: [{name: b}, {name: a, y: 1}]\nz: 1\n",
        "l:\n  - name: b\n  - name: a\n    y: 1\n    x: '2'\n    enabled: true\nz: 1\n",
    ),
]


@pytest.mark.parametrize("text, expected", LISTS)
def test_an_item_of_a_list_is_known_by_its_name(text, expected):
    assert yaml_text.altered(text, {}, {"l": [ITEM]}) == expected


REFUSED = [
    ("[a]\n", "expected variables"),
    ("{a: 1}\n", "expected variables"),
    ("just words\n", "expected variables"),
    ("a: b: c\n", "line 1: .*mapping values"),
    ("x: [\n", "line 2: .*expected the node"),
    ("\tx: 1\n", "line 1"),
    ("a: 1\n---\nb: 2\n", "single document"),
    ("a: 1\n...\n", "alter more|document"),
    ("l:\n- name: a\n  x: !vault y\n", "a tag or an anchor"),
    ("l:\n-\n  name: a\n", "expected '- '"),
    ("a: " + "[" * 5000, "nested deeper than 32"),
    ("x" * (1 << 20) + "y", "more than"),
    ("a: &x 1\nb: 2\nq: *x\nz: 1\n", r"line 3: q is an alias"),
    ("a: &x [1]\nb: 2\nq: *x\nz: 1\n", r"line 3: q is an alias"),
    ("a: &x [1]\nb: 2\nl: *x # c\nz: 1\n", r"line 3: l is an alias"),
    ("a: &x {q: 2}\n<<: *x\n", "line 2: '<<'"),
    ("a: &x {q: 2}\nb: 1\n<<: [*x]\n", "line 3: '<<'"),
    ("# x\x85\nq: [1, 2]\n# kept\nz: 1\n", "line 1: ends with"),
    ("# x\nb: 1 # \u2028\nq: [1, 2]\n# kept\n", "line 2: ends with"),
    ("# x\u2029\nq: |\n  two\n# kept\nz: 1\n", "line 1: ends with"),
    ("a: 1\rq: [1]\r# kept\r", "line 1: ends with"),
    ('a: "\\UFFFFFFFF"\n', "a letter that there is not"),
    ('a: "\\U7fffffff"\n', "chr|letter"),
    ('l:\n- name: a\n  d: "\\UFFFFFFFF"\n', "a letter that there is not"),
    ("a: &a [1]\n" + "".join(f"b{n}: *a\n" for n in range(21)), "more than 20 aliases"),
]


@pytest.mark.parametrize("text, said", REFUSED, ids=lambda value: value[:20])
def test_what_cannot_be_edited_by_lines_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        yaml_text.altered(text, {"q": "1"}, {"l": [ITEM]})


AT = ("t", "a", "k")
TABLES = [
    ("", 't:\n  a:\n    k: "1"\n'),
    ("z: 1", 'z: 1\nt:\n  a:\n    k: "1"\n'),
    ("t:\nz: 1\n", 't:\n  a:\n    k: "1"\nz: 1\n'),
    ("t: # none\n", 't: # none\n  a:\n    k: "1"\n'),
    ("t: {}  # none\nz: 1\n", "t:  # none\n  a:\n    k: '1'\nz: 1\n"),
    ("t: {a: {x: [y]}}\n", "t:\n  a:\n    x:\n    - y\n    k: '1'\n"),
    ("t: {a: {x: 0}, b: {}}\n", "t:\n  a:\n    x: 0\n    k: '1'\n  b: {}\n"),
    ("t:\n  a: {x: 0} # c\n  b: 2\n", "t:\n  a: # c\n    x: 0\n    k: '1'\n  b: 2\n"),
    ("t:\n  a:\n    k: 0  # c\n  b: 2\n", 't:\n  a:\n    k: "1"  # c\n  b: 2\n'),
    ("t:\n  a:\n    x: 0\n\n# z\nz: 1\n", 't:\n  a:\n    x: 0\n    k: "1"\n\n# z\nz: 1\n'),
    ("t:\n    a:\n        x: 0", 't:\n    a:\n        x: 0\n        k: "1"\n'),
    ("t:\n  b: 2\nz: 1\n", 't:\n  b: 2\n  a:\n    k: "1"\nz: 1\n'),
    ("t:\n  'a':\n    x: |\n      y\n", "t:\n  'a':\n    x: |\n      y\n    k: \"1\"\n"),
    ("t:\n  a:\n    p: !vault |\n      61\n", 't:\n  a:\n    p: !vault |\n      61\n    k: "1"\n'),
]


@pytest.mark.parametrize("text, expected", TABLES)
def test_a_key_of_a_table_is_set_and_other_keys_stay(text, expected):
    found = yaml_text.altered(text, {}, {}, {AT: "1"})
    assert found == expected
    assert yaml_text.read(found)["t"]["a"]["k"] == "1"


@pytest.mark.parametrize(
    "text, said",
    [
        ("t: 1\n", "keys and values"),
        ("t: [1]\n", "keys and values"),
        ("t:\n  a: x\n", "keys and values"),
        ("t:\n  a:\n    k: {b: 1}\n", "k: VALUE, on one line"),
        ("t:\n  a:\n    k: |\n      x\n", "k: VALUE, on one line"),
        ("x: &x {b: 1}\nt: *x\n", "an alias"),
        ("x: &x {b: 1}\nt:\n  a: *x\n", "an alias"),
        ("t: {a: !x {b: 1}}\n", "a tag or an anchor"),
        ("t: {a: 1}\n", "keys and values"),
    ],
)
def test_a_table_that_cannot_be_edited_by_lines_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        yaml_text.altered(text, {}, {}, {AT: "1"})


@pytest.mark.parametrize("name, text", [("k", "k:"), ("no", '"no":'), ("a b", '"a b":')])
def test_a_key_that_is_no_plain_word_is_quoted(name, text):
    assert text in yaml_text.altered("", {}, {}, {("t", name): "1"})


@pytest.mark.parametrize(
    "text, items, expected",
    [
        ("l:\n  - http\n", ["file"], "l:\n  - http\n  - file\n"),
        ("l: [http, file]\n", ["file"], "l:\n  - http\n  - file\n"),
        (
            "l:\n  - client_name: c\n    x: 1\n  - d\n",
            [{"client_name": "c", "y": "2"}],
            "l:\n  - client_name: c\n    x: 1\n    y: '2'\n  - d\n",
        ),
        (
            "l:\n  - name: c\n    config:\n      x: 1\n",
            [{"name": "c", "config": {"y": "2"}}],
            "l:\n  - name: c\n    config:\n      x: 1\n      y: '2'\n",
        ),
    ],
)
def test_items_are_words_or_known_by_a_clients_name(text, items, expected):
    assert yaml_text.altered(text, {}, {"l": items}) == expected


def test_a_flag_is_no_text():
    assert yaml_text.altered("", {"q": True}, {}) == "q: true\n"
