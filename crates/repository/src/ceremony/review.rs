//! What a key holder is asked to sign, against the root that they trust themselves.
//!
//! Roots are reviewed as a chain from the trusted one on: each is compared with the one before it, and its
//! signatures are counted as clients will count them, for the root before it and for itself. Nothing that
//! a file or a server claims is a base for that.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use waxseal_tuf::error::FormatError;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::keys::Signature;
use waxseal_tuf::metadata::{RoleKeys, Root, Unverified};
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::verify::signed_by;
use waxseal_tuf::{Error as Refused, KeyId, Limits, PublicKey, SignError, Signer};

/// Roots to sign, one after the other.
#[derive(Debug, Clone)]
pub struct Review {
    /// The root that is trusted; `None` at the first ceremony.
    pub trusted: Option<Trusted>,
    /// The newer ones, each as it follows the one before it.
    pub steps: Vec<Step>,
}

/// The root that the reviewer trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// Its version.
    pub version: u64,
    /// When it expires.
    pub expires: Timestamp,
}

/// A root, and what changes with it.
#[derive(Debug, Clone)]
pub struct Step {
    file: Unverified<Root>,
    /// Digest of what is signed, which no signature changes: what people compare.
    pub signed: Sha256,
    /// What changes in each role, in the order root, timestamp, snapshot, targets.
    pub roles: Vec<RoleChange>,
    /// The signatures it needs: of the root before it, unless it is the first, and its own.
    pub needed: Vec<Tally>,
    /// When the root before it expires.
    pub expired_before: Option<Timestamp>,
}

/// What changes in a role that root names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleChange {
    /// The role.
    pub role: &'static str,
    /// The threshold before, and from now on.
    pub threshold: (Option<u64>, u64),
    /// Keys that stay.
    pub stay: Vec<Named>,
    /// Keys that come.
    pub come: Vec<Named>,
    /// Keys that go.
    pub go: Vec<Named>,
}

/// A key, by its keyid and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its keyid.
    pub keyid: KeyId,
    /// Who holds it, as the root says; `None` for one-time and online keys.
    pub holder: Option<String>,
}

/// The signatures that one root asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// The version of the root that names the keys.
    pub by_root: u64,
    /// How many are needed.
    pub threshold: u64,
    /// Whose are there, and valid.
    pub signed: Vec<Named>,
    /// Whose may still come.
    pub open: Vec<Named>,
}

/// Files that cannot be reviewed, signed or combined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// A file is no root.
    #[error("{file} is not root metadata: {problem}")]
    Format {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: FormatError,
    },
    /// The root that is trusted is not signed by its own keys.
    #[error("the root that is trusted here cannot be used: {0}")]
    Trusted(Refused),
    /// Two files have other contents for one version.
    #[error(
        "{first} and {second} are both version {version} of root, and say different things: one of them \
         is not from this ceremony; compare the digests of what is signed with the printed sheet"
    )]
    Differ {
        /// A file.
        first: String,
        /// Another file.
        second: String,
        /// The version of both.
        version: u64,
    },
    /// A version is missing.
    #[error("version {missing} of root is not among the files: name {missing}.root.json as well")]
    Gap {
        /// The version.
        missing: u64,
    },
    /// A file of the version that is trusted says something else than that.
    #[error(
        "{file} says other things than the version {version} of root that is trusted here: it is not of \
         this index, or a forgery"
    )]
    Forged {
        /// The file.
        file: String,
        /// The version.
        version: u64,
    },
    /// All files are older than what is trusted, or just that.
    #[error(
        "there is nothing newer than the root that is trusted here, version {version}, among the files"
    )]
    Nothing {
        /// The version that is trusted.
        version: u64,
    },
}

/// A root file, by its name.
#[derive(Debug, Clone, Copy)]
pub struct RootFile<'a> {
    /// Its name, for errors.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl Review {
    /// Reviews roots in any order, from the one that is trusted on. At the first ceremony there is none.
    pub fn new(trusted: Option<&[u8]>, files: &[RootFile<'_>]) -> Result<Self, ReviewError> {
        let trusted = trusted.map(|bytes| RootPhase::new(bytes, &Limits::default()));
        let trusted = trusted.transpose().map_err(ReviewError::Trusted)?;
        let trusted = trusted.as_ref().map(RootPhase::root);
        let mut versions = by_version(files)?;
        let newest = versions.keys().last().copied().unwrap_or(0);
        let known = trusted.map_or(0, |root| root.version);
        let mut steps = Vec::new();
        let mut before: Option<Root> = None;
        if let Some(root) = trusted {
            if let Some((name, file)) = versions.remove(&root.version)
                && file.payload() != payload(root.bytes())?
            {
                let file = name.to_owned();
                return Err(ReviewError::Forged { file, version: root.version });
            }
            before = Some((**root).clone());
        }
        for version in known + 1..=newest {
            let (_, file) =
                versions.remove(&version).ok_or(ReviewError::Gap { missing: version })?;
            let step = Step::new(before.as_ref(), file);
            before = Some(step.root().clone());
            steps.push(step);
        }
        if steps.is_empty() {
            return Err(ReviewError::Nothing { version: known });
        }
        let trusted = trusted.map(|root| Trusted { version: root.version, expires: root.expires });
        Ok(Self { trusted, steps })
    }

    /// Whether every root has the signatures that clients ask for.
    pub fn is_complete(&self) -> bool {
        self.steps.iter().all(Step::is_complete)
    }
}

impl Step {
    fn new(before: Option<&Root>, file: Unverified<Root>) -> Self {
        let root = file.claims();
        let roles = root.roles.iter().map(|(role, keys)| {
            let old = before.map(|before| (before, role_of(before, role)));
            RoleChange::new(role, old, (root, keys))
        });
        let mut needed: Vec<_> =
            before.map(|before| Tally::new(&file, before)).into_iter().collect();
        needed.push(Tally::new(&file, root));
        Self {
            signed: Sha256::of(file.payload()),
            roles: roles.collect(),
            needed,
            expired_before: before.map(|before| before.expires),
            file,
        }
    }

    /// What the root says.
    pub fn root(&self) -> &Root {
        self.file.claims()
    }

    /// The file, with the signatures of all that were reviewed.
    pub fn bytes(&self) -> &[u8] {
        self.file.bytes()
    }

    /// Whether it has the signatures that clients ask for.
    pub fn is_complete(&self) -> bool {
        self.needed.iter().all(|tally| tally.missing() == 0)
    }

    /// Whether a signature of this key counts for it.
    pub fn asks_for(&self, key: &PublicKey) -> bool {
        let keyid = key.default_keyid();
        let named = |tally: &Tally| {
            tally.signed.iter().chain(&tally.open).any(|named| named.keyid == keyid)
        };
        self.needed.iter().any(named)
    }

    /// The file with the signature of one more key, or with a new one of the same key.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
        let keyid = signer.public_key().default_keyid();
        let sig = signer.sign(self.file.payload())?;
        let mut signatures: Vec<_> =
            self.file.signatures().iter().filter(|other| other.keyid != keyid).cloned().collect();
        signatures.push(Signature { keyid, sig });
        // It was read, so that it can be written.
        self.file
            .with_signatures(&signatures)
            .map_err(|error| SignError { key: "the file".to_owned(), problem: error.to_string() })
    }
}

impl RoleChange {
    fn new(
        role: &'static str,
        before: Option<(&Root, &RoleKeys)>,
        (root, after): (&Root, &RoleKeys),
    ) -> Self {
        let old: BTreeSet<_> = before.iter().flat_map(|(_, keys)| &keys.keyids).collect();
        let new: BTreeSet<_> = after.keyids.iter().collect();
        let named = |keyids: Vec<&&KeyId>, root: &Root| -> Vec<Named> {
            keyids.into_iter().map(|keyid| Named::of(keyid, root)).collect()
        };
        Self {
            role,
            threshold: (before.map(|(_, keys)| keys.threshold), after.threshold),
            stay: named(old.intersection(&new).collect(), root),
            come: named(new.difference(&old).collect(), root),
            go: before
                .map_or_else(Vec::new, |(before, _)| named(old.difference(&new).collect(), before)),
        }
    }

    /// Whether anything changes.
    pub fn is_any(&self) -> bool {
        !self.come.is_empty()
            || !self.go.is_empty()
            || self.threshold.0.is_some_and(|before| before != self.threshold.1)
    }
}

impl Named {
    fn of(keyid: &KeyId, root: &Root) -> Self {
        Self { keyid: keyid.clone(), holder: root.holders.get(keyid).cloned() }
    }
}

impl Tally {
    fn new(file: &Unverified<Root>, root: &Root) -> Self {
        let role = &root.roles.root;
        let signed: BTreeSet<_> = signed_by(file, &root.keys, role).into_iter().collect();
        let (signed, open): (Vec<_>, Vec<_>) =
            role.keyids.iter().partition(|keyid| signed.contains(keyid));
        let named =
            |keyids: Vec<&KeyId>| keyids.into_iter().map(|id| Named::of(id, root)).collect();
        Self {
            by_root: root.version,
            threshold: role.threshold,
            signed: named(signed),
            open: named(open),
        }
    }

    /// How many signatures are missing.
    pub fn missing(&self) -> u64 {
        self.threshold.saturating_sub(self.signed.len() as u64)
    }
}

/// Puts together what signers made apart: of each version one file, with the signatures of all.
pub fn combine(files: &[RootFile<'_>]) -> Result<Vec<(u64, Vec<u8>)>, ReviewError> {
    let combined = by_version(files)?.into_iter().map(|(version, (name, file))| {
        let bytes = file.with_signatures(file.signatures());
        let failed = |problem| ReviewError::Format { file: name.to_owned(), problem };
        Ok((version, bytes.map_err(failed)?))
    });
    combined.collect()
}

type Versions<'a> = BTreeMap<u64, (&'a str, Unverified<Root>)>;

/// Each version once, with the signatures of all its files.
fn by_version<'a>(files: &[RootFile<'a>]) -> Result<Versions<'a>, ReviewError> {
    let mut versions: Versions<'_> = BTreeMap::new();
    for RootFile { name, bytes } in files {
        let failed = |problem| ReviewError::Format { file: (*name).to_owned(), problem };
        let file = Unverified::<Root>::parse(bytes).map_err(failed)?;
        let version = file.claims().version;
        let Some((first, known)) = versions.remove(&version) else {
            versions.insert(version, (name, file));
            continue;
        };
        if known.payload() != file.payload() {
            let (first, second) = (first.to_owned(), (*name).to_owned());
            return Err(ReviewError::Differ { first, second, version });
        }
        let both = known.with_signatures(&union(&known, &file)).map_err(failed)?;
        versions.insert(version, (first, Unverified::parse(&both).map_err(failed)?));
    }
    Ok(versions)
}

/// Of two signatures of one key the one that is valid, if one is.
fn union(a: &Unverified<Root>, b: &Unverified<Root>) -> Vec<Signature> {
    let mut all: BTreeMap<KeyId, Signature> = BTreeMap::new();
    for file in [a, b] {
        for signature in file.signatures() {
            let valid = |signature: &Signature| {
                let key = file.claims().keys.get(&signature.keyid);
                key.is_some_and(|key| key.verifies(file.payload(), &signature.sig))
            };
            let keep = all.get(&signature.keyid).is_none_or(|known| !valid(known));
            if keep {
                all.insert(signature.keyid.clone(), signature.clone());
            }
        }
    }
    all.into_values().collect()
}

fn payload(bytes: &[u8]) -> Result<Vec<u8>, ReviewError> {
    let parsed = Unverified::<Root>::parse(bytes);
    let failed = |problem| ReviewError::Format { file: "the trusted root".to_owned(), problem };
    Ok(parsed.map_err(failed)?.payload().to_vec())
}

fn role_of<'a>(root: &'a Root, role: &str) -> &'a RoleKeys {
    let mut roles = root.roles.iter();
    roles.find(|(name, _)| *name == role).map_or(&root.roles.root, |(_, keys)| keys)
}
