"""The reference, as pages of Markdown made of the code: tasks, settings, exit codes, files.

Pure: the names and words are those that the program itself has.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence

from invoke import Collection

from fabfile.core import contract
from fabfile.core.contract import Stop
from fabfile.core.remote.state import STATE
from fabfile.model.platforms import Platform
from fabfile.model.site_schema import Setting
from fabfile.resources import operator_sudo


def tasks(namespace: Collection) -> str:
    """Every task with its flags, in the order of `inv --list`."""
    pages = [
        "# Tasks and flags",
        "",
        "`inv TASK` in a checkout, `stackrbd TASK` anywhere (docs/site-file.md). What the lab has "
        "besides: `inv --list lab`.",
    ]
    for name in sorted(namespace.task_names, key=lambda name: ("." in name, name)):
        task = namespace[name]
        pages += ["", f"## {name}", "", *_paragraphs(task.__doc__ or ""), ""]
        rows = []
        for flag in task.get_arguments():
            words = [f"`--{flag.name.replace('_', '-')}`"]
            words += [f"`-{short}`" for short in flag.names if len(short) == 1]
            takes = "" if flag.kind is bool else f"`{flag.default}`" if flag.default else "a value"
            rows.append((", ".join(words), takes, (flag.help or "").strip()))
        pages += _table(("flag", "takes", "what it is for"), rows) if rows else ["No flags."]
    return "\n".join(pages) + "\n"


def settings(rows: Sequence[Setting]) -> str:
    """Every key of the site file."""
    pages = [
        "# The site file, key by key",
        "",
        "NAME is a word of your own. `inv init --schema` lets an editor complete all of it; "
        "`inv config` shows what counts for your site (docs/site-file.md).",
    ]
    whole = [row for row in rows if not row.key.startswith(_REPEATED)]
    groups: dict[str, list[Setting]] = {}
    for row in whole:
        groups.setdefault(_group(row, whole), []).append(row)
    for name, found in groups.items():
        pages += ["", f"## {name}", ""]
        if name.startswith("[clusters"):
            pages += ["Its `pools` and `clients` are as `[pools.NAME]` and `[clients.NAME]`.", ""]
        pages += _table(
            ("key", "form", "default", "what it means"),
            [
                (f"`{one.key}`", one.form, _default(one), one.words[0].upper() + one.words[1:])
                for one in found
            ],
        )
    return "\n".join(pages) + "\n"


_REPEATED = ("clusters.NAME.pools.NAME.", "clusters.NAME.clients.NAME.")
"""What stands once already."""


def _group(row: Setting, rows: Sequence[Setting]) -> str:
    """The heading below which a key stands: its first table."""
    first = row.key.partition(".")[0]
    if any(one.key.startswith(f"{first}.") for one in rows):
        named = any(one.key == f"{first}.NAME" for one in rows)
        return f"[{first}.NAME]" if named else f"[{first}]"
    return "At the top"


def _default(row: Setting) -> str:
    return "must be said" if row.required else f"`{row.default}`" if row.default else ""


PENDING = 2
"""The exit code of --check where there is something to do; it is no Stop."""


def codes() -> dict[int, str]:
    """{exit code: what it says}, of every way in which a task ends."""
    stops: list[type[Stop]] = [Stop, *_below(Stop)]
    found = {0: "done, or nothing to do", PENDING: "`--check`: there is something to do"}
    for one in stops:
        if "code" in vars(one):
            found[one.code] = (inspect.getdoc(one) or "").splitlines()[0].rstrip(".")
    found[Stop.code] = "a step did not work"
    found[contract.BadInput.code] += "; `doctor`: something is wrong"
    return dict(sorted(found.items()))


def exit_codes() -> str:
    """The exit codes."""
    rows = [(str(code), words) for code, words in codes().items()]
    return "\n".join(
        [
            "# Exit codes",
            "",
            *_table(("code", "what it says"), rows),
            "",
            "`make` answers 2 for every failure: a runbook that needs the code calls `inv`. A "
            "reader that leaves (`inv doctor | head`) ends a task that only looks with 141.",
            "",
        ]
    )


def _below(kind: type[Stop]) -> Iterator[type[Stop]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def touched(platform: Platform) -> list[tuple[str, str, str]]:
    """(path, what is written there, by which task), of every place on a host that is written."""
    ceph = platform.ceph
    found = [
        (
            ceph["conf"],
            "monitors and fsid; of other clusters, under their names",
            "hosts.conf",
        ),
        (ceph["keyring"], "a service's key, for that service alone", "ceph.keyrings"),
        (
            platform.source["list"],
            "an APT source, where the site file names one",
            "hosts.packages",
        ),
        ("/etc/apt/keyrings", "the key that signed it, as `signed-by` says", "hosts.packages"),
        (operator_sudo.path_of("USER"), "`[sudoers]` of the site file", "hosts.sudoers"),
    ]
    tasks_of = {"glance-api": "controller.glance", "nova-compute": "compute.nova"}
    by_path: dict[str, list[str]] = {}
    for service, path in platform.files.items():
        by_path.setdefault(path, []).append(service)
    for path, names in by_path.items():
        task = tasks_of.get(names[0], "controller.cinder")
        found.append((path, f"options of {', '.join(names)}, one by one; the rest stays", task))
    for name, path in platform.upstart.items():
        found.append((path, f"before Icehouse: the environment of {name}", "controller.cinder"))
    found += [
        ("libvirt's secrets", "the cluster's key under one UUID, by `virsh`", "compute.secret"),
        (STATE, "root's alone: old contents, pending restarts, the fence", "each that writes"),
    ]
    return found


def files(platform: Platform) -> str:
    """What is written on hosts."""
    rows = [
        (f"`{where}`" if where.startswith("/") else where, what, f"`{task}`")
        for where, what, task in touched(platform)
    ]
    return "\n".join(
        [
            "# Files touched on hosts",
            "",
            f"On the platform `{platform.name}`. Nothing else is written, but by `backup.restore` "
            "and `recover` what a backup holds. Installed are packages of the Ceph client "
            "(`[packages]`) and, by `backup.tools`, what makes backups. Owner, mode, ACL and "
            "attributes of a file that is there are kept; each write is whole or absent.",
            "",
            *_table(("where", "what", "by"), rows),
            "",
            "On your own machine: the records of runs below `~/.local/state/stackrbd`, backups "
            "where `backup.folder` says, and what you name by `--out`.",
            "",
        ]
    )


def _paragraphs(text: str) -> list[str]:
    return inspect.cleandoc(text).splitlines()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def pages(namespace: Collection, rows: Sequence[Setting], platform: Platform) -> Mapping[str, str]:
    """{file: text} of the whole reference."""
    return {
        "tasks.md": tasks(namespace),
        "settings.md": settings(rows),
        "exit-codes.md": exit_codes(),
        "files.md": files(platform),
    }
