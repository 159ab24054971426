//! Python packaging rules as pure functions: names, filenames, core metadata, archives, Simple pages.
//!
//! Nothing here opens a file, asks the network or reads a clock, and no input makes it panic. What
//! comes from outside is parsed once into a type that then is trusted:
//!
//! | from | into | rules |
//! |---|---|---|
//! | a project's name | [`ProjectName`], [`NormalizedName`] | PEP 508, PEP 503 |
//! | a file's name | [`DistributionFilename`] | PEP 427, PEP 625, PEP 440 |
//! | `METADATA`, `PKG-INFO` | [`CoreMetadata`] | the core metadata specification |
//! | a wheel or sdist | [`archive::Inspected`] | one archive, one reading |
//!
//! and what goes out is a function of those: Simple pages ([`simple`]), their format
//! ([`negotiate`]), and TUF target paths ([`paths`]). [`percent`] reads paths of URLs.

pub mod archive;
mod core_metadata;
mod filename;
mod name;
pub mod negotiate;
pub mod paths;
pub mod percent;
pub mod simple;

pub use core_metadata::{CoreMetadata, MetadataError};
pub use filename::{
    DistributionFilename, FileKind, FilenameError, SourceDistributionFilename, WheelFilename,
};
pub use name::{NameError, NormalizedName, ProjectName};
pub use pep440_rs::Version;

/// A text from outside as it may stand in a message: escaped, and cut after 100 characters.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(100).flat_map(char::escape_debug).collect();
    if text.chars().nth(100).is_some() {
        shown.push('…');
    }
    shown
}
