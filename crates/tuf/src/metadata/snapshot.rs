use jiff::Timestamp as Time;

use super::{Common, MetaFile, MetaFiles, Role, metafile_role};
use crate::error::FormatError;
use crate::fields::Fields;
use crate::json::{Document, Element, Object};
use crate::limits::Limits;
use crate::names::RoleName;

/// The version of every targets role in one consistent snapshot (TUF 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Version, at least 1.
    pub version: u64,
    /// When it expires.
    pub expires: Time,
    /// The top-level targets role and every delegated role.
    pub roles: MetaFiles,
}

impl Snapshot {
    /// Whether this lists every role that another snapshot's file lists, at no lower version. `false`
    /// where that cannot be told at a glance: the file is not well-formed, or ordered otherwise.
    ///
    /// It is what a rollback check (TUF 5.5.5) of a client that comes back finds almost always, and
    /// takes no memory for each of the other's roles.
    pub(crate) fn continues(&self, other: &[u8], limits: &Limits) -> bool {
        let Ok(document) = Document::parse(other, limits) else { return false };
        let mut listed = self.roles.iter();
        let continues = |meta: Fields<'_>| {
            let each = |(metapath, file): (&str, Element<'_>)| {
                let name = metapath.strip_suffix(".json")?;
                let version = Fields::new(file).ok()?.integer("version", 1).ok()?;
                let (_, now) = listed.find(|(role, _)| role.as_str() == name)?;
                (now.version >= version).then_some(())
            };
            Ok(meta.entries().map(each).all(|each| each.is_some()))
        };
        let signed = |signed: Fields<'_>| signed.object("meta", continues);
        Fields::new(document.root()).and_then(|file| file.object("signed", signed)).unwrap_or(false)
    }
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
            let mut listed = Vec::with_capacity(meta.count());
            for role in roles {
                listed.push(role?);
            }
            let roles: MetaFiles = listed.into_iter().collect();
            match roles.get(&RoleName::targets()) {
                Some(_) => Ok(roles),
                None => Err(FormatError::new("", "does not list targets.json")),
            }
        })?;
        Ok(Self { version: common.version, expires: common.expires, roles })
    }

    fn write(&self, object: &mut Object) {
        let meta = self.roles.iter().map(|(role, file)| (role.metafile(), file.to_value()));
        object.insert("meta", meta.collect::<Object>());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn snapshot(roles: &[(&str, u64)]) -> Snapshot {
        let roles = roles
            .iter()
            .map(|(name, version)| (RoleName::new(*name).unwrap(), MetaFile::version(*version)));
        Snapshot { version: 1, expires: Time::UNIX_EPOCH, roles: roles.collect() }
    }

    #[test]
    fn a_snapshot_continues_one_that_lists_no_more_and_no_higher() {
        let limits = Limits::default();
        let new = snapshot(&[("a", 2), ("b", 1), ("targets", 3)]);
        let continues = |old: &[(&str, u64)]| {
            new.continues(&crate::metadata::sign(&snapshot(old), &[]).unwrap(), &limits)
        };
        assert!(continues(&[("a", 2), ("b", 1), ("targets", 3)]));
        assert!(continues(&[("b", 1), ("targets", 1)]));
        assert!(continues(&[]));
        assert!(!continues(&[("a", 3), ("targets", 3)]));
        assert!(!continues(&[("targets", 4)]));
        assert!(!continues(&[("a", 1), ("gone", 1), ("targets", 1)]));
        for broken in ["", "[]", "{}", r#"{"signed":{"meta":{"a.json":{}}}}"#] {
            assert!(!new.continues(broken.as_bytes(), &limits), "{broken}");
        }
        for unknown in [r#"{"a":{"version":1}}"#, r#"{"a.json":{"version":true}}"#, "[]"] {
            let file = format!(r#"{{"signed":{{"meta":{unknown}}}}}"#);
            assert!(!new.continues(file.as_bytes(), &limits), "{unknown}");
        }
    }
}
