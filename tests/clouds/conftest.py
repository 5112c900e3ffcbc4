"""The lab's fixtures, for clouds that are broken on purpose."""

from tests.lab.conftest import (  # noqa: F401 (fixtures)
    integrated,
    lab,
    leaves,
    no_key_is_shown,
    site,
    watcher,
)
