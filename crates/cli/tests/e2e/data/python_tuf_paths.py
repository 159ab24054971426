"""Follows an index's roots with python-tuf and downloads targets: URL ROOT FOLDER PATH...

Prints the version of root that it trusts then.
"""

import sys

from follower import Follower
from tuf.api.metadata import Metadata

url, root, folder, *paths = sys.argv[1:]
follower = Follower(url, root, folder)
for path in paths:
    follower.download(path)
print(Metadata.from_file(follower.trusted("root")).signed.version)
