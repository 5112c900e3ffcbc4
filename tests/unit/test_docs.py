"""The tables of docs/ name what is there."""

import re
from pathlib import Path

import pytest

from fabfile import namespace
from fabfile.core import site_file
from fabfile.model import releases
from fabfile.report.metrics import metrics

from .reports import PROOF, RUNS, broken, told, verify

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FAULTS = (ROOT / "docs" / "faults.md").read_text()
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", FAULTS, re.M)


def there():
    sources = [*(ROOT / "tests" / "faults").glob("*.py"), *(ROOT / "tests" / "lab").glob("*.py")]
    text = "".join(path.read_text() for path in sources)
    return set(re.findall(r"^def (test_\w+)", text, re.M))


def named_in(page):
    """What a page names as a file of the project, and what it links to."""
    text = page.read_text()
    rooms = r"(?:fabfile|config|tests|docs|lab|bench)/[\w./-]*[\w/]"
    names = re.findall(rf"(?<![\w./~-]){rooms}", text)
    found = {ROOT / name for name in names if "NAME" not in name}  # NAME: the reader's own
    return found | {page.parent / link for link in re.findall(r"\]\(([\w./-]+)\)", text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page):
    missing = sorted(str(path) for path in named_in(page) if not path.exists())
    assert missing == []


def test_a_file_that_is_missing_would_be_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("`fabfile/core/none.py`, [a](b.md), /etc/config/x, docs/own-cloud.md.")
    assert {path.name for path in named_in(page) if not path.exists()} == {"none.py", "b.md"}


def test_every_make_that_a_page_or_phony_names_is_a_target():
    makefile = (ROOT / "Makefile").read_text()
    named = {name for page in PAGES for name in re.findall(r"`make ([\w-]+)", page.read_text())}
    named |= set(re.findall(r"^\.PHONY: (.+)$", makefile, re.M)[0].split())
    assert "rotation" in named
    assert named - set(re.findall(r"^([\w-]+):", makefile, re.M)) == set()


def test_every_fault_has_its_row():
    assert [int(number) for number, *_ in ROWS] == list(range(1, 77))


def test_every_test_that_is_named_is_there():
    named = set(re.findall(r"`(test_\w+)`", FAULTS))
    assert named - there() == set()


@pytest.mark.parametrize("name", ["recovery", "monitors", "backends"])
def test_every_test_of_a_runbook_is_there_and_every_command_is_a_task(name):
    text = (ROOT / "docs" / f"{name}.md").read_text()
    sources = [
        path
        for room in ("apart", "recovery", "lab")
        for path in (ROOT / "tests" / room).glob("*.py")
    ]
    known = set(re.findall(r"^def (test_\w+)", "".join(p.read_text() for p in sources), re.M))
    assert set(re.findall(r"`(test_\w+)`", text)) - known == set()
    assert all((ROOT / path).exists() for path in re.findall(r"tests/lab/\w+\.py", text))
    commands = re.findall(r"^(?:\d\.)? +inv ([a-z.]+)|`inv ([a-z.]+)", text, re.M)
    named = {one or other for one, other in commands}
    assert named
    assert named - set(namespace().task_names) == set()


def test_every_fault_test_is_named():
    numbered = {name for name in there() if re.match(r"test_\d\d_", name)}
    assert numbered - set(re.findall(r"`(test_\w+)`", FAULTS)) == set()


def test_at_least_sixty_are_made_to_happen_on_hosts():
    assert sum("`test_" in test for _, _, test, _ in ROWS) >= 60


DOCTOR = (ROOT / "docs" / "doctor.md").read_text()
CLOUDS = (ROOT / "tests" / "clouds" / "test_doctor.py").read_text()


def test_every_broken_cloud_has_its_row():
    made = re.findall(r'^    Cloud\(\s*"([a-z0-9-]+)"', CLOUDS, re.M)
    rows = re.findall(r"^\| ([a-z0-9-]+) \| (?!finding)", DOCTOR, re.M)
    assert rows == made
    assert len(made) >= 20


REPORT = (ROOT / "docs" / "report.md").read_text()


def test_every_metric_has_its_row():
    made = metrics(told(broken, runs=[*RUNS, verify(*PROOF)]))
    rows = []
    for row in re.findall(r"^\| (`(?:stackrbd)_.*?) \| ", REPORT, re.M):
        names = re.findall(r"`(\w+)", row)
        first = names[0].removesuffix("_success")
        rows += [n if n.startswith("stackrbd_") else first + n for n in names]
    assert sorted(rows) == sorted(re.findall("^# TYPE (\\w+) gauge$", made, re.M))


def test_the_alerts_name_metrics():
    made = metrics(told(broken, runs=RUNS))
    for expression in re.findall(r"^ +expr: (.+)$", REPORT, re.M):
        assert all(f"# TYPE {name} " in made for name in re.findall(r"stackrbd_\w+", expression))


README = (ROOT / "README.md").read_text()
JAPANESE = (ROOT / "README.ja.md").read_text()


def shape(text):
    """What a page and its translation have in common: headings, rows, commands, items."""
    lines = re.sub(r"<!--.*?-->", "", text).splitlines()
    code = [re.sub(r"\s+#.*", "", one) for one in lines if one.startswith("    ")]
    first = [re.split(r" \| ", one)[0] for one in lines if one.startswith("| `")]
    return {
        "headings": sum(one.startswith("#") for one in lines),
        "rows": sum(one.startswith("|") for one in lines),
        "items": sum(one.startswith("- ") for one in lines),
        "code": code,
        "tasks": [re.findall(r"`[^`]+`", one) for one in first],
        "pages": sorted({*re.findall(r"docs/[\w-]+\.md", text)}),
        "flags": sorted({*re.findall(r"--[a-z-]+", text)}),
    }


@pytest.mark.parametrize("part", shape(README))
def test_the_japanese_readme_says_the_same(part):
    assert shape(JAPANESE)[part] == shape(README)[part]


def test_the_readme_names_every_task():
    known = {name for name in namespace().task_names if not name.startswith(("backup.", "lab."))}
    rows = re.findall(r"^\| (`.+?) \|", README, re.M)
    named = {one.partition(" ")[0] for row in rows for one in re.findall(r"`([a-z.]+[^`]*)`", row)}
    assert known - named == set()


def test_what_is_supported_agrees_with_the_tables():
    table = README.partition("## What it supports")[2].partition("\n## ")[0]
    order = releases.names(site_file.releases())
    assert f"| OpenStack | {order[0].capitalize()} to {order[-1]} |" in table
    rows = re.findall(r"^\| (?!what|---)(.+?) \| (.+?) \| (.+) \|$", table, re.M)
    assert len(rows) >= 8
    assert all(re.match(r"by a run|by files|not run|no:", how) for _, _, how in rows)
    generations = (ROOT / "docs" / "generations.md").read_text()
    for system, cloud, ceph in re.findall(
        r"^\| \w+(?: \(default\))? \| (\w+) \| ([\w. ]+) \| ([\d.]+) \|", generations, re.M
    ):
        debian = "Debian sid" if system == "unstable" else f"Debian {system}"
        assert f"| {debian} | {cloud.split()[0]}, Ceph {ceph} |" in table
