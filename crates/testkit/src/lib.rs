//! What the tests of every crate share: enemies and peers.
//!
//! - [`mirror`]: a server between a client and the index, which lies as it is told to;
//! - [`peers`]: the real pip, uv, twine and Python that `cargo xtask peers` installs, and a way to
//!   start them as if on a machine where nothing is set up;
//! - [`pypi`]: a repository of PyPI's size, an [`import_file`] of one, and a [`stopwatch`], for
//!   benchmarks;
//! - [`simulator`]: a TUF repository in memory, for tests of clients, and [`served`]: the same behind
//!   HTTP.
//!
//! Everything here panics where a test could not go on, with a text that says what to do.

pub mod fuzzing;
pub mod import_file;
pub mod keys;
pub mod mirror;
pub mod peers;
pub mod pypi;
pub mod served;
pub mod simulator;
pub mod stopwatch;
