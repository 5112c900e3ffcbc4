"""The document in Prometheus' text format, for the node exporter's textfile collector.

Knows names, units and escaping; what is not known has no line, and moments are moments:
an age is `time() - ..._timestamp_seconds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fabfile.core.contract import CLOUD
from fabfile.core.text import clean
from fabfile.report import document as documents
from fabfile.report.shapes import Document

Sample = tuple[dict[str, str], float]
_RAN = {
    "success": "1 where the {} ended with exit code 0.",
    "timestamp_seconds": "When the {} ended, or was last heard of (Unix time).",
    "duration_seconds": "How long the {} took.",
    "exit_code": "How the {} ended; absent where its end is not recorded.",
}


def metrics(document: Document) -> str:
    """The file's text; every line names the site."""
    lines: list[str] = []
    for name, told, samples in (*_state(document), *_ran(document), *_versions(document)):
        shown = [
            _line(name, {"site": document["site"], **labels}, value) for labels, value in samples
        ]
        if shown:
            lines += [f"# HELP stackrbd_{name} {told}", f"# TYPE stackrbd_{name} gauge", *shown]
    return "\n".join(lines) + "\n"


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    number = str(int(value)) if float(value).is_integer() else repr(float(value))
    return f"stackrbd_{name}{{{told}}} {number}"


def _escaped(text: str) -> str:
    return clean(text).replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


Metrics = Iterable[tuple[str, str, list[Sample]]]


def _state(document: Document) -> Metrics:
    hosts = [host for host in document["hosts"] if host["state"] != "not asked"]
    pending: list[Sample] = [
        ({"host": h["name"]}, h["pending"]) for h in hosts if h["state"] == "answered"
    ]
    if document["cloud"]:
        pending.append(({"host": CLOUD}, sum(CLOUD in p["hosts"] for p in document["pending"])))
    yield (
        "report_timestamp_seconds",
        "When the site was looked at (Unix time).",
        [({}, round(document["made"], 3))],
    )
    yield (
        "healthy",
        "1 where doctor found nothing but notes and every host answered.",
        [({}, document["healthy"])],
    )
    yield (
        "host_answered",
        "1 where the host answered.",
        [({"host": h["name"]}, h["state"] == "answered") for h in hosts],
    )
    yield "changes_pending", "Changes that integrate would make now (drift).", pending
    yield (
        "drift_known",
        "1 where all was looked at and planned: else there may be more.",
        [({}, document["drift"]["known"])],
    )
    yield (
        "findings",
        "Findings of doctor.",
        [({"severity": severity}, n) for severity, n in document["counts"].items()],
    )
    yield (
        "secrets_differing",
        "Places of the truth table of secrets that differ.",
        [({}, sum(bool(place["odd"]) for place in document["secrets"]))],
    )
    yield (
        "key_created_timestamp_seconds",
        "When a client's key was made, as it says itself (Unix time).",
        [({"client": name}, c["made"]) for name, c in document["clients"].items() if c["made"]],
    )


def _ran(document: Document) -> Metrics:
    for name, verify in (("last_run", False), ("last_verify", True)):
        last = documents.last(document["runs"], verify)
        what = "site's last verify" if verify else "site's last run but verify"
        values = (
            {}
            if last is None
            else {
                "success": last["code"] == 0,
                "timestamp_seconds": last["ended"],
                "duration_seconds": last["seconds"],
                **({} if last["code"] is None else {"exit_code": last["code"]}),
            }
        )
        for kind, value in values.items():
            yield f"{name}_{kind}", _RAN[kind].format(what), [({}, value)]
        if verify and last is not None:
            passed = sum(bool(check["ok"]) for check in last["checks"])
            yield (
                "last_verify_checks",
                "Steps of the site's last verify.",
                [
                    ({"result": "passed"}, passed),
                    ({"result": "failed"}, len(last["checks"]) - passed),
                ],
            )


def _versions(document: Document) -> Metrics:
    yield (
        "build_info",
        "The version of stackrbd that looked.",
        [({"version": document["version"]}, 1)],
    )
    ceph = document.get("ceph")
    yield (
        "ceph_daemons",
        "Daemons of the cluster by version.",
        [({"version": version}, n) for version, n in (ceph["versions"] if ceph else {}).items()],
    )
    packages = document["openstack"]["packages"]
    yield (
        "openstack_hosts",
        "Hosts by OpenStack service, its version, and the release.",
        [
            (
                {
                    "service": name.partition(" ")[0],
                    "version": name.partition(" ")[2],
                    "release": document["openstack"]["release"],
                },
                len(hosts),
            )
            for name, hosts in packages.items()
        ],
    )
