"""What a host answers to a doctor's questions: room, parts of outputs, peeled values."""

import base64

import pytest

from fabfile.core import answers
from fabfile.core.remote import processes, reads
from fabfile.resources import secret_uuid

from .states import FSID, OTHER, THIRD, site

KEY = "QVE9PSBub3QgYSBrZXkgb2YgYW55Ym9keQ=="
VALUE = r"\A\s*(\S+)\s*\Z"
SECRETS = secret_uuid.secrets_of(site(), site().host("n1"))


def test_room_of_folders_that_are_there(tmp_path):
    found = reads.disk([str(tmp_path), str(tmp_path / "absent")])
    assert list(found) == [str(tmp_path)]
    free, size, inodes_free, inodes = found[str(tmp_path)]
    assert 0 < free <= size and inodes_free <= inodes
    assert answers.fits("disk", found)


@pytest.mark.parametrize(
    "stored, peeled",
    [
        (base64.b64encode(KEY.encode()).decode(), processes.fingerprint(KEY)),
        (base64.b64encode(f"{KEY}\n".encode()).decode(), processes.fingerprint(KEY)),
        (base64.b64encode(b"client.volumes").decode(), processes.fingerprint("client.volumes")),
        (base64.b64encode(b"\x01\x00\xff\xfe").decode(), ""),
        ("not.base64!x", ""),
    ],
)
def test_what_a_value_is_in_base64_comes_as_a_fingerprint_too(stored, peeled):
    found = reads.argv(["printf", "%s\n", stored], mask=[VALUE], peel=True)
    assert found["peeled"] == peeled
    assert found["out"].strip() == processes.fingerprint(stored)
    assert stored not in str(found) and KEY not in str(found)


def test_our_secret_is_found_among_those_of_many_encrypted_volumes():
    uuids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(200)]
    lines = "".join(f" {uuid}   volume /dev/{uuid}\n" for uuid in uuids)
    known = {"argv": ["printf", lines], "then": {"xml": {"argv": ["true", "{}"]}}, "at_once": None}
    assert list(reads.each(**{**SECRETS.args, **known})) == uuids


def test_of_each_output_only_what_is_asked_for_leaves_the_host():
    then = {"x": {"argv": ["echo", "{}", "secret"], "only": r"[ab]\d"}}
    found = reads.each(["printf", "a1\nb2\n"], r"\w\d", then)
    assert {name: told["x"]["out"] for name, told in found.items()} == {"a1": "a1", "b2": "b2"}


@pytest.mark.parametrize(
    "read, more", [(reads.argv, {"mask": [r'key":\s*"([^"]+)"']}), (reads.secret, {})]
)
def test_a_masked_read_that_fails_shows_nothing_of_it(tmp_path, read, more):
    script = tmp_path / "s"  # not in its arguments, which are said
    script.write_text(f"""echo '"key": "{KEY}"'; exit 139""")
    with pytest.raises(processes.Failed, match="exit code 139") as caught:
        read(["sh", str(script)], **more)
    assert KEY not in str(caught.value)


def test_what_a_program_says_of_itself_is_asked_once(tmp_path):
    counting = ["sh", "-c", f"echo >> {tmp_path}/times; wc -l < {tmp_path}/times"]
    told = [reads.argv(counting, once=once)["out"].strip() for once in (True, True, False)]
    assert told == ["1", "1", "2"]


XML = "<secret ephemeral='no' private='no'>\n  <uuid>%s</uuid>\n</secret>"


def _of_secret(folder, words):
    """What a look says of one secret, where virsh says these words."""
    script = folder / "virsh"
    script.write_text(
        f"""[ "$*" = "secret-dumpxml {OTHER}; secret-get-value {OTHER}" ] || exit 9\n{words}"""
    )
    at_once = SECRETS.args["at_once"]
    asked = dict(at_once, argv=["sh", str(script), at_once["argv"][-1]])
    return reads.each(**{**SECRETS.args, "argv": ["echo", OTHER], "at_once": asked})[OTHER]


@pytest.mark.parametrize(
    ("words", "code", "value"),
    [
        (f"echo '{KEY}'", 0, KEY),
        ('echo "error: secret does not have a value" >&2; exit 1', 1, ""),
    ],
)
def test_a_secrets_xml_and_its_value_are_asked_for_at_once(tmp_path, words, code, value):
    xml = XML % OTHER
    found = _of_secret(tmp_path, f'echo "{xml}"; echo; {words}')
    assert (found["xml"]["code"], found["xml"]["out"]) == (0, xml)
    assert found["value"]["code"] == code
    assert found["value"]["out"].strip() == (value and processes.fingerprint(value))
    assert ("value" in found["value"]["err"]) == (not value)
    assert "peeled" in found["value"] and KEY not in str(found)


@pytest.mark.parametrize(
    "words",
    [
        f"echo 'error: Cannot recv data' >&2; echo '{KEY}'",  # the second one alone answers
        "echo 'error: no secret with matching uuid' >&2; exit 1",
        f"echo '{KEY}'; exit 3",
    ],
)
def test_a_secret_of_which_not_all_was_seen_is_a_failure(tmp_path, words):
    with pytest.raises(processes.Failed) as caught:
        _of_secret(tmp_path, words)
    assert KEY not in str(caught.value)


VIRSH = """#!/bin/sh
echo "$*" >> "$0.calls"
one() {{
  case "$1" in
    list) echo guest1; {list} ;;
    help) echo '--file <string>'; {help} ;;
    secret-list) echo " {uuid}   ceph" ;;
    echo) printf %s "$2" ;;
  esac
}}
rest="$*; "
while [ "$rest" ]; do one ${{rest%%; *}}; code=$?; rest=${{rest#*; }}; done
exit $code
"""


class _Said(dict):
    """{a read's id: its answer, or why there is none} of what an agent says."""

    def say_soon(self, id, value=None, error=None, **more):
        self[id] = error or value

    def flush(self):
        pass


def _of_virsh(folder, **how):
    """(what each read says, how often the program was begun), of three that are one program's."""
    script = folder / "virsh"
    script.write_text(VIRSH.format(**{"list": "", "help": "", **how}, uuid=OTHER))
    script.chmod(0o755)
    asked = {
        "guests": ("argv", "list --name", {}),
        "takes": ("argv", "help secret-set-value", {"ok": [0, 1]}),
        "secrets": ("each", "secret-list", {"match": r"(?m)^\s*([0-9a-f-]{36})", "then": {}}),
        "beside": ("argv", "list --all", {"program": 0}),
    }
    work = [
        {
            "id": id,
            "verb": verb,
            "args": {"argv": [str(script), *line.split()], "program": 1, **more},
        }
        for id, (verb, line, more) in asked.items()
    ]
    said = _Said()
    reads.answer(work, said, lambda: False)
    return said, len((folder / "virsh.calls").read_text().splitlines())


def test_what_is_asked_of_one_program_is_asked_by_one_start_of_it(tmp_path):
    said, starts = _of_virsh(tmp_path)
    assert said == {
        "guests": {"code": 0, "out": "guest1\n", "err": ""},
        "takes": {"code": 0, "out": "--file <string>\n", "err": ""},
        "secrets": {OTHER: {}},
        "beside": {"code": 0, "out": "guest1\n", "err": ""},
    }
    assert starts == 2


@pytest.mark.parametrize(
    ("how", "guests", "takes"),
    [
        ({"help": "echo 'error: no such command' >&2; return 1"}, 0, 1),
        ({"help": "echo 'a warning' >&2"}, 0, 0),
        ({"list": "echo 'error: no domains' >&2; return 1"}, "exit code 1: error: no domains", 0),
        ({"list": "echo 'error: no connection' >&2; exit 1"}, "exit code 1: error: no conn", 0),
    ],
)
def test_each_is_asked_by_itself_where_one_of_them_may_have_failed(tmp_path, how, guests, takes):
    said, starts = _of_virsh(tmp_path, **how)
    assert starts == 5
    assert said["takes"]["code"] == takes and said["secrets"] == {OTHER: {}}
    if guests:
        assert guests in said["guests"]
    else:
        assert said["guests"]["code"] == 0


def test_a_word_that_the_program_could_read_otherwise_is_no_part_of_several(tmp_path):
    assert processes.together(["echo"], [["list"], ["a;b"]]) is None
    assert processes.together(["echo"], [["list"], ["$x y"]]) is None


def test_a_program_that_does_not_answer_is_said_in_the_words_that_were_asked(tmp_path):
    script = tmp_path / "virsh"
    script.write_text("#!/bin/sh\nsleep 20\n")
    script.chmod(0o755)
    with pytest.raises(processes.Failed) as caught:
        processes.together([str(script), "-q"], [["list", "--name"], ["help", "x"]], timeout=1)
    assert str(caught.value) == f"{script} -q list --name; help x: no answer within 1 s"


def test_a_program_that_is_not_there_is_said_of_each_that_asks_it(tmp_path):
    asked = {"argv": [str(tmp_path / "none"), "a"], "program": 1}
    said = _Said()
    reads.answer(
        [{"id": n, "verb": "argv", "args": dict(asked)} for n in "ab"], said, lambda: False
    )
    assert set(said) == {"a", "b"} and all("no such program" in why for why in said.values())


def test_names_beyond_those_that_are_asked_for_are_a_failure_where_all_count():
    assert len(reads.each(["seq", "9"], r"\d+", {}, most=8)) == 8
    with pytest.raises(processes.Failed, match="names 9 things, more than 8"):
        reads.each(["seq", "9"], r"\d+", {}, most=8, all=True)
    assert SECRETS.args["all"]


def test_a_secrets_usage_is_not_taken_for_a_secret():
    listed = f" {OTHER}   ceph client.volumes secret\n {THIRD}   volume {FSID}\n"
    found = reads.each(["printf", "%s", listed], SECRETS.args["match"], {})
    assert set(found) == {OTHER, THIRD}
