"""Looks targets up in each repository of a file of JSON lines, with python-tuf: CASES.

{"folder": F, "present": […], "absent": […]}: the version of root, and for each path what was found
and what was downloaded.
"""

import json
import sys

from client import Client

with open(sys.argv[1], "rb") as cases:
    for case in map(json.loads, cases):
        with Client(case["folder"]) as client:
            root = client.root()
            found = {path: client.find(path) for path in case["present"] + case["absent"]}
            content = {path: client.content(path).hex() for path in case["present"]}
        print(json.dumps({"root": root, "found": found, "content": content}))
