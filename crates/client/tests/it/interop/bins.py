"""Answers each line of a file of JSON with python-tuf's delegations: CASES.

{"path": P}: the role that P falls into with 1 to 32 bits;
{"path": P, "prefixes": […]} or {"path": P, "patterns": […]}: whether that covers P.
"""

import json
import sys

from tuf.api.metadata import DelegatedRole, SuccinctRoles


def answer(path, prefixes=None, patterns=None):
    if prefixes is None and patterns is None:
        bins = (SuccinctRoles([], 1, bits, "a-b") for bits in range(1, 33))
        return [roles.get_role_for_target(path) for roles in bins]
    role = DelegatedRole("a", [], 1, False, patterns, prefixes)
    return role.is_delegated_path(path)


with open(sys.argv[1], "rb") as cases:
    for case in cases:
        print(json.dumps(answer(**json.loads(case))))
