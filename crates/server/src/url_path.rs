//! From the path of a URL to a key of the store.

use std::borrow::Cow;

use waxseal_index::percent;
use waxseal_repository::store::StoreKey;

/// Longest path that can name an object, in bytes, and its longest segment: what file systems take.
const MAX_LENGTH: usize = 2048;
const MAX_SEGMENT: usize = 255;

/// The object at a URL's path, as the path came in the request.
///
/// Role names stand percent-encoded in the store's own paths, so those are compared undecoded.
/// Files and targets have plain names, and clients may send any character of them encoded (`%2B`
/// for `+`): they are decoded once. What would be a separator or a parent folder after that is
/// refused by `StoreKey`, which takes no path outside the store, or is nobody's name.
pub(crate) fn store_key(path: &str) -> Option<StoreKey> {
    let path = path.strip_prefix('/')?;
    let path = match path.starts_with("tuf/metadata/") {
        true => Cow::Borrowed(path),
        false => decode(path)?,
    };
    let fits = path.len() <= MAX_LENGTH && path.split('/').all(|name| name.len() <= MAX_SEGMENT);
    StoreKey::from_path(&path).filter(|_| fits)
}

/// Percent-decodes once; none for what [`percent::decode`] refuses, and for an encoded `/`, which is no
/// separator and in no name of ours.
pub(crate) fn decode(text: &str) -> Option<Cow<'_, str>> {
    let slash = |escape: &str| escape.starts_with("2f") || escape.starts_with("2F");
    percent::decode(text).filter(|_| !text.split('%').skip(1).any(slash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(url: &str) -> Option<String> {
        store_key(url).map(|key| key.path())
    }

    #[test]
    fn encoded_names_are_the_same_files() {
        let wheel = "files/packages/a/a-1+local-py3-none-any.whl";
        for url in [
            "/files/packages/a/a-1+local-py3-none-any.whl",
            "/files/packages/a/a-1%2Blocal-py3-none-any.whl",
            "/files/packages/a/a-1%2blocal-py3-none-any.wh%6C",
        ] {
            assert_eq!(path(url).as_deref(), Some(wheel), "{url}");
        }
    }

    #[test]
    fn role_names_are_compared_as_they_came() {
        let odd = "tuf/metadata/1...%2Fa%20b.json";
        assert_eq!(path("/tuf/metadata/1...%2Fa%20b.json").as_deref(), Some(odd));
        for url in ["/tuf/metadata/1.%62in-0.json", "/tuf/metadata/01.root.json"] {
            assert_eq!(path(url), None, "{url}");
        }
    }

    #[test]
    fn nothing_outside_the_store_has_a_key() {
        for url in [
            "/files/../waxseal.db",
            "/files/packages/../../waxseal.db",
            "/files/%2e%2e/waxseal.db",
            "/files/%2e%2e%2fwaxseal.db",
            "/files/..%2fwaxseal.db",
            "/files/..%5cwaxseal.db",
            "/files//etc/passwd",
            "/files/%2fetc/passwd",
            "/files/a%00b",
            "/files/a%0ab",
            "/files/a%",
            "/files/a%2",
            "/files/a%zz",
            "/files/a%ff",
            "/files/a\\b",
            "/files/./a",
            "/files/",
            "/files",
            "/tuf/metadata/../../waxseal.db",
            "/tuf/targets/../metadata/timestamp.json",
            "/tuf/metadata/../metadata/timestamp.json",
        ] {
            assert_eq!(path(url), None, "{url}");
        }
        // Decoded once: this is a folder of that odd name, which the store does not have.
        assert_eq!(path("/files/%252e%252e/a").as_deref(), Some("files/%2e%2e/a"));
        assert_eq!(path(&format!("/files/{}", "a".repeat(256))), None);
        assert_eq!(path(&format!("/files/{}a", "a/".repeat(1200))), None);
    }
}
