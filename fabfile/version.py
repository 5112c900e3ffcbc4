"""Which version this is; the wheel is called after it."""

__version__ = "0.1.0"
