use std::process::ExitCode;

use jiff::Timestamp;
use waxseal_mirror::Verified;

use super::{FolderArgument, failed, show, threads, trust_of};
use crate::failure::{Exit, Failure};
use crate::output::{self, Steps};
use crate::trust::TrustOption;

/// How many things that are wrong are shown.
const SHOWN: usize = 20;

/// Prove that a mirror is complete: verify all that it shows, and hash every file.
///
/// Ends with 0 where everything is there and right, and with 3 where something is not, or is too old for
/// clients. Nothing is changed, and no network is used.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    #[command(flatten)]
    folder: FolderArgument,

    /// The trusted index that it is of [default: that of the mirror]
    #[arg(long, value_name = "URL")]
    index: Option<String>,

    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    trust: TrustOption,
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mirror = waxseal_mirror::Mirror::new(&self.folder.folder);
        let trust = trust_of(&mirror, self.index.as_deref(), &self.trust)?;
        let steps = Steps::after_a_while();
        let progress = |far| show(&steps, "verifying", far);
        let verified = mirror.verify(&trust, threads(), Timestamp::now(), &progress);
        steps.clear();
        let verified = verified.map_err(failed)?;
        if self.json {
            output::json(&verified)?;
        } else {
            in_words(&verified);
        }
        if verified.is_complete() {
            return Ok(ExitCode::SUCCESS);
        }
        let (problem, hint) = match (verified.expired, verified.wrong) {
            (Some(expired), 0) => (
                format!("what the mirror shows expired at {expired}, and clients refuse it"),
                "bring it up to date; if that does not help, the index has stopped signing",
            ),
            (_, wrong) => (
                format!("{wrong} files are missing or not what metadata says"),
                "`waxseal mirror URL DIR --verify` fetches them again",
            ),
        };
        Err(Failure::new(Exit::Refused, problem, hint).into())
    }
}

fn in_words(verified: &Verified) {
    let Verified { snapshot, filter, roles, targets, linked, bytes, elsewhere, .. } = verified;
    let word = if verified.wrong == 0 { "complete" } else { "not complete" };
    output::line(&format!("snapshot {snapshot} is {word}: {filter}"));
    output::field("roles", &format!("{roles} verified"));
    output::field("targets", &format!("{targets} hashed"));
    if *linked > 0 {
        output::field("links", &format!("{linked} of pages that vouch for files hashed"));
    }
    output::field("bytes", &output::size(*bytes));
    if *elsewhere > 0 {
        output::field(
            "not here",
            &format!("{elsewhere} on other hosts, or with nothing to verify them by"),
        );
    }
    for found in verified.found.iter().take(SHOWN) {
        output::line(&format!("{} {}", found.name, found.problem));
    }
    if verified.wrong > SHOWN as u64 {
        output::line(&format!("and {} more", verified.wrong - SHOWN as u64));
    }
}
