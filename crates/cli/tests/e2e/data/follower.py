"""A python-tuf client that follows an index from a root on."""

import os

from tuf.ngclient import Updater


class Follower:
    """What it trusts and what it downloads is kept in a folder."""

    def __init__(self, url, root, folder):
        self.metadata = os.path.join(folder, "metadata")
        targets = os.path.join(folder, "targets")
        os.makedirs(targets, exist_ok=True)
        with open(root, "rb") as file:
            bootstrap = file.read()
        self.updater = Updater(
            metadata_dir=self.metadata,
            metadata_base_url=f"{url}/tuf/metadata/",
            target_dir=targets,
            target_base_url=f"{url}/tuf/targets/",
            bootstrap=bootstrap,
        )
        self.updater.refresh()

    def trusted(self, role):
        """The file of a role's metadata that it trusts now."""
        return os.path.join(self.metadata, f"{role}.json")

    def is_absent(self, path):
        return self.updater.get_targetinfo(path) is None

    def download(self, path):
        """Downloads a target, which must be there."""
        info = self.updater.get_targetinfo(path)
        assert info is not None, path
        assert os.path.getsize(self.updater.download_target(info)) == info.length
