//! Source distributions (PEP 625): `PKG-INFO` in the one folder `name-version`.

use std::io::{BufReader, Read, Seek};

use super::zip::ZipArchive;
use super::{ArchiveError, Limits, Metadata, ambiguous, member, tar};
use crate::filename::{DistributionFilename, split_name_and_version};

pub(super) fn metadata_in_tar_gz<R: Read>(
    filename: &DistributionFilename,
    reader: R,
    size: u64,
    limits: &Limits,
) -> Result<Metadata, ArchiveError> {
    let mut found: Option<Metadata> = None;
    tar::read(BufReader::new(reader), size, limits, |name, member| {
        if !is_pkg_info(filename, name) {
            return Ok(());
        }
        check_only(name, found.as_ref().map(|found| found.entry.as_str()))?;
        let bytes = member.file(limits.metadata)?;
        found = Some(Metadata { entry: name.to_owned(), bytes });
        Ok(())
    })?;
    found.ok_or_else(|| missing(filename))
}

pub(super) fn metadata_in_zip<R: Read + Seek>(
    filename: &DistributionFilename,
    reader: R,
    size: u64,
    limits: &Limits,
) -> Result<Metadata, ArchiveError> {
    let mut archive = ZipArchive::open(reader, size, limits)?;
    let mut found: Option<(usize, String)> = None;
    for (index, entry) in archive.entries().iter().enumerate() {
        if is_pkg_info(filename, &entry.name) {
            check_only(&entry.name, found.as_ref().map(|(_, name)| name.as_str()))?;
            found = Some((index, entry.name.clone()));
        }
    }
    let (index, entry) = found.ok_or_else(|| missing(filename))?;
    let bytes = archive.read(index, limits.metadata)?;
    Ok(Metadata { entry, bytes })
}

/// Whether the name is that of the top `PKG-INFO`, in any case: where case does not count, one
/// written in another case replaces it.
fn is_pkg_info(filename: &DistributionFilename, name: &str) -> bool {
    let Ok(segments) = member::segments(name) else {
        return false;
    };
    let [top, file] = *segments.as_slice() else {
        return false;
    };
    file.eq_ignore_ascii_case("PKG-INFO")
        && split_name_and_version(top).is_ok_and(|(project, version)| {
            project == *filename.project() && version == *filename.version()
        })
}

fn check_only(name: &str, other: Option<&str>) -> Result<(), ArchiveError> {
    if other.is_some() {
        return Err(ambiguous(name, "there is a second PKG-INFO in the top folder"));
    }
    if name.ends_with("PKG-INFO") {
        return Ok(());
    }
    Err(ambiguous(name, "PKG-INFO is written in upper case"))
}

fn missing(filename: &DistributionFilename) -> ArchiveError {
    ArchiveError::Missing {
        entry: format!("{}-{}/PKG-INFO", filename.project().in_filename(), filename.version()),
        hint: "a source distribution has it in its one top folder, name-version (PEP 625)",
    }
}
