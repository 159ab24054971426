use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use waxseal_repository::ceremony::Succession;

use super::FromOption;
use crate::ceremony::bundle::read_bounded;
use crate::ceremony::conversation::{Conversation, Who};
use crate::ceremony::hold::{Held, RealKeys};
use crate::ceremony::plan_file::PlanFile;
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
        kept.require()?;
        let plan = PlanFile::read(&self.plan)?;
        let text = read_bounded(&self.plan)?;
        let current = self.from.read()?;
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
        show_next(&self.output, current.is_some(), missing.is_empty());
        Ok(ExitCode::SUCCESS)
    }
}

/// A folder that goes away unless it is finished.
struct Unfinished(tempfile::TempDir);

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
        let folder = tempfile::Builder::new().prefix(".waxseal-ceremony-").tempdir_in(parent);
        Ok(Self(folder.with_context(|| format!("cannot make a folder in {}", parent.display()))?))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn finish(self, output: &Path) -> anyhow::Result<()> {
        sync_folder(self.path())?;
        let folder = self.0.keep();
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

fn show_next(folder: &Path, follows: bool, complete: bool) {
    let waxseal = output::own_command();
    let path = |name: &str| output::quoted_path(&folder.join(name));
    output::heading("Next");
    output::line(&format!(
        "  Print {} and keep it apart from this machine; all compare it with their screens.",
        path("sheet-1.svg")
    ));
    output::line(&format!(
        "  Put {} into the safe, and give {} to the server.",
        path(papers::EVERYTHING),
        path(papers::SERVER)
    ));
    output::line(
        "  Each holder takes their key file root-NAME.pem; then remove it from this folder.",
    );
    if !complete {
        output::line("  Whoever signs later takes metadata/*.root.json, and runs:");
        output::command(&format!("{waxseal} sign show *.root.json"));
        output::command(&format!("{waxseal} sign --key file:PATH *.root.json"));
    }
    output::line("  On the server:");
    let publish = if follows { "publish-root" } else { "init" };
    output::command(&format!("{waxseal} repo {publish} --bundle {}", papers::SERVER));
}
