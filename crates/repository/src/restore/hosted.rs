//! What differs in a project whose files were uploaded here, by file: as its page of then and the catalog of
//! now have them, and the bins.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use waxseal_index::{DistributionFilename, NormalizedName, paths};
use waxseal_tuf::TargetFile;

use super::RestoreError;
use super::compare::{Difference, Differences, Waiting, WaitingFile, change_of, described};
use super::places::Places;
use super::plan::{Change, FilePlan, Good, GoodFile};
use crate::database::{Entry, FileRow};
use crate::error::Error;
use crate::plan::render_page;
use crate::repository::{Repository, target_path};

/// How many of a project's newest files may have come since, for a page to be made again without them.
const MOST_ADDED: usize = 1000;

pub(super) struct Hosted<'a> {
    pub(super) repository: &'a Repository,
    pub(super) places: Places<'a>,
    pub(super) waiting: &'a Waiting,
    pub(super) project: NormalizedName,
}

/// A project's files by their names.
type Files = BTreeMap<String, GoodFile>;

impl Hosted<'_> {
    /// The files that differ; `None` where they are not known without the good page, which is nowhere.
    pub(super) fn files(
        &self,
        differences: &Differences,
    ) -> Result<Option<Vec<FilePlan>>, RestoreError> {
        let rows = self.repository.database().project_files(self.project.as_str())?;
        let good = self.good_files(differences, &rows)?;
        let now = self.files_now(&rows)?;
        let in_bins = self.changed_in_bins(differences);
        let lists_files = self.repository.database().layout()?.unwrap_or_default().lists_files();
        if good.is_none() && !lists_files {
            return Ok(None);
        }
        let mut names: BTreeSet<&str> = in_bins.iter().map(String::as_str).collect();
        names.extend(self.names_waiting());
        if let Some(good) = &good {
            names.extend(now.keys().chain(good.keys()).map(String::as_str));
        }
        let mut files = Vec::new();
        for name in names {
            let path = format!("packages/{}/{name}", self.project);
            let in_bin = differences.get(&path);
            let was = match &good {
                Some(good) => good.get(name).cloned().map(Good::File),
                None => in_bin
                    .and_then(|found| found.good.as_ref())
                    .map(|file| Good::Unknown { digest: described(file) }),
            };
            let is = now.get(name);
            let same_row = match (&was, is) {
                (Some(Good::File(was)), Some(is)) => *was == is.0,
                (None, None) => true,
                _ => false,
            };
            if same_row && !in_bins.contains(name) {
                continue;
            }
            let now_there = is.is_some() || in_bin.is_some_and(|found| found.now.is_some());
            let mut note = is.map(|(_, note)| note.clone());
            if is.is_none() && now_there {
                note = Some("in no journal entry: it was put into its bin by hand".to_owned());
            } else if same_row {
                note = Some(match in_bin.is_some_and(|found| found.now.is_none()) {
                    true => "its page lists it, and its target is gone".to_owned(),
                    false => "its page is right, and its target is another".to_owned(),
                });
            }
            files.push(FilePlan {
                change: change_of(now_there, was.is_some()),
                decide: None,
                note: note.filter(|note| !note.is_empty()),
                now: match (is, in_bin) {
                    (_, Some(Difference { now: Some(file), .. })) => Some(described(file)),
                    (Some((file, _)), _) => Some(format!("sha256:{}", file.sha256)),
                    _ => None,
                },
                good: was,
                path,
            });
        }
        if files.is_empty() {
            files.extend(self.changed_page(differences, &rows)?);
        }
        Ok(Some(files))
    }

    /// Pages that are not what the files make of them, where the files are as they were.
    fn changed_page(
        &self,
        differences: &Differences,
        rows: &[FileRow],
    ) -> Result<Option<FilePlan>, RestoreError> {
        let path = paths::project_json(&self.project);
        let html = paths::project_html(&self.project);
        if !differences.contains_key(&path) && !differences.contains_key(&html) {
            return Ok(None);
        }
        let row = self.repository.database().project(self.project.as_str())?;
        let serial = row.map_or(0, |row| row.last_serial);
        let (json, html_bytes) = render_page(&self.project, serial, rows)?;
        let is = |path: &str, bytes: &[u8]| {
            let found = differences.get(path).and_then(|found| found.now.as_ref());
            !differences.contains_key(path) || found.is_some_and(|file| file.hashes.are_of(bytes))
        };
        if is(&path, &json) && is(&html, &html_bytes) {
            return Ok(None);
        }
        let found = differences.get(&path).or_else(|| differences.get(&html));
        Ok(Some(FilePlan {
            path,
            change: Change::Changed,
            decide: None,
            note: Some(
                "its files are as they were, and its page is another: to be made again".into(),
            ),
            now: found.and_then(|found| found.now.as_ref()).map(described),
            good: None,
        }))
    }

    /// The names of files whose targets are others than in the good snapshot.
    fn changed_in_bins(&self, differences: &Differences) -> BTreeSet<String> {
        let folder = format!("packages/{}/", self.project);
        let names = differences.keys().filter_map(|path| path.strip_prefix(&folder));
        let of_file = |name: &str| {
            let beside = name
                .strip_suffix(".metadata")
                .filter(|file| file.parse::<DistributionFilename>().is_ok());
            beside.unwrap_or(name).to_owned()
        };
        names.map(of_file).collect()
    }

    fn names_waiting(&self) -> impl Iterator<Item = &str> {
        let rows = self.waiting.projects.get(self.project.as_str());
        rows.into_iter().flatten().map(|file| file.filename.as_str())
    }

    /// The files of now, with what waits, and who brought them.
    fn files_now(&self, rows: &[FileRow]) -> Result<BTreeMap<String, (GoodFile, String)>, Error> {
        let mut files = BTreeMap::new();
        for row in rows {
            files.insert(row.filename.clone(), (of_row(row), self.brought_by(row.serial)?));
        }
        let waiting = self.waiting.projects.get(self.project.as_str());
        for WaitingFile { serial, filename, upload } in waiting.into_iter().flatten() {
            let Some(upload) = upload else {
                files.remove(filename);
                continue;
            };
            let file = GoodFile {
                sha256: upload.sha256.to_string(),
                size: upload.size,
                upload_time: upload.upload_time,
                requires_python: upload.requires_python.clone(),
                yanked: None,
                metadata_sha256: upload.metadata.map(|metadata| metadata.sha256.to_string()),
            };
            let (by, time) = (&upload.uploaded_by, upload.upload_time);
            let note = format!("uploaded by {by} at {time}, serial {serial}; not published yet");
            files.insert(filename.clone(), (file, note));
        }
        Ok(files)
    }

    fn brought_by(&self, serial: u64) -> Result<String, Error> {
        let rows = self.repository.database().waiting(serial.saturating_sub(1), 1)?;
        Ok(match rows.first().filter(|row| row.serial == serial).map(|row| &row.entry) {
            Some(Entry::Upload(upload)) => {
                let (by, time) = (&upload.uploaded_by, upload.upload_time);
                format!("uploaded by {by} at {time}, serial {serial}")
            }
            _ => "the journal has no upload of it".to_owned(),
        })
    }

    /// The files on the good page: out of one of the places, or of the catalog without its newest entries if
    /// they make that page.
    fn good_files(
        &self,
        differences: &Differences,
        rows: &[FileRow],
    ) -> Result<Option<Files>, RestoreError> {
        let path = target_path(paths::project_json(&self.project))?;
        let file = match differences.get(path.as_str()) {
            Some(found) => found.good.clone(),
            None => self.repository.target(&path)?,
        };
        let Some(file) = file else { return Ok(Some(Files::new())) };
        if let Some(files) = self.made_again(&file, rows) {
            return Ok(Some(files));
        }
        let Some(page) = self.places.page(&path, &file) else { return Ok(None) };
        read_page(&page).map(Some).map_err(|problem| RestoreError::Malformed {
            path: path.to_string(),
            problem: format!("it is no page of this program's: {problem}"),
        })
    }

    fn made_again(&self, page: &TargetFile, rows: &[FileRow]) -> Option<Files> {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| row.serial);
        for _ in 0..MOST_ADDED {
            let last = rows.last()?;
            // A damaged row is no file of a good page.
            let made = render_page(&self.project, last.serial, &rows);
            let is_it = |json: &[u8]| page.hashes.are_of(json);
            if made.is_ok_and(|(json, _)| is_it(&json)) {
                let files = rows.iter().map(|row| (row.filename.clone(), of_row(row)));
                return Some(files.collect());
            }
            rows.pop();
        }
        None
    }
}

fn of_row(row: &FileRow) -> GoodFile {
    GoodFile {
        sha256: row.sha256.to_string(),
        size: row.size,
        upload_time: row.upload_time,
        requires_python: row.requires_python.clone(),
        yanked: row.yanked.clone(),
        metadata_sha256: row.metadata.map(|metadata| metadata.sha256.to_string()),
    }
}

/// Reads a project's page that this program made.
fn read_page(page: &[u8]) -> Result<Files, serde_json::Error> {
    #[derive(Deserialize)]
    struct Page {
        files: Vec<File>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct File {
        filename: String,
        hashes: Hashes,
        size: u64,
        upload_time: Timestamp,
        requires_python: Option<String>,
        yanked: Yanked,
        core_metadata: Promise,
    }
    #[derive(Deserialize)]
    struct Hashes {
        sha256: String,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Yanked {
        Plain(bool),
        Reason(String),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Promise {
        Digest(Hashes),
        Plain(#[expect(dead_code, reason = "false: there is none")] bool),
    }
    let page: Page = serde_json::from_slice(page)?;
    let file = |file: File| {
        let good = GoodFile {
            sha256: file.hashes.sha256,
            size: file.size,
            upload_time: file.upload_time,
            requires_python: file.requires_python,
            yanked: match file.yanked {
                Yanked::Plain(false) => None,
                Yanked::Plain(true) => Some(String::new()),
                Yanked::Reason(reason) => Some(reason),
            },
            metadata_sha256: match file.core_metadata {
                Promise::Digest(hashes) => Some(hashes.sha256),
                Promise::Plain(_) => None,
            },
        };
        (file.filename, good)
    };
    Ok(page.files.into_iter().map(file).collect())
}
