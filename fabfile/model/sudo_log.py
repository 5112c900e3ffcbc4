"""What follows from a sudo that writes down what passes through it, in words for the operator."""

from __future__ import annotations

from collections.abc import Mapping

from fabfile.core.contract import Json

_OPTIONS = "Defaults!/usr/bin/python3* !log_input, !log_output"


def fault(host: Mapping[str, Json]) -> tuple[str, str] | None:
    """(what is wrong, what to do about it); None where no key would be in sudo's log.

    host: the answer to the read 'host'.
    """
    if unknown := host.get("sudo_unknown"):
        return (
            f"it cannot be seen whether sudo keeps what passes through it ({unknown}): keys "
            "could be in its log",
            "see to it that `sudo -l -U OPERATOR` works there as root, and names the rule by "
            "which the operator runs python3",
        )
    kept = host.get("sudo_keeps")
    if not kept:
        return None
    found = f"sudo keeps what passes through it ({', '.join(kept)}): keys would be in its log"
    # A rule's tag counts more than any Defaults.
    if any(word.isupper() for word in kept):
        return found, (
            "put NOLOG_INPUT: NOLOG_OUTPUT: in the place of that tag of the operator's rule; and"
            f" there, by visudo -f /etc/sudoers.d/91-stackrbd-log, the line: {_OPTIONS}"
        )
    return found, f"there, by visudo -f /etc/sudoers.d/91-stackrbd-log, the line: {_OPTIONS}"
