"""Writes random repositories with python-tuf, and says what its own client finds in them.

CASES KIND…: a line of the file is {"folder": F, "seed": S}. A KIND of keys is one of GENERATE. Keys and
signatures are others in each run, all else follows from the seed.

One delegated role in five is spoiled, so that there is something to refuse. What python-tuf itself gets
wrong is left out: no key stands under two keyids, as it would count for two.
"""

import hashlib
import json
import random
import sys
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from client import NOW, Client
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import DownloadError, RepositoryError
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

SECOND = timedelta(seconds=1)
ODD = {"x-odd": ['caf\u00e9 e\u0301 \u2028 \x7f "quoted" \\ \t', {}, [], None, True, -(2**63)]}
PATHS = """c.txt d [x]/*.txt a/x.txt a/y.txt a/y.whl a/\u00e9.txt a/e\u0301.txt b/x.txt b/y.whl
    e/f/x.txt e/f/y.whl \U0001f600/\uffff %41/a+b a.b/..c A/x.txt""".split()
PATTERNS = """* */* */*/* a/* a/? a/?.txt */x.txt [a-c]/* [!a]*/* [[]x]/* a/[\u00e9]* */*.whl c.txt
    ? %41/* *.*/* e/*/*.whl A/* nothing/*""".split()
NAMES = """a b team/c ../d /e \u00e9 e\u0301 %66 g+h 1.roots i.json \U0001f600 . *""".split()
TOP = ["root", "timestamp", "snapshot", "targets"]
SPOILS = ["expired", "unsigned", "forged", "version", "unlisted", "missing", "length", "hash"]


class Role:
    """Who signs a role, and what is wrong with it."""

    def __init__(self, rng, keys, spoilt):
        self.signers = rng.sample(keys, rng.randint(1, 4))
        self.threshold = rng.randint(1, min(3, len(self.signers)))
        self.spoil = rng.choice(SPOILS) if rng.random() < spoilt else None

    def listed(self):
        """Keyids and threshold, as a delegator lists them."""
        return [signer.public_key.keyid for signer in self.signers], self.threshold


class Repository:
    def __init__(self, seed, keys):
        self.rng = random.Random(seed)
        self.keys = keys = self.rng.sample(keys, min(8, len(keys)))
        self.consistent = self.chance(0.5)
        self.snapshot = Snapshot(expires=NOW + SECOND)
        self.delegated = self.some(NAMES, len(NAMES))
        self.roles = {name: Role(self.rng, keys, 0.2) for name in self.delegated}
        self.files = {}

        self.write_root()
        for name in ["targets", *self.delegated]:
            self.write_targets(name, self.delegations(name))
        meta = self.write("snapshot", self.snapshot)
        self.write("timestamp", Timestamp(expires=NOW + SECOND, snapshot_meta=meta))

    def chance(self, probability):
        return self.rng.random() < probability

    def some(self, values, most):
        return self.rng.sample(values, self.rng.randint(0, most))

    def write_root(self):
        """Version 1, and up to three more, in which some roles have other keys."""
        root = Root(expires=NOW + SECOND, consistent_snapshot=self.consistent)
        before = []
        for root.version in range(1, self.rng.randint(2, 5)):
            for name in TOP if root.version == 1 else self.some(TOP, 4):
                for keyid in list(root.roles[name].keyids):
                    root.revoke_key(keyid, name)
                first = name == "root" and root.version == 1
                self.roles[name] = role = Role(self.rng, self.keys, 0 if first else 0.02)
                for signer in role.signers:
                    root.add_key(signer.public_key, name)
                root.roles[name].threshold = role.threshold
            self.write("root", root, before)
            before = self.roles["root"].signers

    def delegations(self, name):
        keys = {signer.public_key.keyid: signer.public_key for signer in self.keys}
        if self.chance(0.15):
            return Delegations(keys, succinct_roles=self.bins(f"bin of {name}"))
        if self.chance(0.3) and name != "targets":
            return None
        # A role may delegate to itself and to those that led to it.
        roles = {child: self.delegation(child) for child in self.some(self.delegated, len(self.delegated))}
        return Delegations(keys, roles=roles)

    def bins(self, prefix):
        role = Role(self.rng, self.keys, 0)
        keyids, threshold = role.listed()
        bins = SuccinctRoles(keyids, threshold, self.rng.randint(1, 4), prefix)
        for name in bins.get_roles():
            self.roles[name] = role
            self.write_targets(name, None)
        return bins

    def delegation(self, name):
        keyids, threshold = self.roles[name].listed()
        if self.chance(0.05):
            # Not whom the others list: of these, perhaps too few sign.
            keyids, threshold = Role(self.rng, self.keys, 0).listed()
        if self.chance(0.02):
            threshold = len(keyids) + 1
        paths, prefixes = self.some(PATTERNS, 5), None
        if self.chance(0.25):
            paths, prefixes = None, self.some([f"{digit:x}" for digit in range(16)], 14)
            hashes = [hashlib.sha256(path.encode()).hexdigest() for path in self.some(PATHS, 2)]
            prefixes += [hash[: self.rng.randint(0, 64)] for hash in hashes]
        return DelegatedRole(name, keyids, threshold, self.chance(0.2), paths, prefixes)

    def write_targets(self, name, delegations):
        targets = Targets(expires=NOW + SECOND, delegations=delegations)
        targets.version = self.rng.randint(1, 3)
        for path in self.some(PATHS, 3 if name == "targets" else len(PATHS)):
            # Other content in each role, so that an answer tells whose it is.
            file = TargetFile.from_data(path, f"{path} by {name}".encode(), self.algorithms())
            file.length = self.rng.randint(0, 2**40)
            if self.chance(0.3):
                file.unrecognized_fields["custom"] = self.rng.choice([None, 1, "\u00e9", ODD])
            if self.chance(0.2):
                file.unrecognized_fields |= ODD
            targets.targets[path] = file
        self.snapshot.meta[f"{name}.json"] = self.write(name, targets)
        if self.roles[name].spoil == "unlisted":
            del self.snapshot.meta[f"{name}.json"]

    def algorithms(self):
        return self.rng.choice([["sha256"], ["sha512"], ["sha256", "sha512"]])

    def write(self, name, signed, before=()):
        """Writes a role, and returns what snapshot or timestamp is to list for it."""
        role = self.roles[name]
        if role.spoil == "expired":
            signed.expires = NOW
        if self.chance(0.3):
            signed.unrecognized_fields |= ODD
        signers = role.signers[: role.threshold - 1] if role.spoil == "unsigned" else role.signers
        others = [signer for signer in self.some(self.keys, 1) if signer not in role.signers]
        metadata = Metadata(signed)
        for signer in [*signers, *before, *others]:
            metadata.sign(signer, append=True)
        if role.spoil == "forged":
            for signature in metadata.signatures.values():
                signature.signature = signature.signature[:-8] + "00000000"
        data = metadata.to_bytes(JSONSerializer(compact=self.chance(0.5)))

        versioned = name == "root" or self.consistent and name != "timestamp"
        file = f"{signed.version}.{quote(name, '')}" if versioned else quote(name, "")
        if role.spoil != "missing":
            self.files[f"{file}.json"] = data
        version = signed.version + (role.spoil == "version")
        meta = MetaFile.from_data(version, data, self.algorithms())
        if role.spoil == "length":
            meta.length += self.rng.choice([-1, 1])
        if role.spoil == "hash":
            meta.hashes["sha256"] = "00" * 32
        elif self.chance(0.4):
            meta = MetaFile(version)
        return meta


def old_ecdsa():
    """A key whose type is called as its scheme is, as python-tuf once wrote them."""
    private, scheme = ec.generate_private_key(ec.SECP256R1()), "ecdsa-sha2-nistp256"
    key = SSlibKey.from_crypto(private.public_key())
    public = SSlibKey(f"old {key.keyid}", scheme, scheme, key.keyval)
    return CryptoSigner(private, public)


GENERATE = {
    "ed25519": CryptoSigner.generate_ed25519,
    "p256": CryptoSigner.generate_ecdsa,
    "p256 by its scheme": old_ecdsa,
    "p384": lambda: CryptoSigner(ec.generate_private_key(ec.SECP384R1())),
    "rsa": lambda: CryptoSigner.generate_rsa(size=2048),
}


def make_keys(kinds):
    """Four keys of each kind; some with a keyid that follows from nothing, some with a field more."""
    keys = [GENERATE[kind]() for kind in kinds for _ in range(4)]
    for number, key in enumerate(keys):
        if number % 3 == 1:
            key.public_key.keyid = f"key {number} \u00e9"
        if number % 3 == 2:
            key.public_key.unrecognized_fields = ODD
    return keys


def answers(folder, seed):
    """Of one client; one repository in eight asks another one for each path."""
    try:
        with Client(folder) as client:
            root = client.root()
            if seed % 8:
                return {"root": root, "found": {path: client.find(path) for path in PATHS}}
    except (RepositoryError, DownloadError) as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    found = {}
    for path in PATHS:
        with Client(folder) as client:
            found[path] = client.find(path)
    return {"root": root, "found": found}


def main():
    keys = make_keys(sys.argv[2:])
    with open(sys.argv[1], "rb") as cases:
        for case in map(json.loads, cases):
            metadata = Path(case["folder"]) / "metadata"
            metadata.mkdir()
            for name, data in Repository(case["seed"], keys).files.items():
                (metadata / name).write_bytes(data)
            print(json.dumps(answers(case["folder"], case["seed"])))


main()
