"""Downloads every target of an index with python-tuf: URL ROOT FOLDER. Prints the target paths."""

import json
import os
import sys
import urllib.request

from tuf.ngclient import Updater

url, root, folder = sys.argv[1:]
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
assert updater.get_targetinfo("packages/absent/absent-1.0.tar.gz") is None
assert updater.get_targetinfo("simple/absent/vnd.pypi.simple.v1.json") is None

with open(os.path.join(metadata, "snapshot.json"), "rb") as file:
    roles = json.load(file)["signed"]["meta"]
bins = sorted(name for name in roles if name.startswith("bin-"))
assert len(bins) == 256, len(bins)
for name in bins:
    # The list alone is taken as it comes; each path on it is then looked up and verified.
    with urllib.request.urlopen(f"{url}/tuf/metadata/{roles[name]['version']}.{name}") as answer:
        listed = json.load(answer)["signed"]["targets"]
    for path in listed:
        info = updater.get_targetinfo(path)
        assert info is not None, path
        downloaded = updater.download_target(info)
        assert os.path.getsize(downloaded) == info.length
        print(path)
