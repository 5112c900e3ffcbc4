"""A process of its own, so that its memory can be told: 100,000 rows against as many names.

Prints how long it computed and the most memory it had, from the client's lines to the findings.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from fabfile.audit import compare, database_rows, rbd_images  # noqa: E402 (its place is known now)
from fabfile.core import site_file  # noqa: E402
from fabfile.core.contract import Host  # noqa: E402
from fabfile.model import platforms  # noqa: E402
from fabfile.model.deployment import Cluster  # noqa: E402

MANY = 100_100
FSID = "11111111-2222-3333-4444-555555555555"
CLUSTER = Cluster(
    "ceph", FSID, Host("ceph01", ("ceph",)), platforms.made_of(site_file.platforms()[0])
)
PLACES = compare.Places(CLUSTER, FSID, {"rbd": "volumes"}, frozenset({"images"}), None)


def uuid(number):
    """As uuid.UUID(int=number) writes it, in a tenth of the time."""
    return f"00000000-0000-0000-0000-{number:012x}"


def lines(count, gone):
    for number in range(count):
        name, instance = uuid(number), uuid(number + 10**9)
        if number not in gone:
            yield f"volume\t{name}\t{name}\tin-use\t10\tcontroller01@rbd#rbd\t"
        yield f"attachment\t{uuid(number + 2 * 10**9)}\t{name}\t{instance}\tattached"
        yield f"disk\t{instance}\t{name}\tvolume\t"


def main():
    start = time.process_time()
    before = database_rows.rows(lines(MANY, {7, 8, 9, 10, 11}))
    ids = (uuid(number) for number in range(5, MANY))
    names = rbd_images.names({"volumes": [f"volume-{name}" for name in ids], "images": []}, {})
    after = database_rows.rows(lines(MANY, {7, 8, 9, 10, 11}))
    found = compare.compare(PLACES, before, names, after)
    print(
        json.dumps(
            {
                "findings": len(found),
                "rows": sum(len(some) for some in vars(after).values()),
                "names": len(names.there["volumes"]),
                "seconds": round(time.process_time() - start, 1),
                "megabytes": megabytes(),
            }
        )
    )


def megabytes():
    """At most, of this program: ru_maxrss begins with what the process was that started it."""
    with open("/proc/self/status") as stream:
        (line,) = [line for line in stream if line.startswith("VmHWM")]
    return round(int(line.split()[1]) / 1024)


if __name__ == "__main__":
    main()
