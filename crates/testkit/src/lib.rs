//! What the tests of every crate share: enemies and peers.
//!
//! - `faults`, `faulty_store` and `faulty_database`, with the feature `repository`: a store and a database
//!   whose writes fail, or fail but persist;
//! - [`mirror`]: a server between a client and the index, which lies as it is told to;
//! - [`peers`]: the real pip, uv, twine and Python that `cargo xtask peers` installs, and a way to
//!   start them as if on a machine where nothing is set up;
//! - [`pypi`]: a repository of PyPI's size, an [`import_file`] of one, and a [`stopwatch`], for
//!   benchmarks;
//! - [`simulator`]: a TUF repository in memory, for tests of clients, and [`served`]: the same behind
//!   HTTP;
//! - [`tree`]: a folder as a value.
//!
//! Everything here panics where a test could not go on, with a text that says what to do.

#[cfg(feature = "repository")]
pub mod faults;
#[cfg(feature = "repository")]
pub mod faulty_database;
#[cfg(feature = "repository")]
pub mod faulty_store;
pub mod fuzzing;
pub mod import_file;
pub mod keys;
pub mod mirror;
pub mod peers;
pub mod pypi;
pub mod served;
pub mod simulator;
pub mod stopwatch;
pub mod tree;
