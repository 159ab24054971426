"""Follows an index's roots with python-tuf and downloads targets: URL ROOT FOLDER PATH...

Prints the version of root that it trusts then.
"""

import os
import sys

from tuf.api.metadata import Metadata
from tuf.ngclient import Updater

url, root, folder, *paths = sys.argv[1:]
metadata, targets = os.path.join(folder, "metadata"), os.path.join(folder, "targets")
os.makedirs(targets, exist_ok=True)
with open(root, "rb") as file:
    bootstrap = file.read()
updater = Updater(
    metadata_dir=metadata,
    metadata_base_url=f"{url}/tuf/metadata/",
    target_dir=targets,
    target_base_url=f"{url}/tuf/targets/",
    bootstrap=bootstrap,
)
updater.refresh()
for path in paths:
    info = updater.get_targetinfo(path)
    assert info is not None, path
    assert os.path.getsize(updater.download_target(info)) == info.length
print(Metadata.from_file(os.path.join(metadata, "root.json")).signed.version)
