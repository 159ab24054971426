//! Wheels (PEP 427): one `.dist-info` folder, that of the filename, with its three files.

use std::io::{Read, Seek};

use super::zip::ZipArchive;
use super::{ArchiveError, Limits, Metadata, ambiguous, member};
use crate::filename::{DistributionFilename, split_name_and_version};
use crate::shown;

/// What every `.dist-info` folder holds.
const FILES: [&str; 3] = ["METADATA", "WHEEL", "RECORD"];

pub(super) fn metadata<R: Read + Seek>(
    filename: &DistributionFilename,
    reader: R,
    size: u64,
    limits: &Limits,
) -> Result<Metadata, ArchiveError> {
    let mut archive = ZipArchive::open(reader, size, limits)?;
    let folder = dist_info(&archive, filename)?;
    for file in FILES {
        entry(&archive, &folder, file)?;
    }
    check_case(&archive, &folder)?;
    let index = entry(&archive, &folder, "METADATA")?;
    let bytes = archive.read(index, limits.metadata)?;
    Ok(Metadata { entry: format!("{folder}/METADATA"), bytes })
}

/// The name of the one `.dist-info` folder. A second one, in whatever case, is what another
/// installer might read.
fn dist_info<R>(
    archive: &ZipArchive<R>,
    filename: &DistributionFilename,
) -> Result<String, ArchiveError> {
    let mut found: Option<&str> = None;
    for entry in archive.entries() {
        let Some(&folder) = member::segments(&entry.name).unwrap_or_default().first() else {
            continue;
        };
        if !folder.to_ascii_lowercase().ends_with(".dist-info") || found == Some(folder) {
            continue;
        }
        if let Some(other) = found.replace(folder) {
            return Err(ambiguous(
                folder,
                format!("there is a second .dist-info folder, {}", shown(other)),
            ));
        }
    }
    let folder = found.ok_or_else(|| ArchiveError::Missing {
        entry: format!(
            "{}-{}.dist-info folder",
            filename.project().in_filename(),
            filename.version()
        ),
        hint: "every wheel has one (PEP 427)",
    })?;
    let stem = folder.strip_suffix(".dist-info").unwrap_or_default();
    let expected = (filename.project().clone(), filename.version().clone());
    if split_name_and_version(stem).is_ok_and(|found| found == expected) {
        return Ok(folder.to_owned());
    }
    Err(ArchiveError::Mismatch {
        what: "the wheel's .dist-info folder".to_owned(),
        found: shown(folder),
        expected: format!("{}-{}.dist-info", expected.0.in_filename(), expected.1),
    })
}

/// Refuses a second writing of one of the three files: where case does not count, it replaces
/// the file.
fn check_case<R>(archive: &ZipArchive<R>, folder: &str) -> Result<(), ArchiveError> {
    for entry in archive.entries() {
        let segments = member::segments(&entry.name).unwrap_or_default();
        let [top, file, ..] = *segments.as_slice() else {
            continue;
        };
        let other = FILES.iter().find(|known| known.eq_ignore_ascii_case(file) && **known != file);
        if let Some(known) = other.filter(|_| top == folder) {
            let problem = format!("it differs from {known} beside it by case only");
            return Err(ambiguous(&entry.name, problem));
        }
    }
    Ok(())
}

fn entry<R>(archive: &ZipArchive<R>, folder: &str, file: &str) -> Result<usize, ArchiveError> {
    let name = format!("{folder}/{file}");
    archive.position(&name).ok_or_else(|| ArchiveError::Missing {
        entry: shown(&name),
        hint: "every wheel has METADATA, WHEEL and RECORD there (PEP 427)",
    })
}
