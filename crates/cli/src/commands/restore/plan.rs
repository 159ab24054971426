use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use waxseal_repository::archive::Archive;
use waxseal_repository::restore::{self, Change, Decision, LastKnownGood, Places};
use waxseal_repository::store::Store;

use super::super::DataOption;
use super::super::audit::{Opened, PinOptions};
use super::copies::CopiesOption;
use super::{refused, text};
use crate::data_folder::DataFolder;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::plan_text;

/// List what was added, changed and removed since the last snapshot that is known to be good, by project, for
/// people to decide on.
///
/// Nothing is changed. The server should be stopped: a plan is for the state that it was made of.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// The version of the last snapshot that is known to be good
    #[arg(long, value_name = "SNAPSHOT")]
    last_known_good: u64,

    /// What has that snapshot: the archive of `waxseal audit archive`; or a mirror or a backup, as a URL, a
    /// data folder or a store
    #[arg(long, value_name = "FILE|DIR|URL")]
    from: PathBuf,

    #[command(flatten)]
    copies: CopiesOption,

    #[command(flatten)]
    pin: PinOptions,

    /// What the plan says where people have not decided yet
    #[arg(long, value_name = "DECISION", default_value = "ask")]
    decide: Preset,

    /// Write the plan to this file
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Show the plan as JSON too
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: DataOption,
}

/// What a new plan has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// Nothing: somebody has to, before it can be applied
    Ask,
    /// All stays as it is now
    Keep,
    /// All becomes what it was
    Restore,
}

/// Where the good snapshot is read.
enum Source {
    Archive(Archive),
    Index(Box<Opened>),
}

impl Source {
    fn open(place: &Path) -> anyhow::Result<Self> {
        if !place.is_file() {
            return Ok(Self::Index(Box::new(Opened::at(place)?)));
        }
        let mut begin = Vec::new();
        let failed = || format!("cannot read {}", place.display());
        let file = File::open(place).with_context(failed)?;
        file.take(20).read_to_end(&mut begin).with_context(failed)?;
        if !begin.starts_with(b"{\"waxseal_archive\"") {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} is no archive of `waxseal audit archive`", place.display()),
                "a backup in one file is unpacked first, such as with `tar -xf`, and its folder named",
            )
            .into());
        }
        Ok(Self::Archive(Archive::open(place)?))
    }
}

impl Plan {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let folder = DataFolder::open(&self.data.data)?;
        let source = Source::open(&self.from)?;
        let copies = self.copies.open()?;
        let mut places = copies.stores();
        let pin = match &source {
            Source::Archive(_) => None,
            Source::Index(opened) => {
                places.push(opened.store());
                // A backup says nothing by its own root.
                let own = Opened::at(&self.data.data)?;
                Some(self.pin.of_places(&[&own, opened])?)
            }
        };
        let good = match (&source, &pin) {
            (Source::Index(opened), Some(pin)) => LastKnownGood::Index(opened.store(), pin),
            (Source::Archive(archive), _) => LastKnownGood::Archive(archive),
            (Source::Index(_), None) => anyhow::bail!("nothing is known of the index's root"),
        };
        let mut plan = compared(&folder, (good, self.last_known_good), &places)?;
        let decided = match self.decide {
            Preset::Ask => Decision::Open,
            Preset::Keep => Decision::Keep,
            Preset::Restore => Decision::Restore,
        };
        plan.projects.iter_mut().for_each(|project| project.decide = decided);
        plan_text::write_new(&self.output, &text::commented(&plan)?)?;
        if self.json {
            output::json(&plan)?;
        } else {
            show(&plan);
        }
        let (waxseal, file) = (output::own_command(), output::quoted_path(&self.output));
        output::note(&format!("{} is written; decide in it, and then:", self.output.display()));
        output::note(&format!("  {waxseal} restore apply {file} --bundle FILE --rehearse"));
        Ok(ExitCode::SUCCESS)
    }
}

fn compared(
    folder: &DataFolder,
    good: (LastKnownGood<'_>, u64),
    copies: &[&dyn Store],
) -> anyhow::Result<restore::Plan> {
    let repository = folder.repository_after_compromise()?;
    let places = Places { store: repository.store(), copies };
    let bar = output::steps();
    bar.set_message("bins");
    let plan = restore::compare(&repository, good, places, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    plan.map_err(refused)
}

fn show(plan: &restore::Plan) {
    for project in &plan.projects {
        let name = if project.name.is_empty() { "no project" } else { &project.name };
        output::heading(name);
        for file in project.files.iter().take(20) {
            let name = file.path.rsplit('/').next().unwrap_or(&file.path);
            let note = file.note.as_deref().unwrap_or_default();
            output::line(&format!("{} {name}  {note}", word(file.change)));
        }
        if project.files.len() > 20 {
            output::line(&format!("and {} more", project.files.len() - 20));
        }
    }
    let counts = plan.counts().map(|(change, count)| format!("{count} {}", word(change)));
    let since = plan.last_known_good;
    output::line(&format!("since snapshot {since}: {} files", counts.join(", ")));
}

pub(super) fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Changed => "changed",
        Change::Removed => "removed",
    }
}
