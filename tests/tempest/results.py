"""Reads a subunit stream from its input and prints a line of JSON a test.

Runs in tempest's own environment: it needs nothing of ours.
"""

import json
import sys

import subunit
import testtools


def main():
    """{test, status, seconds, reason, details}; statuses are subunit's."""

    def finished(test):
        details = {name: content.as_text() for name, content in test["details"].items()}
        begun, ended = test["timestamps"]
        found = {
            "test": test["id"],
            "status": test["status"],
            "seconds": (ended - begun).total_seconds() if begun and ended else 0.0,
            "reason": details.get("reason", ""),
            "traceback": details.get("traceback", "")[-4000:],
        }
        print(json.dumps(found), flush=True)

    stream = subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="other")
    result = testtools.StreamToDict(finished)
    result.startTestRun()
    stream.run(result)
    result.stopTestRun()


if __name__ == "__main__":
    main()
