//! Wheels (PEP 427): one `.dist-info` folder, that of the filename, with its three files.

use std::io::{Read, Seek};

use super::zip::ZipArchive;
use super::{ArchiveError, Limits, Metadata, ambiguous, member};
use crate::filename::{DistributionFilename, split_name_and_version};
use crate::shown;

pub(super) fn metadata<R: Read + Seek>(
    filename: &DistributionFilename,
    reader: R,
    size: u64,
    limits: &Limits,
) -> Result<Metadata, ArchiveError> {
    let mut archive = ZipArchive::open(reader, size, limits)?;
    let folder = dist_info(&archive, filename)?;
    for file in ["WHEEL", "RECORD"] {
        entry(&archive, &folder, file)?;
    }
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

fn entry<R>(archive: &ZipArchive<R>, folder: &str, file: &str) -> Result<usize, ArchiveError> {
    let name = format!("{folder}/{file}");
    archive.position(&name).ok_or_else(|| ArchiveError::Missing {
        entry: shown(&name),
        hint: "every wheel has METADATA, WHEEL and RECORD there (PEP 427)",
    })
}
