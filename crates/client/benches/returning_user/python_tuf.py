"""Runs python-tuf on the benchmark's repositories: one scenario for each line of standard input.

A line is `USER/BINS TARGET`, the answer a line of JSON with the seconds that the run took, by
the clock and of the processor. The
repository is in memory; the trust store is a folder on the file system that holds the benchmark.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

URL = "https://repository.invalid/"


class Memory(FetcherInterface):
    """Answers from memory."""

    def __init__(self, files):
        self.files = files

    def _fetch(self, url):
        return iter([self.download_bytes(url, sys.maxsize)])

    def download_bytes(self, url, max_length):
        """Without the temporary file that python-tuf's own way through `_fetch` takes."""
        data = self.files.get(unquote(url.removeprefix(URL)))
        if data is None:
            raise DownloadHTTPError("no such file", 404)
        assert len(data) <= max_length
        return data


def prepare(trusted, folder):
    """Makes the trust store as python-tuf leaves it. The root of a first user is given apart."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    stored = [path for path in trusted.iterdir() if path.name != "root.json"]
    for path in stored:
        shutil.copy(path, folder)
    root = (trusted / "root.json").read_bytes()
    if not stored:
        return root
    (folder / "root_history").mkdir()
    (folder / "root_history" / "1.root.json").write_bytes(root)
    (folder / "root.json").symlink_to("root_history/1.root.json")
    return None


def main():
    world = Path(sys.argv[1])
    tempfile.tempdir = str(world)
    repositories = {
        folder.name: Memory({path.name: path.read_bytes() for path in folder.iterdir()})
        for folder in (world / "repository").iterdir()
    }
    folder = world / "python-tuf"
    for line in sys.stdin:
        scenario, target = line.split()
        fetcher = repositories[scenario.partition("/")[2]]
        bootstrap = prepare(world / "trusted" / scenario, folder)
        wall, cpu = time.perf_counter(), time.process_time()
        updater = Updater(str(folder), URL, fetcher=fetcher, bootstrap=bootstrap)
        updater.refresh()
        found = updater.get_targetinfo(target)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall": wall, "cpu": cpu, "length": found.length}), flush=True)


if __name__ == "__main__":
    main()
