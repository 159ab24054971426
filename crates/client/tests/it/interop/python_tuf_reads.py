"""Looks targets up in each repository of a file of JSON lines, with python-tuf: CASES.

{"folder": F, "present": […], "absent": […]}: the version of root, what was found at each path, and
what was downloaded for those that are present; or {"refused": …} where no refresh is possible.
"""

import json
import sys

from client import Client


def answer(folder, present, absent):
    try:
        with Client(folder) as client:
            root = client.root()
            found = {path: client.find(path) for path in present + absent}
            content = {path: client.content(path).hex() for path in present}
            return {"root": root, "found": found, "content": content}
    except Exception as error:  # See Client.find.
        return {"refused": f"{type(error).__name__}: {error}"}


with open(sys.argv[1], "rb") as cases:
    for case in cases:
        print(json.dumps(answer(**json.loads(case))))
