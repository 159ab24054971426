//! Simple pages as JSON (PEP 691, with the keys of PEP 700 and PEP 714).

use serde::Serialize;

use super::{FileEntry, ProjectList, ProjectPage, file_url, hex};
use crate::name::NormalizedName;

pub(super) fn project(page: &ProjectPage) -> Vec<u8> {
    bytes(&Page {
        meta: Meta { last_serial: Some(page.last_serial), api_version: "1.1" },
        name: &page.name,
        versions: page.versions(),
        files: page.ordered_files().into_iter().map(|entry| File::of(&page.name, entry)).collect(),
    })
}

pub(super) fn project_list(list: &ProjectList) -> Vec<u8> {
    bytes(&List {
        meta: Meta { last_serial: None, api_version: "1.1" },
        projects: list.names.iter().map(|name| Project { name }).collect(),
    })
}

/// The page of one file of which nothing but its URL is said; `1.0` because sizes and versions
/// are mandatory from `1.1` on.
pub(super) fn single_file(project: &NormalizedName, filename: &str) -> Vec<u8> {
    let url = file_url(project, filename);
    bytes(&serde_json::json!({
        "meta": {"api-version": "1.0"},
        "name": project,
        "files": [{"filename": filename, "url": url, "hashes": {}}],
    }))
}

#[derive(Serialize)]
struct Page<'a> {
    meta: Meta,
    name: &'a NormalizedName,
    versions: Vec<String>,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct List<'a> {
    meta: Meta,
    projects: Vec<Project<'a>>,
}

#[derive(Serialize)]
struct Project<'a> {
    name: &'a NormalizedName,
}

#[derive(Serialize)]
struct Meta {
    #[serde(rename = "_last-serial", skip_serializing_if = "Option::is_none")]
    last_serial: Option<u64>,
    #[serde(rename = "api-version")]
    api_version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct File<'a> {
    filename: &'a str,
    url: String,
    hashes: Hashes,
    size: u64,
    upload_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_python: Option<&'a str>,
    yanked: FalseOr<Reason<'a>>,
    core_metadata: FalseOr<Hashes>,
    data_dist_info_metadata: FalseOr<Hashes>,
}

impl<'a> File<'a> {
    fn of(project: &NormalizedName, entry: &'a FileEntry) -> Self {
        let core_metadata = || match &entry.core_metadata_sha256 {
            Some(hash) => FalseOr::Value(Hashes { sha256: hex(hash) }),
            None => FalseOr::False,
        };
        let yanked = match entry.yanked.as_deref() {
            None => FalseOr::False,
            Some("") => FalseOr::Value(Reason::Unsaid(true)),
            Some(reason) => FalseOr::Value(Reason::Said(reason)),
        };
        Self {
            filename: entry.filename.as_str(),
            url: file_url(project, entry.filename.as_str()),
            hashes: Hashes { sha256: hex(&entry.sha256) },
            size: entry.size,
            upload_time: format!("{:.6}", entry.upload_time),
            requires_python: entry.requires_python.as_deref(),
            yanked,
            core_metadata: core_metadata(),
            data_dist_info_metadata: core_metadata(),
        }
    }
}

#[derive(Serialize)]
struct Hashes {
    sha256: String,
}

/// A value, or `false` where there is none.
enum FalseOr<T> {
    False,
    Value(T),
}

impl<T: Serialize> Serialize for FalseOr<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::False => serializer.serialize_bool(false),
            Self::Value(value) => value.serialize(serializer),
        }
    }
}

/// A reason for a yank, or `true` where none was given.
#[derive(Serialize)]
#[serde(untagged)]
enum Reason<'a> {
    Unsaid(bool),
    Said(&'a str),
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    // Serializing fails for maps with keys that are no texts, and for what implements `Serialize`
    // with an error; neither is in this module.
    serde_json::to_vec(value).expect("pages are structs of texts and numbers")
}
