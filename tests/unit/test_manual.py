"""The reference and the site of the documents: nothing is left out, and links lead somewhere."""

import re
from pathlib import Path

import pytest

from fabfile import namespace
from fabfile.core import contract, site_file
from fabfile.core.remote.state import STATE
from fabfile.model import platforms
from fabfile.model.site_schema import settings
from manual import __main__ as maker
from manual import pages, reference

ROOT = Path(__file__).parents[2]
DEBIAN = platforms.made_of(site_file.load(ROOT / "config" / "platforms" / "debian.toml"))
MADE = reference.pages(namespace(), settings(), DEBIAN)


def test_every_task_and_flag_is_there():
    parts = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", MADE["tasks.md"], re.M | re.S))
    assert set(parts) == set(namespace().task_names)
    for name, text in parts.items():
        for flag in namespace()[name].get_arguments():
            row = re.search(rf"^\| `--{flag.name.replace('_', '-')}`.*$", text, re.M)
            assert row, (name, flag.name)
            assert row.group().rstrip("| ").count("|") >= 3, f"{name} {flag.name} says nothing"


def test_every_setting_is_there_with_form_and_words():
    said = MADE["settings.md"]
    for row in settings():
        if not row.key.startswith(("clusters.NAME.pools.NAME.", "clusters.NAME.clients.NAME.")):
            assert f"| `{row.key}` | {row.form} |".replace("||", "") in said


def test_every_exit_code_is_there():
    kinds = [one for one in vars(contract).values() if isinstance(one, type)]
    known = {one.code for one in kinds if issubclass(one, contract.Stop)}
    assert set(reference.codes()) == known | {0, 2}
    assert all(f"| {code} | " in MADE["exit-codes.md"] for code in known)
    readme = (ROOT / "README.md").read_text().partition("Exit codes: ")[2].partition("\n\n")[0]
    assert set(map(int, re.findall(r"\b(\d+)\s[a-z]", readme.partition("(make")[0]))) >= known


@pytest.mark.parametrize(
    "path",
    [
        *DEBIAN.files.values(),
        *DEBIAN.upstart.values(),
        DEBIAN.ceph["conf"],
        DEBIAN.ceph["keyring"],
        DEBIAN.source["list"],
        "/etc/sudoers.d/90-stackrbd-USER",
        STATE,
    ],
)
def test_every_place_that_is_written_is_there(path):
    assert f"| `{path}` | " in MADE["files.md"]


def test_the_tasks_that_the_table_of_files_names_are_there():
    assert {task for _, _, task in reference.touched(DEBIAN)} - set(namespace().task_names) == {
        "each that writes"
    }


def test_every_document_has_its_place_once():
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}
    there |= {path.name for path in ROOT.glob("*.md")}
    there |= {f"reference/{name}" for name in MADE}
    assert sorted(pages.documents()) == sorted(there)
    places = [pages.place(name) for name in pages.documents()]
    assert len({*places}) == len(places)


@pytest.mark.parametrize(
    "name, line, expected",
    [
        ("docs/pools.md", "see docs/clones.md.", "see [docs/clones.md](clones.md)."),
        ("README.md", "(docs/trust.md)", "([docs/trust.md](trust.md))"),
        ("README.md", "it (docs/trust.md)", "it ([docs/trust.md](trust.md))"),
        ("README.md", "docs/decisions/age.md", "[docs/decisions/age.md](decisions/age.md)"),
        ("docs/decisions/age.md", "docs/trust.md", "[docs/trust.md](../trust.md)"),
        ("docs/decisions/age.md", "[u](undo.md#a)", "[u](../decisions/undo.md#a)"),
        ("docs/decisions/README.md", "[u](undo.md)", "[u](../decisions/undo.md)"),
        ("docs/trust.md", "[s](../SECURITY.md)", "[s](SECURITY.md)"),
        ("README.md", "`docs/trust.md`", "`docs/trust.md`"),
        ("README.md", "    docs/trust.md", "    docs/trust.md"),
        ("README.md", "docs/none.md", "docs/none.md"),
        ("README.md", "[x](https://a.b/docs/trust.md)", "[x](https://a.b/docs/trust.md)"),
        ("docs/pools.md", "CHANGELOG.md", "[CHANGELOG.md](CHANGELOG.md)"),
    ],
)
def test_what_a_text_names_becomes_a_link(name, line, expected):
    assert pages.page(name, line) == expected + "\n"


def test_a_block_of_code_stays():
    text = "```\ndocs/trust.md\n```\ndocs/trust.md\n"
    assert pages.page("README.md", text) == "```\ndocs/trust.md\n```\n[docs/trust.md](trust.md)\n"


def test_every_link_of_the_pages_leads_to_one(tmp_path):
    maker.write(tmp_path)
    broken = []
    for path in tmp_path.rglob("*.md"):
        text = re.sub(r"^(```.*?^```|    .*?$)", "", path.read_text(), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", re.sub(r"`[^`\n]*`", "", text)):
            if not (path.parent / link).exists():
                broken.append((path.name, link))
    assert broken == []


def test_the_configuration_loads_nothing_from_elsewhere():
    text = pages.configuration("pages", "/to")
    assert "font: false" in text and "http" not in text
