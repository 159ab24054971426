use std::collections::BTreeMap;

use jiff::Timestamp as Time;

use super::{Common, MetaFile, Role, metafile_role};
use crate::error::FormatError;
use crate::fields::Fields;
use crate::json::Object;
use crate::names::RoleName;

/// The version of every targets role in one consistent snapshot (TUF 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Version, at least 1.
    pub version: u64,
    /// When it expires.
    pub expires: Time,
    /// The top-level targets role and every delegated role.
    pub roles: BTreeMap<RoleName, MetaFile>,
}

impl Role for Snapshot {
    const TYPE: &'static str = "snapshot";

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> Time {
        self.expires
    }

    fn read(fields: Fields<'_>, common: Common<'_>) -> Result<Self, FormatError> {
        let roles = fields.object("meta", |meta| {
            let roles = meta.entries().map(|(metapath, file)| {
                let file = MetaFile::read(file).map_err(|error| error.within(metapath))?;
                Ok((metafile_role(metapath)?, file))
            });
            let roles = roles.collect::<Result<BTreeMap<_, _>, FormatError>>()?;
            match roles.contains_key(&RoleName::targets()) {
                true => Ok(roles),
                false => Err(FormatError::new("", "does not list targets.json")),
            }
        })?;
        Ok(Self { version: common.version, expires: common.expires, roles })
    }

    fn write(&self, object: &mut Object) {
        let meta = self.roles.iter().map(|(role, file)| (role.metafile(), file.to_value()));
        object.insert("meta", meta.collect::<Object>());
    }
}
