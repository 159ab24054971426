//! Where the child may install from: the trusted index, and what the user allows unverified.

use std::path::{Component, Path, PathBuf};

use url::Url;
use waxseal_client::IndexUrl;
use waxseal_proxy::is_at_or_below;

use crate::failure::{Exit, Failure};

/// The trusted index, in any spelling, and what was allowed beside it.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    index: IndexUrl,
    allowed: Vec<Url>,
    folders: Vec<PathBuf>,
}

impl Sources {
    /// `allowed` are URLs, of which everything at and below them is allowed, and folders.
    pub(super) fn new(index: &IndexUrl, allowed: &[String]) -> Result<Self, Failure> {
        let mut this = Self { index: index.clone(), allowed: Vec::new(), folders: Vec::new() };
        for text in allowed {
            if !text.contains("://") {
                this.folders.push(absolute(text));
                continue;
            }
            match Url::parse(text) {
                Ok(url) if url.scheme() == "file" => {
                    this.folders.extend(url.to_file_path());
                }
                Ok(url) if matches!(url.scheme(), "http" | "https") => {
                    this.allowed.push(without_credentials(url));
                }
                _ => {
                    let shown = text.rsplit('@').next().unwrap_or_default();
                    return Err(Failure::new(
                        Exit::Usage,
                        format!("--allow takes no {shown:?}"),
                        "give it an http or https URL, or a folder",
                    ));
                }
            }
        }
        Ok(this)
    }

    pub(super) fn index(&self) -> &IndexUrl {
        &self.index
    }

    /// What is allowed of other servers.
    pub(super) fn allowed_urls(&self) -> &[Url] {
        &self.allowed
    }

    /// Whether this is the URL of the trusted index's Simple API, or of the index, in any spelling, with or
    /// without the name that uv lets it have before a `=`.
    pub(super) fn is_index(&self, text: &str) -> bool {
        IndexUrl::parse(without_name(text)).is_ok_and(|(url, _)| url == self.index)
    }

    /// Whether the tool may be told of this source: the index itself or what it has, what is below an
    /// allowed URL, or an allowed folder.
    pub(super) fn accepts(&self, text: &str) -> bool {
        let text = without_name(text);
        // As pip names what version control fetches: `git+https://…`.
        let text = match text.split_once("://") {
            Some((scheme, rest)) => match scheme.rsplit_once('+') {
                Some((_, transport)) => format!("{transport}://{rest}"),
                None => text.to_owned(),
            },
            None => return self.accepts_folder(&absolute(text)),
        };
        let Ok(url) = Url::parse(&text) else { return false };
        if url.scheme() == "file" {
            return url.to_file_path().is_ok_and(|path| self.accepts_folder(&path));
        }
        let url = without_credentials(url);
        let index = self.index.as_url();
        self.is_index(&text)
            || self.allowed.iter().chain([index]).any(|base| is_at_or_below(&url, base))
    }

    fn accepts_folder(&self, path: &Path) -> bool {
        // What is not there cannot be resolved, so it must not go up.
        let goes_up = path.components().any(|part| part == Component::ParentDir);
        !goes_up && self.folders.iter().any(|folder| path.starts_with(folder))
    }
}

/// uv takes `NAME=URL` for an index.
fn without_name(text: &str) -> &str {
    match text.split_once('=') {
        Some((name, url)) if !name.contains([':', '/']) => url,
        _ => text,
    }
}

fn without_credentials(mut url: Url) -> Url {
    // Of an http(s) URL, which can do without.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

fn absolute(text: &str) -> PathBuf {
    let path = std::path::absolute(text).unwrap_or_else(|_| text.into());
    // `..` and links, where there is something.
    path.canonicalize().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn sources(allowed: &[&str]) -> Sources {
        let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        Sources::new(&"https://host.example/root/".parse().unwrap(), &allowed).unwrap()
    }

    #[test]
    fn the_index_is_known_in_every_spelling() {
        let sources = sources(&[]);
        for text in [
            "https://host.example/root",
            "https://me:secret@HOST.example:443/root/simple",
            "corp=https://host.example/root/simple/",
        ] {
            assert!(sources.is_index(text) && sources.accepts(text), "{text}");
        }
        for text in ["https://host.example/", "http://host.example/root/simple/", "root", ""] {
            assert!(!sources.is_index(text) && !sources.accepts(text), "{text}");
        }
        // What the index has is accepted too: it is verified by its URL.
        let wheel = "https://host.example/root/files/packages/a/a-1-py3-none-any.whl";
        assert!(sources.accepts(wheel) && !sources.is_index(wheel));
    }

    #[test]
    fn what_is_allowed_is_accepted_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let path = path.to_str().unwrap();
        let sources = sources(&["https://other.example/simple/", path]);
        for text in [
            "https://other.example/simple",
            "https://me:secret@other.example/simple/x",
            "git+https://other.example/simple/x.git",
            path,
            &format!("{path}/below"),
            &format!("file://{path}"),
        ] {
            assert!(sources.accepts(text), "{text}");
        }
        for text in [
            "https://other.example/",
            "https://other.example/simplest",
            "http://other.example/simple/",
            "/etc",
            &format!("{path}/../x"),
            "file:///etc",
        ] {
            assert!(!sources.accepts(text), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_allowed_is_named_without_its_password() {
        let index = "https://host.example/".parse().unwrap();
        let failure = Sources::new(&index, &["ftp://me:secret@h/".to_owned()]).unwrap_err();
        let text = format!("{failure:?}");
        assert!(text.contains("h/") && !text.contains("secret"), "{text}");
    }
}
