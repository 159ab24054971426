//! A journal entry that changes targets, and its form in the journal.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, SerializeStruct, Serializer};
use serde_json::value::RawValue;
use waxseal_tuf::TargetPath;
use waxseal_tuf::metadata::TargetFile;

/// Targets that another index adds and removes through the API. The files themselves are where that
/// index keeps them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TargetsEntry {
    /// Targets that are there after this entry, each path once.
    pub add: Vec<AddTarget>,
    /// Paths at which nothing is after this entry; there may have been nothing before.
    #[serde(with = "paths")]
    pub remove: Vec<TargetPath>,
    /// The name of the token that asked for it, for people who ask later.
    pub by: String,
}

/// A target to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddTarget {
    /// Its path.
    pub path: TargetPath,
    /// What its bin says about it.
    pub file: TargetFile,
}

/// The file stands in the entry as it does in its bin, in canonical form, and is written without
/// being taken apart again.
impl Serialize for AddTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = String::from_utf8(self.file.to_canonical()).map_err(S::Error::custom)?;
        let file = RawValue::from_string(text).map_err(S::Error::custom)?;
        let mut fields = serializer.serialize_struct("AddTarget", 2)?;
        fields.serialize_field("path", self.path.as_str())?;
        fields.serialize_field("file", &file)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for AddTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Text<'a> {
            path: String,
            #[serde(borrow)]
            file: &'a RawValue,
        }
        let Text { path, file } = Text::deserialize(deserializer)?;
        let path = TargetPath::new(path).map_err(D::Error::custom)?;
        let file = TargetFile::from_json(file.get().as_bytes()).map_err(D::Error::custom)?;
        Ok(Self { path, file })
    }
}

mod paths {
    use super::{Cow, Deserialize, Deserializer, Serializer, TargetPath};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(
        paths: &[TargetPath],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(TargetPath::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<TargetPath>, D::Error> {
        let paths = Vec::<Cow<'de, str>>::deserialize(deserializer)?;
        let paths = paths.into_iter().map(|path| TargetPath::new(path).map_err(D::Error::custom));
        paths.collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let file = r#"{"custom":{"a":[1,null,"\"\\é"]},"hashes":{"blake2b-256":"00","sha256":"ab"},"length":9007199254740991}"#;
        let file = TargetFile::from_json(file.as_bytes()).unwrap();
        let path = |path: &str| TargetPath::new(path).unwrap();
        let entry = TargetsEntry {
            add: vec![AddTarget { path: path("packages/é/\"quoted\".whl"), file }],
            remove: vec![path("simple/a/b"), path("simple/\"/c")],
            by: "a \"robot\"".to_owned(),
        };
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<TargetsEntry>(&text).unwrap(), entry);
        assert!(text.contains(r#""file":{"custom":{"a":[1,null,"\"\\é"]},"#), "{text}");
    }

    #[test]
    fn a_path_out_of_a_damaged_entry_is_refused() {
        for text in [
            r#"{"add":[],"remove":["../x"],"by":"x"}"#,
            r#"{"add":[{"path":"/x","file":{"length":1,"hashes":{"sha256":"ab"}}}],"remove":[],"by":"x"}"#,
            r#"{"add":[{"path":"x","file":{"length":1,"hashes":{}}}],"remove":[],"by":"x"}"#,
        ] {
            assert!(serde_json::from_str::<TargetsEntry>(text).is_err(), "{text}");
        }
    }
}
