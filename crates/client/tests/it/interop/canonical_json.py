"""The canonical form of each line of a file of JSON, by securesystemslib: CASES."""

import json
import sys

from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical

sys.setrecursionlimit(10_000)


def canonical(value):
    try:
        return encode_canonical(value).encode().hex()
    except (FormatError, UnicodeEncodeError):
        return None


with open(sys.argv[1], "rb") as cases:
    for case in cases:
        value = json.loads(case)
        answer = canonical(value)
        spelled = [json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)]
        if answer is None:
            spelled = []
        print(json.dumps({"canonical": answer, "spelled": spelled}))
