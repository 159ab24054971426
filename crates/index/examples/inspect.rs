//! Inspects the archives named on the command line, as the index does on upload.

#![expect(clippy::disallowed_types, reason = "the crate does no I/O; a program around it does")]

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use waxseal_index::DistributionFilename;
use waxseal_index::archive::{Inspected, Limits, inspect};

fn main() -> ExitCode {
    let mut refused = 0_u8;
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        match report(&path) {
            Ok(inspected) => {
                let metadata = &inspected.core_metadata;
                println!("{} {}: {}", metadata.name, metadata.version, path.display());
            }
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                refused = 1;
            }
        }
    }
    ExitCode::from(refused)
}

fn report(path: &std::path::Path) -> Result<Inspected, Box<dyn std::error::Error>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let filename: DistributionFilename = name.parse()?;
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    Ok(inspect(&filename, file, size, &Limits::default())?)
}
