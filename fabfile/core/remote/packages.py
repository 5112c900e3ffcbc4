"""The packages of this host, as dpkg and apt keep them.

The one module of the agent that knows the package manager.
Python 3.6, standard library alone.
"""

from .processes import expect


def versions(names):
    """{package: version, or None where it is not installed}."""
    form = "${db:Status-Abbrev} ${Package} ${Version}\n"
    out = expect(["dpkg-query", "-W", "-f", form, "--"] + list(names), (0, 1))[1]
    found = dict.fromkeys(names)
    for line in out.splitlines():
        status, _, rest = line.partition(" ")
        if status.startswith("ii"):
            name, _, version = rest.strip().partition(" ")
            found[name] = version
    return found


def install(names, source=None):
    """Installs packages; where a source list is named, only that one is refreshed."""
    apt = ["apt-get", "-q", "-y"]
    apt += ["-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::http::Timeout=20"]
    if source:
        only = ["-o", "Dir::Etc::sourcelist=" + source, "-o", "Dir::Etc::sourceparts=-"]
        expect(apt + only + ["-o", "APT::Get::List-Cleanup=0", "update"], timeout=180)
    quiet = ["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]
    wanted = ["--no-install-recommends", "install", "--"] + list(names)
    expect(apt + quiet + wanted, killable=False)
