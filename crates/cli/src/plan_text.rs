//! The text of a plan on disk: of a ceremony, or of what is restored.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;

use crate::failure::{Exit, Failure};

/// Reads a plan of so many bytes at most. `command` writes one.
pub(crate) fn read(path: &Path, max_length: u64, command: &str) -> anyhow::Result<String> {
    let failed = |problem: &dyn std::fmt::Display| refused(path, problem, command);
    let length = fs::metadata(path).map_err(|error| failed(&error))?.len();
    if length > max_length {
        return Err(failed(&format!("{length} bytes are no plan")).into());
    }
    Ok(fs::read_to_string(path).map_err(|error| failed(&error))?)
}

/// A plan that cannot be read.
pub(crate) fn refused(path: &Path, problem: &dyn std::fmt::Display, command: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("cannot read the plan {}: {problem}", path.display()),
        format!("`{command}` writes one"),
    )
}

/// Writes a new plan, durable on return. One that is there is left as it is.
pub(crate) fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} exists already", path.display()),
                "it was left as it is, with what people wrote in it; give the new plan another name",
            )
            .into());
        }
        file => file.with_context(|| format!("cannot write {}", path.display()))?,
    };
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
    Ok(())
}
