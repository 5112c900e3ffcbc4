"""The lab, for what takes long: a lost controller, a large database."""

from tests.lab.conftest import (  # noqa: F401 (fixtures)
    integrated,
    kept,
    lab,
    leaves,
    no_key_is_shown,
    watcher,
)
