"""Text for people: what a host said may hold anything."""

from __future__ import annotations


def clean(text: str) -> str:
    """The text's lines without control characters, surrogates, or what turns letters round."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
