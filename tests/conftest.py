"""For all tests: signals that this process ignores would be ignored by all that it starts."""

import signal

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup
signal.signal(signal.SIGINT, signal.default_int_handler)  # what `&` starts
