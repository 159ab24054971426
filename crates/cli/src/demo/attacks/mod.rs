//! The attacks of PEP 458, Appendix A: what a mirror does in each, and how plain pip shows that it was
//! fooled.

mod data;
mod files;
mod keys;
mod replays;

use std::time::Duration;

use super::between::Lie;
use super::runs::{Installed, Run};
use super::world::World;

/// One attack.
pub(super) struct Attack {
    /// Its name in the PEP.
    pub(super) name: &'static str,
    /// What the attacker does, in a sentence or two.
    pub(super) does: &'static str,
    /// What of it is not stopped.
    pub(super) limit: Option<&'static str>,
    /// What the mirror does.
    pub(super) lies: fn(&World) -> anyhow::Result<Vec<Lie>>,
    /// What plain pip made of it, where it was fooled.
    pub(super) fooled: fn(&Control) -> Option<String>,
    /// What whoever runs waxseal has seen of the index before.
    pub(super) seen: Seen,
    pub(super) ends: Ends,
    /// How long plain pip is watched; until it ends, if that is not said.
    pub(super) watch: Option<Duration>,
}

/// What is trusted before an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Today,
    ThreeDaysAgo,
    /// Today, but for the metadata of the project `phrases`.
    TodayWithoutPhrases,
}

/// How an attack ends with Waxseal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// Nothing is installed.
    Refused,
    /// What the mirror says is refused, and the good one is asked instead.
    AskedElsewhere,
}

/// What was seen of plain pip.
pub(super) struct Control {
    pub(super) run: Run,
    /// How many bytes it took from the attacker.
    pub(super) sent: u64,
}

impl Control {
    /// What was installed of a project.
    fn installed(&self, project: &str) -> Option<&Installed> {
        self.run.installed.iter().find(|installed| installed.name == project)
    }

    /// Whether it succeeded, with nothing on its screen that would make anybody suspicious.
    fn is_silent(&self) -> bool {
        self.run.exit == Some(0) && !self.run.stderr.contains("ERROR")
    }
}

/// All of them, in the PEP's order.
pub(super) const ALL: [Attack; 10] = [
    files::ARBITRARY,
    replays::ROLLBACK,
    replays::FREEZE,
    data::ENDLESS,
    data::SLOW,
    files::EXTRANEOUS,
    replays::MIX_AND_MATCH,
    files::WRONG,
    replays::MALICIOUS_MIRROR,
    keys::COMPROMISE,
];
