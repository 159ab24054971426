//! Reading a project's Simple page, whoever wrote it: which files it lists, where they are, and which
//! digests it promises (PEP 503, 592, 658, 691, 700, 714, 740).
//!
//! A page that lists a file in two ways is not believed about it: pip would take either.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{anchors, file_url, html};
use crate::filename::DistributionFilename;
use crate::name::NormalizedName;
use crate::percent::decode_leniently;
use crate::shown;

/// The files that a project's page lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// What the links of the page are relative to, where the page says so itself.
    base: Option<String>,
    files: BTreeMap<String, Listed>,
    is_html: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Listed {
    Once(ListedFile),
    Twice,
}

/// A file as a page lists it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListedFile {
    /// Its link as the page has it, without a fragment.
    pub url: String,
    /// Its digests by algorithm, in lower-case hex.
    pub hashes: Digests,
    /// Its length in bytes, where the page says it (PEP 700; HTML never does).
    pub size: Option<u64>,
    /// The digests of its core metadata, which lies beside it (PEP 658); none if there is none,
    /// empty if the page promises it without a digest.
    pub core_metadata: Option<Digests>,
    /// Where its attestations are (PEP 740). No page says a digest of those.
    pub provenance: Option<String>,
    /// When it was uploaded, where the page says it (PEP 700; HTML never does).
    pub upload_time: Option<Timestamp>,
    /// `Requires-Python` of its core metadata.
    pub requires_python: Option<String>,
    /// The reason it was yanked for, which may be empty; none if it is not yanked.
    pub yanked: Option<String>,
}

/// Where the links of a page lead that is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// To `../../files/packages/<project>/<filename>`, as on our own pages.
    #[default]
    Ours,
    /// Where the page has them.
    Kept,
}

/// Digests by algorithm.
pub type Digests = BTreeMap<String, String>;

/// The bytes are not a Simple page that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ListingError {
    problem: String,
}

impl ListingError {
    fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into() }
    }
}

impl Listing {
    /// Reads a page as JSON (PEP 691).
    pub fn from_json(page: &[u8]) -> Result<Self, ListingError> {
        let page: JsonPage = serde_json::from_slice(page)
            .map_err(|error| ListingError::new(shown(&error.to_string())))?;
        check_version(&page.meta.api_version)?;
        let files = page.files.into_iter().map(|file| (file.filename.clone(), file.read()));
        Ok(Self::of(None, files, false))
    }

    /// Reads a page as HTML (PEP 503). A file's name is the last part of its link.
    pub fn from_html(page: &[u8]) -> Result<Self, ListingError> {
        let page = std::str::from_utf8(page)
            .map_err(|_| ListingError::new("it is not UTF-8, as HTML has to be"))?;
        let page = anchors::read(page);
        if let Some(version) = &page.api_version {
            check_version(version)?;
        }
        let files = page.anchors.iter().filter_map(anchors::Anchor::listed);
        Ok(Self::of(page.base, files, true))
    }

    fn of(
        base: Option<String>,
        listed: impl Iterator<Item = (String, ListedFile)>,
        is_html: bool,
    ) -> Self {
        let mut files = BTreeMap::new();
        for (name, file) in listed {
            match files.entry(name) {
                Entry::Vacant(vacant) => _ = vacant.insert(Listed::Once(file)),
                Entry::Occupied(mut there) if *there.get() != Listed::Once(file) => {
                    there.insert(Listed::Twice);
                }
                Entry::Occupied(_) => {}
            }
        }
        Self { base, files, is_html }
    }

    /// What the page says of a file; none if it does not list it, an error if it lists it twice and
    /// differently.
    pub fn file(&self, filename: &str) -> Result<Option<&ListedFile>, ListingError> {
        match self.files.get(filename) {
            None => Ok(None),
            Some(Listed::Once(file)) => Ok(Some(file)),
            Some(Listed::Twice) => Err(ListingError::new("lists it twice, and not the same")),
        }
    }

    /// The names of the files, in order.
    pub fn filenames(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// What the links are relative to, where the page says so itself and it is not its own URL.
    pub fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// The page, of which this is the listing, with such links, and with the promises of our own pages:
    /// core metadata is there only where it can be verified, which `strong` says of digests. `None` if
    /// it is like that already.
    ///
    /// A file without a name that could stand in a link is left out.
    pub fn relinked(
        &self,
        page: &[u8],
        project: &NormalizedName,
        links: Links,
        strong: impl Fn(&Digests) -> bool,
    ) -> Option<Vec<u8>> {
        if self.files.iter().all(|(name, file)| is_right(project, name, file, links, &strong)) {
            return None;
        }
        match self.is_html {
            true => Some(self.relinked_html(project, links, strong)),
            false => relinked_json(page, project, links, strong),
        }
    }

    /// The page without the files that `hidden` names, its links kept; none if none of them is left. The
    /// page is the one that this is the listing of, or that page with other links.
    pub fn without(
        &self,
        page: &[u8],
        project: &NormalizedName,
        hidden: impl Fn(&str) -> bool,
    ) -> Option<Vec<u8>> {
        if self.filenames().all(&hidden) {
            return None;
        }
        if !self.is_html {
            return json_without(page, hidden);
        }
        let files = self.files.iter().filter(|(name, _)| is_a_segment(name) && !hidden(name));
        let files = files.filter_map(|(name, file)| match file {
            Listed::Once(file) => Some((name.as_str(), file.clone())),
            Listed::Twice => None,
        });
        Some(html::listing(project, self.base.as_deref(), files))
    }

    fn relinked_html(
        &self,
        project: &NormalizedName,
        links: Links,
        strong: impl Fn(&Digests) -> bool,
    ) -> Vec<u8> {
        let base = self.base.as_deref().filter(|_| links == Links::Kept);
        let files = self.files.iter().filter(|(name, _)| is_a_segment(name));
        html::listing(
            project,
            base,
            files.map(|(name, file)| {
                let mut file = match file {
                    Listed::Once(file) => file.clone(),
                    // It keeps a link, so that who follows it learns why.
                    Listed::Twice => ListedFile::default(),
                };
                if links == Links::Ours || file.url.is_empty() {
                    file.url = file_url(project, name);
                }
                let core_metadata = file.core_metadata.filter(&strong);
                (name.as_str(), ListedFile { core_metadata, ..file })
            }),
        )
    }
}

fn is_right(
    project: &NormalizedName,
    name: &str,
    file: &Listed,
    links: Links,
    strong: impl Fn(&Digests) -> bool,
) -> bool {
    let Listed::Once(file) = file else { return false };
    is_a_segment(name)
        && (links == Links::Kept || file.url == file_url(project, name))
        && file.core_metadata.as_ref().is_none_or(strong)
}

/// Whatever else the page says stays as it is.
fn relinked_json(
    page: &[u8],
    project: &NormalizedName,
    links: Links,
    strong: impl Fn(&Digests) -> bool,
) -> Option<Vec<u8>> {
    let mut page: Value = serde_json::from_slice(page).ok()?;
    let files = page.get_mut("files")?.as_array_mut()?;
    files.retain_mut(|file| {
        let Some(file) = file.as_object_mut() else { return false };
        let name = file.get("filename").and_then(Value::as_str).filter(|name| is_a_segment(name));
        let Some(url) = name.map(|name| file_url(project, name)) else { return false };
        if links == Links::Ours {
            file.insert("url".to_owned(), url.into());
        }
        for key in CORE_METADATA {
            let digests = |value: &Value| Promise::deserialize(value).ok().and_then(Promise::read);
            if let Some(value) = file.get_mut(key)
                && !digests(value).is_some_and(|digests| strong(&digests))
            {
                *value = false.into();
            }
        }
        true
    });
    serde_json::to_vec(&page).ok()
}

/// Versions of which no file is left go too (PEP 700).
fn json_without(page: &[u8], hidden: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let mut page: Value = serde_json::from_slice(page).ok()?;
    let files = page.get_mut("files")?.as_array_mut()?;
    let name = |file: &Value| Some(file.get("filename")?.as_str()?.to_owned());
    files.retain(|file| name(file).is_some_and(|name| !hidden(&name)));
    let parsed = files.iter().filter_map(|file| name(file)?.parse::<DistributionFilename>().ok());
    let left: Vec<_> = parsed.map(|file| file.version().clone()).collect();
    if let Some(versions) = page.get_mut("versions").and_then(Value::as_array_mut) {
        versions.retain(|version| {
            let version = version.as_str().and_then(|version| version.parse().ok());
            version.is_some_and(|version| left.contains(&version))
        });
    }
    serde_json::to_vec(&page).ok()
}

/// The keys of PEP 714, PEP 691 and Warehouse, of which the first that is there counts.
const CORE_METADATA: [&str; 3] = ["core-metadata", "dist-info-metadata", "data-dist-info-metadata"];

#[derive(Deserialize)]
struct JsonPage {
    meta: JsonMeta,
    files: Vec<JsonFile>,
}

#[derive(Deserialize)]
struct JsonMeta {
    #[serde(rename = "api-version")]
    api_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonFile {
    filename: String,
    url: String,
    hashes: Digests,
    size: Option<u64>,
    core_metadata: Option<Promise>,
    dist_info_metadata: Option<Promise>,
    data_dist_info_metadata: Option<Promise>,
    provenance: Option<String>,
    upload_time: Option<String>,
    requires_python: Option<String>,
    yanked: Option<Yanked>,
}

/// A boolean, or what is more than `true`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Promise {
    Plain(bool),
    Digests(Digests),
}

impl Promise {
    fn read(self) -> Option<Digests> {
        match self {
            Self::Plain(there) => there.then(Digests::new),
            Self::Digests(digests) => Some(lower(digests)),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Yanked {
    Plain(bool),
    Reason(String),
}

impl JsonFile {
    fn read(self) -> ListedFile {
        let metadata = self.core_metadata.or(self.dist_info_metadata);
        let metadata = metadata.or(self.data_dist_info_metadata);
        let (url, fragment) = split_fragment(&self.url);
        let mut hashes = lower(self.hashes);
        if hashes.is_empty() {
            hashes = digest(fragment);
        }
        ListedFile {
            url: url.to_owned(),
            hashes,
            size: self.size,
            core_metadata: metadata.and_then(Promise::read),
            provenance: self.provenance,
            upload_time: self.upload_time.and_then(|time| time.parse().ok()),
            requires_python: self.requires_python,
            yanked: match self.yanked {
                None | Some(Yanked::Plain(false)) => None,
                Some(Yanked::Plain(true)) => Some(String::new()),
                Some(Yanked::Reason(reason)) => Some(reason),
            },
        }
    }
}

impl anchors::Anchor {
    /// A link without `href` lists nothing.
    fn listed(&self) -> Option<(String, ListedFile)> {
        let (url, fragment) = split_fragment(self.attribute("href")?);
        let path = url.split('?').next().unwrap_or_default();
        let name = decode_leniently(path.rsplit('/').next().unwrap_or_default())?.into_owned();
        let metadata = self
            .attribute("data-core-metadata")
            .or_else(|| self.attribute("data-dist-info-metadata"))
            // `true` promises it without a digest, and anything that is no digest means no more.
            .filter(|value| *value != "false");
        let file = ListedFile {
            url: url.to_owned(),
            hashes: digest(fragment),
            size: None,
            core_metadata: metadata.map(digest),
            provenance: self.attribute("data-provenance").map(str::to_owned),
            upload_time: None,
            requires_python: self.attribute("data-requires-python").map(str::to_owned),
            yanked: self.attribute("data-yanked").map(str::to_owned),
        };
        (!name.is_empty()).then_some((name, file))
    }
}

/// Version 1 of the API, of which a later minor version only adds (PEP 629).
fn check_version(version: &str) -> Result<(), ListingError> {
    match version.split('.').next() {
        Some("1") => Ok(()),
        _ => Err(ListingError::new(format!(
            "its version of the Simple API is {}, and 1 is known",
            shown(version)
        ))),
    }
}

/// `sha256=…`, as a fragment or an attribute has it.
fn digest(text: &str) -> Digests {
    // Old pages have more after it: `#sha256=…&egg=…`.
    let text = text.split('&').next().unwrap_or_default();
    let pair = text.split_once('=').filter(|(algorithm, _)| *algorithm != "egg");
    lower(
        pair.map(|(algorithm, digest)| (algorithm.to_owned(), digest.to_owned()))
            .into_iter()
            .collect(),
    )
}

fn lower(digests: Digests) -> Digests {
    let lower = |(algorithm, digest): (String, String)| {
        (algorithm.to_ascii_lowercase(), digest.to_ascii_lowercase())
    };
    digests.into_iter().map(lower).collect()
}

fn split_fragment(url: &str) -> (&str, &str) {
    let url = url.trim();
    url.split_once('#').unwrap_or((url, ""))
}

/// Whether a name is one segment of a path, and no way out of it.
fn is_a_segment(name: &str) -> bool {
    let odd = |c: char| c.is_control() || c == '/' || c == '\\';
    !name.is_empty() && name != "." && name != ".." && !name.contains(odd)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use proptest::prelude::*;

    use super::*;

    const SHA: &str = "aa11";

    fn project() -> NormalizedName {
        "foo".parse().unwrap()
    }

    fn strong(digests: &Digests) -> bool {
        digests.contains_key("sha256")
    }

    fn json(files: &str) -> Vec<u8> {
        format!(r#"{{"meta":{{"api-version":"1.3"}},"name":"foo","x":[1.5],"files":[{files}]}}"#)
            .into_bytes()
    }

    fn once<'a>(listing: &'a Listing, name: &str) -> &'a ListedFile {
        listing.file(name).unwrap().unwrap()
    }

    #[test]
    fn json_of_warehouse_is_read() {
        let page = json(
            r#"{"filename":"foo-1.whl","url":"https://files.example/a/foo-1.whl",
                "hashes":{"blake2b_256":"cc","SHA256":"AA11","md5":"bb"},"size":7,
                "core-metadata":{"sha256":"DD"},"data-dist-info-metadata":{"sha256":"ee"},
                "provenance":"https://p.example/x","requires-python":">=3","yanked":"why",
                "gpg-sig":false,"upload-time":"2026-01-01T00:00:00Z"},
               {"filename":"foo-1.tar.gz","url":"../../packages/foo-1.tar.gz#md5=bb","hashes":{},
                "dist-info-metadata":true,"yanked":true,"size":null,"provenance":null},
               {"filename":"foo-2.tar.gz","url":"x","hashes":{},"core-metadata":false,
                "dist-info-metadata":true,"yanked":false}"#,
        );
        let listing = Listing::from_json(&page).unwrap();
        let file = once(&listing, "foo-1.whl");
        assert_eq!(file.url, "https://files.example/a/foo-1.whl");
        assert_eq!((file.hashes["sha256"].as_str(), file.size), (SHA, Some(7)));
        assert_eq!(file.core_metadata.as_ref().unwrap()["sha256"], "dd");
        assert_eq!(file.provenance.as_deref(), Some("https://p.example/x"));
        assert_eq!(file.yanked.as_deref(), Some("why"));
        let sdist = once(&listing, "foo-1.tar.gz");
        assert_eq!(sdist.url, "../../packages/foo-1.tar.gz");
        assert_eq!(sdist.hashes, Digests::from([("md5".into(), "bb".into())]));
        assert_eq!((sdist.core_metadata.clone(), sdist.size), (Some(Digests::new()), None));
        assert_eq!(sdist.yanked.as_deref(), Some(""));
        // The newer key counts where both are there (PEP 714).
        assert_eq!(once(&listing, "foo-2.tar.gz").core_metadata, None);
        assert_eq!(listing.file("foo-3.tar.gz").unwrap(), None);
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for page in [
            &b""[..],
            b"{}",
            b"[]",
            br#"{"meta":{"api-version":"2.0"},"files":[]}"#,
            br#"{"meta":{"api-version":"1.0"}}"#,
            br#"{"meta":{"api-version":"1.0"},"files":[{"filename":"a","url":"b"}]}"#,
            br#"{"meta":{"api-version":"1.0"},"files":[{"filename":"a","url":"b","hashes":{"sha256":1}}]}"#,
            br#"{"meta":{"api-version":"1.0"},"files":[{"filename":"a","url":"b","hashes":{},"size":-1}]}"#,
            br#"{"meta":{"api-version":"1.0"},"files":[{"filename":"a","filename":"b","url":"b","hashes":{}}]}"#,
        ] {
            assert!(Listing::from_json(page).is_err(), "{}", String::from_utf8_lossy(page));
        }
        let error = Listing::from_html(b"<meta name=pypi:repository-version content='2.1'>");
        assert!(error.unwrap_err().to_string().contains("2.1"));
        assert!(Listing::from_html(b"\xff").is_err());
    }

    #[test]
    fn a_file_that_is_listed_twice_differently_is_not_believed() {
        let one = r#"{"filename":"a","url":"x","hashes":{"sha256":"11"}}"#;
        let other = r#"{"filename":"a","url":"x","hashes":{"sha256":"22"}}"#;
        let same = Listing::from_json(&json(&format!("{one},{one}"))).unwrap();
        assert_eq!(once(&same, "a").hashes["sha256"], "11");
        for order in [format!("{one},{other}"), format!("{other},{one},{one}")] {
            let listing = Listing::from_json(&json(&order)).unwrap();
            assert!(listing.file("a").unwrap_err().to_string().contains("twice"), "{order}");
        }
    }

    #[test]
    fn html_is_read() {
        let page = br#"<!DOCTYPE html><html><head>
            <meta name="pypi:repository-version" content="1.1"><base href="https://b.example/">
            </head><body><!-- <a href="no.whl">no.whl</a> -->
            <A HREF="../f/foo-1%2Bcu.whl#sha256=AA11" data-requires-python="&gt;=3.8"
               data-dist-info-metadata="sha256=DD" data-yanked>foo-1+cu.whl</A><br/>
            <a href='foo-1.zip?x=1&amp;y=2#md5=bb&egg=foo' data-core-metadata=true>z</a>
            <a name=top>nothing</a><a href="https://h.example/">home</a>"#;
        let listing = Listing::from_html(page).unwrap();
        assert_eq!(listing.base(), Some("https://b.example/"));
        assert_eq!(listing.filenames().collect::<Vec<_>>(), ["foo-1+cu.whl", "foo-1.zip"]);
        let wheel = once(&listing, "foo-1+cu.whl");
        assert_eq!((wheel.url.as_str(), wheel.size), ("../f/foo-1%2Bcu.whl", None));
        assert_eq!(wheel.hashes["sha256"], SHA);
        assert_eq!(wheel.core_metadata.as_ref().unwrap()["sha256"], "dd");
        assert_eq!(wheel.requires_python.as_deref(), Some(">=3.8"));
        assert_eq!(wheel.yanked.as_deref(), Some(""));
        let zip = once(&listing, "foo-1.zip");
        assert_eq!(zip.url, "foo-1.zip?x=1&y=2");
        assert_eq!(zip.hashes, Digests::from([("md5".into(), "bb".into())]));
        assert_eq!(zip.core_metadata, Some(Digests::new()));
    }

    #[test]
    fn our_own_pages_need_no_new_links() {
        for listing in ours() {
            let (page, listing) = listing;
            assert_eq!(listing.filenames().count(), 2);
            let wheel = once(&listing, "foo-1.0+cu-py3-none-any.whl");
            assert_eq!(wheel.hashes["sha256"], "ab".repeat(32));
            assert_eq!(wheel.core_metadata.as_ref().unwrap()["sha256"], "cd".repeat(32));
            assert_eq!(listing.relinked(&page, &project(), Links::Ours, strong), None);
            // Until a promise cannot be kept.
            assert!(listing.relinked(&page, &project(), Links::Ours, |_| false).is_some());
        }
    }

    fn ours() -> [(Vec<u8>, Listing); 2] {
        use super::super::{FileEntry, ProjectPage};
        let entry = |filename: &str| FileEntry {
            filename: filename.parse().unwrap(),
            sha256: [0xab; 32],
            size: 42,
            upload_time: jiff::Timestamp::UNIX_EPOCH,
            requires_python: Some(">=3.8".to_owned()),
            core_metadata_sha256: filename.contains("-py3-").then_some([0xcd; 32]),
            yanked: None,
        };
        let files = vec![entry("foo-1.0+cu-py3-none-any.whl"), entry("foo-1.0.tar.gz")];
        let page = ProjectPage { name: project(), last_serial: 3, files };
        let (json, html) = (page.to_json(), page.to_html());
        let listings = [Listing::from_json(&json).unwrap(), Listing::from_html(&html).unwrap()];
        let [one, other] = listings;
        [(json, one), (html, other)]
    }

    #[test]
    fn links_to_elsewhere_become_ours_and_the_rest_stays() {
        let page = json(
            r#"{"filename":"foo-1+a.whl","url":"https://h.example/foo-1+a.whl",
                "hashes":{"sha256":"aa"},"core-metadata":{"sha256":"bb"},"upload-time":"then"},
               {"filename":"foo-2.whl","url":"foo-2.whl","hashes":{},"core-metadata":true,
                "data-dist-info-metadata":{"md5":"cc"}},
               {"filename":"../foo-3.whl","url":"https://h.example/foo-3.whl","hashes":{}}"#,
        );
        let listing = Listing::from_json(&page).unwrap();
        let relinked = listing.relinked(&page, &project(), Links::Ours, strong).unwrap();
        let value: Value = serde_json::from_slice(&relinked).unwrap();
        assert_eq!(value["x"], serde_json::json!([1.5]));
        let files = value["files"].as_array().unwrap();
        assert_eq!(files.len(), 2, "a name that leads elsewhere is left out");
        assert_eq!(files[0]["url"], "../../files/packages/foo/foo-1%2Ba.whl");
        assert_eq!(files[0]["core-metadata"], serde_json::json!({"sha256": "bb"}));
        assert_eq!(files[0]["upload-time"], "then");
        assert_eq!(
            (&files[1]["core-metadata"], &files[1]["data-dist-info-metadata"]),
            (&false.into(), &false.into())
        );
        let again = Listing::from_json(&relinked).unwrap();
        assert_eq!(again.relinked(&relinked, &project(), Links::Ours, strong), None);
    }

    #[test]
    fn html_is_written_anew() {
        let page = br#"<a href="https://h.example/foo-1+a.whl#sha256=aa" data-yanked="&lt;b&gt;"
            data-core-metadata="sha256=bb" data-requires-python="&gt;3">x</a><script>evil()</script>
            <a href="https://h.example/foo-2.tar.gz#md5=cc" data-core-metadata="true">x</a>"#;
        let listing = Listing::from_html(page).unwrap();
        let relinked = listing.relinked(page, &project(), Links::Ours, strong).unwrap();
        let again = Listing::from_html(&relinked).unwrap();
        let wheel = once(&again, "foo-1+a.whl");
        assert_eq!(wheel.url, "../../files/packages/foo/foo-1%2Ba.whl");
        let original = once(&listing, "foo-1+a.whl");
        assert_eq!(ListedFile { url: original.url.clone(), ..wheel.clone() }, *original);
        let sdist = once(&again, "foo-2.tar.gz");
        assert_eq!((sdist.hashes["md5"].as_str(), &sdist.core_metadata), ("cc", &None));
        assert!(!String::from_utf8(relinked.clone()).unwrap().contains("evil"));
        assert_eq!(again.relinked(&relinked, &project(), Links::Ours, strong), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(page in any::<Vec<u8>>(), text in any::<String>()) {
            let _ = (Listing::from_json(&page), Listing::from_html(&page));
            let _ = Listing::from_html(text.as_bytes());
        }

        #[test]
        fn any_html_is_relinked_to_what_needs_no_new_links(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("<a href=\""), Just("\">"), Just("</a>"), Just("<!--"), Just("-->"),
                    Just("#sha256=aa"), Just("foo-1.whl"), Just("/"), Just("&quot;"), Just("&#60;"),
                    Just(" data-yanked='"), Just("'"), Just("é%2f%zz"), Just("<base href="), Just(" "),
                ],
                0..40,
            ),
        ) {
            let page = parts.concat().into_bytes();
            let listing = Listing::from_html(&page).unwrap();
            if let Some(relinked) = listing.relinked(&page, &project(), Links::Ours, strong) {
                let again = Listing::from_html(&relinked).unwrap();
                prop_assert_eq!(again.relinked(&relinked, &project(), Links::Ours, strong), None);
            }
        }
    }
}
