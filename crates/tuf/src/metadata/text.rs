//! Metadata as text: for a repository that keeps the canonical form of what it signs and changes parts
//! of it, rather than write all of it again.

use data_encoding::HEXLOWER;
use jiff::Timestamp;

use super::TargetFile;
use crate::error::FormatError;
use crate::hash::Hashed;
use crate::json::{Document, Object, Value};
use crate::keys::{SignError, Signer};
use crate::limits::Limits;

/// Writes a metadata file around the canonical form of its `signed` value, with one signature of each
/// signer.
///
/// Canonical JSON is JSON as long as no string in it has a control character; that is the caller's to
/// see to.
///
/// What is signed is moved within its vector, and copied only where that has no room for
/// [`ROOM_FOR_SIGNATURES`].
pub fn sign_canonical(canonical: Vec<u8>, signers: &[&dyn Signer]) -> Result<Vec<u8>, SignError> {
    let signatures = signatures(signers, |signer| signer.sign(&canonical))?;
    Ok(file_around(canonical, signatures))
}

/// The same where the digest of what is signed is at hand; see [`Signer::sign_hashed`].
pub fn sign_hashed(canonical: Hashed, signers: &[&dyn Signer]) -> Result<Vec<u8>, SignError> {
    let signatures = signatures(signers, |signer| signer.sign_hashed(&canonical))?;
    Ok(file_around(canonical.into_bytes(), signatures))
}

/// How many bytes a metadata file has beside its `signed` value, at most, where one key of this project
/// has signed it.
pub const ROOM_FOR_SIGNATURES: usize = 320;

fn file_around(signed: Vec<u8>, signatures: Vec<Object>) -> Vec<u8> {
    let signatures = Value::from(signatures).to_json();
    let head: [&[u8]; 3] = [b"{\"signatures\":", &signatures, b",\"signed\":"];
    let mut file = signed;
    file.splice(..0, head.concat());
    file.push(b'}');
    file
}

/// The signatures of a metadata file, each made by `sign`.
pub(super) fn signatures(
    signers: &[&dyn Signer],
    sign: impl Fn(&dyn Signer) -> Result<Vec<u8>, SignError>,
) -> Result<Vec<Object>, SignError> {
    let signature = |signer: &&dyn Signer| {
        let sig = HEXLOWER.encode(&sign(*signer)?);
        let keyid = signer.public_key().default_keyid();
        Ok(Object::from_iter([("keyid", keyid.as_str()), ("sig", sig.as_str())]))
    };
    signers.iter().map(signature).collect()
}

/// A time as metadata has it: UTC, whole seconds (TUF 4.2.1, `expires`).
pub fn format_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl TargetFile {
    /// Its canonical form: the value under its path in `targets` (TUF 4.5).
    pub fn to_canonical(&self) -> Vec<u8> {
        self.to_value().to_canonical()
    }

    /// Reads that form, or any other JSON of the same meaning, within the default [`Limits`].
    pub fn from_json(text: &[u8]) -> Result<Self, FormatError> {
        let limits = Limits::default();
        let document = Document::parse(text, &limits);
        Self::read(document.map_err(|problem| FormatError::new("JSON", problem))?.root())
    }
}
