"""See the package: prints the seed, the count by kind of input, and every failure's case."""

import argparse
import sys
import time
from collections import Counter

from .runner import TARGETS, cases, run


def main():
    """0 where every input ended well, 1 where one did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=60_000)
    parser.add_argument("--seed", default=time.strftime("%Y-%m-%d"))
    parser.add_argument("--only", action="append", choices=TARGETS, help="a target; repeatable")
    parser.add_argument("--case", help="one failure again: SEED/TARGET/NUMBER")
    given = parser.parse_args()
    if given.case:
        failure = run(given.case)
        print(failure.trace if failure else f"{given.case}: ended well")
        return int(failure is not None)
    return _all(given.seed, given.inputs, given.only or tuple(TARGETS))


def _all(seed, inputs, names):
    print(f"seed {seed}")
    begun, counts, times, failures = time.monotonic(), Counter(), Counter(), {}
    for case in cases(seed, inputs, names):
        name, at = case.split("/")[1], time.monotonic()
        counts[TARGETS[name].kind] += 1
        if failure := run(case):
            found = failures.setdefault(failure.kind, [])
            found.append(failure)
            if len(found) == 1:
                print(f"  FAILED {case}: {failure.where}: {failure.error}", flush=True)
        times[name] += time.monotonic() - at
    for kind, count in sorted(counts.items()):
        print(f"  {count:>6}  {kind}")
    for kind, found in failures.items():
        print(f"FAILED {len(found)} times: {kind}; the first: --case {found[0].case}")
    slow = ", ".join(f"{name} {spent:.0f} s" for name, spent in times.most_common(4))
    print(
        f"{counts.total()} inputs, {len(failures)} kinds of failure, "
        f"{time.monotonic() - begun:.0f} s ({slow})"
    )
    return int(bool(failures))


sys.exit(main())
