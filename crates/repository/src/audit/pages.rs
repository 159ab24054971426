//! Every Simple page, against the targets and against the catalog.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use waxseal_index::simple::{FileEntry, ProjectList, ProjectPage};
use waxseal_index::{DistributionFilename, NormalizedName, paths, percent};
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;

use super::Auditor;
use super::metadata::Signed;
use super::report::Kind;
use super::tally::{Entry, half};
use super::targets::{Pass, Target};
use crate::database::{Database, FileRow};
use crate::error::Error;
use crate::layout::Layout;

/// The projects of this index, whose pages and files are its own: those of the catalog, or without a
/// database those of the project list.
///
/// A target of any other project was added by somebody whose files are elsewhere, and may be here.
#[derive(Debug, Default)]
pub(super) struct Names {
    seen: HashMap<String, bool>,
    pub(super) list_is_own: bool,
    list_seen: bool,
}

impl Names {
    pub(super) fn contains(&self, project: &str) -> bool {
        self.seen.contains_key(project)
    }
}

/// What a page of PEP 691 says.
#[derive(Debug, Deserialize)]
struct Page {
    meta: Meta,
    name: String,
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(rename = "_last-serial")]
    last_serial: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    filename: String,
    url: String,
    hashes: BTreeMap<String, String>,
    size: u64,
    upload_time: String,
    requires_python: Option<String>,
    #[serde(default)]
    yanked: Value,
    #[serde(default)]
    core_metadata: Value,
}

#[derive(Debug, Deserialize)]
struct List {
    projects: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
}

/// Reads a project's page as JSON; the error says what is wrong with it.
pub(super) fn read_page(project: &str, bytes: &[u8]) -> Result<ProjectPage, String> {
    let page: Page = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let name = NormalizedName::of(project).map_err(|error| error.to_string())?;
    if page.name != project || name.as_str() != project {
        return Err(format!("is the page of {:?}", page.name));
    }
    let mut names = BTreeSet::new();
    let mut files = Vec::new();
    for file in page.files {
        let filename = file.filename.clone();
        if !names.insert(filename.clone()) {
            return Err(format!("lists {filename} twice"));
        }
        files.push(read_file(&name, file).map_err(|problem| format!("{filename}: {problem}"))?);
    }
    Ok(ProjectPage { name, last_serial: page.meta.last_serial.unwrap_or(0), files })
}

fn read_file(project: &NormalizedName, file: File) -> Result<FileEntry, String> {
    let filename: DistributionFilename =
        file.filename.parse().map_err(|error| format!("{error}"))?;
    if filename.project() != project {
        return Err(format!("belongs to {}", filename.project()));
    }
    let folder = format!("../../files/packages/{project}/");
    let linked = file.url.strip_prefix(&folder).and_then(percent::decode);
    if linked.as_deref() != Some(filename.as_str()) {
        return Err(format!("its link leads to {:?}", file.url));
    }
    let digest = |text: &str| text.parse::<Sha256>().map_err(|error| error.to_string());
    let sha256 = digest(file.hashes.get("sha256").map_or("", String::as_str))?.0;
    let core_metadata = file.core_metadata.get("sha256").and_then(Value::as_str);
    let yanked = match &file.yanked {
        Value::String(reason) => Some(reason.clone()),
        Value::Bool(true) => Some(String::new()),
        _ => None,
    };
    Ok(FileEntry {
        filename,
        sha256,
        size: file.size,
        upload_time: file.upload_time.parse::<Timestamp>().map_err(|error| error.to_string())?,
        requires_python: file.requires_python,
        core_metadata_sha256: core_metadata.map(digest).transpose()?.map(|digest| digest.0),
        yanked,
    })
}

fn read_list(bytes: &[u8]) -> Result<ProjectList, String> {
    let list: List = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let names = list.projects.iter().map(|project| {
        let name = NormalizedName::of(&project.name).map_err(|error| error.to_string())?;
        match name.as_str() == project.name {
            true => Ok(name),
            false => Err(format!("{:?} is not normalized", project.name)),
        }
    });
    Ok(ProjectList { names: names.collect::<Result<_, _>>()? })
}

/// One line that a page makes for the targets: path, SHA-256 in hex, length.
pub(super) type Line = (String, String, Option<u64>);

/// The distribution files and core metadata that a page lists.
pub(super) fn listed_files(page: &ProjectPage) -> impl Iterator<Item = Line> {
    page.files.iter().flat_map(|file| {
        let hex = |digest: [u8; 32]| Sha256(digest).to_string();
        let distribution = (paths::distribution(&file.filename), hex(file.sha256), Some(file.size));
        let metadata = file
            .core_metadata_sha256
            .map(|digest| (paths::core_metadata(&file.filename), hex(digest), None));
        [distribution].into_iter().chain(metadata)
    })
}

fn html_line(path: String, html: &[u8]) -> Line {
    (path, Sha256::of(html).to_string(), Some(html.len() as u64))
}

impl Auditor<'_> {
    /// The projects whose files are to be in this store.
    pub(super) fn names(&mut self, signed: &Signed, has_targets: bool) -> Result<Names, Error> {
        let mut names = Names::default();
        if let Some(database) = self.database {
            names.seen = database.project_names()?.into_iter().map(|name| (name, false)).collect();
            names.list_is_own = !names.seen.is_empty();
            return Ok(names);
        }
        // Without a database, an index that has files here has its own list here too.
        names.list_is_own = has_targets;
        let path = TargetPath::new(paths::PROJECT_LIST_JSON)?;
        let bin = signed.bins.bin_of(&path);
        let claims = self.claims(signed, bin)?;
        let Some(file) = claims.get(path.as_str()) else { return Ok(names) };
        let bytes = self.page_bytes(&path, file)?;
        if let Some(Ok(list)) = bytes.map(|bytes| read_list(&bytes)) {
            names.seen = list.names.iter().map(|name| (name.to_string(), false)).collect();
        }
        Ok(names)
    }

    /// A project's page as JSON, whose bytes are those of its target.
    pub(super) fn project_page(
        &mut self,
        pass: &mut Pass<'_>,
        project: &str,
        target: &Target<'_>,
        bytes: &[u8],
    ) -> Result<(), Error> {
        if let Some(seen) = pass.names.seen.get_mut(project) {
            *seen = true;
        }
        self.report.counts.pages += 1;
        let page = match read_page(project, bytes) {
            Ok(page) => page,
            Err(problem) => {
                self.find(Kind::Page, target.path.as_str(), problem);
                return Ok(());
            }
        };
        self.report.counts.listed_files += page.files.len() as u64;
        let bins = pass.signed.bins;
        let bin_of = |path: &str| TargetPath::new(path).map(|path| bins.bin_of(&path));
        if Layout::vouches(target.file) {
            pass.any_vouches = true;
        } else {
            for (path, sha256, length) in listed_files(&page) {
                let entry = Entry { path: &path, sha256: &sha256, length };
                pass.files.list(bin_of(&path)?, &entry);
            }
        }
        let (path, sha256, length) = html_line(paths::project_html(&page.name), &page.to_html());
        let entry = Entry { path: &path, sha256: &sha256, length };
        pass.html.list(bin_of(&path)?, &entry);
        match (self.database, pass.published) {
            (Some(database), Some(published)) => {
                self.compare_with_catalog(database, published, &page, target.path.as_str())
            }
            _ => Ok(()),
        }
    }

    /// A page and its project in the catalog, which may be ahead by what is being published.
    fn compare_with_catalog(
        &mut self,
        database: &dyn Database,
        published: u64,
        page: &ProjectPage,
        path: &str,
    ) -> Result<(), Error> {
        let Some(project) = database.project(page.name.as_str())? else { return Ok(()) };
        if page.last_serial > project.last_serial {
            let problem = format!(
                "shows serial {}, and the catalog of the project ends at {}",
                page.last_serial, project.last_serial
            );
            self.find(Kind::Catalog, path, problem);
        }
        let still = project.last_serial <= published;
        if still && page.last_serial < project.last_serial {
            let problem = format!(
                "shows serial {}, and {} is published",
                page.last_serial, project.last_serial
            );
            self.find(Kind::Catalog, path, problem);
        }
        let rows = database.project_files(page.name.as_str())?;
        let mut files: HashMap<_, _> =
            page.files.iter().map(|file| (file.filename.as_str(), file)).collect();
        for row in &rows {
            match files.remove(row.filename.as_str()) {
                None if row.serial <= published => {
                    let problem = format!("does not list {}, which the catalog has", row.filename);
                    self.find(Kind::Catalog, path, problem);
                }
                Some(file) if !same(row, file) && still => {
                    let problem = format!("says otherwise of {} than the catalog", row.filename);
                    self.find(Kind::Catalog, path, problem);
                }
                _ => {}
            }
        }
        let mut left: Vec<_> = files.into_keys().collect();
        left.sort_unstable();
        // What is revoked is gone from the catalog a moment before it is from the page.
        for filename in left.into_iter().filter(|_| still) {
            self.find(Kind::Catalog, path, format!("lists {filename}, which the catalog has not"));
        }
        Ok(())
    }

    /// The list of all projects as JSON.
    pub(super) fn project_list(&mut self, pass: &mut Pass<'_>, target: &Target<'_>, bytes: &[u8]) {
        pass.names.list_seen = true;
        let list = match read_list(bytes) {
            Ok(list) => list,
            Err(problem) => return self.find(Kind::Page, target.path.as_str(), problem),
        };
        let (path, sha256, length) =
            html_line(paths::PROJECT_LIST_HTML.to_owned(), &list.to_html());
        if let Ok(path) = TargetPath::new(path) {
            let entry = Entry { path: path.as_str(), sha256: &sha256, length };
            pass.html.list(pass.signed.bins.bin_of(&path), &entry);
        }
        for name in &list.names {
            if !pass.names.contains(name.as_str())
                && self.is_published(name.as_str(), pass.published)
            {
                let problem = format!("lists {name}, which the catalog has not");
                self.find(Kind::Catalog, target.path.as_str(), problem);
            }
        }
        let mut missing: Vec<_> = pass
            .names
            .seen
            .keys()
            .filter(|name| NormalizedName::of(name).is_ok_and(|name| !list.names.contains(&name)))
            .cloned()
            .collect();
        missing.sort_unstable();
        for name in missing {
            if self.is_published(&name, pass.published) {
                let problem = format!("does not list {name}, which has files");
                self.find(Kind::Page, target.path.as_str(), problem);
            }
        }
    }

    /// Whether all bins together have a page for each project.
    pub(super) fn compare_pages(&mut self, pass: &Pass<'_>) {
        if !pass.found.complete {
            return;
        }
        let unseen = pass.names.seen.iter().filter(|(_, seen)| !**seen);
        let mut unseen: Vec<_> = unseen.map(|(name, _)| name.clone()).collect();
        unseen.sort_unstable();
        let any = unseen.len() < pass.names.seen.len();
        for name in unseen {
            if self.is_published(&name, pass.published) {
                let path = format!("simple/{name}/vnd.pypi.simple.v1.json");
                self.find(Kind::Page, path, "is not there, and the project has files");
            }
        }
        if any && !pass.names.list_seen {
            self.find(Kind::Page, paths::PROJECT_LIST_JSON, "is not there, and there are projects");
        }
    }

    /// Whether everything that the catalog has of a project was published when the audit began.
    fn is_published(&self, name: &str, published: Option<u64>) -> bool {
        let (Some(database), Some(published)) = (self.database, published) else { return true };
        let project = database.project(name).ok().flatten();
        project.is_none_or(|project| project.last_serial <= published)
    }

    /// Reads the pages again, and names what differs in these bins.
    pub(super) fn explain(
        &mut self,
        pass: &Pass<'_>,
        different: &[u32],
        pages_only: bool,
    ) -> Result<(), Error> {
        let bins = pass.signed.bins;
        let mut listed: BTreeMap<String, (String, Option<u64>)> = BTreeMap::new();
        let mut named = BTreeMap::new();
        for bin in 0..bins.count() {
            self.progress("bins, once more", u64::from(bin), u64::from(bins.count()));
            for (path, file) in self.claims(pass.signed, bin)? {
                let Ok(path) = TargetPath::new(path) else { continue };
                for (path, sha256, length) in self.lines_of(pass, &path, &file)? {
                    let falls = bins.bin_of(&TargetPath::new(path.clone())?);
                    if different.binary_search(&falls).is_ok() {
                        listed.insert(path, (sha256, length));
                    }
                }
                if different.binary_search(&bin).is_ok() && is_compared(pass, &path, pages_only) {
                    let sha256 = self.sha256_of(&path, &file).unwrap_or_default();
                    named.insert(path.to_string(), (sha256, file.length));
                }
            }
        }
        if pages_only {
            listed.retain(|path, _| path.starts_with("simple/"));
        }
        for (path, (sha256, length)) in listed {
            match named.remove(&path) {
                None => self.find(Kind::Page, path, "is listed on a page, and is no target"),
                Some(target) if target == (sha256, length.unwrap_or(target.1)) => {}
                Some(_) if path.starts_with("simple/") => {
                    self.find(Kind::Page, path, "does not say what the same page as JSON says");
                }
                Some(_) => self.find(
                    Kind::Page,
                    path,
                    "is listed on its page with another length or SHA-256 than its target has",
                ),
            }
        }
        for path in named.into_keys() {
            self.find(Kind::Page, path, "is a target, and no page lists it");
        }
        Ok(())
    }

    /// What a target lists, if it is a page of this index.
    fn lines_of(
        &mut self,
        pass: &Pass<'_>,
        path: &TargetPath,
        file: &waxseal_tuf::TargetFile,
    ) -> Result<Vec<Line>, Error> {
        if path.as_str() == paths::PROJECT_LIST_JSON {
            let list = self.page_bytes(path, file)?.map(|bytes| read_list(&bytes));
            let html =
                |list: ProjectList| html_line(paths::PROJECT_LIST_HTML.to_owned(), &list.to_html());
            return Ok(list.and_then(Result::ok).map(html).into_iter().collect());
        }
        let Some(project) = own_page(pass, path) else { return Ok(Vec::new()) };
        let page = self.page_bytes(path, file)?.map(|bytes| read_page(project, &bytes));
        let Some(Ok(page)) = page else { return Ok(Vec::new()) };
        let html = html_line(paths::project_html(&page.name), &page.to_html());
        // What a page vouches for, and is no target, was looked at by itself.
        let vouches = Layout::vouches(file);
        let is_target = |path: &str| pass.file_targets.contains(&half(path.as_bytes()));
        let files = listed_files(&page).filter(|(path, ..)| !vouches || is_target(path));
        Ok(files.chain([html]).collect())
    }
}

/// The project of this index whose page as JSON has this path.
pub(super) fn own_page<'a>(pass: &Pass<'_>, path: &'a TargetPath) -> Option<&'a str> {
    let project = path.as_str().strip_prefix("simple/")?;
    let project = project.strip_suffix("/vnd.pypi.simple.v1.json")?;
    Some(project).filter(|project| pass.names.contains(project))
}

/// Whether a target is one that a page of this index is to list.
pub(super) fn is_compared(pass: &Pass<'_>, path: &TargetPath, pages_only: bool) -> bool {
    let path = path.as_str();
    if path == paths::PROJECT_LIST_HTML {
        return pass.names.list_is_own;
    }
    let mut pieces = path.splitn(3, '/');
    let (area, project) = (pieces.next(), pieces.next());
    let own = project.is_some_and(|project| pass.names.contains(project));
    match area {
        Some("simple") => own && path.ends_with("/vnd.pypi.simple.v1.html"),
        Some("packages") => own && !pages_only && !path.ends_with(".provenance"),
        _ => false,
    }
}

fn same(row: &FileRow, file: &FileEntry) -> bool {
    let FileRow { sha256, size, upload_time, requires_python, metadata, yanked, .. } = row;
    sha256.0 == file.sha256
        && *size == file.size
        && upload_time.as_microsecond() == file.upload_time.as_microsecond()
        && *requires_python == file.requires_python
        && metadata.map(|metadata| metadata.sha256.0) == file.core_metadata_sha256
        && *yanked == file.yanked
}
