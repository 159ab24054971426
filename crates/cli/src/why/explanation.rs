//! What is known of a subject, as `--json` shows it. The form is stable: see docs/install.md.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use waxseal_client::{Client, Error, Located, ProjectPage};
use waxseal_index::DistributionFilename;
use waxseal_tuf::chain::Listed;
use waxseal_tuf::hash::Hashes;
use waxseal_tuf::{Chain, ChainRole, Covers, TargetCheck, TargetFile, TargetPath};

use super::Subject;
use crate::failure::{Exit, Failure};

/// Why a file, or a project's page, is trusted.
#[derive(Debug, Serialize)]
pub(crate) struct Explanation {
    #[serde(rename = "waxseal-why")]
    form: u64,
    /// The index's URL.
    pub(crate) index: String,
    /// The time that everything was checked by.
    pub(crate) checked: Timestamp,
    /// Root, timestamp, snapshot, then targets and every role that leads to the target.
    pub(crate) roles: Vec<Role>,
    /// What the last role lists: the file, or the page that lists it.
    pub(crate) target: Item,
    /// The file, where the page vouches for it and it is no target itself (layout `index`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<Item>,
    /// The files that a project's page lists, the newest version last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<Vec<FileOfProject>>,
    /// The file on this machine that was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) local: Option<Local>,
}

/// A role of the chain.
#[derive(Debug, Serialize)]
pub(crate) struct Role {
    #[serde(rename = "role")]
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) expires: Timestamp,
    /// How many of the keys must sign.
    pub(crate) threshold: u64,
    pub(crate) keys: Vec<Key>,
    /// Who delegates to it; null for root.
    pub(crate) delegated_by: Option<String>,
    /// By which part of the delegation it has the path; null for the top-level roles.
    pub(crate) covers: Option<Part>,
    /// What timestamp or snapshot lists of its file; null for root and timestamp.
    pub(crate) listed: Option<ListedFile>,
    /// Whether it is signed with the keys of timestamp: by the index itself, every day.
    pub(crate) online: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Key {
    pub(crate) keyid: String,
    pub(crate) scheme: Option<String>,
    pub(crate) holder: Option<String>,
    /// Whether it signed this version of the role.
    pub(crate) signed: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    Pattern(String),
    HashPrefix(String),
    Bin { number: u32, bit_length: u8 },
}

#[derive(Debug, Serialize)]
pub(crate) struct ListedFile {
    pub(crate) by: String,
    pub(crate) in_version: u64,
    pub(crate) version: u64,
    pub(crate) length: Option<u64>,
    pub(crate) hashes: BTreeMap<String, String>,
}

/// A target, or a file that a page lists.
#[derive(Debug, Serialize)]
pub(crate) struct Item {
    pub(crate) path: String,
    pub(crate) length: Option<u64>,
    pub(crate) hashes: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct FileOfProject {
    pub(crate) filename: String,
    pub(crate) length: Option<u64>,
    pub(crate) hashes: BTreeMap<String, String>,
    /// The reason it was yanked for; null if it is not yanked.
    pub(crate) yanked: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Local {
    pub(crate) path: PathBuf,
    /// Whether it is, byte for byte, what the index signs.
    pub(crate) is_signed: bool,
    /// What is different.
    pub(crate) problem: Option<String>,
}

impl Explanation {
    /// Asks a client that was refreshed.
    pub(crate) async fn of(client: &Client, subject: &Subject) -> anyhow::Result<Self> {
        let before = client.refreshed();
        let explanation = match subject {
            Subject::Project(project) => {
                let Some(page) = client.project_page(project).await? else {
                    let problem = format!("{} has no project {project}", client.url());
                    let hint = "check its name; the list of projects is the target \
                                simple/vnd.pypi.simple.v1.json";
                    return Err(Failure::new(Exit::Failed, problem, hint).into());
                };
                let mut explanation = Self::of_chain(client, client.chain_of(&page.path).await?)?;
                explanation.files = Some(files(&page)?);
                explanation
            }
            Subject::File(path) => Self::of_file(client, path).await?,
            Subject::Local(local, path) => {
                let mut explanation = Self::of_file(client, path).await?;
                explanation.local = Some(explanation.compare(local, path)?);
                explanation
            }
        };
        // The index may have moved on in the middle: then this would be of two snapshots.
        match client.refreshed() == before {
            true => Ok(explanation),
            false => Err(Error::Superseded { path: explanation.target.path }.into()),
        }
    }

    async fn of_file(client: &Client, path: &TargetPath) -> anyhow::Result<Self> {
        let chain = client.chain_of(path).await?;
        if chain.target.is_some() {
            return Self::of_chain(client, chain);
        }
        let listed = client.locate(path).await?;
        let (Some(file), Some(page)) = (&listed, listed.as_ref().and_then(Located::page)) else {
            return Err(absent(client, &chain).into());
        };
        let mut explanation = Self::of_chain(client, client.chain_of(page).await?)?;
        explanation.file = Some(Item {
            path: path.to_string(),
            length: file.length(),
            hashes: map(file.hashes()),
        });
        Ok(explanation)
    }

    fn of_chain(client: &Client, chain: Chain) -> anyhow::Result<Self> {
        let online: Vec<_> = chain.timestamp.keys.iter().map(|key| key.keyid.clone()).collect();
        let roles = chain.roles().map(|role| {
            let is_online =
                !role.keys.is_empty() && role.keys.iter().all(|key| online.contains(&key.keyid));
            Role::of(role, is_online)
        });
        let roles = roles.collect();
        let Some(TargetFile { length, hashes, .. }) = chain.target else {
            return Err(absent(client, &chain).into());
        };
        Ok(Self {
            form: 1,
            index: client.url().to_owned(),
            checked: chain.reference_time,
            roles,
            target: Item {
                path: chain.path.to_string(),
                length: Some(length),
                hashes: map(&hashes),
            },
            file: None,
            files: None,
            local: None,
        })
    }

    /// The file that it is about: the target, or what the target lists.
    pub(crate) fn item(&self) -> &Item {
        self.file.as_ref().unwrap_or(&self.target)
    }

    /// The targets roles, from the top.
    pub(crate) fn targets(&self) -> &[Role] {
        self.roles.get(3..).unwrap_or_default()
    }

    fn compare(&self, local: &Path, path: &TargetPath) -> anyhow::Result<Local> {
        let item = self.item();
        let hashes = Hashes::new(item.hashes.iter().map(|(a, d)| (a.as_str(), d.as_str())));
        let file = TargetFile { length: item.length.unwrap_or(u64::MAX), hashes, custom: None };
        let mut check = match item.length {
            Some(_) => TargetCheck::new(path.clone(), &file)?,
            None => TargetCheck::at_most(path.clone(), &file)?,
        };
        let failed = || format!("cannot read {}", local.display());
        let mut bytes = File::open(local).with_context(failed)?;
        let mut buffer = vec![0; 1 << 16];
        let mut different = Ok(());
        while different.is_ok() {
            match bytes.read(&mut buffer).with_context(failed)? {
                0 => break,
                count => different = check.update(&buffer[..count]),
            }
        }
        let different = different.and_then(|()| check.finish());
        let problem = different.err().map(|error| error.to_string());
        Ok(Local { path: local.to_owned(), is_signed: problem.is_none(), problem })
    }
}

/// Says which role would list it.
fn absent(client: &Client, chain: &Chain) -> Failure {
    let by = chain.targets.last().map(|last| {
        let (role, version, snapshot) = (&last.role, last.version, chain.snapshot.version);
        format!(": {role}, version {version} in snapshot {snapshot}, would list it, and does not")
    });
    let problem = format!("{} has no {}{}", client.url(), chain.path, by.unwrap_or_default());
    let hint = "`waxseal why PROJECT` shows the files that a project has; one that is missing there was \
                never published, or was taken back";
    Failure::new(Exit::Failed, problem, hint)
}

fn files(page: &ProjectPage) -> anyhow::Result<Vec<FileOfProject>> {
    let mut files = Vec::new();
    for name in page.listing.filenames() {
        let unverifiable = |error: waxseal_index::simple::ListingError| Error::Unverifiable {
            file: name.to_owned(),
            page: page.path.to_string(),
            problem: error.to_string(),
        };
        let Some(file) = page.listing.file(name).map_err(unverifiable)? else { continue };
        let version = name.parse::<DistributionFilename>().ok();
        let version = version.map(|filename| filename.version().clone());
        files.push((
            version,
            FileOfProject {
                filename: name.to_owned(),
                length: file.size,
                hashes: file.hashes.clone(),
                yanked: file.yanked.clone(),
            },
        ));
    }
    // They are in the order of their names, which stays within one version.
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(files.into_iter().map(|(_, file)| file).collect())
}

fn map(hashes: &Hashes) -> BTreeMap<String, String> {
    hashes.iter().map(|(algorithm, digest)| (algorithm.to_owned(), digest.to_owned())).collect()
}

impl Role {
    fn of(role: &ChainRole, online: bool) -> Self {
        let key = |key: &waxseal_tuf::ChainKey| Key {
            keyid: key.keyid.as_str().to_owned(),
            scheme: key.scheme.clone(),
            holder: key.holder.clone(),
            signed: key.signed,
        };
        let listed = |Listed { by, in_version, file }: &Listed| ListedFile {
            by: by.to_string(),
            in_version: *in_version,
            version: file.version,
            length: file.length,
            hashes: file.hashes.as_ref().map(map).unwrap_or_default(),
        };
        Self {
            name: role.role.to_string(),
            version: role.version,
            expires: role.expires,
            threshold: role.threshold,
            keys: role.keys.iter().map(key).collect(),
            delegated_by: role.delegated_by.as_ref().map(ToString::to_string),
            covers: match &role.covers {
                Covers::Everything => None,
                Covers::Pattern(pattern) => Some(Part::Pattern(pattern.clone())),
                Covers::HashPrefix(prefix) => Some(Part::HashPrefix(prefix.clone())),
                Covers::Bin { number, bit_length } => {
                    Some(Part::Bin { number: *number, bit_length: *bit_length })
                }
            },
            listed: role.listed.as_ref().map(listed),
            online,
        }
    }
}
