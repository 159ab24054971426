//! The one place where signatures are counted and bytes become trusted.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::Error;
use crate::keys::{PublicKey, Signature};
use crate::metadata::{Keys, Role, RoleKeys, Root, Unverified};
use crate::names::RoleName;

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
    let valid = count_signers(&unverified.signatures, unverified.payload(), delegator);
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

/// How many distinct keys signed. The same key under two keyids, or with two signatures, counts
/// once (CVE-2020-15093, CVE-2020-6174).
fn count_signers(signatures: &[Signature], payload: &[u8], delegator: Delegator<'_>) -> u64 {
    let mut signers = BTreeSet::new();
    for signature in signatures {
        if !delegator.role.keyids.contains(&signature.keyid) {
            continue;
        }
        let key = delegator.keys.get(&signature.keyid);
        let Some(key) = key.and_then(PublicKey::material) else { continue };
        if !signers.contains(key) && key.verifies(payload, &signature.sig) {
            signers.insert(key);
        }
    }
    signers.len() as u64
}
