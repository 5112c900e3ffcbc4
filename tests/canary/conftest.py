"""The lab, integrated, for canaries that are killed and rollouts that are stopped."""

from tests.lab.conftest import (  # noqa: F401 (fixtures)
    integrated,
    lab,
    leaves,
    no_key_is_shown,
    watcher,
)
