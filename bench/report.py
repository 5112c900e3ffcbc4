"""The table and the plot: medians of the rounds, and ratios within each round."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

PHASES = ("cold", "converged")
_COLUMNS = {
    "wall": ("wall s", "{:.1f}"),
    "control_cpu": ("control CPU ms/host", "{:.1f}"),
    "host_cpu": ("host CPU ms/host", "{:.0f}"),
    "peak": ("peak MB", "{:.0f}"),
    "kilobytes": ("kB/host", "{:.0f}"),
    "packets": ("packets/host", "{:.0f}"),
    "connections": ("connections/host", "{:.1f}"),
    "sessions": ("sessions/host", "{:.1f}"),
}


def _median(document: Any, way: str, phase: str, figure: str) -> float:
    return median(found[way][phase][figure] for found in document["rounds"])


def _ratio(document: Any, way: str, phase: str, figure: str) -> float:
    """Of a way to stackrbd: the median of the rounds' own ratios."""
    ours = "stackrbd"
    return median(r[way][phase][figure] / r[ours][phase][figure] for r in document["rounds"])


def table(document: Any) -> str:
    """Markdown: a row a way and phase."""
    ways = list(document["rounds"][0])
    heads = ["way", "phase", *(title for title, _ in _COLUMNS.values())]
    if "stackrbd" in ways:
        heads += ["wall : stackrbd", "control CPU : stackrbd"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for phase in PHASES:
        for way in ways:
            cells = [way, phase]
            for figure, (_, form) in _COLUMNS.items():
                cells.append(form.format(_median(document, way, phase, figure)))
            if "stackrbd" in ways:
                for figure in ("wall", "control_cpu"):
                    cells.append(f"{_ratio(document, way, phase, figure):.2f}")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


_AIMS = (
    ("wall", "openssh, python", "stackrbd's wall time, of {}'s", "at most", (1.6, 1.05)),
    ("host_cpu", "openssh, python", "stackrbd's host CPU, of {}'s", "at most", (1.4, 1.0)),
    ("control_cpu", "openssh, python", "stackrbd's control CPU, of {}'s", "at most", (0.85, 0.55)),
    ("wall", "pyinfra", "{}'s wall time, of stackrbd's", "at least", (2.2, 1.6)),
    ("wall", "ansible", "{}'s wall time, of stackrbd's", "at least", (35, 35)),
    ("control_cpu", "pyinfra", "{}'s control CPU, of stackrbd's", "at least", (7.5, 5)),
)
"""figure, peer, what is compared, whether its limit is a most or a least, (cold, converged)."""


def aims(document: Any) -> str:
    """Markdown: what is aimed at, and what was reached."""
    lines = ["| aim | cold | reached | converged | reached |", "|---|---|---|---|---|"]
    for figure, peer, what, kind, limits in _AIMS:
        if peer in document["rounds"][0]:
            found = [_ratio(document, peer, phase, figure) for phase in PHASES]
            found = [1 / ratio for ratio in found] if kind == "at most" else found
            lines.append(_aim(what.format(peer), kind, limits, found))
    return "\n".join(lines)


def _aim(what: str, kind: str, limits: tuple[float, ...], found: list[float]) -> str:
    cells = [what]
    for limit, one in zip(limits, found, strict=True):
        met = one <= limit if kind == "at most" else one >= limit
        cells += [f"{kind} {limit:g}", f"{one:.2f}" if met else f"**{one:.2f}**"]
    return f"| {' | '.join(cells)} |"


_PAGE = """\
# Speed: the compute stage, measured against its peers

Made by `make bench N={hosts} ROUNDS={rounds} DOCS=1`: {hosts} simulated computes behind a real
sshd each, on this machine's own {cores} cores; {forks} hosts at a time, {rounds} rounds of all
ways in turn; medians, and ratios within each round. `cold` begins with Debian's pristine nova.conf
(350 kB), `converged` is a second run. All hosts ended byte-identical, by every way, with one
restart each.

{table}

![control CPU and wall time](speed.svg)

## Aims and results
Bold: not reached. {floor}The wall time that is missing is the hosts' own CPU, here on the same
cores, and the watching: see below.

{aims}

## What one host's time goes into
{costs}## What was tried, and did not pay
The first was measured as it says. Of the rest, single pieces were timed, and what they could
spare was reckoned: none was built as a whole.

- **The agent's modules kept on the host**, by digest, in root's state folder. A trip sent 99 kB of
  them: the control side spends 0.5 ms on that, the host 0.6 (40 trips of each size in turn) and
  1.0 to unpack. It sends 50 kB now. A kept file, which has to be opened, looked at and
  hashed before it is believed, would spare less than a millisecond, and be one that root's
  interpreter loads.
- **`-X frozen_modules`, `-E`**: an installed Python does the first anyway; the second is in `-I`.
- **OpenSSL's SHA-256**, four times as fast as the interpreter's own: 2.6 ms to load, for 1.7 ms of
  two hashes of 350 kB.
- **A secret's XML and value in the same virsh as the list**: their UUIDs are in the list.
- **dpkg's status read as a file**: dpkg-query merges it with a journal of updates. What is spared
  is the second question, where neither has changed.
- **The guard forked before any module is loaded** (it ends programs when an agent is killed): 0.7
  of the 4.4 ms that a copy of the agent took with its messages; a shell takes 0.8.
- **Fewer of Fabric's layers**: at 200 hosts some quarter of the control side's time is the start of
  the program, and most of the rest paramiko's connection (its floor, measured: 4.4 ms a host).

## How to read it
- **Control CPU per host** is what carries over to a real fleet, whose hosts work in parallel; wall
  time here is mostly the hosts' own CPU, on the same cores as everything else. It includes the
  program's start (0.3 s for stackrbd), divided by {hosts} hosts.
- stackrbd reads all hosts, shows the whole plan, writes (each step on the disk before the next),
  restarts, watches for 4 s that the service stays up, and reads all hosts again. The others write
  without a plan, restart without watching and do not read again: so a part of `wall` is not cost
  but those 4 s. The OpenSSH loops run a lean script that knows the cluster's values beforehand.
- sudo, virsh, systemctl, dpkg-query and ceph are stand-ins that keep state in files; a restart
  takes no time there. Connections, shells and Python on the hosts are real.
- sessions: commands that sshd was asked for; packets: TCP's, both directions. Peak is the
  proportional set size of all control processes, sampled five times a second.

## How the fleet is made

A host is an overlay over this machine's root and a common layer, in a mount namespace of its own,
with an sshd of its own on an address of 127/8. All of it is in one more mount, process and network
namespace: port 22 is free there, bytes on `lo` are the run's own, nobody else sees a mount, and
everything ends when the first process ends. Each host has its own sshd: 200 start in about 4 s,
and no program of ours stands between sshd and the session.
CPU is read from two cgroups. `python -m bench --help` shows the rest;
`--within COMMAND` runs a command beside a pristine fleet, for a profiler.
"""


def write(document: Any, folder: Path) -> None:
    """docs/speed.md and docs/speed.svg."""
    import os  # noqa: PLC0415

    page = _PAGE.format(
        hosts=document["hosts"],
        forks=document["forks"],
        rounds=len(document["rounds"]),
        cores=os.cpu_count(),
        table=table(document),
        aims=aims(document),
        floor=_floor(document),
        costs=costs(folder / "speed.md"),
    )
    (folder / "speed.md").write_text(page)
    (folder / "speed.svg").write_text(plot(document))


_BEGINS, _ENDS = "## What one host's time goes into\n", "## What was tried"


def costs(page: Path) -> str:
    """The page's own words on one host, and on hosts with latency: other commands', they stay."""
    text = page.read_text() if page.exists() else ""
    return text.partition(_BEGINS)[2].partition(_ENDS)[0]


def _floor(document: Any) -> str:
    """How far pyinfra is from the lean loop: farther ahead of it is hardly to be had."""
    if not {"pyinfra", "openssh, python"} <= set(document["rounds"][0]):
        return ""
    far = [
        median(
            r["pyinfra"][phase]["wall"] / r["openssh, python"][phase]["wall"]
            for r in document["rounds"]
        )
        for phase in PHASES
    ]
    return (
        f"The lean loop, which shows no plan and checks nothing afterwards, is itself only "
        f"{far[0]:.1f} (cold)\nand {far[1]:.1f} times as fast as pyinfra. "
    )


_BAR, _LEFT, _WIDTH = 16, 190, 420
_COLOURS = {"cold": "#2b6cb0", "converged": "#90cdf4"}


def plot(document: Any) -> str:
    """Two groups of bars, each to its own scale."""
    parts, y = [], 10
    for figure in ("control_cpu", "wall"):
        title, form = _COLUMNS[figure]
        parts.append(_text(10, y + 14, title, "bold"))
        y += 24
        ways = list(document["rounds"][0])
        most = max(_median(document, w, p, figure) for w in ways for p in PHASES)
        for way in ways:
            for phase in PHASES:
                value = _median(document, way, phase, figure)
                parts.append(_bar(y, f"{way}, {phase}", value / most, form.format(value), phase))
                y += _BAR + 2
            y += 6
        y += 10
    size = f'width="{_LEFT + _WIDTH + 80}" height="{y}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])


def _text(x: float, y: float, words: str, weight: str = "normal") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="12" font-weight="{weight}">{words}</text>'


def _bar(y: float, label: str, part: float, value: str, phase: str) -> str:
    width = max(1.0, part * _WIDTH)
    rect = f'<rect x="{_LEFT}" y="{y}" width="{width:.0f}" height="{_BAR}"'
    return (
        _text(10, y + 13, label)
        + f'{rect} fill="{_COLOURS[phase]}"/>'
        + _text(_LEFT + width + 5, y + 13, value)
    )
