#!/usr/bin/python3
"""rabbitmqctl with a queue that is a file: its definitions go out, and come in again."""

import sys

words = [word for word in sys.argv[1:] if word != "-q"]
if words == ["export_definitions", "-"]:
    with open("/srv/definitions.json") as stream:
        print(stream.read())
elif words[0] == "import_definitions" and len(words) == 2:
    with open(words[1]) as given, open("/srv/definitions.json", "w") as stream:
        stream.write(given.read())
else:
    sys.exit(64)
