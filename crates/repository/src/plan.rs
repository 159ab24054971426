//! What the waiting journal entries make of the catalog, the Simple pages and the targets.
//!
//! Planning reads and renders; it writes nothing. A Simple page is a function of the journal up to a
//! serial, so a batch that was planned and lost is planned again with the same pages.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use waxseal_index::simple::{FileEntry, ProjectList, ProjectPage};
use waxseal_index::{DistributionFilename, NormalizedName, paths};
use waxseal_tuf::hash::{Digest, Sha256, Sha512};
use waxseal_tuf::{TargetFile, TargetPath};

use crate::batch::{Changes, NewObject, Visitor};
use crate::bin_file::Change;
use crate::bins::Bins;
use crate::database::{
    AddTarget, CatalogChange, Database, Entry, FileRow, JournalRow, ProjectRow, TargetsEntry,
    UploadEntry,
};
use crate::error::Error;
use crate::layout::Layout;
use crate::relist;
use crate::repository::{Repository, target_path};
use crate::store::{Link, StoreKey};

/// What a batch is planned with.
pub(crate) struct Planner<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) layout: Layout,
    /// Whether nothing was published yet: then there is no list of projects.
    pub(crate) first: bool,
    /// Whether what is published may have been changed by somebody else: the list of projects is made again.
    pub(crate) restores: bool,
}

/// What journal entries do.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) catalog: CatalogChange,
    pub(crate) objects: Vec<NewObject>,
    pub(crate) links: Vec<Link>,
    targets: BTreeMap<u32, BTreeMap<TargetPath, Option<Vec<u8>>>>,
}

impl Planner<'_> {
    /// Plans a batch of these entries; none of them is fine too, and makes the first project list.
    pub(crate) fn plan(&self, entries: &[JournalRow]) -> Result<Plan, Error> {
        let mut plan = Plan::default();
        self.apply_entries(entries, &mut plan)?;
        Ok(plan)
    }

    fn database(&self) -> &dyn Database {
        self.repository.database()
    }

    /// Applies the entries, in order, to the projects they name, and renders those projects' pages.
    fn apply_entries(&self, entries: &[JournalRow], plan: &mut Plan) -> Result<(), Error> {
        let mut projects: BTreeMap<NormalizedName, Project> = BTreeMap::new();
        for row in entries {
            let filename = |text: &str| {
                text.parse::<DistributionFilename>().map_err(|error| Error::JournalCorrupt {
                    serial: row.serial,
                    problem: format!("its filename is not one: {error}"),
                })
            };
            match &row.entry {
                Entry::Upload(upload) => {
                    let filename = filename(&upload.filename)?;
                    let project = self.project(&mut projects, filename.project())?;
                    project.upload(row.serial, upload);
                    self.publish_file(&filename, upload, plan)?;
                }
                Entry::Targets(entry) => {
                    self.apply_targets(entry, plan);
                }
                Entry::Revoke(entry) => {
                    for text in &entry.files {
                        let filename = filename(text)?;
                        let project = self.project(&mut projects, filename.project())?;
                        if project.revoke(row.serial, text) {
                            self.take_back_file(&filename, plan)?;
                        }
                    }
                }
                // What may be uploaded again comes with an upload.
                Entry::Readmit(_) => {}
            }
        }
        let (mut appeared, mut vanished) = (BTreeSet::new(), BTreeSet::new());
        for (name, project) in projects {
            match (project.was_listed, !project.files.is_empty()) {
                (false, true) => _ = appeared.insert(name.clone()),
                (true, false) => _ = vanished.insert(name.clone()),
                _ => {}
            }
            if project.is_changed {
                self.render_project(&name, project, plan)?;
            }
        }
        let no_list_yet = || -> Result<bool, Error> {
            let list = project_list_path()?;
            // Another index may have lists of its own.
            let changed = plan.changes_path(self.repository.bins(), &list);
            Ok(self.first && !changed && self.repository.target(&list)?.is_none())
        };
        let list_again = self.restores && self.database().hosts_projects()?;
        if !appeared.is_empty() || !vanished.is_empty() || list_again || no_list_yet()? {
            self.render_project_list(appeared, &vanished, plan)?;
        }
        Ok(())
    }

    /// A project as the entries before have left it.
    fn project<'a>(
        &self,
        projects: &'a mut BTreeMap<NormalizedName, Project>,
        name: &NormalizedName,
    ) -> Result<&'a mut Project, Error> {
        Ok(match projects.entry(name.clone()) {
            btree_map::Entry::Occupied(known) => known.into_mut(),
            btree_map::Entry::Vacant(new) => {
                let row = self.database().project(name.as_str())?;
                let files = self.database().project_files(name.as_str())?;
                new.insert(Project::new(name, row, files))
            }
        })
    }

    /// What another index changed: a later entry goes before an earlier one.
    fn apply_targets(&self, entry: &TargetsEntry, plan: &mut Plan) {
        let bins = self.repository.bins();
        for AddTarget { path, file } in &entry.add {
            let mut file = file.clone();
            self.repository.hash_algorithms().adopt(&mut file);
            self.layout.mark(path, &mut file);
            plan.put(bins, path.clone(), &file);
        }
        for path in &entry.remove {
            plan.change(bins, path.clone(), None);
        }
    }

    /// The file itself and its core metadata get their plain names, and become targets where the layout
    /// has it so.
    fn publish_file(
        &self,
        filename: &DistributionFilename,
        upload: &UploadEntry,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        let file = (paths::distribution(filename), upload.size, upload.sha256, upload.sha512);
        let mut published = vec![file];
        if let Some(metadata) = upload.metadata {
            let path = paths::core_metadata(filename);
            published.push((path, metadata.size, metadata.sha256, None));
        }
        for (path, length, sha256, sha512) in published {
            let path = target_path(path)?;
            let from = StoreKey::Target { path: path.clone(), digest: sha256.into() };
            plan.links.push(Link { from: from.clone(), to: StoreKey::File(path.clone()) });
            if self.layout.lists_files() {
                let digests = self.digests(&from, sha256, sha512)?;
                let others = digests.iter().filter(|digest| **digest != sha256.into());
                plan.links.extend(others.map(|digest| Link {
                    from: from.clone(),
                    to: StoreKey::Target { path: path.clone(), digest: *digest },
                }));
                self.put(plan, path, length, &digests);
            }
        }
        Ok(())
    }

    /// The file itself and its core metadata are no targets any more. One that came with the same batch
    /// never gets its plain name.
    fn take_back_file(
        &self,
        filename: &DistributionFilename,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        for path in [paths::distribution(filename), paths::core_metadata(filename)] {
            let path = target_path(path)?;
            plan.links.retain(|link| !matches!(&link.to, StoreKey::File(to) if *to == path));
            plan.change(self.repository.bins(), path, None);
        }
        Ok(())
    }

    /// What is listed of a file that was accepted. One that came before SHA-512 was listed is read once more.
    fn digests(
        &self,
        key: &StoreKey,
        sha256: Sha256,
        sha512: Option<Sha512>,
    ) -> Result<Vec<Digest>, Error> {
        let algorithms = self.repository.hash_algorithms();
        let mut digests = Vec::new();
        if algorithms.has_sha256() {
            digests.push(sha256.into());
        }
        if algorithms.has_sha512() {
            let sha512 = match sha512 {
                Some(sha512) => sha512,
                None => {
                    relist::sha512_of(self.repository, key, &[sha256.into()].into_iter().collect())?
                }
            };
            digests.push(sha512.into());
        }
        Ok(digests)
    }

    /// A project without files has no page.
    fn render_project(
        &self,
        name: &NormalizedName,
        mut project: Project,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        let gone = project.removed.into_iter().filter(|it| !project.files.contains_key(it));
        plan.catalog.removed.extend(gone.map(|filename| (name.to_string(), filename)));
        project.row.empty = project.files.is_empty();
        if project.row.empty {
            for path in [paths::project_json(name), paths::project_html(name)] {
                plan.change(self.repository.bins(), target_path(path)?, None);
            }
            plan.catalog.projects.push(project.row);
            return Ok(());
        }
        let (json, html) = render_page(name, project.row.last_serial, project.files.values())?;
        self.render_page(paths::project_json(name), json, plan)?;
        self.render_page(paths::project_html(name), html, plan)?;
        plan.catalog.projects.push(project.row);
        let added = project.files.into_values().filter(|row| project.added.contains(&row.serial));
        plan.catalog.files.extend(added);
        Ok(())
    }

    fn render_project_list(
        &self,
        appeared: BTreeSet<NormalizedName>,
        vanished: &BTreeSet<NormalizedName>,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        let mut names = appeared;
        for name in self.database().project_names()? {
            names.insert(name.parse().map_err(|error| catalog_damaged(&name, &error))?);
        }
        names.retain(|name| !vanished.contains(name));
        let list = ProjectList { names };
        self.render_page(paths::PROJECT_LIST_JSON.to_owned(), list.to_json(), plan)?;
        self.render_page(paths::PROJECT_LIST_HTML.to_owned(), list.to_html(), plan)
    }

    fn render_page(&self, path: String, bytes: Vec<u8>, plan: &mut Plan) -> Result<(), Error> {
        let path = target_path(path)?;
        let length = bytes.len() as u64;
        let digests: Vec<_> = self.repository.hash_algorithms().digests_of(&bytes).collect();
        let key = |digest: &Digest| StoreKey::Target { path: path.clone(), digest: *digest };
        if let [first, others @ ..] = &*digests {
            let link = |digest| Link { from: key(first), to: key(digest) };
            plan.links.extend(others.iter().map(link));
            plan.objects.push(NewObject { key: key(first), bytes });
        }
        self.put(plan, path, length, &digests);
        Ok(())
    }

    fn put(&self, plan: &mut Plan, path: TargetPath, length: u64, digests: &[Digest]) {
        let hashes = digests.iter().copied().collect();
        let mut file = TargetFile { length, hashes, custom: None };
        self.layout.mark(&path, &mut file);
        plan.put(self.repository.bins(), path, &file);
    }
}

impl Plan {
    /// The bins in which targets change.
    pub(crate) fn bins(&self) -> impl Iterator<Item = u32> {
        self.targets.keys().copied()
    }

    fn put(&mut self, bins: Bins, path: TargetPath, file: &TargetFile) {
        self.change(bins, path, Some(file.to_canonical()));
    }

    fn changes_path(&self, bins: Bins, path: &TargetPath) -> bool {
        self.targets.get(&bins.bin_of(path)).is_some_and(|bin| bin.contains_key(path))
    }

    fn change(&mut self, bins: Bins, path: TargetPath, file: Option<Vec<u8>>) {
        self.targets.entry(bins.bin_of(&path)).or_default().insert(path, file);
    }
}

impl Changes for Plan {
    fn length(&self, bin: u32) -> u64 {
        let changes = self.targets.get(&bin).into_iter().flatten();
        let lengths =
            changes.map(|(path, file)| path.as_str().len() + file.as_ref().map_or(0, Vec::len));
        lengths.sum::<usize>() as u64
    }

    fn visit(&self, bin: u32, visitor: Visitor<'_>) -> Result<(), Error> {
        let changes = self.targets.get(&bin).into_iter().flatten();
        let changes =
            changes.map(|(path, file)| Change { path: path.as_str(), file: file.as_deref() });
        visitor(&changes.collect::<Vec<_>>())
    }
}

/// A project while a batch is planned.
struct Project {
    row: ProjectRow,
    files: BTreeMap<String, FileRow>,
    /// Serials of the uploads that came.
    added: BTreeSet<u64>,
    /// Filenames that were revoked; some may have come again.
    removed: BTreeSet<String>,
    /// Whether it was on the list of projects before.
    was_listed: bool,
    is_changed: bool,
}

impl Project {
    fn new(name: &NormalizedName, row: Option<ProjectRow>, files: Vec<FileRow>) -> Self {
        let was_listed = row.as_ref().is_some_and(|row| !row.empty);
        let row = row.unwrap_or_else(|| ProjectRow {
            name: name.to_string(),
            display_name: String::new(),
            last_serial: 0,
            empty: false,
        });
        let files = files.into_iter().map(|row| (row.filename.clone(), row)).collect();
        let (added, removed) = (BTreeSet::new(), BTreeSet::new());
        Self { row, files, added, removed, was_listed, is_changed: false }
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
        self.files.insert(row.filename.clone(), row);
        self.added.insert(serial);
        self.is_changed = true;
    }

    /// Whether the file was there.
    fn revoke(&mut self, serial: u64, filename: &str) -> bool {
        if self.files.remove(filename).is_none() {
            return false;
        }
        self.row.last_serial = serial;
        self.removed.insert(filename.to_owned());
        self.is_changed = true;
        true
    }
}

/// A project's page, as JSON and as HTML.
pub(crate) fn render_page<'a>(
    name: &NormalizedName,
    last_serial: u64,
    files: impl IntoIterator<Item = &'a FileRow>,
) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let files = files.into_iter().map(file_entry).collect::<Result<_, Error>>()?;
    let page = ProjectPage { name: name.clone(), last_serial, files };
    Ok((page.to_json(), page.to_html()))
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

fn project_list_path() -> Result<TargetPath, Error> {
    target_path(paths::PROJECT_LIST_JSON.to_owned())
}

fn catalog_damaged(name: &str, problem: &dyn std::error::Error) -> Error {
    Error::CatalogDamaged { name: name.to_owned(), problem: problem.to_string() }
}
