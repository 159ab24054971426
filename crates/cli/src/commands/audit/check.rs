use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use waxseal_repository::archive::{self, Checked};

use super::archive::refused;
use super::pin::PinOptions;
use super::place::Opened;
use crate::failure::{Exit, Failure};
use crate::output;

/// Hold an index against an archive: which files were changed since they were archived, and which vanished.
///
/// A file never changes, so that one which did is an attack, or was replaced by the index that has it here.
/// The exit code is 0 where none did and 4 otherwise; files that vanished are named, and are no finding by
/// themselves, since files can be deleted.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The archive that `waxseal audit archive` made
    #[arg(value_name = "FILE")]
    archive: PathBuf,

    /// The URL of an index or a mirror; or a data folder, or a store alone
    #[arg(value_name = "DIR|URL")]
    source: PathBuf,

    #[command(flatten)]
    pin: PinOptions,

    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let there = archive::Archive::open(&self.archive)?;
        if there.pieces().len() == 0 {
            return Err(Failure::new(
                Exit::Usage,
                format!("there is nothing in the archive {}", self.archive.display()),
                "name one that `waxseal audit archive` has written to",
            )
            .into());
        }
        let opened = Opened::at(&self.source)?;
        let pin = self.pin.of_places(&[&opened])?;
        let bar = output::steps();
        bar.set_message("bins");
        let checked =
            archive::check(&there, (opened.store(), &pin), Timestamp::now(), &mut |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            });
        bar.finish_and_clear();
        let checked = checked.map_err(|error| refused(error, &self.source))?;
        match self.json {
            true => output::json(&checked)?,
            false => show(&checked),
        }
        Ok(if checked.valid { ExitCode::SUCCESS } else { Exit::Findings.into() })
    }
}

fn show(checked: &Checked) {
    for project in &checked.projects {
        let name = if project.project.is_empty() { "no project" } else { &project.project };
        output::heading(&format!("different in {name}"));
        for file in &project.files {
            output::line(&file.path);
            output::line(&format!("  {} in the archive", file.archived));
            let found = file.found.as_deref().unwrap_or("nothing");
            output::line(&format!("  {found} in the index"));
        }
    }
    for snapshot in &checked.other_snapshots {
        output::warning(&format!(
            "{snapshot}.snapshot.json has other bytes than were archived: somebody was given another index"
        ));
    }
    let counts = [
        ("files as archived", checked.same),
        ("changed", checked.changed),
        ("vanished", checked.vanished),
        ("came since", checked.added),
        ("pages that changed", checked.changed_pages),
    ];
    output::heading("compared");
    output::table(
        &["what", "how many"],
        counts.map(|(what, count)| vec![what.to_owned(), count.to_string()]),
    );
    let (archived, now) = (checked.archived_snapshot, checked.snapshot);
    output::line(&match (checked.valid, now < archived) {
        (_, true) => {
            format!("the index was set back: it has snapshot {now}, the archive {archived}")
        }
        (true, _) => format!("no file was changed from snapshot {archived} to snapshot {now}"),
        (false, _) => format!("snapshot {now} is not what snapshot {archived} became: see above"),
    });
}
