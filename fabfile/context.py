"""What travels between tasks through Invoke's context, and under which keys.

Scalars only, and never a secret: Invoke copies and prints its configuration.
"""

from collections.abc import Mapping
from typing import Any

_KEY = "stackrbd_known"


def remember(context: Any, known: Mapping[str, str]) -> None:
    """Adds scalars, such as {'uuid.volumes': '...'}."""
    context[_KEY] = {**recall(context), **known}


def recall(context: Any) -> dict[str, str]:
    """All that was remembered so far."""
    return dict(context.get(_KEY, {}))
