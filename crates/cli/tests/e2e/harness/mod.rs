//! An index, a person who installs from it, and what goes between them.

mod form;
mod front;
mod http;
mod index;
mod kills;
mod nginx;
mod offline;
mod person;
mod process;
mod rogue;
mod terminal;
mod wheels;

use waxseal_testkit::peers::CleanCommand;
pub(crate) use waxseal_testkit::tree::tree;

pub(crate) use form::Form;
pub(crate) use front::Front;
pub(crate) use http::request;
pub(crate) use index::{Index, clock_shifted, exited, other_contents, remembered_for_three_days};
pub(crate) use kills::{copy, killed_at_writes, killed_in};
pub(crate) use nginx::Nginx;
pub(crate) use offline::Offline;
pub(crate) use person::{Person, Tool};
pub(crate) use process::Process;
pub(crate) use rogue::Rogue;
pub(crate) use terminal::{Terminal, on_terminal};
pub(crate) use wheels::{Wheel, make_wheels};

/// The binary that is tested.
pub(crate) const WAXSEAL: &str = env!("CARGO_BIN_EXE_waxseal");

/// The binary, on a machine where nothing is set up.
pub(crate) fn waxseal<'a>(args: impl IntoIterator<Item = &'a str>) -> CleanCommand {
    CleanCommand::new(WAXSEAL).args(args)
}

/// Asserts that a screen holds each of these, and shows the screen where it does not.
#[track_caller]
pub(crate) fn assert_shows(screen: &str, parts: &[&str]) {
    // Tools break long lines where the terminal ends.
    let flat = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(flat.contains(part), "{part:?} is missing on this screen:\n{screen}");
    }
}
