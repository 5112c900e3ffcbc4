"""Elements of the drawings and of JUnit's XML, in which text stays text.

Knows escaping (ElementTree's) and which letters must not be there; the page itself is made of
templates.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias
from xml.etree import ElementTree

from fabfile.core.text import clean

Element: TypeAlias = ElementTree.Element
Child: TypeAlias = "str | Element | None | Iterable[Child]"


def el(tag: str, *children: Child, **attributes: object) -> Element:
    """An element: children are text or elements; attributes such as class_ or aria_label.

    True is an attribute without a value; False and None are none.
    """
    made = ElementTree.Element(tag)
    for name, value in attributes.items():
        if value is not None and value is not False:
            shown = "" if value is True else clean(str(value))
            made.set(name.rstrip("_").replace("_", "-"), shown)
    for child in children:
        _add(made, child)
    return made


def _add(parent: Element, child: Child) -> None:
    if child is None:
        return
    if isinstance(child, ElementTree.Element):
        parent.append(child)
    elif isinstance(child, str):
        text = clean(child)
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + text
        else:
            parent.text = (parent.text or "") + text
    else:
        for one in child:
            _add(parent, one)


def html(element: Element) -> str:
    """The element as HTML."""
    return ElementTree.tostring(element, encoding="unicode", method="html")


def xml(element: Element) -> str:
    """The element as an XML document."""
    text = ElementTree.tostring(element, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'
