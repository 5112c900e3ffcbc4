"""Names for cached things: a hash of all that they were made from."""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


def of(parts: Iterable[str], modules: Iterable[ModuleType] = ()) -> str:
    """A short hash of texts and of modules' code; comments do not count."""
    words = list(parts)
    for module in modules:
        source = Path(str(module.__file__)).read_text()
        words.append(ast.dump(ast.parse(source)))
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]
