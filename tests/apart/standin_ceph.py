#!/usr/bin/python3
"""ceph and rbd with the answers that stand in /srv/answers.json: {'the words': 'the answer'}."""

import json
import os
import sys

words = " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
with open("/srv/answers.json") as stream:
    answers = json.load(stream)
if words not in answers:
    sys.exit(2)
print(answers[words])
