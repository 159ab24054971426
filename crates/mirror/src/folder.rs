//! Where everything of a mirror is.
//!
//! ```text
//! DIR/tuf/metadata/  /tuf/targets/  /files/   as the index has them
//!    /simple/PROJECT/index.html, index.v1_json   a project's page for plain clients, by the names that
//!                                                bandersnatch gives them; and of the list of projects
//!    /.waxseal-mirror/lock            held by the one process that works on the mirror
//!                    /state.json      snapshots that are kept, and what was exported
//!                    /status.json     how the last rounds went
//!                    /trust/…         metadata that was verified, so that nothing ever goes back
//!                    /staged/         metadata of a run that has not published yet
//!                    /retired/ID      what the snapshot ID was the last to name
//!                    /incoming/       an update file as it is unpacked
//!                    /tmp/            files being written; leftovers mean nothing
//! ```
//!
//! Names below DIR are written with `/`, and are the keys of objects in a bucket.

use std::path::{Path, PathBuf};

use waxseal_client::Fingerprint;
use waxseal_index::paths::{PROJECT_LIST_HTML, PROJECT_LIST_JSON, project_of_page};
use waxseal_tuf::{RoleName, TargetPath};

/// The folder that is not served.
const PRIVATE: &str = ".waxseal-mirror";

/// The folder of a mirror.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    base: PathBuf,
}

/// `tuf/metadata/timestamp.json`, the one file by which a snapshot becomes visible.
pub(crate) const TIMESTAMP: &str = "tuf/metadata/timestamp.json";

impl Folder {
    pub(crate) fn new(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into() }
    }

    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// The file of a name below the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    pub(crate) fn private(&self, name: &str) -> PathBuf {
        self.base.join(PRIVATE).join(name)
    }

    /// Where what was verified of an index with this root is kept: another root begins anew.
    pub(crate) fn trust(&self, root: Fingerprint) -> PathBuf {
        self.private("trust").join(&root.to_string()[..16])
    }

    pub(crate) fn staged(&self, version: u64, role: &RoleName) -> PathBuf {
        self.private("staged").join(metadata_file(version, role))
    }

    /// The metadata of a role that is published.
    pub(crate) fn metadata(&self, version: u64, role: &RoleName) -> PathBuf {
        self.path(&metadata_name(version, role))
    }

    pub(crate) fn timestamp(&self) -> PathBuf {
        self.path(TIMESTAMP)
    }

    /// What a snapshot that was superseded was the last to name.
    pub(crate) fn retired(&self, id: u64) -> PathBuf {
        self.private("retired").join(id.to_string())
    }
}

/// `<VERSION>.<role>.json`, as consistent snapshots name it (TUF 6.2).
pub(crate) fn metadata_file(version: u64, role: &RoleName) -> String {
    format!("{version}.{}.json", role.encoded())
}

/// The version and the encoded role of such a file's name.
pub(crate) fn version_and_role(file: &str) -> Option<(u64, &str)> {
    let (version, role) = file.strip_suffix(".json")?.split_once('.')?;
    Some((version.parse().ok()?, role))
}

pub(crate) fn metadata_name(version: u64, role: &RoleName) -> String {
    format!("tuf/metadata/{}", metadata_file(version, role))
}

pub(crate) fn target_name(path: &TargetPath, digest: &str) -> String {
    format!("tuf/targets/{}", path.with_digest(digest))
}

/// What the plain clients have a target by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plain {
    /// A file of a project, which pages link to.
    File(String),
    /// A page of a project.
    Page(String),
    /// The list of projects.
    List(String),
}

impl Plain {
    /// The plain name of a target, if it has one.
    pub(crate) fn of(path: &TargetPath) -> Option<Self> {
        let text = path.as_str();
        if text.starts_with("packages/") {
            return Some(Self::File(format!("files/{text}")));
        }
        match text {
            PROJECT_LIST_HTML => return Some(Self::List(list_name(true))),
            PROJECT_LIST_JSON => return Some(Self::List(list_name(false))),
            _ => {}
        }
        let project = project_of_page(text)?;
        let file = page_file(text.rsplit('.').next() == Some("html"));
        Some(Self::Page(format!("simple/{project}/{file}")))
    }
}

/// The plain name of the list of projects.
pub(crate) fn list_name(html: bool) -> String {
    format!("simple/{}", page_file(html))
}

fn page_file(html: bool) -> &'static str {
    if html { "index.html" } else { "index.v1_json" }
}

/// The name below the folder of what a page links to below the index's own URL; none where a mirror cannot
/// have it, because a query chooses it or because it would lie among the mirror's own files.
pub(crate) fn linked_name(link: &str) -> Option<String> {
    if link.contains('?') {
        return None;
    }
    let name = waxseal_index::percent::decode(link)?.into_owned();
    TargetPath::check(&name).ok()?;
    // Where a file system takes large letters for small ones, so must this.
    let first = name.split('/').next().unwrap_or_default();
    let is_own = ["tuf", "simple", PRIVATE].iter().any(|own| own.eq_ignore_ascii_case(first));
    (!is_own).then_some(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn plain_names_are_those_that_pages_and_bandersnatch_have() {
        let of = |path: &str| Plain::of(&TargetPath::new(path).unwrap());
        let page = |name: &str| Some(Plain::Page(name.to_owned()));
        let wheel = "packages/a/a-1-py3-none-any.whl";
        assert_eq!(of(wheel), Some(Plain::File(format!("files/{wheel}"))));
        assert_eq!(of("simple/a/vnd.pypi.simple.v1.html"), page("simple/a/index.html"));
        assert_eq!(of("simple/a/vnd.pypi.simple.v1.json"), page("simple/a/index.v1_json"));
        let list = Some(Plain::List("simple/index.html".to_owned()));
        assert_eq!(of("simple/vnd.pypi.simple.v1.html"), list);
        for path in ["other/a", "simple/A/vnd.pypi.simple.v1.json", "simple/a/b/c"] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_linked_stays_below_the_folder_and_off_what_is_the_mirrors() {
        for (link, name) in [
            ("files/packages/a/a%2B1.whl", Some("files/packages/a/a+1.whl")),
            ("+f/ab/a-1.whl", Some("+f/ab/a-1.whl")),
            ("files/%2e%2e/tuf/x", None),
            ("files/a?download", None),
            ("tuf/metadata/timestamp.json", None),
            ("Tuf/metadata/timestamp.json", None),
            ("simple/a/index.html", None),
            ("simple", None),
            (".waxseal-mirror/state.json", None),
            ("", None),
        ] {
            assert_eq!(linked_name(link).as_deref(), name, "{link}");
        }
    }

    #[test]
    fn metadata_files_are_taken_apart() {
        assert_eq!(version_and_role("12.bin-0a.json"), Some((12, "bin-0a")));
        assert_eq!(version_and_role("timestamp.json"), None);
    }
}
