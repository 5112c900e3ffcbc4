"""The one error that the lab raises on purpose."""


class LabError(Exception):
    """Says what failed, where, what was expected and what to do about it."""
