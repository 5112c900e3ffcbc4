"""The report in a real browser: clicked through, wide and narrow, light and dark, and printed."""

import itertools
import re

import pytest

from fabfile.flow.inspect import reporting
from tests.unit.reports import (
    CANARY,
    PROOF,
    RUNS,
    STEPS,
    a_thousand,
    broken,
    check,
    run,
    told,
    verify,
)
from tests.unit.states import EPHEMERAL, site
from tests.unit.test_picture import CROWD, LONG, MANY, NAME, many_states
from tests.unit.test_report import SECTIONS, hostile_document

from . import devtools

WIDE, NARROW = (1600, 900), (360, 740)
LOOKS = list(itertools.product((WIDE, (820, 1100), NARROW), (False, True)))
looks = pytest.mark.parametrize(
    "window, dark", LOOKS, ids=[f"{w}-{'dark' if d else 'light'}" for (w, _), d in LOOKS]
)
HISTORY = [
    run(f"r{n}", ago=3600.0 * n, steps=STEPS, outcome=how, code=code)
    for n, (how, code) in enumerate([("done", 0), ("failed", 1), ("not ended", None)] * 12)
]


def flown(computes=60):
    """The canary on many computes, one with a long name."""
    names = [NAME, *(f"compute{n:04d}" for n in range(computes))]
    return [
        check(step, n % 17 != 3, "Nova gave up: no key", 3.0 + n, name)
        for n, name in enumerate(names)
        for step in ("it is attached", "live migration with the volume attached")
    ]


PAGES = {
    "healthy": lambda: told(runs=RUNS),
    "broken": lambda: told(broken, runs=[*HISTORY, verify(*PROOF)]),
    "many-states": lambda: told(many_states, CROWD, RUNS),
    "many-pools": lambda: told(site_=MANY),
    "long-names": lambda: told(lambda c: c.update({NAME: c.pop("n1")}), LONG, RUNS),
    "ephemeral": lambda: told(lambda c: c["n1"].update({"keyring.vms": None}), site(**EPHEMERAL)),
    "nothing-seen": lambda: told(lambda cloud: cloud.clear(), known={}, release=""),
    "thousand": a_thousand,
    "canary": lambda: told(runs=[run(checks=list(CANARY)), verify(*CANARY, *flown())]),
    "hostile": hostile_document,
}
pages = pytest.mark.parametrize("name", PAGES)


@pytest.fixture(scope="module")
def browser():
    if not devtools.found():
        pytest.skip("no Chromium here: `make browser` brings one into .browser and runs this")
    with devtools.Browser() as one:
        yield one


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """{name: the page's file}, made once."""
    folder = tmp_path_factory.mktemp("pages")
    files = {}
    for name, document in PAGES.items():
        files[name] = folder / f"{name}.html"
        files[name].write_text(reporting.texts(document())["report.html"], "utf-8")
    return files


@pytest.fixture
def shown(browser, made):
    """Opens a page in a window; the browser, in which nothing may have gone wrong afterwards."""

    def show(name, window=WIDE, dark=False, **more):
        browser.window(*window, dark=dark, **more)
        browser.open(made[name])
        return browser

    yield show
    heard = [told.get("method") for told in browser.events]
    assert not {"Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening"} & set(
        heard
    ), browser.events
    asked = [
        told["params"]["request"]["url"]
        for told in browser.events
        if told.get("method") == "Network.requestWillBeSent"
    ]
    assert all(url.startswith("file:") for url in asked), asked


# How it looks

TEXT = """
[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.closest('.unseen') &&
  !e.closest('thead') && !e.matches('.skip, title') &&
  [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
"""
"""Every element that shows text of its own."""

CUT = f"""
{TEXT}.filter(e => !e.closest('svg') && !e.closest('pre')).filter(e => {{
  const r = e.getBoundingClientRect();
  return r.width && (r.left < -1 || r.right > innerWidth + 1);
}}).map(e => e.outerHTML.slice(0, 120))
"""

CONTRAST = f"""
(() => {{
  const canvas = document.createElement('canvas').getContext('2d', {{willReadFrequently: true}});
  const rgb = colour => {{
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  }};
  const light = c => {{
    const f = c.slice(0, 3).map(v => v / 255)
      .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * f[0] + .7152 * f[1] + .0722 * f[2];
  }};
  const behind = e => {{
    if (e.closest('svg')) {{
      const group = e.closest('g'), rect = group && group.querySelector('rect');
      if (rect && !group.classList.contains('bar')) {{
        const fill = rgb(getComputedStyle(rect).fill);
        if (fill[3] === 255) return fill;
      }}
      return rgb(getComputedStyle(e.closest('section')).backgroundColor);
    }}
    for (; e; e = e.parentElement) {{
      const back = rgb(getComputedStyle(e).backgroundColor);
      if (back[3] === 255) return back;
    }}
    return [255, 255, 255];
  }};
  const found = [];
  for (const e of {TEXT}) {{
    const style = getComputedStyle(e);
    const one = light(rgb(e.closest('svg') ? style.fill : style.color)), two = light(behind(e));
    const ratio = (Math.max(one, two) + .05) / (Math.min(one, two) + .05);
    if (ratio < 4.5) found.push([ratio.toFixed(2), e.outerHTML.slice(0, 100)]);
  }}
  return found;
}})()
"""

OUT_OF_BOX = """
[...document.querySelectorAll('svg.picture')].filter(s => s.checkVisibility()).flatMap(s =>
  [...s.querySelectorAll('g.box, g.label')].flatMap(g => {
    const box = g.querySelector('rect').getBoundingClientRect();
    return [...g.querySelectorAll('text')].filter(t => {
      const r = t.getBoundingClientRect();
      return r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 2 ||
        r.bottom > box.bottom + 2;
    }).map(t => t.textContent);
  }))
"""

SMALLEST = """
Math.min(...[...document.querySelectorAll('svg.picture text')].filter(e => e.checkVisibility())
  .map(e => parseFloat(getComputedStyle(e).fontSize) *
    e.closest('svg').getBoundingClientRect().width / e.closest('svg').viewBox.baseVal.width))
"""


@pages
@looks
def test_nothing_is_cut_or_hard_to_read(shown, tmp_path, name, window, dark):
    page = shown(name, window, dark)
    assert page.ask("document.documentElement.scrollWidth") <= window[0]
    assert page.ask(CUT) == []
    assert page.ask(OUT_OF_BOX) == []
    assert page.ask(SMALLEST) >= 9
    page.ask("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.ask(CONTRAST) == []
    assert page.ask(CUT) == []
    assert page.ask("document.documentElement.scrollWidth") <= window[0]
    page.picture(tmp_path / f"{name}.png")  # to be looked at: pytest keeps the last three runs'


@looks
def test_one_picture_is_shown_and_colours_follow_the_reader(shown, window, dark):
    page = shown("broken", window, dark)
    kinds = page.ask(
        "[...document.querySelectorAll('svg.picture')].filter(s => s.checkVisibility())"
        ".map(s => s.classList[1])"
    )
    assert kinds == ["narrow" if window == NARROW else "wide"]
    back = page.ask("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", back)[0]) < 60) is dark


# What can be done with it


OPEN = "document.querySelector('#{} > details').open"


def is_open(page, name):
    return page.ask(OPEN.format(name))


@looks
def test_every_section_folds_and_its_link_unfolds_it(shown, window, dark):
    page = shown("broken", window, dark)
    for name in SECTIONS:
        assert is_open(page, name)
        page.click(f"#{name} > details > summary")
        assert not is_open(page, name)
        page.click(f'nav a[href="#{name}"]')
        page.wait(f"location.hash === '#{name}' && {OPEN.format(name)}")
    for name in ("findings", "drift"):
        page.click(f'.tiles a[href="#{name}"]')
        page.wait(f"location.hash === '#{name}'")


@looks
def test_runs_unfold_to_their_steps(shown, window, dark):
    page = shown("broken", window, dark)
    seen = "document.querySelector('#runs .run .steps').checkVisibility()"
    assert not page.ask(seen)
    page.click("#runs .run summary")
    assert page.ask(seen)
    page.click("#runs > details > details > summary")
    assert page.ask("document.querySelectorAll('#runs .run').length") == 37
    assert page.ask("[...document.querySelectorAll('#runs .run')].at(-1).checkVisibility()")


def hosts_shown(page):
    return page.ask(
        "[...document.querySelectorAll('#hosts .names li')].filter(e => e.checkVisibility())"
        ".map(e => e.textContent)"
    )


@looks
def test_hosts_are_found_by_name_and_by_what_they_run(shown, window, dark):
    page = shown("thousand", window, dark)
    assert len(hosts_shown(page)) == 2  # the rows of one host; the others are folded
    page.click("#filter")
    page.type("compute00")
    assert page.ask("document.getElementById('filtered').textContent") == "99 hosts"
    assert len(hosts_shown(page)) == 99
    page.type("51")
    assert hosts_shown(page) == ["compute0051"]
    assert page.ask("document.getElementById('filtered').textContent") == "1 host"
    page.ask("document.getElementById('filter').select()")
    page.type("Debian 11")
    assert page.ask("document.getElementById('filtered').textContent") == "300 hosts"
    page.ask("document.getElementById('filter').select()")
    page.type("no such host")
    assert page.ask("document.getElementById('filtered').textContent") == "0 hosts"
    assert page.ask(CUT) == []
    page.ask("document.getElementById('filter').select()")
    page.key("Backspace", 8)
    assert page.ask("document.getElementById('filtered').textContent") == ""
    assert page.ask("[...document.querySelectorAll('#hosts tbody tr')].every(r => !r.hidden)")


def test_the_keyboard_reaches_everything(shown):
    page = shown("broken")
    page.key("Tab", 9)
    assert page.ask("document.activeElement.className") == "skip"
    assert page.ask("document.activeElement.getBoundingClientRect().left") >= 0
    reached = []
    for _ in range(80):
        page.key("Tab", 9)
        reached.append(
            page.ask(
                "(document.activeElement.closest('section') || {}).id + ' ' +"
                "document.activeElement.tagName"
            )
        )
    for name in SECTIONS:
        assert f"{name} SUMMARY" in reached
    assert "hosts INPUT" in reached
    page.ask("document.querySelector('#drift summary').focus()")
    page.key("Enter", 13)
    assert not is_open(page, "drift")


def test_a_screen_reader_is_told_of_tables_and_pictures(shown):
    for window in (WIDE, NARROW):
        page = shown("broken", window)
        told_ = page.call("Accessibility.getFullAXTree")["nodes"]
        heard = [
            (n["role"]["value"], n.get("name", {}).get("value", ""))
            for n in told_
            if not n["ignored"]
        ]
        assert heard.count(("image", "Who holds which key, and what it opens")) == 1
        names = [name for role, name in heard if role == "table"]
        assert "Places that hold the identity" in names
        assert "Hosts, those of one state together" in names
        heads = {name for role, name in heard if role == "columnheader"}
        assert {"secret UUID", "pending", "state"} <= heads
        assert {name for role, name in heard if role == "heading"} >= {"Findings", "Hosts", "Runs"}


@looks
def test_without_script_all_can_be_read(shown, window, dark):
    page = shown("thousand", window, dark, script=False)
    page.click("#hosts tbody tr summary")  # the browser's own fold
    assert "compute0021" in hosts_shown(page)
    assert not page.ask("document.querySelector('.filter').checkVisibility()")
    for name in SECTIONS:
        assert page.ask(f"document.querySelector('#{name} > details').lastChild.checkVisibility()")


def test_what_is_printed_is_unfolded(shown):
    page = shown("thousand", media="print")
    assert page.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert len(hosts_shown(page)) == 1002
    assert page.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.ask(CONTRAST) == []
    assert len(page.call("Page.printToPDF")["data"]) > 20_000


def test_dark_readers_print_on_white(shown):
    page = shown("broken", dark=True, media="print")
    assert page.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.ask(CONTRAST) == []


def test_what_hosts_say_does_nothing(shown):
    page = shown("hostile")
    assert page.ask("document.querySelectorAll('img, iframe, a[href^=javascript]').length") == 0
    assert page.ask("document.scripts.length") == 1
    assert page.ask("document.body.innerText.includes('<script>alert(1)</script>')")


def test_a_page_that_was_tampered_with_runs_nothing(browser, made, tmp_path):
    """The policy in the page's head: only its own script runs, and nothing is loaded."""
    text = made["healthy"].read_text("utf-8")
    evil = "<script>document.title = 'evil'</script><img src=http://192.0.2.1/x>"
    (tmp_path / "evil.html").write_text(text.replace("<main>", f"{evil}<main>"), "utf-8")
    browser.window(*WIDE)
    browser.open(tmp_path / "evil.html")
    assert browser.ask("document.title") != "evil"
    refused = [
        told["params"]["entry"]["text"]
        for told in browser.events
        if told.get("method") == "Log.entryAdded"
    ]
    assert len(refused) == 2 and all("Content Security Policy" in text for text in refused)
