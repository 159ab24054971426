use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use waxseal_signing::KeyUri;

use super::{Files, TrustedRoot, replace};
use crate::ceremony::conversation::{Answer, Conversation, Who};
use crate::ceremony::review::{described, missing};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::terminal::Terminal;

/// Add a signature.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// New roots, N.root.json, in any order, or a folder of them; the signature is added in place
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Your root key: `file:PATH` or `pkcs11:token=TOKEN;object=NAME`
    #[arg(long, value_name = "URI", required = true)]
    key: Option<String>,

    #[command(flatten)]
    trusted: TrustedRoot,

    /// This is the first ceremony of an index: there is no root that you trust yet
    #[arg(long)]
    first: bool,

    /// Do not ask: you have run `waxseal sign show` and compared
    #[arg(long)]
    yes: bool,
}

impl Add {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let key: KeyUri = self.key.context("--key was not given")?.parse()?;
        let files = Files::read(&self.files)?;
        let trusted = self.trusted.read()?;
        if trusted.is_none() && !self.first {
            return Err(Failure::new(
                Exit::Usage,
                "there is no root that you trust, so that nothing can be compared with it",
                "name the last root with --root, or keep it with `waxseal sign pin`; at the first ceremony \
                 of an index say --first",
            )
            .into());
        }
        let trusted = trusted.filter(|_| !self.first);
        let review = files.review(trusted.as_deref())?;
        let mut talk = Conversation::new(Who::Person);
        talk.say_all(&described(&review));
        if !self.yes {
            ask(&mut talk)?;
        }
        let key = waxseal_signing::open(&key, &Terminal)?;
        let asked: Vec<_> =
            review.steps.iter().filter(|step| step.asks_for(key.public_key())).collect();
        if asked.is_empty() {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "none of these roots asks for a signature of the key {}",
                    key.public_key().default_keyid()
                ),
                "`waxseal sign show` says whose are asked for, `waxseal key inspect` which key this is",
            )
            .into());
        }
        // All are signed before the first is written.
        let signed = asked.iter().map(|step| Ok((step.root().version, step.sign(&*key)?)));
        let signed = signed.collect::<anyhow::Result<Vec<_>>>()?;
        for (version, bytes) in &signed {
            for path in files.of_version(*version) {
                replace(path, bytes)?;
                output::note(&format!("{} has your signature now", path.display()));
            }
        }
        let review = Files::read(&self.files)?.review(trusted.as_deref())?;
        match missing(&review).as_slice() {
            [] => output::line("All signatures are there."),
            lines => {
                output::line("Still to come:");
                output::lines(lines);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn ask(talk: &mut Conversation) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "nobody is there to be asked",
            "run `waxseal sign show` first, compare, and then sign with --yes",
        )
        .into());
    }
    match talk.confirm("Is this what you were asked to sign?")? {
        Answer::Given(()) => Ok(()),
        Answer::Back => Err(Failure::new(
            Exit::Failed,
            "nothing was signed",
            "ask whoever sent these files what they are to change",
        )
        .into()),
    }
}
