//! One name for everything the store holds: path, content type and cache policy.

use std::fmt;

use data_encoding::HEXUPPER;
use waxseal_tuf::hash::Digest;
use waxseal_tuf::{RoleName, TargetPath};

use super::Area;

/// The name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreKey {
    /// `tuf/metadata/timestamp.json`, the one object that changes.
    Timestamp,
    /// `tuf/metadata/<VERSION>.<role>.json`
    Metadata {
        /// The metadata's version.
        version: u64,
        /// The role that signed it.
        role: RoleName,
    },
    /// `tuf/targets/<dir>/<HASH>.<name>`, a target as consistent snapshots name it (TUF 6.2.2).
    Target {
        /// The target's path.
        path: TargetPath,
        /// A digest of its bytes. The target has a name with each that metadata lists.
        digest: Digest,
    },
    /// `files/<target path>`, a target under its own name. Only for what keeps its bytes for good:
    /// distribution files and what stands beside them, never Simple index pages.
    File(TargetPath),
}

impl StoreKey {
    /// The path below the store's base, which is also the path of the URL. Role names in it are
    /// percent-encoded, so a server compares the path as it came, before decoding.
    pub fn path(&self) -> String {
        match self {
            Self::Timestamp => format!("{}timestamp.json", Area::Metadata.prefix()),
            Self::Metadata { version, role } => {
                format!("{}{version}.{}.json", Area::Metadata.prefix(), role.encoded())
            }
            Self::Target { path, digest } => {
                format!("{}{}", Area::Targets.prefix(), path.with_digest(&digest.to_string()))
            }
            Self::File(path) => format!("{}{path}", Area::Files.prefix()),
        }
    }

    /// The key whose [`StoreKey::path`] is exactly `path`; `None` when there is none.
    pub fn from_path(path: &str) -> Option<Self> {
        let key = if let Some(name) = path.strip_prefix(Area::Metadata.prefix()) {
            metadata_key(name)?
        } else if let Some(rest) = path.strip_prefix(Area::Targets.prefix()) {
            target_key(rest)?
        } else {
            Self::File(TargetPath::new(path.strip_prefix(Area::Files.prefix())?).ok()?)
        };
        // Leading zeros, lower-case percent-encoding and the like name nothing.
        (key.path() == path).then_some(key)
    }

    /// The area that lists it.
    pub fn area(&self) -> Area {
        match self {
            Self::Timestamp | Self::Metadata { .. } => Area::Metadata,
            Self::Target { .. } => Area::Targets,
            Self::File(_) => Area::Files,
        }
    }

    /// The content type to serve it with.
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Timestamp | Self::Metadata { .. } => "application/json",
            Self::Target { path, .. } | Self::File(path) => target_content_type(path.file_name()),
        }
    }

    /// How long whoever has a copy may use it unasked.
    pub fn cache_policy(&self) -> CachePolicy {
        match self {
            Self::Timestamp => CachePolicy::Revalidate,
            Self::Metadata { .. } | Self::Target { .. } | Self::File(_) => CachePolicy::Immutable,
        }
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path())
    }
}

/// How an object may be cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CachePolicy {
    /// For good: one name never has two contents.
    Immutable,
    /// After asking whether it still is the newest.
    Revalidate,
}

impl CachePolicy {
    /// The value of a `Cache-Control` header.
    pub fn cache_control(self) -> &'static str {
        match self {
            Self::Immutable => "public, max-age=31536000, immutable",
            Self::Revalidate => "public, no-cache",
        }
    }
}

fn metadata_key(name: &str) -> Option<StoreKey> {
    if name == "timestamp.json" {
        return Some(StoreKey::Timestamp);
    }
    let (version, role) = name.strip_suffix(".json")?.split_once('.')?;
    Some(StoreKey::Metadata { version: version.parse().ok()?, role: decode_role(role)? })
}

/// The inverse of [`RoleName::encoded`].
fn decode_role(encoded: &str) -> Option<RoleName> {
    let mut pieces = encoded.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (digits, plain) = piece.split_at_checked(2)?;
        bytes.extend(HEXUPPER.decode(digits.as_bytes()).ok()?);
        bytes.extend_from_slice(plain.as_bytes());
    }
    RoleName::new(String::from_utf8(bytes).ok()?).ok()
}

fn target_key(rest: &str) -> Option<StoreKey> {
    let (folder, name) = rest.rsplit_once('/').map_or(("", rest), |(folder, name)| (folder, name));
    let (digest, name) = name.split_once('.')?;
    let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    Some(StoreKey::Target { path: TargetPath::new(path).ok()?, digest: digest.parse().ok()? })
}

/// PEP 691 names the types of Simple pages, PEP 740 that of provenance. Core metadata is shown as
/// text. The rest is bytes: a `.tar.gz` must not be unpacked on the way as a content encoding.
fn target_content_type(file_name: &str) -> &'static str {
    match file_name {
        "vnd.pypi.simple.v1.json" => "application/vnd.pypi.simple.v1+json",
        "vnd.pypi.simple.v1.html" => "application/vnd.pypi.simple.v1+html",
        name => match name.rsplit_once('.') {
            Some((_, "metadata")) => "text/plain; charset=utf-8",
            Some((_, "provenance")) => "application/vnd.pypi.integrity.v1+json",
            _ => "application/octet-stream",
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use proptest::prelude::*;
    use waxseal_tuf::hash::{Sha256, Sha512};

    use super::*;

    fn target(path: &str) -> TargetPath {
        TargetPath::new(path).unwrap()
    }

    #[test]
    fn paths_are_the_public_ones() {
        let digest = Digest::from(Sha256::of(b"wheel"));
        let longer = Digest::from(Sha512::of(b"wheel"));
        let role = RoleName::new("bin-0a").unwrap();
        let odd = RoleName::new("../a b").unwrap();
        let wheel = target("packages/flask/flask-3.0-py3-none-any.whl");
        let cases = [
            (StoreKey::Timestamp, "tuf/metadata/timestamp.json".to_owned()),
            (StoreKey::Metadata { version: 7, role }, "tuf/metadata/7.bin-0a.json".to_owned()),
            (
                StoreKey::Metadata { version: 1, role: odd },
                "tuf/metadata/1...%2Fa%20b.json".to_owned(),
            ),
            (
                StoreKey::Target { path: wheel.clone(), digest },
                format!("tuf/targets/packages/flask/{digest}.flask-3.0-py3-none-any.whl"),
            ),
            (StoreKey::Target { path: target("x"), digest }, format!("tuf/targets/{digest}.x")),
            (
                StoreKey::Target { path: target("x"), digest: longer },
                format!("tuf/targets/{longer}.x"),
            ),
            (StoreKey::File(wheel), "files/packages/flask/flask-3.0-py3-none-any.whl".to_owned()),
        ];
        for (key, path) in cases {
            assert_eq!(key.path(), path);
            assert_eq!(StoreKey::from_path(&path), Some(key), "{path}");
        }
    }

    #[test]
    fn paths_of_nothing_have_no_key() {
        let digest = Sha256::of(b"x");
        let shouted = digest.to_string().to_uppercase();
        for path in [
            "",
            "files",
            "files/",
            "files/../tuf/metadata/timestamp.json",
            "files//x",
            "tuf/metadata/",
            "tuf/metadata/root.json",
            "tuf/metadata/01.root.json",
            "tuf/metadata/+1.root.json",
            "tuf/metadata/-1.root.json",
            "tuf/metadata/1..json",
            "tuf/metadata/1.a/b.json",
            "tuf/metadata/1.a%2fb.json",
            "tuf/metadata/1.a%2.json",
            "tuf/metadata/1.%FF.json",
            "tuf/metadata/1.r%6Fot.json",
            "tuf/metadata/99999999999999999999.root.json",
            "tuf/metadata/timestamp.json/",
            "tuf/targets/x",
            &format!("tuf/targets/{digest}"),
            &format!("tuf/targets/{digest}."),
            &format!("tuf/targets/{digest}..."),
            &format!("tuf/targets/a/../{digest}.x"),
            &format!("tuf/targets//{digest}.x"),
            &format!("tuf/targets/{shouted}.x"),
            "tuf/targets/äääääääääääääääääääääääääääääääääää.x",
            ".store/timestamp.lock",
            "/files/x",
        ] {
            assert_eq!(StoreKey::from_path(path), None, "{path}");
        }
    }

    #[test]
    fn content_types_follow_the_file() {
        let of = |path: &str| StoreKey::File(target(path)).content_type();
        assert_eq!(of("packages/a/a-1.tar.gz"), "application/octet-stream");
        assert_eq!(of("packages/a/a-1-py3-none-any.whl"), "application/octet-stream");
        assert_eq!(of("packages/a/a-1-py3-none-any.whl.metadata"), "text/plain; charset=utf-8");
        assert_eq!(
            of("packages/a/a-1.tar.gz.provenance"),
            "application/vnd.pypi.integrity.v1+json"
        );
        let page = |path: &str| {
            StoreKey::Target { path: target(path), digest: Sha256::of(b"").into() }.content_type()
        };
        assert_eq!(page("simple/a/vnd.pypi.simple.v1.json"), "application/vnd.pypi.simple.v1+json");
        assert_eq!(page("simple/vnd.pypi.simple.v1.html"), "application/vnd.pypi.simple.v1+html");
        assert_eq!(StoreKey::Timestamp.content_type(), "application/json");
    }

    #[test]
    fn only_the_timestamp_is_asked_for_again() {
        let root = StoreKey::Metadata { version: 1, role: RoleName::new("root").unwrap() };
        assert_eq!(StoreKey::Timestamp.cache_policy(), CachePolicy::Revalidate);
        assert_eq!(root.cache_policy(), CachePolicy::Immutable);
        assert!(root.cache_policy().cache_control().contains("immutable"));
        assert!(!StoreKey::Timestamp.cache_policy().cache_control().contains("immutable"));
    }

    fn any_key() -> impl Strategy<Value = StoreKey> {
        let path = "\\PC{1,12}(/\\PC{1,12}){0,3}";
        let path = path.prop_filter_map("not a target path", |path| TargetPath::new(path).ok());
        let role = "\\PC{1,20}".prop_filter_map("not a role name", |name| RoleName::new(name).ok());
        prop_oneof![
            Just(StoreKey::Timestamp),
            (any::<u64>(), role).prop_map(|(version, role)| StoreKey::Metadata { version, role }),
            (path.clone(), any::<[u8; 32]>()).prop_map(|(path, digest)| StoreKey::Target {
                path,
                digest: Sha256(digest).into()
            }),
            (path.clone(), any::<[u8; 32]>()).prop_map(|(path, bytes)| {
                StoreKey::Target { path, digest: Sha512::of(&bytes).into() }
            }),
            path.prop_map(StoreKey::File),
        ]
    }

    proptest! {
        #[test]
        fn every_key_comes_back_from_its_path(key in any_key()) {
            prop_assert_eq!(StoreKey::from_path(&key.path()), Some(key));
        }

        #[test]
        fn any_text_is_the_path_of_its_key_or_of_none(
            text in "(tuf/metadata/|tuf/targets/|files/)?[0-9a-f.%/A-F]{0,90}\\PC{0,9}(.json)?",
        ) {
            if let Some(key) = StoreKey::from_path(&text) {
                prop_assert_eq!(key.path(), text);
            }
        }
    }
}
