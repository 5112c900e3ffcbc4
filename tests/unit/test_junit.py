"""JUnit's XML: each finding and each step of verify is a test of a CI."""

from xml.etree import ElementTree

from fabfile.report.junit import junit

from .clouds import altered
from .reports import HOSTILE, PROOF, RUNS, broken, check, run, told, verify
from .states import answer


def suites(document):
    """{suite: [(classname, name, seconds, {what: its text})]}, with the numbers checked."""
    top = ElementTree.fromstring(junit(document).encode())  # noqa: S314 (our own)
    found = {}
    for suite in top:
        cases = [
            (c.get("classname"), c.get("name"), float(c.get("time")), {e.tag: e for e in c})
            for c in suite
        ]
        for what, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(what)) == sum(tag in inside for *_, inside in cases)
        assert int(suite.get("tests")) == len(cases) == len({c[:2] for c in cases})
        found[suite.get("name")] = cases
    for what in ("tests", "failures", "errors", "skipped"):
        assert int(top.get(what)) == sum(int(suite.get(what)) for suite in top)
    return found


def test_a_healthy_site_passes():
    found = suites(told(runs=RUNS))
    assert [case[:2] for case in found["stackrbd.doctor"]] == [
        ("stackrbd.doctor", "test is healthy")
    ]
    assert [(c[1], c[2], set(c[3])) for c in found["stackrbd.verify"]] == [
        (one["name"], one["seconds"], {"system-out"}) for one in PROOF
    ]


def test_a_finding_is_a_failure_with_its_commands():
    found = suites(told(broken))["stackrbd.doctor"]
    kind, name, _, inside = found[1]
    assert (kind, name.partition(": ")[0]) == ("stackrbd.doctor.libvirt.value.old", "n2")
    failure = inside["failure"]
    assert failure.get("type") == "error" and "rotated" in failure.get("message")
    assert "mend: inv compute.secret --limit n2" in failure.text
    assert len(found) == 2


def test_what_is_no_command_is_not_called_one():
    def change(cloud):
        cloud["ceph01"]["ceph.health"] = answer({"checks": {"MON_CLOCK_SKEW": {}}})

    found = suites(told(change))["stackrbd.doctor"]
    (text,) = [inside["failure"].text for kind, *_, inside in found if "MON_CLOCK" in kind]
    assert "mend: " not in text and "by hand: " in text


def test_a_note_is_no_failure():
    def change(cloud):
        altered(
            cloud,
            "ceph01",
            "ceph.health",
            lambda d: d.update(
                checks={"RECENT_CRASH": {"severity": "HEALTH_WARN", "summary": {"message": "one"}}}
            ),
        )

    first, second = suites(told(change))["stackrbd.doctor"]
    assert first[1] == "test is healthy"
    assert second[0] == "stackrbd.doctor.ceph.RECENT_CRASH" and set(second[3]) == {"system-out"}


def test_a_verify_that_failed():
    bad = check("n2: Nova attaches the volume", False, "no", 302.0)
    found = suites(told(runs=[verify(*PROOF, bad, code=6)]))["stackrbd.verify"]
    assert found[-1][2] == 302.0 and found[-1][3]["failure"].text == "no"


def test_a_verify_that_did_not_come_to_its_end():
    found = suites(told(runs=[verify(code=None, outcome="not ended")]))["stackrbd.verify"]
    ((_, _, _, inside),) = found
    assert "not ended" in inside["error"].get("message")


def test_no_verify_is_skipped_and_says_so():
    ((_, _, _, inside),) = suites(told(runs=[run()]))["stackrbd.verify"]
    assert "inv verify" in inside["skipped"].get("message")


def test_what_hosts_say_is_text_that_xml_may_have():
    def change(cloud):
        cloud["ctl"]["keyring.images"].update(owner=HOSTILE)

    found = suites(told(change, runs=[verify(check(HOSTILE, False, HOSTILE), code=6)]))
    assert "<script>" in found["stackrbd.verify"][0][1]
    assert "<script>" in found["stackrbd.doctor"][0][3]["failure"].text
