"""python-tuf 7 doing the work of a snapshot process, as a script over its public API.

A line of standard input is a command in JSON, its answer a line of JSON with the seconds that each
repetition took, of the processor (user and system) and by the clock. At its best: compact JSON,
snapshot and bins kept in memory as objects, only what changed is serialised and signed, files are
written once and not synced, and Python's collector of cycles is off.
"""

import gc
import hashlib
import json
import os
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import CanonicalJSONSerializer, JSONSerializer

COMPACT = JSONSerializer(compact=True)
CANONICAL = CanonicalJSONSerializer()


SCHEMES = {
    "ed25519": Ed25519PrivateKey.generate,
    "ecdsa-sha2-nistp256": lambda: ec.generate_private_key(ec.SECP256R1()),
}


class Clock:
    """What a piece of work took."""

    def __enter__(self):
        self.start = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        wall, cpu = time.perf_counter(), time.process_time()
        self.took = {"wall": wall - self.start[0], "cpu": cpu - self.start[1]}


class Repository:
    """Succinct bins, snapshot and timestamp, all signed by one key."""

    def __init__(self, folder, bit_length, scheme):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.key = SCHEMES[scheme]()
        self.signer = CryptoSigner(self.key)
        self.succinct = SuccinctRoles([self.signer.public_key.keyid], 1, bit_length, "bin")
        self.bins = {}
        self.snapshot = Metadata(Snapshot(expires=self.expires()))
        self.timestamp = Metadata(Timestamp(expires=self.expires()))

    @staticmethod
    def expires():
        return datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=1)

    def open(self, metadata, snapshot, bins):
        """Reads what another program published: the snapshot, and some of the bins."""
        metadata = Path(metadata)
        self.snapshot = Metadata.from_bytes((metadata / snapshot).read_bytes())
        self.bins = {
            name.split(".")[1]: Metadata.from_bytes((metadata / name).read_bytes())
            for name in bins
        }

    def build(self, file):
        """Every bin from an import file, at version 1."""
        bins = [Metadata(Targets(expires=self.expires())) for _ in range(self.succinct.number_of_bins)]
        targets = [metadata.signed.targets for metadata in bins]
        # What `SuccinctRoles.get_role_for_target` does, without a name for each target.
        sha256, shift = hashlib.sha256, 32 - self.succinct.bit_length
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                line = json.loads(line)
                path = line["path"]
                bin = int.from_bytes(sha256(path.encode()).digest()[:4], "big") >> shift
                custom = {"custom": line["custom"]} if "custom" in line else None
                targets[bin][path] = TargetFile(line["length"], line["hashes"], path, custom)
        self.bins = dict(zip(self.succinct.get_roles(), bins))
        self.reading_took = time.process_time()
        self.snapshot = Metadata(Snapshot(expires=self.expires()))
        size = 0
        for role, metadata in self.bins.items():
            size += self.write(f"1.{role}.json", metadata)
            self.snapshot.signed.meta[f"{role}.json"] = MetaFile(1)
        self.publish()
        return size

    def upload(self, targets):
        """Adds targets, and publishes the bins that they change."""
        changed = set()
        for path, length, sha256 in targets:
            role = self.succinct.get_role_for_target(path)
            target = TargetFile(length, {"sha256": sha256}, path)
            self.bins[role].signed.targets[path] = target
            changed.add(role)
        for role in changed:
            self.write_bin(role)
        self.publish()

    def write_bin(self, role):
        metadata = self.bins[role]
        metadata.signed.version += 1
        metadata.signed.expires = self.expires()
        self.write(f"{metadata.signed.version}.{role}.json", metadata)
        self.snapshot.signed.meta[f"{role}.json"] = MetaFile(metadata.signed.version)

    def publish(self):
        snapshot, timestamp = self.snapshot.signed, self.timestamp.signed
        snapshot.version += 1
        snapshot.expires = self.expires()
        data = self.serialised(self.snapshot)
        (self.folder / f"{snapshot.version}.snapshot.json").write_bytes(data)
        digests = {"sha256": hashlib.sha256(data).hexdigest()}
        timestamp.snapshot_meta = MetaFile(snapshot.version, len(data), digests)
        timestamp.version += 1
        timestamp.expires = self.expires()
        new = self.folder / "timestamp.new"
        new.write_bytes(self.serialised(self.timestamp))
        os.replace(new, self.folder / "timestamp.json")

    def serialised(self, metadata):
        metadata.sign(self.signer, signed_serializer=CANONICAL)
        return metadata.to_bytes(COMPACT)

    def write(self, name, metadata):
        data = self.serialised(metadata)
        (self.folder / name).write_bytes(data)
        return len(data)


def build(repository, command):
    with Clock() as clock:
        size = repository.build(command["file"])
    reading = repository.reading_took - clock.start[1]
    return {"runs": [clock.took], "bytes": size, "reading": reading}


def open_published(repository, command):
    repository.open(command["metadata"], command["snapshot"], command["bins"])
    return {"runs": []}


def upload(repository, command):
    """Each batch is a list of targets; a batch is one snapshot."""
    runs = []
    for batch in command["batches"]:
        with Clock() as clock:
            repository.upload(batch)
        runs.append(clock.took)
    return {"runs": runs}


def resign(repository, _command):
    with Clock() as bins:
        for role in repository.bins:
            repository.write_bin(role)
    with Clock() as publish:
        repository.publish()
    return {"runs": [bins.took], "publish": publish.took}


def sign(repository, command):
    """Signs messages of these sizes and nothing else: what OpenSSL takes for it."""
    messages = [os.urandom(size) for size in command["sizes"]]
    key = repository.key
    how = [] if isinstance(key, Ed25519PrivateKey) else [ec.ECDSA(hashes.SHA256())]
    with Clock() as clock:
        for message in messages:
            key.sign(message, *how)
    return {"runs": [clock.took]}


COMMANDS = {
    "build": build,
    "open": open_published,
    "upload": upload,
    "resign": resign,
    "sign": sign,
}


def main():
    gc.disable()
    repository = Repository(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(COMMANDS[command["do"]](repository, command)), flush=True)


if __name__ == "__main__":
    main()
