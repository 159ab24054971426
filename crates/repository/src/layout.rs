//! Who vouches for the files of an index: metadata itself, or the pages that metadata lists.

use std::fmt;

use serde::{Deserialize, Serialize};
use waxseal_index::paths::{LAYOUT_FIELD, is_project_page};
use waxseal_tuf::json::{Object, Value};
use waxseal_tuf::{TargetFile, TargetPath};

use crate::database::Database;
use crate::error::Error;

/// What the targets of an index are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Pages, files and core metadata, as PEP 458 has it.
    #[default]
    Files,
    /// Pages alone. They carry the digests of the files, and their targets say so in a signed field
    /// of `custom`.
    Index,
}

impl Layout {
    /// Whether files and core metadata are targets themselves.
    pub fn lists_files(self) -> bool {
        self == Self::Files
    }

    /// Whether a target of this path gets the field that says that it vouches for files.
    pub fn marks(self, path: &str) -> bool {
        self == Self::Index && is_project_page(path)
    }

    /// Says of a project's page that it vouches for the files on it, if this layout has it so. What
    /// `custom` has beside that stays; one that is no object is replaced.
    pub fn mark(self, path: &TargetPath, file: &mut TargetFile) {
        if !self.marks(path.as_str()) {
            return;
        }
        let mut custom = match file.custom.take() {
            Some(Value::Object(custom)) => custom,
            _ => Object::default(),
        };
        let (field, says) = LAYOUT_FIELD;
        custom.insert(field, says);
        file.custom = Some(custom.into());
    }

    /// Whether a target says of itself that it vouches for files.
    pub fn vouches(file: &TargetFile) -> bool {
        let (field, says) = LAYOUT_FIELD;
        match &file.custom {
            Some(Value::Object(custom)) => {
                matches!(custom.get(field), Some(Value::String(value)) if value == says)
            }
            _ => false,
        }
    }

    /// Makes this the layout of a repository. The first one that is named stays, except that `files`
    /// may become `index`: the targets that are there stay what they are, and each project's page
    /// vouches for its files from its next upload on. The other way, files that no metadata lists would
    /// be lost to clients.
    pub(crate) fn settle(self, database: &dyn Database) -> Result<(), Error> {
        match database.layout()? {
            Some(recorded) if recorded == self => Ok(()),
            Some(Self::Index) => Err(Error::LayoutChanged),
            Some(Self::Files) | None => database.record_layout(self),
        }
    }

    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Files => 0,
            Self::Index => 1,
        }
    }

    pub(crate) fn of_number(number: i64) -> Self {
        match number {
            0 => Self::Files,
            _ => Self::Index,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files => "files",
            Self::Index => "index",
        })
    }
}
