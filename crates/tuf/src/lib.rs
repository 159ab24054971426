//! The Update Framework: metadata, verification and the update workflow, without I/O and without a clock.

pub mod hash;
mod names;

pub use names::{InvalidName, KeyId, RoleName, TargetPath};
