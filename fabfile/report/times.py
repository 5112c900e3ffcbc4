"""Moments and spans in words; Unix times in, and always UTC."""

from __future__ import annotations

from datetime import datetime, timezone


def when(moment: float) -> str:
    """'2026-11-23 17:30 UTC'."""
    return f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%d %H:%M} UTC"


def day(moment: float) -> str:
    """'11-23'."""
    return f"{datetime.fromtimestamp(moment, timezone.utc):%m-%d}"


def stamp(moment: float) -> str:
    """'2026-11-23T17:30:05', as JUnit's files have it."""
    return f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%dT%H:%M:%S}"


def lasting(seconds: float) -> str:
    """'3.2 s', '4 min 5 s', '2 h 10 min', '12 days'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} days"
