"""Downloads every target of an index with python-tuf: URL ROOT FOLDER. Prints the target paths."""

import json
import sys
import urllib.request

from follower import Follower

url, root, folder = sys.argv[1:]
follower = Follower(url, root, folder)
assert follower.is_absent("packages/absent/absent-1.0.tar.gz")
assert follower.is_absent("simple/absent/vnd.pypi.simple.v1.json")

with open(follower.trusted("snapshot"), "rb") as file:
    roles = json.load(file)["signed"]["meta"]
bins = sorted(name for name in roles if name.startswith("bin-"))
assert len(bins) == 256, len(bins)
for name in bins:
    # The list alone is taken as it comes; each path on it is then looked up and verified.
    with urllib.request.urlopen(f"{url}/tuf/metadata/{roles[name]['version']}.{name}") as answer:
        listed = json.load(answer)["signed"]["targets"]
    for path in listed:
        follower.download(path)
        print(path)
