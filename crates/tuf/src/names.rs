//! Names that come from outside: role names, target paths, keyids.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;

/// Longest name taken from metadata or a caller, in bytes.
const MAX_LENGTH: usize = 4096;

/// A name that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {name:?} {problem}")]
pub struct InvalidName {
    /// What was being named: `role name` or `target path`.
    pub kind: &'static str,
    /// The name, cut after 200 characters.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

fn invalid(kind: &'static str, name: &str, problem: &'static str) -> InvalidName {
    let name = name.chars().take(200).collect();
    InvalidName { kind, name, problem }
}

fn has_control_character(name: &str) -> bool {
    // Most names are ASCII, and bytes are quicker to look at.
    match name.is_ascii() {
        true => name.bytes().any(|byte| byte.is_ascii_control()),
        false => name.chars().any(char::is_control),
    }
}

/// The name of a role: one of the four top-level roles or a delegated role.
///
/// Any text without control characters is legal in TUF, `../x` and `/x` among them, so a role name is
/// never used as a path; [`RoleName::encoded`] is what stands in a URL or a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(SmolStr);

impl RoleName {
    /// `root`
    pub const ROOT: &'static str = "root";
    /// `timestamp`
    pub const TIMESTAMP: &'static str = "timestamp";
    /// `snapshot`
    pub const SNAPSHOT: &'static str = "snapshot";
    /// `targets`
    pub const TARGETS: &'static str = "targets";

    /// Checks a name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidName> {
        Self::read(name.as_ref())
    }

    pub(crate) fn read(name: &str) -> Result<Self, InvalidName> {
        let problem = if name.is_empty() {
            "is empty"
        } else if name.len() > MAX_LENGTH {
            "is longer than 4096 bytes"
        } else if has_control_character(name) {
            "has a control character"
        } else {
            return Ok(Self(SmolStr::new(name)));
        };
        Err(invalid("role name", name, problem))
    }

    /// A name that is known when the program is compiled.
    ///
    /// # Panics
    ///
    /// On a name that is empty or has anything but visible ASCII characters: in a `const`, the
    /// program does not compile.
    pub const fn from_static(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty(), "a role name is not empty");
        let mut i = 0;
        while i < bytes.len() {
            assert!(bytes[i].is_ascii_graphic(), "a role name known here is visible ASCII");
            i += 1;
        }
        Self(SmolStr::new_static(name))
    }

    /// The role `targets`.
    pub const fn targets() -> Self {
        Self::from_static(Self::TARGETS)
    }

    /// The name as it is in metadata.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as one segment of a URL or one file name: everything but ASCII letters, digits and
    /// `-._~` percent-encoded with upper-case hex (RFC 3986, 2.1 and 2.3).
    pub fn encoded(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        for &byte in self.0.as_bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push('%');
                out.push(hex_digit(byte >> 4));
                out.push(hex_digit(byte & 15));
            }
        }
        out
    }

    /// The name's entry in `snapshot.json` and `timestamp.json`: `<role>.json`.
    pub fn metafile(&self) -> String {
        format!("{}.json", self.0)
    }

    pub(crate) fn trusted(name: String) -> Self {
        Self(SmolStr::from(name))
    }
}

fn hex_digit(value: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(value & 15)])
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A target path: relative, `/`-separated, safe to append to a base URL or a folder.
///
/// Refused: an empty path, an absolute one, empty segments, `.` and `..`, backslashes and control
/// characters (CVE-2021-41149, CVE-2021-41150).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath(String);

impl TargetPath {
    /// Checks a path.
    pub fn new(path: impl Into<String>) -> Result<Self, InvalidName> {
        let path = path.into();
        Self::check(&path).map(|()| Self(path))
    }

    /// Whether `path` would do.
    pub fn check(path: &str) -> Result<(), InvalidName> {
        match path_problem(path) {
            None => Ok(()),
            Some(problem) => Err(invalid("target path", path, problem)),
        }
    }

    /// The path as it is in metadata.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the last `/`.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.as_str(), |(_, name)| name)
    }

    /// The path under consistent snapshots: `<dir>/<digest>.<name>` (TUF 6.2.2).
    pub fn with_digest(&self, digest: &str) -> String {
        match self.0.rsplit_once('/') {
            Some((dir, name)) => format!("{dir}/{digest}.{name}"),
            None => format!("{digest}.{}", self.0),
        }
    }
}

/// What is wrong with a target path.
fn path_problem(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("is empty");
    }
    if path.len() > MAX_LENGTH {
        return Some("is longer than 4096 bytes");
    }
    let bytes = path.as_bytes();
    if is_plain(bytes) {
        return None;
    }
    let mut begin = 0;
    for (at, byte) in bytes.iter().chain(b"/").enumerate() {
        match byte {
            b'/' => {
                match &bytes[begin..at] {
                    b"" => return Some("has an empty segment"),
                    b"." | b".." => return Some("has a segment `.` or `..`"),
                    _ => {}
                }
                begin = at + 1;
            }
            b'\\' | 0..0x20 | 0x7f => return Some("has a control character or a backslash"),
            _ => {}
        }
    }
    // The control characters that are not ASCII are two bytes, of which the first is this.
    if bytes.contains(&0xc2) && path.chars().any(char::is_control) {
        return Some("has a control character or a backslash");
    }
    None
}

/// Whether a path has nothing that is to be looked at closely. Large indexes have millions of them, so
/// this has no branches, and many bytes are looked at at once.
fn is_plain(path: &[u8]) -> bool {
    let odd = |byte: u8| matches!(byte, 0..0x20 | b'\\' | 0x7f | 0xc2);
    let odd = path.iter().fold(false, |any, byte| any | odd(*byte));
    // A segment that is empty, or begins with a dot.
    let begins_odd = |byte: u8| matches!(byte, b'/' | b'.');
    let segment = |pair: &[u8]| (pair[0] == b'/') & begins_odd(pair[1]);
    let segment = path.windows(2).fold(false, |any, pair| any | segment(pair));
    let first = path.first().is_none_or(|byte| begins_odd(*byte));
    !(odd | segment | first | path.ends_with(b"/"))
}

impl FromStr for TargetPath {
    type Err = InvalidName;

    fn from_str(path: &str) -> Result<Self, InvalidName> {
        Self::new(path)
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies a key in metadata. Opaque: never recomputed from the key when read (TAP 12).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// A keyid as metadata has it.
    pub fn new(keyid: impl Into<String>) -> Self {
        Self(keyid.into())
    }

    /// The text as it is in metadata.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The quick look passes no path that the close one refuses.
        #[test]
        fn a_plain_path_has_no_problem(path in "[a./\\\\\u{1}\u{7f}\u{85}\u{e9}\u{c2}]{0,6}") {
            let segments = path.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
            let right = segments && !path.chars().any(|c| c.is_control() || c == '\\');
            prop_assert_eq!(path_problem(&path).is_none(), right);
        }
    }
}
