"""What needs a real MariaDB, or whole hosts apart from this machine, and no lab."""

from .chroots import hosts  # noqa: F401 (fixtures)
from .programs import agent, folder, key, programs, server  # noqa: F401 (fixtures)
