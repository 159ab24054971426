//! Simple pages as HTML (PEP 503, with the attributes of PEP 592, 658 and 714).

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{FileEntry, ListedFile, ProjectList, ProjectPage, file_url, hex};
use crate::name::NormalizedName;

pub(super) fn project(page: &ProjectPage) -> Vec<u8> {
    let mut html = start(&format!("Links for {}", page.name), "1.1");
    for entry in page.ordered_files() {
        html.push_str(&link(&page.name, entry));
    }
    html.push_str(END);
    // A comment, as PyPI has it: serials are digits, so nothing can close it early.
    let _ = writeln!(html, "<!--SERIAL {}-->", page.last_serial);
    html.into_bytes()
}

pub(super) fn project_list(list: &ProjectList) -> Vec<u8> {
    let mut html = start("Simple index", "1.1");
    for name in &list.names {
        let _ = writeln!(html, "    <a href=\"{name}/\">{name}</a><br />");
    }
    html.push_str(END);
    html.into_bytes()
}

/// The page of one file of which nothing but its URL is said.
pub(super) fn single_file(project: &NormalizedName, filename: &str) -> Vec<u8> {
    let mut html = start(&format!("Links for {project}"), "1.0");
    let url = file_url(project, filename);
    let (url, filename) = (escaped(&url), escaped(filename));
    let _ = writeln!(html, "    <a href=\"{url}\">{filename}</a><br />");
    html.push_str(END);
    html.into_bytes()
}

/// A page of files as another page listed them; their links are relative to `base` if there is one.
pub(super) fn listing<'a>(
    project: &NormalizedName,
    base: Option<&str>,
    files: impl Iterator<Item = (&'a str, ListedFile)>,
) -> Vec<u8> {
    let mut html = start(&format!("Links for {project}"), "1.1");
    if let Some(base) = base {
        let base = format!("    <base href=\"{}\">\n  </head>", escaped(base));
        html = html.replacen("  </head>", &base, 1);
    }
    for (filename, file) in files {
        let mut url = file.url.clone();
        // Of several the strongest: a link has room for one.
        if let Some((algorithm, digest)) = strongest(&file) {
            let _ = write!(url, "#{algorithm}={digest}");
        }
        let _ = write!(html, "    <a href=\"{}\"", escaped(&url));
        let metadata = file.core_metadata.as_ref().and_then(|digests| digests.iter().next_back());
        let metadata = metadata.map(|(algorithm, digest)| format!("{algorithm}={digest}"));
        for (name, value) in [
            ("data-requires-python", &file.requires_python),
            ("data-dist-info-metadata", &metadata),
            ("data-core-metadata", &metadata),
            ("data-yanked", &file.yanked),
            ("data-provenance", &file.provenance),
        ] {
            if let Some(value) = value {
                let _ = write!(html, " {name}=\"{}\"", escaped(value));
            }
        }
        let _ = writeln!(html, ">{}</a><br />", escaped(filename));
    }
    html.push_str(END);
    html.into_bytes()
}

fn strongest(file: &ListedFile) -> Option<(&str, &str)> {
    let preferred =
        ["sha256", "sha512"].into_iter().find_map(|name| file.hashes.get_key_value(name));
    let pair = preferred.or_else(|| file.hashes.iter().next_back())?;
    Some((pair.0, pair.1))
}

const END: &str = "  </body>\n</html>\n";

fn start(title: &str, version: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html>\n  <head>\n    \
         <meta charset=\"utf-8\">\n    \
         <meta name=\"pypi:repository-version\" content=\"{version}\">\n    \
         <title>{title}</title>\n  </head>\n  <body>\n    <h1>{title}</h1>\n"
    )
}

fn link(project: &NormalizedName, entry: &FileEntry) -> String {
    let url = file_url(project, entry.filename.as_str());
    let mut link = format!("    <a href=\"{}#sha256={}\"", escaped(&url), hex(&entry.sha256));
    let mut attribute = |name: &str, value: &str| {
        let _ = write!(link, " {name}=\"{}\"", escaped(value));
    };
    if let Some(specifiers) = &entry.requires_python {
        attribute("data-requires-python", specifiers);
    }
    if let Some(hash) = &entry.core_metadata_sha256 {
        let hash = format!("sha256={}", hex(hash));
        attribute("data-dist-info-metadata", &hash);
        attribute("data-core-metadata", &hash);
    }
    if let Some(reason) = &entry.yanked {
        attribute("data-yanked", reason);
    }
    let _ = writeln!(link, ">{}</a><br />", escaped(entry.filename.as_str()));
    link
}

/// The text as it may stand in an element or in a quoted attribute.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}
