//! Simple pages as functions of a project's state: PEP 503, 592, 658, 691, 700 and 714.
//!
//! The same state gives the same bytes, whatever order its parts were added in. Links are
//! relative to `/simple/<project>/`, so that a page's bytes are right on the server, on a mirror
//! and behind the proxy. The HTML and the JSON of one state say the same.
//!
//! A [`Listing`] is the way back: what a page says of its files, whoever wrote it.

mod anchors;
mod html;
mod json;
mod listing;
mod refusal;

use std::collections::BTreeSet;

use jiff::Timestamp;
use pep440_rs::Version;

pub use listing::{Digests, Links, ListedFile, Listing, ListingError};
pub use refusal::{RefusalPage, refusal_page};

use crate::filename::DistributionFilename;
use crate::name::NormalizedName;

/// The state of one project that its page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectPage {
    /// The project.
    pub name: NormalizedName,
    /// The serial of the last journal entry about this project.
    pub last_serial: u64,
    /// Its files, in any order.
    pub files: Vec<FileEntry>,
}

/// A file on a project's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// The filename, which also says the version.
    pub filename: DistributionFilename,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// Length of the file, in bytes.
    pub size: u64,
    /// When the upload was accepted; shown in microseconds (PEP 700).
    pub upload_time: Timestamp,
    /// `Requires-Python` of its core metadata.
    pub requires_python: Option<String>,
    /// SHA-256 of the core metadata published beside it, where it is (PEP 658).
    pub core_metadata_sha256: Option<[u8; 32]>,
    /// The reason it was yanked for, which may be empty; none if it is not yanked (PEP 592).
    pub yanked: Option<String>,
}

impl ProjectPage {
    /// The page as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        json::project(self)
    }

    /// The page as HTML.
    pub fn to_html(&self) -> Vec<u8> {
        html::project(self)
    }

    /// Oldest version first, files of one version by name: a new release changes the end.
    fn ordered_files(&self) -> Vec<&FileEntry> {
        let mut files: Vec<&FileEntry> = self.files.iter().collect();
        files.sort_by(|a, b| {
            let by_version = a.filename.version().cmp(b.filename.version());
            by_version.then_with(|| a.filename.as_str().cmp(b.filename.as_str()))
        });
        files
    }

    /// Every version that has a file, in the order of PEP 440, in its normalized spelling. Of
    /// spellings that are one version (`1.0`, `1.0.0`) the one of the first file stands.
    fn versions(&self) -> Vec<String> {
        let files = self.ordered_files();
        let mut versions: Vec<&Version> =
            files.into_iter().map(|file| file.filename.version()).collect();
        versions.dedup();
        versions.into_iter().map(ToString::to_string).collect()
    }
}

/// The list of all projects. It shows no serial, so that its bytes change only when a project
/// appears or goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectList {
    /// The projects.
    pub names: BTreeSet<NormalizedName>,
}

impl ProjectList {
    /// The list as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        json::project_list(self)
    }

    /// The list as HTML.
    pub fn to_html(&self) -> Vec<u8> {
        html::project_list(self)
    }
}

/// The relative URL of a file from its project's page. Whatever is not unreserved in a URL is
/// percent-encoded: servers disagree on a bare `+`.
fn file_url(project: &NormalizedName, filename: &str) -> String {
    let mut url = format!("../../files/packages/{project}/");
    for byte in filename.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push('%');
            url.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
        }
    }
    url
}

fn hex(hash: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(hash)
}

#[cfg(test)]
mod tests;
