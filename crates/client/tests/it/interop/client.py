"""python-tuf's Updater over a folder that has `metadata` and `targets`."""

from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

# The moment at which the testkit's clients live.
NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)
BASE = "folder:/"


class Folder(FetcherInterface):
    def __init__(self, folder):
        self.folder = Path(folder)

    def _fetch(self, url):
        try:
            return [(self.folder / url.removeprefix(BASE)).read_bytes()]
        except FileNotFoundError as error:
            raise DownloadHTTPError(str(error), 404) from error


class Client:
    """One client that came with version 1 of root; `with` removes what it stored."""

    def __init__(self, folder):
        self.scratch = TemporaryDirectory()
        self.updater = Updater(
            metadata_dir=self.scratch.name,
            metadata_base_url=f"{BASE}metadata/",
            target_base_url=f"{BASE}targets/",
            fetcher=Folder(folder),
            bootstrap=(Path(folder) / "metadata/1.root.json").read_bytes(),
        )
        assert hasattr(self.updater._trusted_set, "reference_time")
        self.updater._trusted_set.reference_time = NOW

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.scratch.cleanup()

    def root(self):
        """The version of root after a refresh."""
        self.updater.refresh()
        return self.updater._trusted_set.root.version

    def find(self, path):
        """The target's length and hashes, None where there is none, "refused" with the reason."""
        try:
            info = self.updater.get_targetinfo(path)
        except Exception as error:  # Not only its own: a role name that is a number is a TypeError.
            return f"refused: {type(error).__name__}: {error}"
        if info is None:
            return None
        return {"length": info.length, "hashes": info.hashes}

    def content(self, path):
        """The bytes of a target that is there, verified."""
        info = self.updater.get_targetinfo(path)
        file = self.updater.download_target(info, f"{self.scratch.name}/target")
        return Path(file).read_bytes()
