use jiff::Timestamp as Time;

use super::{Common, MetaFile, Role};
use crate::error::FormatError;
use crate::fields::Fields;
use crate::json::Object;

/// Which snapshot is the newest (TUF 4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// Version, at least 1.
    pub version: u64,
    /// When it expires.
    pub expires: Time,
    /// What it says about `snapshot.json`.
    pub snapshot: MetaFile,
}

impl Role for Timestamp {
    const TYPE: &'static str = "timestamp";

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> Time {
        self.expires
    }

    fn read(fields: Fields<'_>, common: Common<'_>) -> Result<Self, FormatError> {
        const SNAPSHOT: &str = "snapshot.json";
        let snapshot = fields.object("meta", |meta| {
            MetaFile::read(meta.value(SNAPSHOT)?).map_err(|error| error.within(SNAPSHOT))
        })?;
        Ok(Self { version: common.version, expires: common.expires, snapshot })
    }

    fn write(&self, object: &mut Object) {
        object.insert("meta", Object::from_iter([("snapshot.json", self.snapshot.to_value())]));
    }
}
