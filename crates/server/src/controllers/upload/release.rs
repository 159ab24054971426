//! From a received file to an entry in the journal: the archive is opened, and what it says about
//! itself has to be what the form and the filename say.

use std::io::BufReader;

use jiff::Timestamp;
use waxseal_index::archive::{self, ArchiveError, Inspected};
use waxseal_index::{CoreMetadata, DistributionFilename, NormalizedName, Version};
use waxseal_repository::{Accepted, Repository, Upload};

use super::form::Form;
use crate::error::{Error, shown};
use crate::spool::Spooled;

/// What became of a file.
pub(super) struct Outcome {
    pub(super) accepted: Accepted,
    pub(super) filename: DistributionFilename,
}

/// Checks the file and takes it into the journal.
pub(super) fn accept(
    repository: &Repository,
    form: &Form,
    filename: DistributionFilename,
    file: Spooled,
    uploaded_by: String,
) -> Result<Outcome, Error> {
    check_kind(form, &filename)?;
    let Inspected { core_metadata, metadata_file } = inspect(&filename, &file)?;
    check_release(form, &filename, &core_metadata)?;
    let accepted = repository.accept(Upload {
        filename: filename.clone(),
        display_name: core_metadata.name,
        file: file.file,
        sha256: file.sha256,
        sha512: file.sha512,
        size: file.length,
        metadata: metadata_file,
        requires_python: core_metadata.requires_python,
        uploaded_by,
        upload_time: Timestamp::now(),
    })?;
    Ok(Outcome { accepted, filename })
}

fn check_kind(form: &Form, filename: &DistributionFilename) -> Result<(), Error> {
    let claimed = form.filetype()?;
    let kind = filename.kind();
    if claimed == kind.as_str() {
        return Ok(());
    }
    Err(Error::Kind { filename: filename.to_string(), form: shown(claimed), kind })
}

fn inspect(filename: &DistributionFilename, file: &Spooled) -> Result<Inspected, Error> {
    let reader = BufReader::new(file.file.as_file());
    let inspected = archive::inspect(filename, reader, file.length, &archive::Limits::default());
    inspected.map_err(|source| match source {
        // Our disk's failure, not the archive's.
        ArchiveError::Read { .. } => Error::internal(source),
        source => Error::Archive { filename: filename.to_string(), source },
    })
}

/// Compares the form with the core metadata, names and versions in their normalized forms.
fn check_release(
    form: &Form,
    filename: &DistributionFilename,
    metadata: &CoreMetadata,
) -> Result<(), Error> {
    let name = form.name()?;
    let mismatch = |field, form: &str, file: String| Error::Mismatch {
        field,
        form: shown(form),
        file,
        filename: filename.to_string(),
    };
    if NormalizedName::of(name).ok().as_ref() != Some(&metadata.name.normalized()) {
        return Err(mismatch("name", name, metadata.name.to_string()));
    }
    let version = form.version()?;
    if version.parse::<Version>().ok().as_ref() != Some(&metadata.version) {
        return Err(mismatch("version", version, metadata.version.to_string()));
    }
    Ok(())
}
