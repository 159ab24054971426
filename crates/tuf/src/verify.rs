//! The one place where signatures are counted and bytes become trusted.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::Error;
use crate::keys::{PublicKey, Signature};
use crate::metadata::{Keys, Role, RoleKeys, Root, Unverified};
use crate::names::{KeyId, RoleName};

/// Metadata that a threshold of the right keys signed. Nothing outside this module makes one.
///
/// Being verified says who signed; version, digest and expiry are the business of
/// [`crate::trusted`].
#[derive(Debug, Clone)]
pub struct Verified<T> {
    signed: T,
    bytes: Arc<[u8]>,
}

impl<T> Verified<T> {
    /// The file as it was received.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.signed
    }
}

/// The keys that one role trusts for another.
#[derive(Clone, Copy)]
pub(crate) struct Delegator<'a> {
    /// For error texts, such as `root version 3`.
    pub(crate) name: &'a str,
    pub(crate) keys: &'a Keys,
    pub(crate) role: &'a RoleKeys,
}

/// Checks that a threshold of the delegator's keys signed (TUF 5.4.2, 5.5.3, 5.6.3).
pub(crate) fn verify<T: Role>(
    unverified: Unverified<T>,
    name: &RoleName,
    file: &str,
    delegator: Delegator<'_>,
) -> Result<Verified<T>, Error> {
    check_threshold(&unverified, name, file, delegator)?;
    Ok(Verified { signed: unverified.signed, bytes: unverified.bytes })
}

/// Checks that a root is signed by its own keys and, where there is a trusted root, by that one's
/// (TUF 5.3.4).
pub(crate) fn verify_root(
    unverified: Unverified<Root>,
    file: &str,
    trusted: Option<&Root>,
) -> Result<Verified<Root>, Error> {
    let name = RoleName::from_static(RoleName::ROOT);
    for root in trusted.into_iter().chain([&unverified.signed]) {
        let delegator = format!("root version {}", root.version);
        let role = &root.roles.root;
        let delegator = Delegator { name: &delegator, keys: &root.keys, role };
        check_threshold(&unverified, &name, file, delegator)?;
    }
    Ok(Verified { signed: unverified.signed, bytes: unverified.bytes })
}

fn check_threshold<T: Role>(
    unverified: &Unverified<T>,
    name: &RoleName,
    file: &str,
    delegator: Delegator<'_>,
) -> Result<(), Error> {
    let valid = signers(&unverified.signatures, unverified.payload(), delegator).len() as u64;
    let threshold = delegator.role.threshold;
    if valid >= threshold {
        return Ok(());
    }
    Err(Error::Signatures {
        file: file.to_owned(),
        role: name.clone(),
        version: unverified.signed.version(),
        delegator: delegator.name.to_owned(),
        threshold,
        valid,
    })
}

/// The keys of a role that signed a file, by the keyids it signed with: each distinct key once, so that
/// their number is what a threshold asks for. For showing to people who signs and who is missing.
pub fn signed_by<'a, T: Role>(
    unverified: &'a Unverified<T>,
    keys: &'a Keys,
    role: &'a RoleKeys,
) -> Vec<&'a KeyId> {
    signers(&unverified.signatures, unverified.payload(), Delegator { name: "", keys, role })
}

/// The distinct keys that signed. The same key under two keyids, or with two signatures, counts once
/// (CVE-2020-15093, CVE-2020-6174).
fn signers<'a>(
    signatures: &'a [Signature],
    payload: &[u8],
    delegator: Delegator<'a>,
) -> Vec<&'a KeyId> {
    let (mut signers, mut keyids) = (BTreeSet::new(), Vec::new());
    for signature in signatures {
        if !delegator.role.keyids.contains(&signature.keyid) {
            continue;
        }
        let key = delegator.keys.get(&signature.keyid);
        let Some(key) = key.and_then(PublicKey::material) else { continue };
        if !signers.contains(key) && key.verifies(payload, &signature.sig) {
            signers.insert(key);
            keyids.push(&signature.keyid);
        }
    }
    keyids
}
