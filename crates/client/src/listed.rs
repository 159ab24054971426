//! Files that a project's page vouches for (layout `index`), beside those that are targets themselves
//! (layout `files`, PEP 458 as written).
//!
//! A page vouches for its files only if the bin that lists the page says so, in a signed field: a
//! mirror cannot choose. The page itself is a target of the current snapshot, so no older one counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use url::Url;
use waxseal_index::paths::{LAYOUT_FIELD, project_html, project_json, project_of_page};
use waxseal_index::percent::decode_leniently;
use waxseal_index::simple::{Digests, Links, ListedFile, Listing};
use waxseal_index::{DistributionFilename, NormalizedName};
use waxseal_tuf::hash::Hashes;
use waxseal_tuf::json::Value;
use waxseal_tuf::{RoleName, TargetCheck, TargetFile, TargetPath};

use crate::client::missing;
use crate::fetcher::Location;
use crate::{Client, Error, IndexUrl, Settings};

/// Projects whose pages are kept as they were read last.
const KEPT: usize = 256;

/// What core metadata has behind the name of its file (PEP 658).
const METADATA: &str = ".metadata";

/// A file that signed metadata vouches for, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    path: TargetPath,
    file: TargetFile,
    promise: Option<Promise>,
}

/// What a page says of a file beyond its digests.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Promise {
    page: TargetPath,
    link: Location,
    /// Whether the page says the length; else the file's is the most that it may have.
    sized: bool,
}

impl Located {
    /// A file that is a target.
    pub fn target(path: &TargetPath, file: &TargetFile) -> Self {
        Self { path: path.clone(), file: file.clone(), promise: None }
    }

    /// Its target path, or what that would be if it were a target.
    pub fn path(&self) -> &TargetPath {
        &self.path
    }

    /// Its digests, of which one at least can be checked.
    pub fn hashes(&self) -> &Hashes {
        &self.file.hashes
    }

    /// Its length in bytes, where something vouches for that.
    pub fn length(&self) -> Option<u64> {
        self.promise.as_ref().is_none_or(|promise| promise.sized).then_some(self.file.length)
    }

    /// The target path of the page that vouches for it; none if it is a target itself.
    pub fn page(&self) -> Option<&TargetPath> {
        self.promise.as_ref().map(|promise| &promise.page)
    }

    /// Whether it is a page that vouches for the files on it.
    pub fn vouches_for_files(&self) -> bool {
        self.promise.is_none() && says_index(&self.file)
    }

    /// Where it is below the index's own URL, percent-encoded and perhaps with a query, if a page that vouches
    /// for it links to there; none for a target, and for what is on another host.
    pub fn below_index(&self) -> Option<&str> {
        match self.link() {
            Some(Location::Below(link)) => Some(link),
            _ => None,
        }
    }

    pub(crate) fn target_file(&self) -> &TargetFile {
        &self.file
    }

    pub(crate) fn link(&self) -> Option<&Location> {
        self.promise.as_ref().map(|promise| &promise.link)
    }

    /// A check of its bytes: the one there is, of targets as of what pages list.
    pub(crate) fn check(&self) -> Result<TargetCheck, Error> {
        let (path, file) = (self.path.clone(), &self.file);
        Ok(match self.length() {
            Some(_) => TargetCheck::new(path, file)?,
            None => TargetCheck::at_most(path, file)?,
        })
    }

    /// Whether a file of this length may be it.
    pub(crate) fn may_have(&self, length: u64) -> bool {
        self.length().map_or(length <= self.file.length, |exact| length == exact)
    }

    /// The error, with the page that promised otherwise.
    pub(crate) fn blame(&self, error: Error, from: &Url) -> Error {
        match (&self.promise, error) {
            (Some(promise), Error::Verification(error)) => {
                let (page, from) = (promise.page.to_string(), from.to_string());
                Error::Promised { error: Box::new(error), page, from }
            }
            (_, error) => error,
        }
    }
}

/// A page that vouches for its files, and was verified.
#[derive(Debug, Clone)]
pub struct KnownPage {
    project: NormalizedName,
    listing: Arc<Listing>,
}

impl KnownPage {
    /// The page, whose bytes these are, with such links; none if it is like that already. Core metadata
    /// that cannot be verified is left out, so that no tool asks for it.
    pub fn relinked(&self, bytes: &[u8], links: Links) -> Option<Vec<u8>> {
        self.listing.relinked(bytes, &self.project, links, |digests| strong(digests).is_some())
    }
}

/// Whether a target is a page that vouches for the files on it: `custom` holds [`LAYOUT_FIELD`].
pub fn says_index(page: &TargetFile) -> bool {
    let (name, value) = LAYOUT_FIELD;
    match &page.custom {
        Some(Value::Object(custom)) => {
            matches!(custom.get(name), Some(Value::String(says)) if says == value)
        }
        _ => false,
    }
}

/// The pages that were read last, by project.
#[derive(Debug, Default)]
pub(crate) struct Listings(Mutex<HashMap<NormalizedName, Page>>);

/// A page of layout `index`.
#[derive(Debug, Clone)]
struct Page {
    path: TargetPath,
    file: TargetFile,
    listing: Arc<Listing>,
}

impl Listings {
    fn locked(&self) -> MutexGuard<'_, HashMap<NormalizedName, Page>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, project: &NormalizedName, page: &Page) {
        let mut kept = self.locked();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(project.clone(), page.clone());
    }
}

/// A path below `packages/`, as a file on a project's page.
struct Wanted {
    project: NormalizedName,
    filename: String,
}

impl Wanted {
    fn of(path: &TargetPath) -> Option<Self> {
        let (project, filename) = path.as_str().strip_prefix("packages/")?.split_once('/')?;
        let normalized = NormalizedName::of(project).ok()?;
        let valid = normalized.as_str() == project && !filename.contains('/');
        valid.then(|| Self { project: normalized, filename: filename.to_owned() })
    }
}

impl Client {
    /// What signed metadata says about a file: as a target, or by the page of its project if that
    /// vouches for its files. `None` where neither knows it.
    ///
    /// A target is looked for first, unless the project's page is known to vouch for its files: then
    /// one look-up for the page serves all of them.
    pub async fn locate(&self, path: &TargetPath) -> Result<Option<Located>, Error> {
        let wanted = Wanted::of(path).filter(|_| self.sources.index().is_some());
        let known =
            wanted.as_ref().filter(|wanted| self.listings.locked().contains_key(&wanted.project));
        if let Some(wanted) = known
            && let Some(found) = self.locate_on_page(path, wanted).await?
        {
            return Ok(Some(found));
        }
        let asked = known.is_some();
        if let Some(file) = self.find(path).await? {
            return Ok(Some(Located::target(path, &file)));
        }
        match wanted.filter(|_| !asked) {
            Some(wanted) => self.locate_on_page(path, &wanted).await,
            None => Ok(None),
        }
    }

    /// Takes a page that was read and is passed on, so that it is not fetched again for its files.
    /// It is checked again. `None` if it does not vouch for its files.
    pub fn learn_page(&self, page: &Located, bytes: &[u8]) -> Result<Option<KnownPage>, Error> {
        let project = project_of_page(page.path.as_str());
        let Some(project) = project.filter(|_| page.vouches_for_files()) else { return Ok(None) };
        let mut check = page.check()?;
        check.update(bytes)?;
        check.finish()?;
        let page = Page::read(&page.path, &page.file, bytes)?;
        // Files are looked up on the page in JSON, where there is one.
        let html_beside_json = is_html(&page.path)
            && self.listings.locked().get(&project).is_some_and(|kept| kept.path != page.path);
        if !html_beside_json {
            self.listings.keep(&project, &page);
        }
        Ok(Some(KnownPage { project, listing: page.listing }))
    }

    /// The same by the URL that a page of the index has for a file, or for core metadata beside it.
    /// `None` where the page of the project that the file's name says does not link there.
    pub async fn locate_link(&self, url: &Url) -> Result<Option<Located>, Error> {
        let Some(path) = linked_path(url) else { return Ok(None) };
        let Some(wanted) = Wanted::of(&path) else { return Ok(None) };
        let located = self.locate_on_page(&path, &wanted).await?;
        Ok(located.filter(|file| match file.link() {
            Some(Location::Elsewhere(link)) => link == url,
            Some(Location::Below(link)) => {
                let below = self.sources.index().and_then(|index| index.join(link).ok());
                below.as_ref() == Some(url)
            }
            Some(Location::Target(_)) | None => false,
        }))
    }

    async fn locate_on_page(
        &self,
        path: &TargetPath,
        wanted: &Wanted,
    ) -> Result<Option<Located>, Error> {
        let Some(page) = self.page_of(&wanted.project).await? else { return Ok(None) };
        let index = self.sources.index().ok_or(Error::NotRefreshed)?;
        page.promise(index, &self.settings, path, wanted)
    }

    /// The project's page in the current snapshot, if it vouches for its files. JSON is preferred; HTML
    /// says no lengths.
    async fn page_of(&self, project: &NormalizedName) -> Result<Option<Page>, Error> {
        for path in [project_json(project), project_html(project)] {
            let path = TargetPath::new(path)?;
            let Some(file) = self.find(&path).await? else { continue };
            let kept = self.listings.locked().get(project).cloned();
            if let Some(page) = kept.filter(|page| page.path == path && page.file == file) {
                return Ok(Some(page));
            }
            let read = match says_index(&file) {
                true => self.get(&path).await?.filter(|(file, _)| says_index(file)),
                false => None,
            };
            let Some((file, bytes)) = read else {
                self.listings.locked().remove(project);
                return Ok(None);
            };
            let page = Page::read(&path, &file, &bytes)?;
            self.listings.keep(project, &page);
            return Ok(Some(page));
        }
        self.listings.locked().remove(project);
        Ok(None)
    }
}

impl Page {
    /// What the page says of a file; `None` where it does not list it.
    fn promise(
        &self,
        index: &Url,
        settings: &Settings,
        path: &TargetPath,
        wanted: &Wanted,
    ) -> Result<Option<Located>, Error> {
        let unverifiable = |problem: String| Error::Unverifiable {
            file: path.to_string(),
            page: self.path.to_string(),
            problem,
        };
        let listed =
            |name: &str| self.listing.file(name).map_err(|error| unverifiable(error.to_string()));
        let (file, digests, size, end, most) = match listed(&wanted.filename)? {
            Some(file) => (file, &file.hashes, file.size, "", settings.unsized_file),
            None => {
                let Some(name) = wanted.filename.strip_suffix(METADATA) else { return Ok(None) };
                let Some(file) = listed(name)? else { return Ok(None) };
                let Some(digests) = &file.core_metadata else { return Ok(None) };
                (file, digests, None, METADATA, settings.unsized_metadata)
            }
        };
        let hashes = strong(digests)
            .ok_or_else(|| unverifiable(format!("lists {} for it", what_is_listed(digests))))?;
        let link = link(index, &wanted.project, &self.listing, file, end).map_err(unverifiable)?;
        let sized = size.is_some();
        let file = TargetFile { length: size.unwrap_or(most), hashes, custom: None };
        let promise = Promise { page: self.path.clone(), link, sized };
        Ok(Some(Located { path: path.clone(), file, promise: Some(promise) }))
    }

    fn read(path: &TargetPath, file: &TargetFile, bytes: &[u8]) -> Result<Self, Error> {
        let read = match is_html(path) {
            true => Listing::from_html(bytes),
            false => Listing::from_json(bytes),
        };
        let listing = read.map_err(|error| Error::Unverifiable {
            file: "what it lists".to_owned(),
            page: path.to_string(),
            problem: format!("cannot be read: {error}"),
        })?;
        Ok(Self { path: path.clone(), file: file.clone(), listing: Arc::new(listing) })
    }
}

impl Located {
    /// It is not at this URL, although a page promised it.
    pub(crate) fn missing(&self, from: &Url) -> Error {
        self.blame(missing(self.path.as_str(), RoleName::TARGETS), from)
    }
}

/// What the target path would be of a file that a page links to, by the last part of its URL; none if
/// that names no distribution.
pub fn linked_path(url: &Url) -> Option<TargetPath> {
    let name = decode_leniently(url.path_segments()?.next_back()?)?;
    let file = name.strip_suffix(METADATA).unwrap_or(&name);
    let project = file.parse::<DistributionFilename>().ok()?.project().clone();
    TargetPath::new(format!("packages/{project}/{name}")).ok()
}

/// Where a file is by the link that the page has, which is relative to the page's own URL.
fn link(
    index: &Url,
    project: &NormalizedName,
    listing: &Listing,
    file: &ListedFile,
    end: &str,
) -> Result<Location, String> {
    let wrong = |error| format!("links to {:?}, which is no URL: {error}", shown(&file.url));
    let mut url = index.join(&format!("simple/{project}/")).map_err(wrong)?;
    if let Some(base) = listing.base() {
        url = url.join(base).map_err(wrong)?;
    }
    url = url.join(&file.url).map_err(wrong)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("links to {:?}: only http and https are known", shown(&file.url)));
    }
    if !end.is_empty() {
        let path = format!("{}{end}", url.path());
        url.set_path(&path);
    }
    url.set_fragment(None);
    // Whatever a page has in its links is public, and no reason to authenticate. An http(s) URL can
    // do without.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok(match url.as_str().strip_prefix(index.as_str()) {
        Some(below) => Location::Below(below.to_owned()),
        None => Location::Elsewhere(url),
    })
}

/// The files that a page vouches for, and the core metadata beside them, if these are the page's bytes and
/// `page` is one that does; empty if it does not. Those that nobody can verify are left out. Of a page of the
/// index at this URL, for whoever copies all of it.
pub fn files_on_page(
    index: &IndexUrl,
    page: &Located,
    bytes: &[u8],
    settings: &Settings,
) -> Result<Vec<Located>, Error> {
    let project = project_of_page(page.path.as_str());
    let Some(project) = project.filter(|_| page.vouches_for_files()) else { return Ok(Vec::new()) };
    let page = Page::read(&page.path, &page.file, bytes)?;
    let mut files = Vec::new();
    for name in page.listing.filenames() {
        for filename in [name.to_owned(), format!("{name}{METADATA}")] {
            let Ok(path) = TargetPath::new(format!("packages/{project}/{filename}")) else {
                continue;
            };
            let wanted = Wanted { project: project.clone(), filename };
            match page.promise(index.as_url(), settings, &path, &wanted) {
                Ok(found) => files.extend(found),
                Err(error) => tracing::debug!("a file is passed over: {error}"),
            }
        }
    }
    Ok(files)
}

fn is_html(page: &TargetPath) -> bool {
    page.as_str().rsplit('.').next() == Some("html")
}

/// The digests that a file can be verified with; none where there is none.
fn strong(digests: &Digests) -> Option<Hashes> {
    let known = digests.iter().filter(|(algorithm, digest)| {
        let length = match algorithm.as_str() {
            "sha256" => 64,
            "sha512" => 128,
            _ => return false,
        };
        digest.len() == length && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let hashes = Hashes::new(known.map(|(a, d)| (a.as_str(), d.as_str())));
    (!hashes.is_empty()).then_some(hashes)
}

fn what_is_listed(digests: &Digests) -> String {
    if digests.is_empty() {
        return "no digest".to_owned();
    }
    let names: Vec<_> = digests.keys().map(|name| shown(name)).collect();
    format!("no SHA-256 or SHA-512, only {},", names.join(", "))
}

/// A text out of a page, for a message of one line.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}
