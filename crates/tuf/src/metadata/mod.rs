//! The metadata files of TUF section 4, read strictly and written canonically.
//!
//! Reading takes any JSON apart without trusting it; only [`crate::verify`] turns the result into
//! something that is trusted. Unknown fields are covered by signatures, because those are checked
//! over the canonical form of the whole `signed` value as it was received.

mod metafiles;
mod root;
mod snapshot;
mod targets;
mod text;
mod timestamp;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;
use jiff::Timestamp as Time;

pub use metafiles::MetaFiles;
pub use root::{Root, TopLevelRoles};
pub use snapshot::Snapshot;
pub use targets::{DelegatedRole, Delegations, Paths, Roles, SuccinctRoles, TargetFile, Targets};
pub use text::{ROOM_FOR_SIGNATURES, format_time, sign_canonical, sign_hashed};
pub use timestamp::Timestamp;

use crate::error::FormatError;
use crate::fields::{Fields, check_count};
use crate::hash::{Hashes, Sha256};
use crate::json::{Document, Element, Object, Value};
use crate::keys::{PublicKey, SignError, Signature, Signer};
use crate::limits::Limits;
use crate::names::{KeyId, RoleName};

/// The version of the TUF specification that written metadata states.
pub const SPEC_VERSION: &str = "1.0.34";

/// One of the four kinds of metadata.
pub trait Role: Sized {
    /// The value of `_type`.
    const TYPE: &'static str;

    /// Version, at least 1.
    fn version(&self) -> u64;

    /// The moment from which on the metadata must not be used.
    fn expires(&self) -> Time;

    /// Reads the fields of `signed` that are this kind's own.
    #[doc(hidden)]
    fn read(fields: Fields<'_>, common: Common<'_>) -> Result<Self, FormatError>;

    /// Writes the fields of `signed` that are this kind's own.
    #[doc(hidden)]
    fn write(&self, object: &mut Object);
}

/// What every kind of metadata has.
#[derive(Debug, Clone, Copy)]
pub struct Common<'a> {
    pub(crate) version: u64,
    pub(crate) expires: Time,
    pub(crate) limits: &'a Limits,
}

/// Metadata that was read and not verified: nothing of it can be trusted.
#[derive(Debug, Clone)]
pub struct Unverified<T> {
    pub(crate) signed: T,
    pub(crate) signatures: Vec<Signature>,
    payload: Payload,
    pub(crate) bytes: Arc<[u8]>,
}

/// The canonical form of the `signed` value.
#[derive(Debug, Clone)]
enum Payload {
    /// It is a part of the file as it was received.
    Received(Range<usize>),
    /// The file spells it otherwise.
    Written(Vec<u8>),
}

impl<T: Role> Unverified<T> {
    /// Reads a metadata file within the default [`Limits`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::parse_within(bytes, &Limits::default())
    }

    /// Reads a metadata file. Its length is the caller's to bound.
    pub fn parse_within(bytes: &[u8], limits: &Limits) -> Result<Self, FormatError> {
        let document = Document::parse(bytes, limits);
        let document = document.map_err(|problem| FormatError::new("JSON", problem))?;
        Self::read(bytes, &document, limits)
    }

    fn read(bytes: &[u8], document: &Document<'_>, limits: &Limits) -> Result<Self, FormatError> {
        let metadata = |error: FormatError| error.within("metadata");
        let fields = Fields::new(document.root()).map_err(metadata)?;
        let signatures = read_signatures(fields, limits)?;
        let signed = fields.value("signed").map_err(metadata)?;
        let payload = match document.member("signed") {
            Some(spelling) if spelling.canonical => Payload::Received(spelling.range.clone()),
            _ => Payload::Written(signed.to_value().to_canonical()),
        };
        let signed = read_signed(signed, limits).map_err(|error| error.within("signed"))?;
        Ok(Self { signed, signatures, payload, bytes: bytes.into() })
    }

    /// The same, if it has this version; else there is no need to read all of it.
    pub(crate) fn parse_version(
        bytes: &[u8],
        limits: &Limits,
        version: u64,
    ) -> Result<Option<Self>, FormatError> {
        let document = Document::parse(bytes, limits);
        let document = document.map_err(|problem| FormatError::new("JSON", problem))?;
        let has = Fields::new(document.root())
            .and_then(|fields| fields.object("signed", |signed| signed.integer("version", 1)))?;
        (has == version).then(|| Self::read(bytes, &document, limits)).transpose()
    }

    /// What signatures are made over: the canonical form of the `signed` value.
    pub fn payload(&self) -> &[u8] {
        match &self.payload {
            Payload::Received(range) => &self.bytes[range.clone()],
            Payload::Written(bytes) => bytes,
        }
    }

    /// The digest of what signatures are made over, by which a file is known again whoever signed it.
    pub fn signed_sha256(&self) -> Sha256 {
        Sha256::of(self.payload())
    }

    /// The file as it was received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the file claims. For showing to a person and for ceremonies; not to act on.
    pub fn claims(&self) -> &T {
        &self.signed
    }

    /// The signatures it came with, whatever they are worth.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// The same file with these signatures in place of its own, in the order of their keyids, so that the
    /// same signatures make the same bytes whoever collects them.
    pub fn with_signatures(&self, signatures: &[Signature]) -> Result<Vec<u8>, FormatError> {
        let document = Value::parse(&self.bytes);
        let Value::Object(mut file) =
            document.map_err(|problem| FormatError::new("JSON", problem))?
        else {
            return Err(FormatError::new("metadata", "is not an object"));
        };
        let signatures: BTreeMap<_, _> =
            signatures.iter().map(|signature| (&signature.keyid, &signature.sig)).collect();
        let signature = |(keyid, sig): (&KeyId, &Vec<u8>)| {
            let sig = HEXLOWER_PERMISSIVE.encode(sig);
            Object::from_iter([("keyid", keyid.as_str().to_owned()), ("sig", sig)])
        };
        let signatures: Vec<_> = signatures.into_iter().map(signature).collect();
        file.insert("signatures", signatures);
        Ok(Value::from(file).to_json())
    }

    /// The keyids that claim to have signed.
    pub fn signed_by(&self) -> impl Iterator<Item = &KeyId> {
        self.signatures.iter().map(|signature| &signature.keyid)
    }
}

fn read_signatures(fields: Fields<'_>, limits: &Limits) -> Result<Vec<Signature>, FormatError> {
    let entries = fields.array("signatures").map_err(|error| error.within("metadata"))?;
    check_count("signatures", entries.len(), limits.signatures)?;
    let mut seen = BTreeSet::new();
    let signatures = entries.enumerate().map(|(i, entry)| {
        let signature = read_signature(entry).and_then(|(keyid, signature)| {
            let twice = || FormatError::new("keyid", format!("{keyid} signed before in this file"));
            seen.insert(keyid).then_some(signature).ok_or_else(twice)
        });
        signature.map_err(|error| error.within(&format!("signatures[{i}]")))
    });
    signatures.collect()
}

fn read_signature(entry: Element<'_>) -> Result<(&str, Signature), FormatError> {
    let fields = Fields::new(entry)?;
    let (keyid, sig) = (fields.string("keyid")?, fields.string("sig")?);
    // What is not hex may be a signature of a kind that is not known here.
    let sig = HEXLOWER_PERMISSIVE.decode(sig.as_bytes()).unwrap_or_default();
    Ok((keyid, Signature { keyid: KeyId::new(keyid), sig }))
}

fn read_signed<T: Role>(signed: Element<'_>, limits: &Limits) -> Result<T, FormatError> {
    let fields = Fields::new(signed)?;
    let kind = fields.string("_type")?;
    if kind != T::TYPE {
        return Err(FormatError::new("_type", format!("is {kind:?}, expected {:?}", T::TYPE)));
    }
    let spec_version = fields.string("spec_version")?;
    if spec_version.split('.').next() != Some("1") {
        let problem = format!("{spec_version:?} is not a 1.x version, the only ones known here");
        return Err(FormatError::new("spec_version", problem));
    }
    let version = fields.integer("version", 1)?;
    let expires = fields.time("expires")?;
    T::read(fields, Common { version, expires, limits })
}

/// The canonical form of a `signed` value, which signatures are made over.
pub fn canonical<T: Role>(signed: &T) -> Vec<u8> {
    signed_value(signed).to_canonical()
}

/// Writes a metadata file with one signature of each signer.
pub fn sign<T: Role>(signed: &T, signers: &[&dyn Signer]) -> Result<Vec<u8>, SignError> {
    let payload = signed_value(signed);
    let canonical = payload.to_canonical();
    let is_json = !canonical.iter().any(u8::is_ascii_control);
    if is_json {
        return sign_canonical(canonical, signers);
    }
    let mut file = Object::default();
    file.insert("signatures", text::signatures(signers, |signer| signer.sign(&canonical))?);
    file.insert("signed", payload);
    Ok(Value::from(file).to_json())
}

fn signed_value<T: Role>(signed: &T) -> Value {
    let mut object = Object::default();
    object.insert("_type", T::TYPE);
    object.insert("spec_version", SPEC_VERSION);
    object.insert("version", integer(signed.version()));
    object.insert("expires", format_time(signed.expires()));
    signed.write(&mut object);
    object.into()
}

/// Which keys sign a role and how many of them must (TUF 4.3, `ROLE`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// Keyids, each once.
    pub keyids: Vec<KeyId>,
    /// How many distinct keys must sign; at least 1.
    pub threshold: u64,
}

impl RoleKeys {
    pub(crate) fn read(fields: Fields<'_>) -> Result<Self, FormatError> {
        let threshold = fields.integer("threshold", 1)?;
        let keyids: Vec<_> = fields.strings("keyids")?.into_iter().map(KeyId::new).collect();
        if keyids.iter().collect::<BTreeSet<_>>().len() < keyids.len() {
            return Err(FormatError::new("keyids", "lists a keyid twice"));
        }
        Ok(Self { keyids, threshold })
    }

    pub(crate) fn write(&self, object: &mut Object) {
        let keyids: Vec<&str> = self.keyids.iter().map(KeyId::as_str).collect();
        object.insert("keyids", keyids);
        object.insert("threshold", integer(self.threshold));
    }
}

/// Keys by keyid.
pub type Keys = BTreeMap<KeyId, PublicKey>;

pub(crate) fn read_keys(fields: Fields<'_>, limits: &Limits) -> Result<Keys, FormatError> {
    fields.object("keys", |keys| {
        check_count("", keys.count(), limits.keys)?;
        let keys = keys.entries().map(|(keyid, key)| {
            let key = PublicKey::read(key).map_err(|error| error.within(keyid))?;
            Ok((KeyId::new(keyid), key))
        });
        keys.collect()
    })
}

pub(crate) fn write_keys(keys: &Keys) -> Value {
    let entries = keys.iter().map(|(keyid, key)| (keyid.as_str(), key.to_value()));
    entries.collect::<Object>().into()
}

/// What snapshot and timestamp say about another metadata file (TUF 4.4, `METAFILES`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaFile {
    /// Its version, at least 1.
    pub version: u64,
    /// Its length in bytes, where listed.
    pub length: Option<u64>,
    /// Its digests, where listed.
    pub hashes: Option<Hashes>,
}

impl MetaFile {
    /// A file of which only the version is listed.
    pub fn version(version: u64) -> Self {
        Self { version, length: None, hashes: None }
    }

    pub(crate) fn read(element: Element<'_>) -> Result<Self, FormatError> {
        let fields = Fields::new(element)?;
        let version = fields.integer("version", 1)?;
        // Most list their version alone.
        if fields.count() == 1 {
            return Ok(Self::version(version));
        }
        let length = fields.has("length").then(|| fields.integer("length", 0)).transpose()?;
        let hashes = fields.has("hashes").then(|| fields.hashes("hashes")).transpose()?;
        Ok(Self { version, length, hashes })
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut object = Object::default();
        object.insert("version", integer(self.version));
        if let Some(length) = self.length {
            object.insert("length", integer(length));
        }
        if let Some(hashes) = &self.hashes {
            object.insert("hashes", hashes.iter().collect::<Object>());
        }
        object.into()
    }
}

/// The role that a `METAPATH` such as `bins.json` names.
pub(crate) fn metafile_role(metapath: &str) -> Result<RoleName, FormatError> {
    let Some(role) = metapath.strip_suffix(".json") else {
        return Err(FormatError::new(metapath, "does not end in .json"));
    };
    RoleName::read(role).map_err(|error| FormatError::name(metapath, &error))
}

/// An unsigned number as JSON; metadata has none above `i64::MAX`, and reading refuses them.
pub(crate) fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
