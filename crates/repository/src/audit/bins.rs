//! A bin and the paths of its targets, as every audit looks at them.

use waxseal_tuf::metadata::{TargetFile, Targets};
use waxseal_tuf::verify::Verified;
use waxseal_tuf::{RoleName, TargetPath};

use super::metadata::{SOON_ONLINE, Signed};
use super::report::Kind;
use super::{Auditor, METADATA_LIMIT, metadata_key};
use crate::ceremony::BINS;
use crate::error::Error;
use crate::repository::SNAPSHOT;
use crate::store::StoreKey;

/// A bin that is what snapshot names, signed as `bins` says.
pub(super) struct VerifiedBin {
    pub(super) role: RoleName,
    /// Its file's key.
    pub(super) key: StoreKey,
    /// Its file.
    pub(super) bytes: Vec<u8>,
    pub(super) targets: Verified<Targets>,
}

impl Auditor<'_> {
    /// Reads and verifies a bin; `None` where it is not to be had, which was found then.
    pub(super) fn verified_bin(
        &mut self,
        signed: &Signed,
        bin: u32,
    ) -> Result<Option<VerifiedBin>, Error> {
        let role = signed.bins.role(bin);
        let snapshot = signed.trusted.snapshot();
        let Some(listed) = snapshot.roles.get(&role) else {
            let key = metadata_key(&SNAPSHOT, snapshot.version);
            self.find(Kind::Inconsistent, key.path(), format!("does not list {role}"));
            return Ok(None);
        };
        let key = metadata_key(&role, listed.version);
        let before = self.report.counts.findings;
        let Some(bytes) = self.read(&key, METADATA_LIMIT)? else {
            if self.report.counts.findings == before {
                self.missing_bin(&key, &role, listed.version)?;
            }
            return Ok(None);
        };
        let by = (&BINS, &signed.delegator);
        let targets = match signed.trusted.verify_role(&role, Some(by), &bytes) {
            Ok(verified) => verified,
            Err(error) => {
                self.refused(&key, &error);
                return Ok(None);
            }
        };
        if targets.name.is_none() {
            let problem = "does not say which bin it is: it could be served for another one";
            self.find(Kind::Inconsistent, key.path(), problem);
        }
        self.fresh(&key, targets.expires, SOON_ONLINE);
        self.report.counts.bins += 1;
        Ok(Some(VerifiedBin { role, key, bytes, targets }))
    }

    fn missing_bin(&mut self, key: &StoreKey, role: &RoleName, version: u64) -> Result<(), Error> {
        if self.is_superseded(role, version)? {
            self.report.counts.superseded += 1;
            let problem = "was published anew and collected during the audit: audit again";
            self.warn(Kind::Missing, key.path(), problem);
        } else {
            self.find(Kind::Missing, key.path(), "is not there, and snapshot names it");
        }
        Ok(())
    }

    /// Counts a target of a bin; its path, where clients look for it in this bin.
    pub(super) fn placed(
        &mut self,
        signed: &Signed,
        bin: u32,
        path: &str,
        file: &TargetFile,
    ) -> Option<TargetPath> {
        self.report.counts.targets += 1;
        self.report.counts.target_bytes += file.length;
        let Ok(path) = TargetPath::new(path) else {
            self.find(Kind::Malformed, path, "is no target path that a client asks for");
            return None;
        };
        let falls = signed.bins.bin_of(&path);
        if falls != bin {
            let (role, other) = (signed.bins.role(bin), signed.bins.role(falls));
            let problem = format!("stands in {role}, and clients look for it in {other}");
            self.find(Kind::Misplaced, path.as_str(), problem);
            return None;
        }
        Some(path)
    }
}
