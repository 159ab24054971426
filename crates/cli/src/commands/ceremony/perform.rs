use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use rustix::fs::FlockOperation;
use waxseal_repository::ceremony::Succession;

use super::FromOption;
use crate::ceremony::bundle::read_bounded;
use crate::ceremony::conversation::{Conversation, Who};
use crate::ceremony::hold::{Held, RealKeys};
use crate::ceremony::plan_file::PlanFile;
use crate::ceremony::preflight;
use crate::ceremony::sheet::both_forms;
use crate::ceremony::{memory, papers};
use crate::data_folder::sync_folder;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::terminal::Terminal;

/// Hold the ceremony, step by step, at a terminal.
///
/// One thing is asked at a time, and `back` takes the last step back, until all is signed. It ends with a
/// folder: metadata, the new key files, a transcript, a sheet to print, and two bundles, "everything" for the
/// safe and one for the server. Before that nothing is kept, however it ends.
#[derive(Debug, clap::Args)]
pub(crate) struct Perform {
    /// The plan
    plan: PathBuf,

    /// Where what is made goes: a folder that is not there yet, such as one on a USB stick
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    #[command(flatten)]
    from: FromOption,

    /// After a compromise: the keys that go are trusted no more, from the first moment on
    #[arg(long, requires = "from")]
    compromise: bool,
}

impl Perform {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::new(
                Exit::Usage,
                "a key ceremony is held by people at a terminal, and there is none",
                "practise without one with `waxseal ceremony rehearse`",
            )
            .into());
        }
        let kept = memory::lock();
        let plan = PlanFile::read(&self.plan)?;
        let text = read_bounded(&self.plan)?;
        let current = self.from.read()?;
        // What would end it in the middle is found while nothing is made and nobody was asked.
        kept.require()?;
        let findings = preflight::findings(&plan, current.as_ref(), kept);
        if !findings.is_empty() {
            return Err(Failure::new(
                Exit::Failed,
                format!("the ceremony cannot begin: {}", findings.join("; ")),
                "nothing was made; see to it, and begin again (`waxseal ceremony rehearse` says the same \
                 without people)",
            )
            .into());
        }
        let unfinished = Unfinished::beside(&self.output)?;
        let mut talk = Conversation::new(Who::Person);
        talk.say(&format!(
            "Key ceremony for {}, with waxseal {}.",
            plan.name,
            env!("CARGO_PKG_VERSION")
        ));
        talk.say("Answer each question with yes, no (which ends the ceremony) or back.");
        talk.say(&format!("Of this machine: {}.", kept.text()));
        let keys = RealKeys { current: current.as_ref(), passphrases: &Terminal };
        let how = if self.compromise { Succession::Compromise } else { Succession::Planned };
        let held = (current.as_ref(), how);
        let made = Held::new(&plan, held, &keys, unfinished.path(), &mut talk).run()?;

        talk.heading("What was made");
        for file in papers::files(&made.ceremony)? {
            talk.say(&format!("{} (SHA-256 of what is signed)", file.name()));
            talk.say_all(&both_forms(&file.payload.to_string()));
        }
        let missing = papers::missing(&made, current.as_ref())?;
        match missing.is_empty() {
            true => talk.say("Root has all the signatures it needs."),
            false => {
                talk.say("Signatures that are still to come, with `waxseal sign`:");
                talk.say_all(&missing);
            }
        }
        let transcript = talk.transcript();
        let folder = unfinished.path();
        papers::write(folder, &plan, &text, &made, current.as_ref(), &transcript)?;
        unfinished.finish(&self.output)?;
        let new_keys = made.holders.iter().any(|key| key.file.is_some());
        show_next(&self.output, current.is_some().then_some(how), missing.is_empty(), new_keys);
        Ok(ExitCode::SUCCESS)
    }
}

/// How the folder of a ceremony is called as long as that is not finished.
const UNFINISHED: &str = ".waxseal-unfinished-";

/// A folder that goes away unless it is finished, and is locked meanwhile.
struct Unfinished {
    folder: tempfile::TempDir,
    _lock: File,
}

impl Unfinished {
    fn beside(output: &Path) -> anyhow::Result<Self> {
        if output.exists() {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} is there already", output.display()),
                "name a folder that is not there yet with --output",
            )
            .into());
        }
        let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let failed = || format!("cannot make a folder in {}", parent.display());
        remove_abandoned(parent).with_context(failed)?;
        let folder = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(parent);
        let folder = folder.with_context(failed)?;
        let lock = File::open(folder.path()).with_context(failed)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).with_context(failed)?;
        Ok(Self { folder, _lock: lock })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn finish(self, output: &Path) -> anyhow::Result<()> {
        sync_folder(self.path())?;
        let folder = self.folder.keep();
        fs::rename(&folder, output).with_context(|| {
            format!(
                "what was made is in {}, and cannot be moved to {}",
                folder.display(),
                output.display()
            )
        })?;
        let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok(sync_folder(parent.unwrap_or(Path::new(".")))?)
    }
}

/// Removes what a ceremony left that was killed: key files of no use to anybody, since nothing names them.
fn remove_abandoned(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(UNFINISHED) {
            continue;
        }
        let lock = File::open(&path)?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            output::note(&format!("another ceremony is being held in {}", path.display()));
        } else if path.join(papers::EVERYTHING).exists() {
            output::warning(&format!(
                "{} has all of a ceremony that was finished: keep it by another name, or remove it",
                path.display()
            ));
        } else {
            fs::remove_dir_all(&path)?;
            output::note(&format!(
                "removed {}, which an interrupted ceremony left; nothing was signed in it",
                path.display()
            ));
        }
    }
    Ok(())
}

/// `follows`: how it follows from the published root; `None` for the first.
fn show_next(folder: &Path, follows: Option<Succession>, complete: bool, new_keys: bool) {
    let path = |name: &str| output::quoted_path(&folder.join(name));
    output::heading("Next");
    output::line(&format!(
        "  Print {}/sheet-*.svg, compare it with this screen, and keep it apart from this machine.",
        output::quoted_path(folder)
    ));
    output::line(&format!(
        "  Put {} into the safe, and give {} to the server.",
        path(papers::EVERYTHING),
        path(papers::SERVER)
    ));
    if new_keys {
        output::line("  Each holder takes their key file root-NAME.pem on a stick of their own.");
    }
    if !complete {
        output::line("  Whoever signs later takes metadata/*.root.json, and runs:");
        let first = if follows.is_some() { "" } else { " --first" };
        output::command("waxseal sign show *.root.json");
        output::command(&format!("waxseal sign{first} --key file:PATH *.root.json"));
        output::line("  What comes back is put together:");
        output::command("waxseal sign combine FOLDER... --output signed");
    }
    output::line("  On the server:");
    let roots = match (follows, complete) {
        (_, true) => "",
        (None, false) => " --root signed/1.root.json",
        (Some(_), false) => " signed/*.root.json",
    };
    let bundle = papers::SERVER;
    match follows {
        None => output::command(&format!("waxseal repo init --bundle {bundle}{roots}")),
        Some(Succession::Planned) => {
            output::command(&format!("waxseal repo publish-root --bundle {bundle}{roots}"));
        }
        Some(Succession::Compromise) => {
            output::command(&format!(
                "waxseal repo publish-root --compromise --bundle {bundle}{roots}"
            ));
            output::line("  Or, with a plan of what is restored:");
            let root = if complete { "" } else { " --root signed/*.root.json" };
            output::command(&format!("waxseal restore apply PLAN --bundle {bundle}{root}"));
        }
    }
}
