use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use waxseal_repository::ceremony::{self, Succession};

use super::FromOption;
use crate::ceremony::bundle::{Bundle, read_bounded};
use crate::ceremony::conversation::{Conversation, Who};
use crate::ceremony::current::Current;
use crate::ceremony::founding::Founding;
use crate::ceremony::hold::{Held, Made};
use crate::ceremony::plan_file::PlanFile;
use crate::ceremony::preflight;
use crate::ceremony::rehearsal::{MadeUp, ThrowawayKeys, Twin};
use crate::ceremony::{memory, papers};
use crate::data_folder::DataFolder;
use crate::failure::Exit;
use crate::output;
use crate::terminal::Terminal;

/// Go through the whole ceremony on throwaway keys, and keep nothing.
///
/// At a terminal every question is asked as at the ceremony; where nobody is at the keyboard none is. The
/// report says what would come out, how long it took, and what of the plan is not at hand on this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Rehearse {
    /// The plan
    plan: PathBuf,

    #[command(flatten)]
    from: FromOption,

    /// As after a compromise: the keys that go are trusted no more
    #[arg(long, requires = "from")]
    compromise: bool,

    /// Ask nothing, also at a terminal
    #[arg(long)]
    unattended: bool,

    /// The report as JSON, and nothing else
    #[arg(long)]
    json: bool,
}

/// What a rehearsal found.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether the ceremony can be held as it is planned, on this machine.
    ready: bool,
    files: Vec<File>,
    /// What was checked with what came out.
    checks: Vec<String>,
    /// What is to be seen to before the ceremony.
    warnings: Vec<String>,
    memory: String,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct File {
    name: String,
    bytes: usize,
}

impl Rehearse {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let begun = std::time::Instant::now();
        let kept = memory::lock();
        let plan = PlanFile::read(&self.plan)?;
        let published = self.from.read()?;
        let twin = published.as_ref().map(Twin::of).transpose()?;
        let current = twin.as_ref().map(|twin| &twin.current);
        let alone = self.unattended || self.json || !std::io::stdin().is_terminal();
        let who = if alone { Who::Nobody } else { Who::Person };
        let mut talk = Conversation::new(who);
        if self.json {
            talk = talk.silent();
        }
        let made_up = MadeUp::new()?;
        let passphrases: &dyn waxseal_signing::Passphrases =
            if alone { &made_up } else { &Terminal };
        let keys = ThrowawayKeys::new(twin.as_ref(), passphrases);
        let folder = tempfile::Builder::new().prefix("waxseal-rehearsal-").tempdir()?;
        talk.say("A rehearsal: every key is thrown away, and nothing is kept.");
        let how = if self.compromise { Succession::Compromise } else { Succession::Planned };
        let made = Held::new(&plan, (current, how), &keys, folder.path(), &mut talk).run()?;
        let out = folder.path().join("out");
        std::fs::create_dir(&out)?;
        papers::write(&out, &plan, &read_bounded(&self.plan)?, &made, current, &talk.transcript())?;
        let checks = check(&made, current, &out)?;
        let warnings = preflight::findings(&plan, published.as_ref(), kept);
        let files = papers::files(&made.ceremony)?;
        let files = files.iter().map(|file| File { name: file.name(), bytes: file.bytes.len() });
        let report = Report {
            ready: warnings.is_empty(),
            files: files.collect(),
            checks,
            warnings,
            memory: kept.text().to_owned(),
            seconds: begun.elapsed().as_secs_f64(),
        };
        folder.close().context("the rehearsal's folder cannot be removed")?;
        match self.json {
            true => output::json(&report)?,
            false => show(&report),
        }
        Ok(if report.ready { ExitCode::SUCCESS } else { Exit::Findings.into() })
    }
}

fn show(report: &Report) {
    output::heading("Report of the rehearsal");
    for check in &report.checks {
        output::field("checked", check);
    }
    let rows = report.files.iter().map(|file| vec![file.name.clone(), file.bytes.to_string()]);
    output::table(&["file", "bytes"], rows);
    output::field("memory", &report.memory);
    output::field("time", &format!("{:.1} s", report.seconds));
    output::field("kept", "nothing");
    for warning in &report.warnings {
        output::warning(warning);
    }
    match report.ready {
        true => output::line("The ceremony can be held as it is planned."),
        false => output::line("See to the warnings before the ceremony."),
    }
}

/// What a server and its clients will do with what came out, done with it.
fn check(
    made: &Made,
    current: Option<&Current>,
    out: &std::path::Path,
) -> anyhow::Result<Vec<String>> {
    let mut checks = Vec::new();
    let missing = papers::missing(made, current)?;
    anyhow::ensure!(missing.is_empty(), "signatures are missing: {}", missing.join("; "));
    let now = Timestamp::now();
    match current {
        None => {
            let bundle = Bundle::read(&out.join(papers::SERVER))?;
            let founding = Founding::of(&bundle, &[])?;
            DataFolder::open_or_create(
                &out.join("index"),
                &founding.new_index(&founding.config()),
            )?;
            checks.push("the server's bundle makes an index".to_owned());
        }
        Some(current) => {
            let change = ceremony::check(&current.offline, &made.ceremony, now)?;
            checks.push(format!(
                "clients of the published root follow to version {}",
                change.after.root().version
            ));
        }
    }
    for name in [papers::SERVER, papers::EVERYTHING] {
        Bundle::read(&out.join(name))?;
        checks.push(format!("{name} is whole"));
    }
    let later = now + SignedDuration::from_hours(24);
    anyhow::ensure!(made.time < later, "the clock went back during the rehearsal");
    Ok(checks)
}
