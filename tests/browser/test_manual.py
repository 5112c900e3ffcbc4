"""The built documents in a real browser: search, a page of each kind, and no link to nothing."""

import functools
import html.parser
import http.server
import threading
import urllib.parse

import pytest

from manual import __main__ as maker

from . import devtools

pytestmark = [
    pytest.mark.skipif(not devtools.found(), reason="no Chromium here: make browser"),
    pytest.mark.skipif(not maker.MKDOCS.exists(), reason="no mkdocs here: make docs"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    to = tmp_path_factory.mktemp("site")
    assert maker.main(to) == 0
    return to


@pytest.fixture(scope="module")
def browser():
    with devtools.Browser() as one:
        one.window(1280, 900)
        yield one


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing of what it serves."""

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def served(built):
    """The site's address: a browser lets no page of a file search."""
    handler = functools.partial(Quiet, directory=built)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Page(html.parser.HTMLParser):
    """What a page links to, loads, and can be linked to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.names = [], [], {""}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.names |= {found.get("id"), found.get("name")}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in ("script", "img", "iframe") and found.get("src"):
            self.loads.append(found["src"])
        if tag == "link" and "stylesheet" in (found.get("rel") or ""):
            self.loads.append(found["href"])


def test_no_link_is_broken_and_nothing_is_loaded_from_elsewhere(built):
    known = {path: Page(path.read_text()) for path in built.rglob("*.html")}
    assert len(known) > 35
    broken = []
    for path, page in known.items():
        if path.name == "404.html":
            continue  # its links begin at the server's root
        for link in [*page.links, *page.loads]:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                assert link not in page.loads, f"{path}: {link}"
                continue
            target = (path.parent / urllib.parse.unquote(parts.path or path.name)).resolve()
            target = target / "index.html" if target.is_dir() else target
            if (
                not target.exists()
                or target in known
                and urllib.parse.unquote(parts.fragment) not in known[target].names
            ):
                broken.append((path.name, link))
    assert broken == []


@pytest.mark.parametrize(
    "page, title, holds",
    [
        ("index.html", "stackrbd", "make demo"),
        ("README.ja.html", "stackrbd", "make demo"),
        ("own-cloud.html", "Integrating a cloud of your own", "clouds.yaml"),
        ("reference/tasks.html", "Tasks and flags", "--dry-run"),
        ("reference/settings.html", "The site file, key by key", "ssh.forks"),
        ("reference/exit-codes.html", "Exit codes", "130"),
        ("reference/files.html", "Files touched on hosts", "/var/lib/stackrbd"),
        ("doctor.html", "what is wrong", "libvirt.value"),
        ("decisions/index.html", "", "patchwork"),
        ("speed.html", "", "pyinfra"),
    ],
)
def test_a_page_of_each_kind(served, browser, page, title, holds):
    browser.open(served + page)
    assert title.lower() in browser.ask("document.querySelector('h1').innerText").lower()
    assert holds in browser.ask("document.querySelector('article').innerText")
    wide = browser.ask("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, "the page itself is to scroll down alone"
    pictures = browser.ask("[...document.images].filter(i => i.complete && !i.naturalWidth).length")
    assert pictures == 0
    faults = [one for one in browser.events if one.get("method") == "Runtime.exceptionThrown"]
    assert faults == []
    asked = [
        one["params"]["request"]["url"]
        for one in browser.events
        if one.get("method") == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith((served, "data:", "blob:"))] == []


@pytest.mark.parametrize(
    "words, page",
    [("min_compat_client", "own-cloud.html"), ("site file, key by key", "settings.html")],
)
def test_search_finds(served, browser, words, page):
    browser.open(served)
    browser.wait("document.querySelector('.md-search__input') !== null")
    browser.ask("document.querySelector('#__search').checked = true")
    browser.click(".md-search__input")
    browser.type(words)
    browser.wait("document.querySelectorAll('.md-search-result__link').length > 0")
    links = browser.ask(
        "[...document.querySelectorAll('.md-search-result__link')].map(a => a.href).join(' ')"
    )
    assert page in links
