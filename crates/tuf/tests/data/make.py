"""Writes the repository in ./python-tuf with python-tuf, and prints the constants of
tests/it/known_answers.rs. Needs: pip install tuf==7.0.1 'securesystemslib[crypto]==1.6.0'

The keys follow from their names and the times are fixed, so that a second run writes the same bytes.
"""

import hashlib
import json
from datetime import datetime, timezone
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

OUT = Path(__file__).parent / "python-tuf"
EXPIRES = datetime(2120, 1, 1, tzinfo=timezone.utc)
FILES = {
    "packages/flask/flask-3.0.0-py3-none-any.whl": b"wheel",
    "packages/flask/flask-3.0.0-py3-none-any.whl.metadata": b"metadata",
    "simple/flask/vnd.pypi.simple.v1.json": b"{}",
    "packages/\u00e9t\u00e9/e\u0301.whl": b"not normalised",
}


def signer(label):
    seed = hashlib.sha256(label.encode()).digest()
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(seed))


def write(name, signed, signers, compact):
    metadata = Metadata(signed)
    for one in signers:
        metadata.sign(one, append=True)
    path = OUT / name
    path.write_bytes(metadata.to_bytes(JSONSerializer(compact=compact)))
    return path


def repository():
    OUT.mkdir(exist_ok=True)
    root_a, root_b, root_c = (signer(f"root-{x}") for x in "abc")
    online, targets_key, bins_key = signer("online"), signer("targets"), signer("bins")

    root = Root(version=1, expires=EXPIRES, consistent_snapshot=True)
    root.add_key(root_a.public_key, "root")
    root.add_key(root_b.public_key, "root")
    root.roles["root"].threshold = 2
    for role in ("timestamp", "snapshot"):
        root.add_key(online.public_key, role)
    root.add_key(targets_key.public_key, "targets")
    root.unrecognized_fields["x-note"] = "caf\u00e9 \u2028 \"quoted\" \\ \t tab"
    write("1.root.json", root, [root_a, root_b], compact=False)
    root.version = 2
    root.revoke_key(root_a.public_key.keyid, "root")
    root.add_key(root_c.public_key, "root")
    write("2.root.json", root, [root_a, root_b, root_c], compact=True)

    bits = 2
    succinct = SuccinctRoles([online.public_key.keyid], 1, bits, "bin")
    bin_targets = {name: Targets(expires=EXPIRES) for name in succinct.get_roles()}
    for path, content in FILES.items():
        file = TargetFile.from_data(path, content, ["sha256", "sha512"])
        file.unrecognized_fields["custom"] = {"note": "\u00fc", "n": 1}
        bin_targets[succinct.get_role_for_target(path)].targets[path] = file
    snapshot = Snapshot(expires=EXPIRES)
    for name, signed in bin_targets.items():
        write(f"1.{name}.json", signed, [online], compact=True)
        snapshot.meta[f"{name}.json"] = MetaFile(1)

    bins = Targets(expires=EXPIRES)
    bins.delegations = Delegations(
        {online.public_key.keyid: online.public_key}, succinct_roles=succinct
    )
    write("1.bins.json", bins, [bins_key], compact=False)
    snapshot.meta["bins.json"] = MetaFile(1)

    targets = Targets(expires=EXPIRES)
    role = DelegatedRole(
        "bins", [bins_key.public_key.keyid], 1, True, paths=["simple/*/*", "packages/*/*"]
    )
    targets.delegations = Delegations(
        {bins_key.public_key.keyid: bins_key.public_key}, roles={"bins": role}
    )
    path = write("1.targets.json", targets, [targets_key], compact=False)
    snapshot.meta["targets.json"] = MetaFile.from_data(1, path.read_bytes(), ["sha512"])
    path = write("1.snapshot.json", snapshot, [online], compact=True)

    timestamp = Timestamp(expires=EXPIRES)
    timestamp.snapshot_meta = MetaFile.from_data(1, path.read_bytes(), ["sha256"])
    write("timestamp.json", timestamp, [online], compact=False)


def constants():
    for raw in (bytes(32), bytes(range(32))):
        key = SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(raw))
        print(raw.hex(), key.keyid)
    for path in [*FILES, "a"]:
        for bits in (1, 3, 4, 5, 8, 9, 14, 16, 20, 31, 32):
            roles = SuccinctRoles([], 1, bits, "bin")
            print(path, bits, roles.get_role_for_target(path))
    for text in (
        r'{"b":1,"a":{"\u00e9":"e\u0301","e\u0301":2,"\"\\":"\"\\/"}}',
        r'["\u0000\u0001\n\r\t\u007f\u2028\ud83d\ude00"]',
        r'{"\ud83d\ude00":1,"\uffff":2,"z":3,"":[],"A":{},"a":null,"\r":true,"\n":false}',
        "[-9223372036854775808,9223372036854775807,0]",
    ):
        print(text, encode_canonical(json.loads(text)).encode().hex())


if __name__ == "__main__":
    repository()
    constants()
