//! Taking back what was uploaded.
//!
//! It is an entry of the journal, with its reason, and happens as uploads do: the snapshot that holds the
//! entry has the files in no bin and on no page, and a project without files on no list. The bytes stay in
//! the store until garbage collection takes them. From the moment the entry is recorded no upload takes the
//! name again, until it is readmitted; a file even then with the bytes that it had, for one name never has
//! two contents.

use std::str::FromStr;

use waxseal_index::{DistributionFilename, NameError, NormalizedName};

use crate::database::{AppendedRevocation, Revocable};
use crate::error::Error;
use crate::repository::Repository;

impl Repository {
    /// Revokes files, all of them in one entry and so in one snapshot; nothing where one of them was never
    /// uploaded here. When this returns it is in the journal for good, and the snapshot process of this
    /// program knows of it; one of another process looks every few seconds.
    ///
    /// Repeated, it does nothing. Files that wait in the journal are revoked as well.
    pub fn revoke_files(
        &self,
        files: &[DistributionFilename],
        reason: &str,
    ) -> Result<AppendedRevocation, Error> {
        self.revoke(&files.iter().map(file).collect::<Vec<_>>(), reason)
    }

    /// The same of projects with all their files, and files of others.
    pub fn revoke(&self, what: &[Revocable], reason: &str) -> Result<AppendedRevocation, Error> {
        let appended = self.database().append_revocation(what, reason)?;
        self.request_publish();
        Ok(appended)
    }

    /// Lets what was revoked be uploaded again: it does not come back by itself. With a project the files are
    /// readmitted that were revoked with it.
    pub fn readmit(&self, what: &[Revocable], reason: &str) -> Result<AppendedRevocation, Error> {
        let appended = self.database().append_readmission(what, reason)?;
        self.request_publish();
        Ok(appended)
    }
}

/// What can be read as the name of a distribution file is one; anything else is the name of a project, in any
/// spelling.
impl FromStr for Revocable {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.parse::<DistributionFilename>() {
            Ok(filename) => Ok(file(&filename)),
            Err(_) => NormalizedName::of(text).map(|name| Self::from(&name)),
        }
    }
}

impl From<&NormalizedName> for Revocable {
    fn from(name: &NormalizedName) -> Self {
        Self::Project { name: name.to_string() }
    }
}

impl From<&DistributionFilename> for Revocable {
    fn from(filename: &DistributionFilename) -> Self {
        file(filename)
    }
}

fn file(filename: &DistributionFilename) -> Revocable {
    Revocable::File { filename: filename.to_string(), identity: filename.identity() }
}
