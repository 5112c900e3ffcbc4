"""Ansible runs each module out of a zip, whose sources Python compiles anew each time: kept here.

A quarter of genconfig's time.  Python finds this file by PYTHONPATH, in the processes of genconfig
alone.
"""

import hashlib
import marshal
import os
import zipimport

_compile = zipimport._compile_source


def _kept(path, source):
    """The code of a source, compiled once."""
    folder = os.environ["HANDOVER_COMPILED"]
    kept = os.path.join(folder, hashlib.sha256(source).hexdigest())
    try:
        with open(kept, "rb") as file:
            return marshal.load(file)  # noqa: S302 (written below)
    except FileNotFoundError:
        code = _compile(path, source)
    with open(f"{kept}.{os.getpid()}", "wb") as file:
        marshal.dump(code, file)
    os.replace(f"{kept}.{os.getpid()}", kept)
    return code


zipimport._compile_source = _kept
