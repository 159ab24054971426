//! Where the files of a repository are.

use url::{Host, Url};

use crate::{Error, IndexUrl};

/// The two base URLs of a TUF repository: below one its metadata, below the other its targets.
///
/// For an index of Waxseal these follow from its [`IndexUrl`]; any other repository names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    metadata: Url,
    targets: Url,
    /// Of an index of Waxseal, where pages and files are too.
    index: Option<Url>,
}

impl Repository {
    /// The repository at these URLs, which are taken as they are: what is percent-encoded in them
    /// stays so. A `/` is added at the end of a path that has none.
    pub fn new(metadata: &str, targets: &str) -> Result<Self, Error> {
        Ok(Self { metadata: base(metadata)?, targets: base(targets)?, index: None })
    }

    /// The base URL of its metadata.
    pub fn metadata_url(&self) -> &Url {
        &self.metadata
    }

    /// The URL of a metadata file; `path` is one segment, percent-encoded already.
    pub(crate) fn metadata(&self, path: &str) -> Url {
        let mut url = self.metadata.clone();
        url.set_path(&format!("{}{path}", self.metadata.path()));
        url
    }

    /// The URL of a target file; `location` is a plain relative path.
    pub(crate) fn target(&self, location: &str) -> Url {
        let mut url = self.targets.clone();
        // The base is http(s), so that it has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(location.split('/'));
        }
        url
    }

    /// The base URL of the index, if it is one.
    pub(crate) fn index(&self) -> Option<&Url> {
        self.index.as_ref()
    }

    /// The URL of what an index links to by a URL below its own.
    pub(crate) fn below(&self, link: &str) -> Url {
        let base = self.index.as_ref().unwrap_or(&self.targets);
        let (path, query) = link.split_once('?').map_or((link, None), |(p, q)| (p, Some(q)));
        let mut url = base.clone();
        // A link that was resolved against the base has no `..` any more, so that it stays below this one.
        url.set_path(&format!("{}{path}", base.path()));
        if query.is_some() {
            url.set_query(query);
        }
        url
    }

    /// Another host, as far as requests to it are concerned: it has no metadata.
    pub(crate) fn elsewhere(url: &Url) -> Self {
        let mut origin = url.clone();
        origin.set_path("/");
        origin.set_query(None);
        Self { metadata: origin.clone(), targets: origin, index: None }
    }

    /// Whether it is on this machine, so that no proxy may stand before it.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.metadata) && is_loopback(&self.targets)
    }
}

impl From<&IndexUrl> for Repository {
    fn from(index: &IndexUrl) -> Self {
        let below = |folder: &str| {
            let mut url = index.as_url().clone();
            url.set_path(&format!("{}{folder}", index.as_url().path()));
            url
        };
        let index = Some(index.as_url().clone());
        Self { metadata: below("tuf/metadata/"), targets: below("tuf/targets/"), index }
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn base(text: &str) -> Result<Url, Error> {
    let invalid = |problem: &str| {
        let url = text.rsplit('@').next().unwrap_or_default().chars().take(200).collect();
        Error::InvalidUrl { url, problem: problem.to_owned() }
    };
    let mut url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("only http and https are known"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn files_lie_below_the_base_whatever_their_name() {
        let index: IndexUrl = "https://h/base/simple/".parse().unwrap();
        let repository = Repository::from(&index);
        let metadata = repository.metadata("3.bin-%2F..%2F0.json");
        assert_eq!(metadata.as_str(), "https://h/base/tuf/metadata/3.bin-%2F..%2F0.json");
        let target = repository.target("packages/a/abc.a b?c#d%2f+1.whl");
        let expected = "https://h/base/tuf/targets/packages/a/abc.a%20b%3Fc%23d%252f+1.whl";
        assert_eq!(target.as_str(), expected);
    }

    #[test]
    fn base_urls_are_taken_as_they_are() {
        let odd = "http://127.0.0.1:8/test%5B..%2Fa%2f%41%5D/m%20d";
        let repository = Repository::new(odd, "http://h").unwrap();
        let url = repository.metadata("1.root.json");
        assert_eq!(url.as_str(), format!("{odd}/1.root.json"));
        assert_eq!(repository.target("a/b").as_str(), "http://h/a/b");
        let repository = Repository::new("http://h/m/?a=b", "http://h/t/").unwrap();
        assert_eq!(repository.metadata("timestamp.json").as_str(), "http://h/m/timestamp.json?a=b");
        assert_eq!(repository.target("x").as_str(), "http://h/t/x");
    }

    #[test]
    fn what_is_no_repository_is_refused_without_its_password() {
        for url in ["", "file:///etc", "ftp://me:secret@h/", "me:secret@h"] {
            let error = Repository::new(url, "http://h/").unwrap_err().to_string();
            assert!(error.contains("is not the URL") && !error.contains("secret"), "{error}");
        }
    }
}
