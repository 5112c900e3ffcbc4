"""The document as JUnit's XML: a CI shows each finding and each step of verify as a test."""

from __future__ import annotations

from collections.abc import Mapping

from fabfile.core.contract import INV, Json
from fabfile.core.text import few
from fabfile.doctor.finding import label
from fabfile.report import document as documents
from fabfile.report.markup import Child, Element, el, xml
from fabfile.report.shapes import Check, Document
from fabfile.report.times import stamp


def junit(document: Document) -> str:
    """One suite of the findings, where errors and warnings are failures, and one of verify."""
    suites = [_doctor(document), _verify(document)]
    numbers = {
        name: sum(int(suite.get(name, 0)) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    }
    return xml(el("testsuites", suites, name="stackrbd", **numbers))


def _doctor(document: Document) -> Element:
    cases = [_finding(one) for one in document["findings"]]
    if document["healthy"]:
        cases.insert(0, _case("doctor", f"{document['site']} is healthy", 0.0))
    return _suite("doctor", document["made"], cases)


def _finding(one: Mapping[str, Json]) -> Element:
    where = few(one["hosts"], 8) or "the site"
    mend = [
        f"{label(step)}: {step['run']}"
        + (f"  (as root on {few(step['hosts'], 8)})" if step["hosts"] else "")
        for step in one["mend"]
    ]
    told = (("found", one["found"]), ("expected", one["expected"]), ("why", one["cause"]))
    text = "\n".join([*(f"{what}: {said}" for what, said in told if said), *mend])
    name = f"{where}: {one['thing']}"
    if one["severity"] == "note":
        return _case(f"doctor.{one['code']}", name, 0.0, el("system-out", text))
    failure = el("failure", text, type=one["severity"], message=one["cause"] or one["found"])
    return _case(f"doctor.{one['code']}", name, 0.0, failure)


def _verify(document: Document) -> Element:
    last = documents.last(document["runs"], verify=True)
    if last is None:
        never = el("skipped", message=f"no verify is recorded here; {INV} verify proves it")
        return _suite("verify", document["made"], [_case("verify", "verify", 0.0, never)])
    cases = [_check(check) for check in last["checks"]]
    if last["code"] != 0 and all(check["ok"] for check in last["checks"]):
        why = last["why"] or f"the verify has {last['outcome']}"
        cases.append(_case("verify", "it comes to its end", 0.0, el("error", why, message=why)))
    return _suite("verify", last["began"], cases)


def _check(check: Check) -> Element:
    said = check["detail"] or ""
    if check["ok"]:
        return _case("verify", check["name"], check["seconds"] or 0.0, el("system-out", said))
    failure = el("failure", said, type="Unproved", message=said)
    return _case("verify", check["name"], check["seconds"] or 0.0, failure)


def _case(kind: str, name: str, seconds: float, *children: Child) -> Element:
    return el("testcase", *children, classname=f"stackrbd.{kind}", name=name, time=f"{seconds:.3f}")


def _suite(name: str, moment: float, cases: list[Element]) -> Element:
    def those(kind: str) -> int:
        return sum(case.find(kind) is not None for case in cases)

    seconds = sum(float(case.get("time", 0)) for case in cases)
    return el(
        "testsuite",
        cases,
        name=f"stackrbd.{name}",
        timestamp=stamp(moment),
        time=f"{seconds:.3f}",
        tests=len(cases),
        failures=those("failure"),
        errors=those("error"),
        skipped=those("skipped"),
    )
