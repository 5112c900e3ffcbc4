#!/usr/bin/python3
"""rabbitmqctl with a queue that is a file: its definitions go out, and come in again."""

import shutil
import sys

words = [word for word in sys.argv[1:] if word != "-q"]
if words == ["export_definitions", "-"]:
    with open("/srv/definitions.json") as stream:
        print(stream.read())
elif words[0] == "import_definitions":
    shutil.copy(words[1], "/srv/definitions.json")
else:
    sys.exit(64)
