"""The walls of the house: who imports whom, read from the sources."""

import ast
import functools
import re
import sys
from pathlib import Path

import pytest

from fabfile.core import agent_program

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "fabfile"
SOURCES = sorted([*HOUSE.rglob("*.py"), ROOT / "tasks.py"])
ROOMS = (
    "core",
    "model",
    "resources",
    "audit",
    "backup",
    "doctor",
    "adopt",
    "report",
    "cloud",
    "flow",
    "workers",
)
CONTRACT = "fabfile.core.contract"
PURE = {
    "fnmatch",
    "__future__",
    "base64",
    "collections",
    "collections.abc",
    "contextlib",
    "copy",
    "dataclasses",
    "difflib",
    "functools",
    "json",
    "re",
    "shlex",
    "typing",
    "uuid",
    "xml.etree.ElementTree",
}
"""What of the standard library neither reads a clock, nor a file, nor a socket."""
BY_ANOTHER_NAME = {"_sha2"}
"""What is in the standard library of newer Pythons alone; an older one's name is tried first."""
AFTER_36 = {"__future__", "contextvars", "dataclasses", "graphlib", "tomllib", "zoneinfo"}
"""Not in Python 3.6, or (annotations of __future__) not whole there."""


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(), str(path))


def is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported(tree, package=""):
    """Every module that a source names, as deep in it as may be: {'fabfile.core.ssh'}."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [package if node.level else "", node.module]))
            deeper = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if is_module(name) else base for name in deeper}
    return found


@functools.cache
def imports(path):
    return imported(tree_of(path), ".".join(path.parent.relative_to(ROOT).parts))


def below(names, *rooms):
    """Those of the names that are a room or in it."""
    return {n for n in names if any(n == room or n.startswith(room + ".") for room in rooms)}


def of_the_house(path):
    return below(imports(path), "fabfile", "tasks", "lab", "tests")


def sources(room):
    found = [path for path in SOURCES if path.is_relative_to(HOUSE / room)]
    assert len(found) > 2
    return found


def named(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda p: str(p.relative_to(ROOT)))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("import fabfile.core.ssh", {"fabfile.core.ssh"}),
        ("from fabfile.core import ssh as s", {"fabfile.core.ssh"}),
        ("from fabfile.core.ssh import Fleet", {"fabfile.core.ssh"}),
        ("def f():\n if 1:\n  from fabfile import flow, core", {"fabfile.flow", "fabfile.core"}),
        ("from . import files", {"fabfile.core.remote.files"}),
        ("from .files import write", {"fabfile.core.remote.files"}),
        ("from os import path", {"os"}),
    ],
)
def test_no_import_is_overlooked(text, expected):
    assert imported(ast.parse(text), "fabfile.core.remote") == expected


FORMS = ("fabfile.core.shapes", "fabfile.core.strict_json", "fabfile.core.text")
"""Pure: what a document may be, and how lists and numbers are said."""
MAY_IMPORT = {
    "core": (),
    "model": (CONTRACT,),
    "resources": (CONTRACT, *FORMS, "fabfile.model"),
    "audit": (CONTRACT, *FORMS, "fabfile.model", "fabfile.resources"),
    "backup": ("fabfile.core", "fabfile.model", "fabfile.resources", "fabfile.audit"),
    "doctor": (
        CONTRACT,
        *FORMS,
        "fabfile.model",
        "fabfile.resources",
        "fabfile.audit",
        "fabfile.backup",
    ),
    "adopt": (
        CONTRACT,
        *FORMS,
        "fabfile.model",
        "fabfile.resources",
        "fabfile.doctor",
    ),
    "cloud": (CONTRACT, *FORMS, "fabfile.core.own_files"),
    "report": (
        CONTRACT,
        *FORMS,
        "fabfile.model",
        "fabfile.resources",
        "fabfile.audit",
        "fabfile.doctor",
    ),
    "flow": (
        "fabfile.context",
        "fabfile.version",
        *(f"fabfile.{room}" for room in ROOMS if room != "workers"),
    ),
    "workers": ("fabfile.core", "fabfile.model", "fabfile.flow"),
}
"""{room: what of the house it may import beside itself}: the walls."""


@pytest.mark.parametrize(
    "room, path",
    [(room, path) for room in MAY_IMPORT for path in sources(room)],
    ids=lambda value: value if isinstance(value, str) else str(value.relative_to(ROOT)),
)
def test_a_room_imports_what_is_below_it(room, path):
    found = of_the_house(path)
    assert found == below(found, *MAY_IMPORT[room], f"fabfile.{room}")


def module_of(path):
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def circle_in(edges):
    """The first circle of a graph, as its nodes in order; [] where there is none."""
    over = set()

    def walk(node, way):
        if node in way:
            return [*way[way.index(node) :], node]
        if node in over:
            return []
        found = next(filter(None, (walk(n, [*way, node]) for n in sorted(edges[node]))), [])
        over.add(node)
        return found

    return next(filter(None, (walk(node, []) for node in sorted(edges))), [])


def test_no_imports_go_round_in_a_circle_not_even_inside_functions():
    modules = {module_of(path): path for path in SOURCES}
    assert circle_in({name: imports(path) & set(modules) for name, path in modules.items()}) == []


@pytest.mark.parametrize(
    "edges, expected",
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]),
        ({"a": {"a"}}, ["a", "a"]),
    ],
)
def test_a_circle_would_be_noticed(edges, expected):
    assert circle_in(edges) == expected


@named([path for path in SOURCES if not path.is_relative_to(HOUSE / "core" / "remote")])
def test_an_import_inside_a_function_says_why_it_is_there(path):
    lines = path.read_text().splitlines()
    inside = {
        node.lineno
        for function in ast.walk(tree_of(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    bare = [lines[n - 1] for n in sorted(inside) if "# noqa: PLC0415 (" not in lines[n - 1]]
    assert bare == []


@named([*sources("resources"), *sources("doctor"), *sources("report"), *sources("adopt")])
def test_resources_doctor_report_and_adopt_are_pure(path):
    foreign = {"pydantic", "yaml"} if path.is_relative_to(HOUSE / "adopt") else set()
    foreign |= {"yaml"} if path.name == "yaml_text.py" else set()
    if path.is_relative_to(HOUSE / "report"):
        foreign = {"xml.etree", "hashlib", "jinja2", "markupsafe", "math", "datetime"}
        assert not re.search(r"\.(now|utcnow|today)\(", path.read_text())
    assert imports(path) - of_the_house(path) <= PURE | foreign
    called = {
        n.func.id
        for n in ast.walk(tree_of(path))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    assert not called & {"open", "print", "input", "exec", "eval", "__import__"}


@named([p for p in SOURCES if p.parent in (HOUSE, ROOT)])
def test_tasks_reach_hosts_and_the_cloud_through_flow_alone(path):
    assert not below(imports(path), "fabfile.cloud", "fabfile.core.ssh", "fabfile.core.remote")


def test_one_room_speaks_ssh():
    found = {path: below(imports(path), "paramiko", "fabric") for path in SOURCES}
    assert found.pop(HOUSE / "core" / "known_hosts.py") == {"paramiko.hostkeys"}
    assert {path.parent for path, ssh in found.items() if ssh} == {HOUSE / "core" / "ssh"}


def test_paramiko_is_not_loaded_before_it_is_needed():
    tree = tree_of(HOUSE / "core" / "known_hosts.py")
    at_the_head = ast.Module([n for n in tree.body if not isinstance(n, ast.FunctionDef)], [])
    assert not below(imported(at_the_head), "paramiko")


def test_jinja_is_loaded_for_the_page_alone():
    found = {path for path in SOURCES if below(imports(path), "jinja2", "markupsafe")}
    assert found == {HOUSE / "report" / "page.py"}
    with_page = {path for path in SOURCES if "fabfile.report.page" in imports(path)}
    assert with_page == {HOUSE / "flow" / "inspect" / "reporting.py"}
    tree = tree_of(HOUSE / "flow" / "inspect" / "reporting.py")
    at_the_head = ast.Module([n for n in tree.body if not isinstance(n, ast.FunctionDef)], [])
    assert "fabfile.report.page" not in imported(at_the_head)


def test_one_module_knows_the_contexts_key():
    knowing = [
        path.relative_to(ROOT).as_posix()
        for path in [*SOURCES, *(ROOT / "lab").rglob("*.py")]
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and node.value == "stackrbd_known"
    ]
    assert knowing == ["fabfile/context.py"]


@named(sources("core/remote"))
def test_what_runs_on_a_host_needs_the_standard_library_alone(path):
    beside = {f"fabfile.core.remote.{name}" for name in agent_program.EVERY}
    foreign = imports(path) - beside - BY_ANOTHER_NAME - (sys.stdlib_module_names - AFTER_36)
    assert foreign == set()


@named(sources("core/remote"))
def test_what_runs_on_a_host_is_python_3_6(path):
    ast.parse(path.read_text(), str(path), feature_version=(3, 6))


@pytest.mark.parametrize("text", ["if (n := 1): pass", "def f(a, /): pass", "f'{a=}' + (b := 'c')"])
def test_newer_syntax_would_be_noticed(text):
    with pytest.raises(SyntaxError):
        ast.parse(text, feature_version=(3, 6))


def test_nothing_at_the_head_of_fabs_path_shadows_the_standard_library():
    names = {path.stem for path in HOUSE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert "ceph" in names
    assert names & sys.stdlib_module_names == set()
