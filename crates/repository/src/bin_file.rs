//! The file of a bin as text: what it lists is found and changed where it stands.
//!
//! A bin of a large index lists a thousand targets, and an upload changes one of them. The published
//! file is its own best source: its `signed` value is canonical JSON (we wrote it), so the entries that
//! stay are copied as they are, and only what changes is written.
//!
//! Callers have compared the file with the digest that the database keeps: what stands here is what
//! this program wrote, and anything else is reported as damage, never repaired.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use jiff::Timestamp;
use memchr::{memchr, memchr2, memmem};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{ROOM_FOR_SIGNATURES, SPEC_VERSION, TargetFile, format_time};
use waxseal_tuf::{RoleName, TargetPath};

use crate::database::BinFile;

/// What stands around the signatures: none of them, a keyid and hex, has such words.
const SIGNATURES: &[u8] = b"{\"signatures\":";
const SIGNED: &[u8] = b",\"signed\":";
/// What stands before the entries, but for the time.
const HEAD: &[u8] = b"{\"_type\":\"targets\",\"expires\":\"";
const TARGETS: &[u8] = b"\",\"targets\":{";
const VERSION: &[u8] = b"},\"version\":";

/// A target that a bin is to list, or to list no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change<'a> {
    /// Its path, which was checked ([`TargetPath`]).
    pub(crate) path: &'a str,
    /// The canonical form of its [`TargetFile`]; `None`: it is removed.
    pub(crate) file: Option<&'a [u8]>,
}

impl Change<'_> {
    /// About how long its entry is, in bytes.
    pub(crate) fn length(&self) -> usize {
        self.file.map_or(0, |file| self.path.len() + file.len() + 4)
    }
}

/// The entries of a bin: the text between the braces of its `targets`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entries<'a>(&'a [u8]);

/// The text is not what this program writes.
#[derive(Debug)]
pub(crate) struct NotOurs;

/// One entry, as it stands.
struct Entry<'a> {
    /// The path between its quotes, escapes and all.
    key: &'a [u8],
    value: &'a [u8],
    /// Where the entry ends in the text.
    end: usize,
}

impl<'a> Entries<'a> {
    /// The entries of a bin's file.
    pub(crate) fn of_file(file: &'a [u8]) -> Result<Self, NotOurs> {
        let signed = signed_value(file).ok_or(NotOurs)?;
        let start = signed.strip_prefix(HEAD).and_then(|rest| memmem::find(rest, TARGETS));
        let start = start.ok_or(NotOurs)? + HEAD.len() + TARGETS.len();
        // From the end: an entry may hold anything, also these words.
        let end = memmem::rfind(signed, VERSION).ok_or(NotOurs)?;
        signed.get(start..end).map(Self).ok_or(NotOurs)
    }

    /// The targets at some paths, which are ordered, as far as they are listed.
    pub(crate) fn find(self, paths: &[&TargetPath]) -> Result<Vec<Option<TargetFile>>, NotOurs> {
        let read = |text: Option<&[u8]>| text.map(TargetFile::from_json).transpose();
        let texts = self.find_each(paths.iter().map(|path| path.as_str()))?.into_iter();
        texts.map(|text| read(text).map_err(|_| NotOurs)).collect()
    }

    /// What stands under each of `paths`, which are ordered.
    pub(crate) fn find_each<'p>(
        self,
        paths: impl Iterator<Item = &'p str>,
    ) -> Result<Vec<Option<&'a [u8]>>, NotOurs> {
        let mut found = Vec::new();
        let mut entry = self.next(0)?;
        for path in paths {
            let mut order = Ordering::Greater;
            while let Some(here) = &entry {
                order = compare(here.key, path);
                if order != Ordering::Less {
                    break;
                }
                entry = self.next(here.end + 1)?;
            }
            let same = entry.as_ref().filter(|_| order == Ordering::Equal);
            found.push(same.map(|entry| entry.value));
        }
        Ok(found)
    }

    /// Calls `visit` with each target.
    pub(crate) fn for_each(
        self,
        mut visit: impl FnMut(TargetPath, TargetFile),
    ) -> Result<(), NotOurs> {
        let mut at = 0;
        while let Some(entry) = self.next(at)? {
            let path = String::from_utf8(unescaped(entry.key)).map_err(|_| NotOurs)?;
            let path = TargetPath::new(path).map_err(|_| NotOurs)?;
            visit(path, TargetFile::from_json(entry.value).map_err(|_| NotOurs)?);
            at = entry.end + 1;
        }
        Ok(())
    }

    /// Calls `visit` with the path of each entry and with where its value stands in `file`, which these are
    /// the entries of.
    pub(crate) fn for_each_text(
        self,
        file: &[u8],
        mut visit: impl FnMut(String, Range<usize>),
    ) -> Result<(), NotOurs> {
        let start = self.0.as_ptr().addr() - file.as_ptr().addr();
        let mut at = 0;
        while let Some(entry) = self.next(at)? {
            let path = String::from_utf8(unescaped(entry.key)).map_err(|_| NotOurs)?;
            visit(path, start + entry.end - entry.value.len()..start + entry.end);
            at = entry.end + 1;
        }
        Ok(())
    }

    /// Writes the entries with `changes` made, which are ordered by path, each path once.
    pub(crate) fn splice(self, changes: &[Change<'_>], out: &mut Vec<u8>) -> Result<(), NotOurs> {
        let begin = out.len();
        let mut copied = 0;
        let mut at = 0;
        let mut changes = changes.iter().peekable();
        while changes.peek().is_some() {
            let Some(entry) = self.next(at)? else { break };
            let start = at;
            at = entry.end + 1;
            while let Some(change) = changes.peek() {
                let order = compare(entry.key, change.path);
                if order == Ordering::Less {
                    break;
                }
                push_entries(&self.0[copied..start.saturating_sub(1).max(copied)], begin, out);
                copied = start;
                if let Some(file) = change.file {
                    push_change(change.path, file, begin, out);
                }
                changes.next();
                if order == Ordering::Equal {
                    copied = at.min(self.0.len());
                    break;
                }
            }
        }
        push_entries(&self.0[copied..], begin, out);
        for change in changes {
            if let Some(file) = change.file {
                push_change(change.path, file, begin, out);
            }
        }
        Ok(())
    }

    /// The entry that begins at `at`; `None` at the end.
    fn next(self, at: usize) -> Result<Option<Entry<'a>>, NotOurs> {
        if at >= self.0.len() {
            return Ok(None);
        }
        let text = &self.0[at..];
        let key_end = string_end(text)?;
        let value = text.get(key_end + 2..).ok_or(NotOurs)?;
        let length = match usual_length(value) {
            Some(length) => length,
            None => object_length(value)?,
        };
        let end = at + key_end + 2 + length;
        match (text[key_end + 1], self.0.get(end)) {
            (b':', None | Some(b',')) => {
                Ok(Some(Entry { key: &text[1..key_end], value: &value[..length], end }))
            }
            _ => Err(NotOurs),
        }
    }
}

/// The canonical `signed` value of a bin around its entries, which `entries` writes.
pub(crate) fn signed<E>(
    role: &RoleName,
    version: u64,
    expires: Timestamp,
    capacity: usize,
    entries: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<Vec<u8>, E> {
    // Room for what stands around the entries, and around what is signed.
    let mut out = Vec::with_capacity(capacity + 256 + ROOM_FOR_SIGNATURES);
    let expires = format_time(expires);
    out.extend_from_slice(HEAD);
    out.extend_from_slice(expires.as_bytes());
    out.extend_from_slice(b"\",\"spec_version\":\"");
    out.extend_from_slice(SPEC_VERSION.as_bytes());
    out.extend_from_slice(TARGETS);
    entries(&mut out)?;
    out.extend_from_slice(VERSION);
    out.extend_from_slice(version.to_string().as_bytes());
    out.extend_from_slice(b",\"x-waxseal-role\":\"");
    out.extend_from_slice(role.as_str().as_bytes());
    out.extend_from_slice(b"\"}");
    Ok(out)
}

/// The `signed` value of a metadata file as this program writes it, in its canonical form.
pub(crate) fn signed_value(file: &[u8]) -> Option<&[u8]> {
    let file = file.strip_prefix(SIGNATURES)?.strip_suffix(b"}")?;
    let start = memmem::find(file, SIGNED)? + SIGNED.len();
    file.get(start..)
}

/// Whether a bin's file is the one that is on record. Nothing is read of its signatures, which are made
/// anew; of a file that an earlier version published, all of it is on record.
pub(crate) fn is_recorded(bytes: &[u8], file: &BinFile) -> bool {
    let Some(signed) = signed_value(bytes) else { return false };
    let digest = |bytes| Sha256::of(bytes) == file.signed_sha256;
    digest(signed) || digest(bytes)
}

fn push_entries(entries: &[u8], begin: usize, out: &mut Vec<u8>) {
    if !entries.is_empty() {
        push_comma(begin, out);
        out.extend_from_slice(entries);
    }
}

fn push_change(path: &str, file: &[u8], begin: usize, out: &mut Vec<u8>) {
    push_comma(begin, out);
    out.push(b'"');
    out.extend_from_slice(escaped(path).as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(file);
}

fn push_comma(begin: usize, out: &mut Vec<u8>) {
    if out.len() > begin {
        out.push(b',');
    }
}

/// A path as it stands between quotes; it has no backslash and no control character.
fn escaped(path: &str) -> Cow<'_, str> {
    match path.contains('"') {
        true => Cow::Owned(path.replace('"', "\\\"")),
        false => Cow::Borrowed(path),
    }
}

fn unescaped(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len());
    let mut bytes = key.iter();
    while let Some(byte) = bytes.next() {
        out.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    out
}

/// Compares a key as it stands with a path, by code points, which is by bytes of UTF-8.
fn compare(key: &[u8], path: &str) -> Ordering {
    match memchr(b'\\', key).is_some() {
        true => unescaped(key).as_slice().cmp(path.as_bytes()),
        false => key.cmp(path.as_bytes()),
    }
}

/// Where the string ends that `text` begins with: the index of its closing quote.
fn string_end(text: &[u8]) -> Result<usize, NotOurs> {
    if text.first() != Some(&b'"') {
        return Err(NotOurs);
    }
    let mut at = 1;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..).ok_or(NotOurs)?).ok_or(NotOurs)?;
        if text[at] == b'"' {
            return Ok(at);
        }
        at += 2;
    }
}

/// The length of `{"hashes":{"sha256":"…"},"length":…}`, if the text begins with that: most do.
fn usual_length(text: &[u8]) -> Option<usize> {
    const FIRST: &[u8] = b"{\"hashes\":{\"sha256\":\"";
    const SECOND: &[u8] = b"\"},\"length\":";
    const NUMBER: usize = FIRST.len() + 64 + SECOND.len();
    if !text.starts_with(FIRST) || !text.get(FIRST.len() + 64..)?.starts_with(SECOND) {
        return None;
    }
    let digits = text[NUMBER..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    (text.get(NUMBER + digits) == Some(&b'}')).then_some(NUMBER + digits + 1)
}

/// The length of the object that `text` begins with.
fn object_length(text: &[u8]) -> Result<usize, NotOurs> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at += string_end(&text[at..])?,
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1).ok_or(NotOurs)?;
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Ok(at);
        }
    }
    Err(NotOurs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use waxseal_testkit::simulator::TestKey;
    use waxseal_tuf::hash::Hashes;
    use waxseal_tuf::json::Value;
    use waxseal_tuf::metadata::{Targets, sign, sign_canonical};

    use super::*;

    type Listed = BTreeMap<String, TargetFile>;

    fn role() -> RoleName {
        RoleName::new("bin-0a").unwrap()
    }

    fn written(listed: &Listed, version: u64) -> Vec<u8> {
        let expires = "2100-01-02T03:04:05Z".parse().unwrap();
        let targets = Targets {
            version,
            expires,
            name: Some(role()),
            targets: listed.clone(),
            delegations: None,
        };
        sign(&targets, &[&TestKey::new("online")]).unwrap()
    }

    fn spliced(file: &[u8], changes: &[Change<'_>], version: u64) -> Vec<u8> {
        let expires = "2100-01-02T03:04:05Z".parse().unwrap();
        let entries = Entries::of_file(file).unwrap();
        let text = signed(&role(), version, expires, 0, |out| entries.splice(changes, out));
        sign_canonical(text.unwrap(), &[&TestKey::new("online")]).unwrap()
    }

    fn path() -> impl Strategy<Value = String> {
        // Few, so that changes meet; with quotes, and letters around the comma and the quote.
        "(a|b\"|b|\"|é|!|-|\u{10000}|\u{ffff}){1,3}"
    }

    fn target_file() -> impl Strategy<Value = TargetFile> {
        let custom = proptest::option::of("[a-z\"\\\\{}:,é]{0,8}");
        (0..10_000_u64, any::<[u8; 32]>(), custom).prop_map(|(length, digest, custom)| TargetFile {
            length,
            hashes: Hashes::sha256(Sha256(digest)),
            custom: custom.map(|text| {
                let more = format!("}},\"version\":9,\"{text}");
                Value::from(
                    [("note", text), ("x-waxseal-role", more)]
                        .into_iter()
                        .collect::<waxseal_tuf::json::Object>(),
                )
            }),
        })
    }

    proptest! {
        /// A bin changed where it stands is what would be written of its targets anew.
        #[test]
        fn splicing_is_writing_anew(
            before in proptest::collection::btree_map(path(), target_file(), 0..8),
            changes in proptest::collection::btree_map(path(), proptest::option::of(target_file()), 0..8),
        ) {
            let mut after: Listed = before.clone();
            for (path, file) in &changes {
                match file {
                    Some(file) => after.insert(path.clone(), file.clone()),
                    None => after.remove(path),
                };
            }
            let canonical: Vec<_> = changes.iter().map(|(path, file)| {
                (path.as_str(), file.as_ref().map(TargetFile::to_canonical))
            }).collect();
            let changes: Vec<_> = canonical.iter().map(|(path, file)| Change {
                path,
                file: file.as_deref(),
            }).collect();
            let file = spliced(&written(&before, 7), &changes, 8);
            prop_assert_eq!(&file, &written(&after, 8));

            let entries = Entries::of_file(&file).unwrap();
            let mut found = Listed::new();
            entries.for_each(|path, file| _ = found.insert(path.to_string(), file)).unwrap();
            prop_assert_eq!(&found, &after);
            let absent = TargetPath::new("absent").unwrap();
            for (path, listed) in &after {
                let path = TargetPath::new(path.clone()).unwrap();
                prop_assert_eq!(entries.find(&[&path]).unwrap(), [Some(listed.clone())]);
            }
            prop_assert_eq!(entries.find(&[&absent]).unwrap(), [None]);
        }

        /// What is not ours is refused, and nothing else happens.
        #[test]
        fn a_damaged_file_is_refused_or_read(
            before in proptest::collection::btree_map(path(), target_file(), 0..5),
            at in any::<proptest::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut file = written(&before, 7);
            let at = at.index(file.len());
            file[at] = byte;
            let cut = cut.index(file.len() + 1);
            for file in [&file[..], &file[..cut]] {
                if let Ok(entries) = Entries::of_file(file) {
                    let change = Change { path: "b", file: None };
                    let _ = entries.splice(&[change], &mut Vec::new());
                    let _ = entries.for_each(|_, _| {});
                }
            }
        }
    }
}
