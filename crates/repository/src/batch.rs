//! One batch of the snapshot process: what the waiting journal entries and the roles that run out
//! make of the catalog, the Simple pages, the bins, snapshot and timestamp.
//!
//! Planning reads and signs; it writes nothing. A Simple page is a function of the journal up to a
//! serial, so a batch that was planned and lost is planned again with the same pages.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use waxseal_index::simple::{FileEntry, ProjectList, ProjectPage};
use waxseal_index::{DistributionFilename, NormalizedName, paths};
use waxseal_tuf::hash::{Hashes, Sha256};
use waxseal_tuf::metadata::{self, MetaFile, Snapshot, TargetFile, Targets, sign};
use waxseal_tuf::{RoleName, Signer, TargetPath};

use crate::bins::Bins;
use crate::ceremony::BINS;
use crate::database::{
    CatalogChange, Database, Entry, FileRow, JournalRow, ProjectRow, RoleRow, StagedBatch,
    StagedObject, TargetChange, TargetRow, UploadEntry,
};
use crate::error::Error;
use crate::repository::{SNAPSHOT, TIMESTAMP, target_path};
use crate::store::{Link, StoreKey};

/// Most bins re-signed in one batch only because they run out.
const RENEWALS_A_BATCH: usize = 4096;

/// How long the roles of the online key are valid; the PEP's one day each by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of every bin.
    pub bin_n: SignedDuration,
    /// Of snapshot.
    pub snapshot: SignedDuration,
    /// Of timestamp.
    pub timestamp: SignedDuration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let day = SignedDuration::from_hours(24);
        Self { bin_n: day, snapshot: day, timestamp: day }
    }
}

/// What a batch is planned with.
pub(crate) struct Planner<'a> {
    pub(crate) database: &'a Database,
    pub(crate) bins: Bins,
    pub(crate) online: &'a dyn Signer,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) now: Timestamp,
    /// The digest of the `timestamp.json` that is published.
    pub(crate) timestamp: Option<Sha256>,
}

/// A batch and what it does to the catalog.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) change: CatalogChange,
    objects: Vec<StagedObject>,
    links: Vec<Link>,
    targets: Vec<TargetRow>,
}

type Roles = BTreeMap<RoleName, RoleRow>;

impl Planner<'_> {
    /// Plans the next batch; `None` when nothing waits and nothing runs out.
    pub(crate) fn plan(
        &self,
        entries: &[JournalRow],
    ) -> Result<Option<(CatalogChange, StagedBatch)>, Error> {
        let rows = self.database.roles()?;
        let roles: Roles = rows.into_iter().map(|row| (row.name.clone(), row)).collect();
        let due = self.due_bins(&roles);
        if entries.is_empty() && due.is_empty() && !self.freshness_is_due(&roles) {
            return Ok(None);
        }
        let mut plan = Plan::default();
        self.apply_entries(entries, &mut plan)?;
        self.render_bins(&due, &roles, &mut plan)?;
        let (snapshot_version, timestamp) = self.render_snapshot(&roles, &mut plan)?;
        let serial = match entries.last() {
            Some(last) => last.serial,
            None => self.database.published_serial()?,
        };
        let batch = StagedBatch {
            snapshot_version,
            serial,
            objects: plan.objects,
            links: plan.links,
            targets: plan.targets.into_iter().map(TargetChange::Put).collect(),
            timestamp,
            previous_timestamp: self.timestamp,
        };
        Ok(Some((plan.change, batch)))
    }

    /// Bins that were never signed, all of them, for a snapshot without them would send clients
    /// nowhere; and those that are to be signed again. Each bin has its own moment between one and
    /// two thirds of its lifetime, so that no storm of renewals comes.
    fn due_bins(&self, roles: &Roles) -> BTreeSet<u32> {
        let lifetime = i128::from(self.lifetimes.bin_n.as_secs());
        let runs_out = |bin: u32, row: &RoleRow| {
            let remaining = row.expires.duration_since(self.now).as_secs();
            let spread = i128::from(bin) * lifetime / (3 * i128::from(self.bins.count()));
            i128::from(remaining) < lifetime / 3 + spread
        };
        let mut due = BTreeSet::new();
        let mut renewals = 0;
        for bin in 0..self.bins.count() {
            match roles.get(&self.bins.role(bin)) {
                None => _ = due.insert(bin),
                Some(row) if renewals < RENEWALS_A_BATCH && runs_out(bin, row) => {
                    renewals += 1;
                    due.insert(bin);
                }
                Some(_) => {}
            }
        }
        due
    }

    /// Whether snapshot or timestamp have less than half of their lifetime left, or never were.
    fn freshness_is_due(&self, roles: &Roles) -> bool {
        let due = |role: &RoleName, lifetime: SignedDuration| {
            let remaining = roles.get(role).map(|row| row.expires.duration_since(self.now));
            remaining.is_none_or(|remaining| remaining < lifetime / 2)
        };
        due(&SNAPSHOT, self.lifetimes.snapshot) || due(&TIMESTAMP, self.lifetimes.timestamp)
    }

    /// Applies the entries, in order, to the projects they name, and renders those projects' pages.
    fn apply_entries(&self, entries: &[JournalRow], plan: &mut Plan) -> Result<(), Error> {
        let mut projects: BTreeMap<NormalizedName, Project> = BTreeMap::new();
        let mut appeared = BTreeSet::new();
        for row in entries {
            let Entry::Upload(upload) = &row.entry;
            let corrupt = |problem| Error::JournalCorrupt { serial: row.serial, problem };
            let filename: DistributionFilename = upload
                .filename
                .parse()
                .map_err(|error| corrupt(format!("its filename is not one: {error}")))?;
            let name = filename.project().clone();
            if !projects.contains_key(&name) {
                if self.database.project(name.as_str())?.is_none() {
                    appeared.insert(name.clone());
                }
                let files = self.database.project_files(name.as_str())?;
                projects.insert(name.clone(), Project::new(&name, files));
            }
            if let Some(project) = projects.get_mut(&name) {
                project.upload(row.serial, upload);
            }
            self.publish_file(&filename, upload, plan)?;
        }
        for (name, project) in projects {
            self.render_project(&name, project, plan)?;
        }
        let no_list_yet = || self.database.target(&project_list_path()?).map(|row| row.is_none());
        if !appeared.is_empty() || no_list_yet()? {
            self.render_project_list(appeared, plan)?;
        }
        Ok(())
    }

    /// The file itself and its core metadata become targets, and get their plain names.
    fn publish_file(
        &self,
        filename: &DistributionFilename,
        upload: &UploadEntry,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        let mut published = vec![(paths::distribution(filename), upload.size, upload.sha256)];
        if let Some(metadata) = upload.metadata {
            published.push((paths::core_metadata(filename), metadata.size, metadata.sha256));
        }
        for (path, length, sha256) in published {
            let path = target_path(path)?;
            let from = StoreKey::Target { path: path.clone(), digest: sha256 };
            plan.links.push(Link { from, to: StoreKey::File(path.clone()) });
            let bin = self.bins.bin_of(&path);
            plan.targets.push(TargetRow { path, bin, length, sha256 });
        }
        Ok(())
    }

    fn render_project(
        &self,
        name: &NormalizedName,
        project: Project,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        let files = project.files.values().map(file_entry).collect::<Result<_, Error>>()?;
        let last_serial = project.row.last_serial;
        let page = ProjectPage { name: name.clone(), last_serial, files };
        self.render_page(paths::project_json(name), page.to_json(), plan)?;
        self.render_page(paths::project_html(name), page.to_html(), plan)?;
        plan.change.projects.push(project.row);
        plan.change.files.extend(project.added);
        Ok(())
    }

    fn render_project_list(
        &self,
        appeared: BTreeSet<NormalizedName>,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        let mut names = appeared;
        for name in self.database.project_names()? {
            names.insert(name.parse().map_err(|error| catalog_damaged(&name, &error))?);
        }
        let list = ProjectList { names };
        self.render_page(paths::PROJECT_LIST_JSON.to_owned(), list.to_json(), plan)?;
        self.render_page(paths::PROJECT_LIST_HTML.to_owned(), list.to_html(), plan)
    }

    fn render_page(&self, path: String, bytes: Vec<u8>, plan: &mut Plan) -> Result<(), Error> {
        let path = target_path(path)?;
        let (length, sha256) = (bytes.len() as u64, Sha256::of(&bytes));
        let key = StoreKey::Target { path: path.clone(), digest: sha256 };
        let bin = self.bins.bin_of(&path);
        plan.objects.push(StagedObject { key, bytes });
        plan.targets.push(TargetRow { path, bin, length, sha256 });
        Ok(())
    }

    /// Signs every bin that a target changed in, and those that are due.
    fn render_bins(
        &self,
        due: &BTreeSet<u32>,
        roles: &Roles,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        let mut changes: BTreeMap<u32, Vec<TargetRow>> =
            due.iter().map(|bin| (*bin, Vec::new())).collect();
        for target in &plan.targets {
            changes.entry(target.bin).or_default().push(target.clone());
        }
        for (bin, changes) in changes {
            let role = self.bins.role(bin);
            let published = self.database.targets_in_bin(bin)?;
            let targets = Targets {
                version: next_version(roles, &role),
                expires: self.now + self.lifetimes.bin_n,
                name: Some(role.clone()),
                targets: published.iter().chain(&changes).map(target_file).collect(),
                delegations: None,
            };
            let bytes = sign(&targets, &[self.online])?;
            plan.add_role(role, targets.version, targets.expires, bytes);
        }
        Ok(())
    }

    /// Snapshot lists versions only (the PEP's V11); timestamp lists snapshot's length and digest.
    /// Answers snapshot's version and the bytes of timestamp.
    fn render_snapshot(&self, roles: &Roles, plan: &mut Plan) -> Result<(u64, Vec<u8>), Error> {
        let listed = |row: &&RoleRow| {
            row.name == RoleName::targets() || row.name == BINS || self.bins.names(&row.name)
        };
        let rows = roles.values().chain(&plan.change.roles).filter(listed);
        let snapshot = Snapshot {
            version: next_version(roles, &SNAPSHOT),
            expires: self.now + self.lifetimes.snapshot,
            roles: rows.map(|row| (row.name.clone(), MetaFile::version(row.version))).collect(),
        };
        let bytes = sign(&snapshot, &[self.online])?;
        let timestamp = metadata::Timestamp {
            version: next_version(roles, &TIMESTAMP),
            expires: self.now + self.lifetimes.timestamp,
            snapshot: MetaFile {
                version: snapshot.version,
                length: Some(bytes.len() as u64),
                hashes: Some(Hashes::sha256(Sha256::of(&bytes))),
            },
        };
        plan.add_role(SNAPSHOT, snapshot.version, snapshot.expires, bytes);
        let (name, version, expires) = (TIMESTAMP, timestamp.version, timestamp.expires);
        plan.change.roles.push(RoleRow { name, version, expires });
        Ok((snapshot.version, sign(&timestamp, &[self.online])?))
    }
}

impl Plan {
    /// A signed role: its file, and its version, which is used up with it.
    fn add_role(&mut self, name: RoleName, version: u64, expires: Timestamp, bytes: Vec<u8>) {
        let key = StoreKey::Metadata { version, role: name.clone() };
        self.objects.push(StagedObject { key, bytes });
        self.change.roles.push(RoleRow { name, version, expires });
    }
}

/// A project while a batch is planned.
struct Project {
    row: ProjectRow,
    files: BTreeMap<String, FileRow>,
    added: Vec<FileRow>,
}

impl Project {
    fn new(name: &NormalizedName, files: Vec<FileRow>) -> Self {
        let row =
            ProjectRow { name: name.to_string(), display_name: String::new(), last_serial: 0 };
        let files = files.into_iter().map(|row| (row.filename.clone(), row)).collect();
        Self { row, files, added: Vec::new() }
    }

    fn upload(&mut self, serial: u64, upload: &UploadEntry) {
        let row = FileRow {
            project: self.row.name.clone(),
            filename: upload.filename.clone(),
            version: upload.version.clone(),
            sha256: upload.sha256,
            size: upload.size,
            upload_time: upload.upload_time,
            requires_python: upload.requires_python.clone(),
            metadata: upload.metadata,
            yanked: None,
            serial,
        };
        self.row.display_name.clone_from(&upload.display_name);
        self.row.last_serial = serial;
        self.files.insert(row.filename.clone(), row.clone());
        self.added.push(row);
    }
}

fn file_entry(row: &FileRow) -> Result<FileEntry, Error> {
    Ok(FileEntry {
        filename: row.filename.parse().map_err(|error| catalog_damaged(&row.filename, &error))?,
        sha256: row.sha256.0,
        size: row.size,
        upload_time: row.upload_time,
        requires_python: row.requires_python.clone(),
        core_metadata_sha256: row.metadata.map(|metadata| metadata.sha256.0),
        yanked: row.yanked.clone(),
    })
}

fn target_file(row: &TargetRow) -> (String, TargetFile) {
    let hashes = Hashes::sha256(row.sha256);
    (row.path.to_string(), TargetFile { length: row.length, hashes, custom: None })
}

fn next_version(roles: &Roles, role: &RoleName) -> u64 {
    roles.get(role).map_or(1, |row| row.version + 1)
}

fn project_list_path() -> Result<TargetPath, Error> {
    target_path(paths::PROJECT_LIST_JSON.to_owned())
}

fn catalog_damaged(name: &str, problem: &dyn std::error::Error) -> Error {
    Error::CatalogDamaged { name: name.to_owned(), problem: problem.to_string() }
}
