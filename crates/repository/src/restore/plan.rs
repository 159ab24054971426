use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxseal_tuf::hash::Sha256;

use super::RestoreError;
use crate::archive::finish_digest;
use crate::error::Error;
use crate::repository::{Repository, SNAPSHOT};

/// What differs from a snapshot that is known to be good, and what is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Plan {
    /// The version of that snapshot.
    pub last_known_good: u64,
    /// SHA-256 of its file, in hex.
    pub snapshot_sha256: String,
    /// The state of the index that was compared with it.
    pub compared: State,
    /// By project, in the order of their names.
    #[serde(default, rename = "project")]
    pub projects: Vec<ProjectPlan>,
}

/// The state of an index: it is the same as long as nothing was published or accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct State {
    /// The version of its snapshot.
    pub snapshot: u64,
    /// The serial of the journal's last entry, published or not.
    pub serial: u64,
    /// SHA-256 over the digests of all bins, in hex.
    pub bins_sha256: String,
}

/// What differs in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProjectPlan {
    /// Its name; empty for targets that are of none.
    pub name: String,
    /// What becomes of all its files for which nothing else is decided.
    pub decide: Decision,
    /// Its files that differ.
    #[serde(rename = "file")]
    pub files: Vec<FilePlan>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FilePlan {
    /// Its target path.
    pub path: String,
    /// What became of it.
    pub change: Change,
    /// What is to become of it, where that is another thing than of its project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide: Option<Decision>,
    /// What helps to decide: who uploaded it, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Its digest now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// What it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<Good>,
}

/// What became of a file since the good snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was not there.
    Added,
    /// It had other bytes, or its page said other things of it.
    Changed,
    /// It was there.
    Removed,
}

/// What is to become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Not decided yet.
    #[serde(rename = "?")]
    Open,
    /// It stays as it is now.
    #[serde(rename = "keep")]
    Keep,
    /// It becomes what it was: one that was added goes.
    #[serde(rename = "restore")]
    Restore,
}

/// A file as the good snapshot has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Good {
    /// One that was uploaded here.
    File(GoodFile),
    /// A target of another index.
    Target {
        /// What its bin said of it, as canonical JSON.
        target: String,
    },
    /// What its page said of it is not known, so that it cannot be restored.
    Unknown {
        /// Its digest.
        digest: String,
    },
}

/// All that a page said of a file that was uploaded here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GoodFile {
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Its length, in bytes.
    pub size: u64,
    /// When it was uploaded.
    pub upload_time: Timestamp,
    /// `Requires-Python` of its core metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_python: Option<String>,
    /// The reason it was yanked for, which may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<String>,
    /// SHA-256 of its core metadata, where that was published beside it, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_sha256: Option<String>,
}

impl Plan {
    /// What names this plan, with its decisions, in the database.
    pub(super) fn id(&self) -> Sha256 {
        // It is made of text and numbers alone.
        Sha256::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// What is decided of each file; an error where something is open.
    pub(super) fn decided(&self) -> Result<Vec<(&ProjectPlan, &FilePlan, Decision)>, RestoreError> {
        let each = self.projects.iter().flat_map(|project| {
            let decided = |file: &FilePlan| file.decide.unwrap_or(project.decide);
            project.files.iter().map(move |file| (project, file, decided(file)))
        });
        let all: Vec<_> = each.collect();
        let open = || all.iter().filter(|(.., decision)| *decision == Decision::Open);
        match open().next() {
            None => Ok(all),
            Some((_, first, _)) => {
                let (count, first) = (open().count() as u64, first.path.clone());
                Err(RestoreError::Undecided { count, first })
            }
        }
    }

    /// How many files were added, changed and removed.
    pub fn counts(&self) -> [(Change, usize); 3] {
        let count = |change| {
            let files = self.projects.iter().flat_map(|project| &project.files);
            (change, files.filter(|file| file.change == change).count())
        };
        [Change::Added, Change::Changed, Change::Removed].map(count)
    }

    pub(super) fn sorted(projects: BTreeMap<String, Vec<FilePlan>>) -> Vec<ProjectPlan> {
        let plan = |(name, mut files): (String, Vec<FilePlan>)| {
            files.sort_by(|a, b| a.path.cmp(&b.path));
            ProjectPlan { name, decide: Decision::Open, files }
        };
        projects.into_iter().filter(|(_, files)| !files.is_empty()).map(plan).collect()
    }
}

impl State {
    /// The present state of a repository.
    pub(super) fn of(repository: &Repository) -> Result<Self, Error> {
        let database = repository.database();
        let mut bins = Context::new(&SHA256);
        for row in database.bins()? {
            bins.update(&row.number.to_be_bytes());
            if let Some(file) = row.published {
                bins.update(&file.signed_sha256.0);
            }
        }
        Ok(Self {
            snapshot: database.role(&SNAPSHOT)?.map_or(0, |row| row.published),
            serial: database.last_serial()?,
            bins_sha256: finish_digest(bins).to_string(),
        })
    }
}
