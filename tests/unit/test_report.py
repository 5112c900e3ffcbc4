"""The report's document, and the page that is made of it: whole, escaped, with nothing outside."""

import base64
import functools
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from fabfile.core.contract import BadInput, Change, Failed, Unreachable
from fabfile.flow.inspect import reporting
from fabfile.report import canary
from fabfile.report import document as documents
from fabfile.report.markup import el, html
from fabfile.report.timeline import timeline
from fabfile.report.times import lasting, when

from .clouds import MADE, altered, said
from .reports import CANARY, HOSTILE, RUNS, a_thousand, broken, check, run, told, verify
from .states import EPHEMERAL, FSID, OTHER, conf, file, secret, site

SECTIONS = ["topology", "findings", "secrets", "drift", "verify", "hosts", "runs", "versions"]
VOID = {"meta", "input", "br", "link", "img", "base"}


class Read(HTMLParser):
    """A page taken apart: its elements, its text, and that every end fits its beginning."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self._open = [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        assert len(dict(attributes)) == len(attributes)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page(document):
    return reporting.texts(document)["report.html"]


def read(change=lambda cloud: None, **more):
    return Read(page(told(change, **more)))


DOCUMENTS = {
    "healthy": lambda: told(runs=RUNS),
    "broken": lambda: told(broken, runs=[run(outcome="failed", code=1, why="n1: no"), *RUNS]),
    "nothing seen": lambda: told(lambda cloud: cloud.clear(), known={}, release=""),
    "a thousand": a_thousand,
    "ephemeral disks": lambda: told(
        lambda c: c["n1"].update({"keyring.vms": None}), site_=site(**EPHEMERAL)
    ),
}
every = pytest.mark.parametrize("made", list(DOCUMENTS))


@functools.cache
def page_of(made):
    """A document's page, made once for all tests that read it."""
    return page(DOCUMENTS[made]())


# The page


@every
def test_every_page_is_whole_and_has_every_section(made):
    one = Read(page_of(made))
    assert [s["id"] for s in one.all("section")] == SECTIONS
    assert len(one.all("h1")) == 1 and len(one.all("h2")) == len(SECTIONS)
    ids = [a["id"] for _, a in one.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in one.all("a")} == {f"#{name}" for name in SECTIONS}
    labels = {a["aria-labelledby"] for a in one.all("svg")}
    assert labels <= set(ids) and len(labels) == len(one.all("svg")) >= 2


@every
def test_nothing_is_loaded_from_outside(made):
    text = page_of(made)
    one = Read(text)
    beside = re.sub("sha256-[^']*", "", text)  # of the script: any letters of base64
    assert not re.search(r"(?i)https?:|//[a-z]|@import|url\((?!#)", beside)
    assert {"link", "img", "iframe", "object", "base"} & {tag for tag, _ in one.elements} == set()
    loads = {"src", "srcset", "data", "action", "xlink:href"}
    assert not [a for _, a in one.elements if loads & set(a)]


@every
def test_no_script_runs_but_the_pages_own(made):
    text = page_of(made)
    one = Read(text)
    assert len(one.all("script")) == 1
    assert not [name for _, a in one.elements for name in a if name.startswith("on")]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [a["content"] for a in one.all("meta") if "http-equiv" in a]
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


VERSION = f"ceph version 16.2{HOSTILE}"


def hostile(cloud):
    """Says what no host should, wherever a host's text is shown."""
    cloud["n1"]["host"]["name"] = HOSTILE
    cloud["n1"]["packages"]["nova-common"] = HOSTILE
    cloud["n1"]["units"]["nova-compute"]["ActiveState"] = HOSTILE
    cloud["n2"]["libvirt.secrets"] = secret(FSID, value=HOSTILE)
    cloud["n2"]["domains"] = {HOSTILE: {"disks": said("")}}
    cloud["ctl"]["ceph.conf"]["text"] += f"public_network = {HOSTILE}\n"
    cloud["ctl"]["keyring.images"].update(owner=HOSTILE, text=HOSTILE)
    cloud["ctl"]["cinder.conf"] = conf(
        ["rbd", "rbd_user", "volumes"], ["rbd", "rbd_secret_uuid", HOSTILE]
    )
    altered(
        cloud,
        "ceph01",
        "ceph.health",
        lambda d: d.update(
            status=HOSTILE, checks={HOSTILE: {"severity": HOSTILE, "summary": {"message": HOSTILE}}}
        ),
    )
    altered(cloud, "ceph01", "ceph.monmap", lambda d: d["mons"][0].update(addr=HOSTILE))
    altered(cloud, "ceph01", "ceph.versions", lambda d: d.update(mon={VERSION: 1}))
    altered(cloud, "ceph01", "ceph.users", lambda d: d["auth_dump"][0]["caps"].update(mon=HOSTILE))


def hostile_document():
    step = {"sign": HOSTILE, "thing": HOSTILE, "sentence": HOSTILE, "hosts": [HOSTILE], "done": 0}
    runs = [
        run(HOSTILE, HOSTILE, outcome=HOSTILE, who=HOSTILE, why=HOSTILE, steps=[step]),
        verify(
            check(HOSTILE, False, HOSTILE),
            check(HOSTILE, host=HOSTILE),
            outcome=HOSTILE,
            why=HOSTILE,
            who=HOSTILE,
        ),
    ]
    gone = {"n2": Unreachable(f"n2: {HOSTILE}")}
    document = told(
        hostile,
        runs=runs,
        unreachable=gone,
        errors={("n1", "pending_restarts"): Failed(HOSTILE)},
        doubts=((HOSTILE, BadInput(HOSTILE)),),
    )
    return {**document, "by": HOSTILE, "file": HOSTILE, "version": HOSTILE}


def test_what_hosts_say_stays_text():
    text = page(hostile_document())
    one = Read(text)
    assert text.count("alert(1)") > 40
    assert "<img" not in text and "<a href=javascript" not in text
    assert len(one.all("script")) == 1 and text.count("</script>") == 1
    assert not [value for _, a in one.elements for value in a.values() if "alert" in (value or "")]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert "<script>alert(1)</script>'\"><img src=x" in one.text
    text.encode()


def test_a_site_name_cannot_end_the_title():
    title = page({**told(), "site": HOSTILE}).partition("<title>")[2].partition("</title>")[0]
    assert "&lt;/title&gt;" in title and title.endswith(", 2023-11-26 22:13 UTC")


def test_text_stays_where_it_is_put():
    made = el("p", "a<", el("b", "&", class_="x"), ["c", None, ["d\x07"]], title='"', hidden=True)
    assert html(made) == '<p title="&quot;" hidden="">a&lt;<b class="x">&amp;</b>cd?</p>'


def test_the_healthy_page_says_so():
    one = read(runs=RUNS)
    for words in (
        "Healthy 0 errors, 0 warnings, 0 notes; 4 of 4 hosts answered",
        "Nothing was found.",
        "Everything is as it should be.",
        "all equal",
        "3 of 3 passed",
        "integrate, 1 h 0 min ago",
        "n1: the guest writes and reads back",
        "21.4 s",
        "Debian 12",
        "zed",
        "2023-11-14 22:13 UTC (12 days ago)",
    ):
        assert words in one.text, words


def test_a_finding_has_its_commands():
    one = read(broken)
    for words in (
        "Not healthy 2 errors",
        "the key was rotated in Ceph and not here",
        "inv compute.secret --limit n2",
        "another value",
        "1 of 10 differ",
        "2 changes on 2 hosts",
        "libvirt secret: another value",
    ):
        assert words in one.text, words


def test_a_site_of_which_nothing_is_known_is_told_as_such():
    one = read(
        lambda cloud: cloud.clear(),
        known={},
        release="",
        unreachable={n: Unreachable("no") for n in site().hosts},
    )
    for words in ("0 of 4 hosts answered", "not all is known", "never", "it does not answer"):
        assert words in one.text, words


def test_a_thousand_hosts_are_few_rows_with_every_name():
    one = Read(page_of("a thousand"))
    assert "998 of 1002 answered; 6 states" in one.text
    for number in range(1, 1001):
        assert f"compute{number:04d}" in one.text


def test_every_table_can_be_read_aloud():
    one = read(broken, runs=RUNS)
    assert all(a.get("role") == "table" for a in one.all("table"))
    assert all(a.get("scope") == "col" for a in one.all("th"))
    assert len(one.all("caption")) == len(one.all("table"))
    assert {"filter"} == {a["for"] for a in one.all("label")}


def test_without_script_all_is_there():
    one = read(runs=RUNS)
    (box,) = [a for a in one.all("p") if a.get("class") == "filter"]
    assert "hidden" in box
    hidden = [a for tag, a in one.elements if "hidden" in a]
    assert hidden == [box]


# The document


def test_the_document_is_plain_json():
    document = told(broken, runs=RUNS)
    again = json.loads(reporting.texts(document)["report.json"])
    assert again == json.loads(json.dumps(document))
    assert again["stackrbd report"] == 1
    assert (again["healthy"], again["counts"]["error"], again["asked"]) == (False, 2, 4)


def held(document, role, client, by):
    return {
        h["state"]: (h["hosts"], h["said"])
        for h in document["holders"]
        if (h["role"], h["client"], h["by"]) == (role, client, by)
    }


def test_who_holds_which_key():
    document = told(broken)
    assert held(document, "compute", "volumes", "libvirt secret") == {
        "ok": (["n1"], ""),
        "odd": (["n2"], "another value"),
    }
    assert held(document, "cinder", "volumes", "keyring") == {"ok": (["ctl"], "")}


@pytest.mark.parametrize(
    "change, state",
    [
        (lambda c: c["ctl"].update({"keyring.images": None}), {"odd": (["ctl"], "no key")}),
        (lambda c: c["ctl"].pop("keyring.images"), {"not seen": (["ctl"], "")}),
        (lambda c: c.pop("ctl"), {"not seen": (["ctl"], "")}),
    ],
)
def test_a_key_that_is_not_there_and_one_that_was_not_looked_at(change, state):
    assert held(told(change), "glance", "images", "keyring") == state


def test_somebody_elses_secret_is_not_odd():
    def change(cloud):
        cloud["n1"]["libvirt.secrets"] |= secret(OTHER)

    assert set(held(told(change), "compute", "volumes", "libvirt secret")) == {"ok"}


@pytest.mark.parametrize(
    "text, networks",
    [
        ("", {}),
        ("public_network = 10.0.0.0/24\n", {"public": ["10.0.0.0/24"]}),
        (
            "  public network=10.0.0.0/24, 10.1.0.0/24 ; ours\n",
            {"public": ["10.0.0.0/24, 10.1.0.0/24"]},
        ),
        (
            "# public_network = 10.0.0.0/24\ncluster_network = 10.2.0.0/24\n",
            {"cluster": ["10.2.0.0/24"]},
        ),
    ],
)
def test_networks_are_those_of_ceph_conf(text, networks):
    def change(cloud):
        for host in ("ctl", "n1", "n2"):
            cloud[host]["ceph.conf"] = file(cloud[host]["ceph.conf"]["text"] + text)

    assert told(change)["networks"] == networks


def test_a_host_that_was_not_asked_is_not_silent():
    document = told(lambda cloud: cloud.pop("n2"))
    states = {host["name"]: host["state"] for host in document["hosts"]}
    assert states == {"ceph01": "answered", "ctl": "answered", "n1": "answered", "n2": "not asked"}
    assert (document["asked"], document["answered"]) == (3, 3)


@pytest.mark.parametrize(
    "more, known",
    [
        ({}, True),
        ({"errors": {("ceph01", "ceph.users"): Failed("no")}}, False),
        ({"doubts": (("identity", BadInput("two; set one")),)}, False),
        ({"unreachable": {"n2": Unreachable("n2: no")}}, False),
    ],
)
def test_drift_is_known_where_all_was_looked_at(more, known):
    assert told(**more)["drift"]["known"] is known


def test_equal_changes_are_one_with_all_hosts():
    change = Change("n1", "nova.conf", "set", "~", "edit", {}, 2)
    other = Change("n2", "nova.conf", "set", "~", "edit", {}, 2)
    (one,) = documents.folded([("compute.nova", change), ("compute.nova", other)])
    assert (one["task"], one["hosts"]) == ("compute.nova", ["n1", "n2"])


def test_a_run_says_what_was_planned_and_what_was_done():
    step = {"sign": "~", "thing": "nova.conf", "sentence": "set"}
    planned = [{**step, "host": "n1"}, {**step, "host": "n2"}]
    events = [
        {"time": 10.0, "event": "run"},
        {"time": 11.0, "event": "begin", "host": "n1", "step": 0},
        {"time": 12.0, "event": "done", "host": "n1", "step": 0},
        {"time": 13.0, "event": "proof", "name": "a", "ok": True, "detail": "b", "seconds": 1.5},
        {"time": 14.0, "event": "ended", "code": 7, "why": "n2: cut"},
    ]
    one = documents.ran({"run": "r", "task": "integrate"}, events, planned)
    assert one["steps"] == [{**step, "hosts": ["n1", "n2"], "done": 1}]
    assert (one["began"], one["ended"], one["code"], one["why"]) == (10.0, 14.0, 7, "n2: cut")
    assert one["checks"] == [{"host": "", "name": "a", "ok": True, "detail": "b", "seconds": 1.5}]
    assert documents.ran({"run": "r"}, events[:2], [])["code"] is None


def test_no_key_is_in_any_file():
    """Not even the part of it that says when it was made."""
    texts = "".join(reporting.texts(told(runs=RUNS)).values())
    assert not re.search(r"A[Qg][A-D][A-Za-z0-9+/]{4,}", texts)


# Times


@pytest.mark.parametrize(
    "seconds, words",
    [(0, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (1e6, "11 days")],
)
def test_spans(seconds, words):
    assert lasting(seconds) == words


def test_moments_are_utc(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert when(MADE) == "2023-11-14 22:13 UTC"


def test_the_timeline_shows_as_many_runs_as_there_is_room_for():
    runs = [run(f"r{n}", ago=n * 9000.0, seconds=10.0**n % 7e4) for n in range(70)]
    bars = timeline(runs, 840, "x")
    shown = [g for g in bars.iter("g")]
    assert len(shown) == 51
    assert "2023-11-26 22:13" in "".join(shown[-1].itertext())
    tops = [float(rect.get("y")) for rect in bars.iter("rect")]
    assert min(tops) > 10
    days = [text for text in bars.findall("text")]
    places = [float(text.get("x")) for text in days]
    assert all(b - a >= 44 for a, b in zip(places, places[1:], strict=False))


def test_the_canary_is_told_by_step_with_times_and_by_compute():
    text = Read(page(told(runs=[verify(*CANARY, code=6)]))).text
    assert re.search(r"it is attached\s*2\s*2\.5 s\s*2\.5 s\s*n1\s*n2", text)
    assert re.search(r"live migration with the volume attached\s*1\s*6\.2 s", text)
    assert "Nova gave up" in text and "Each of 2 computes" in text
    assert "an image in Glance" in text


def test_steps_of_the_canary_are_told_once_for_all_computes():
    attached, migrated = canary.steps(CANARY)
    assert attached == {
        "step": "it is attached",
        "computes": 2,
        "median": 2.5,
        "slowest": 2.5,
        "on": "n1",
        "failed": ["n2"],
    }
    assert (migrated["step"], migrated["failed"]) == ("live migration with the volume attached", [])
    assert canary.steps([check("an image in Glance")]) == []
    assert canary.steps([check("x", False, host="n1")])[0]["median"] is None
    times = [check("x", host=f"n{n}", seconds=seconds) for n, seconds in enumerate((4, 1, 9, 2))]
    assert canary.steps(times)[0]["median"] == 3
    assert canary.steps(times[:3])[0]["median"] == 4


def test_the_gates_canary_is_told_in_its_run():
    shown = Read(page(told(runs=[run(checks=list(CANARY))]))).text
    assert "The canary at the gate" in shown
    assert "The canary at the gate" not in Read(page(told(runs=[verify(*CANARY)]))).text


def test_why_a_run_failed_is_told_where_nothing_was_planned():
    assert "n1: no" in Read(page(told(runs=[run(outcome="failed", code=1, why="n1: no")]))).text
