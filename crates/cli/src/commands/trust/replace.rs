use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use waxseal_client::{IndexUrl, Replacement, Settings, find_new_root};
use waxseal_tuf::spoken;

use super::RootSource;
use crate::commands::block_on;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::trust::TrustOption;

/// How many words of the new fingerprint a person types.
const WORDS: usize = 2;

/// Trust another root of an index, one that does not follow from the trusted one.
///
/// Only for the day on which an index has lost so many root keys that no new root can follow from the old
/// one, and its operator says so over another channel than the index, with the fingerprint of the new
/// root. It says what it does before it does it. A root that follows needs no such command: update does
/// that.
#[derive(Debug, clap::Args)]
pub(crate) struct Replace {
    /// The index's URL, or that of its Simple API
    url: String,

    #[command(flatten)]
    root: RootSource,

    /// Do it without a question: the fingerprint was compared with what the operator announced
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    trust: TrustOption,
}

impl Replace {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let stores = self.trust.stores()?;
        let (url, credentials) = IndexUrl::parse(&self.url)?;
        let store = stores.find(&url)?;
        let settings = Settings { credentials, ..Settings::default() };
        let file = match &self.root.root {
            Some(file) => {
                let bytes = std::fs::read(file);
                Some(bytes.with_context(|| format!("cannot read the root {}", file.display()))?)
            }
            None => None,
        };
        let expected = self.root.fingerprint;
        let replacement = block_on(async {
            let root = match (file, expected) {
                (Some(root), _) => root,
                (None, Some(expected)) => find_new_root(&store, expected, &settings).await?,
                (None, None) => anyhow::bail!("neither --fingerprint nor --root was given"),
            };
            Ok(Replacement::check(store, root, &settings).await?)
        })?;
        explain(&url, &replacement);
        if !self.yes {
            ask(&replacement)?;
        }
        let (version, _) = replacement.new_root();
        replacement.perform(Timestamp::now())?;
        output::line(&format!("{url} is trusted from its root version {version} on"));
        Ok(ExitCode::SUCCESS)
    }
}

fn explain(url: &IndexUrl, replacement: &Replacement) {
    let ((old, old_fingerprint), (new, new_fingerprint)) =
        (replacement.trusted(), replacement.new_root());
    output::heading(&format!("Another root for {url}"));
    output::line(&format!("The root that is trusted now, version {old}, has the fingerprint"));
    output::field("", &old_fingerprint.to_string());
    output::compare(&old_fingerprint.to_string());
    output::line(&format!("The root that is to be trusted instead, version {new}, has"));
    output::field("", &new_fingerprint.to_string());
    output::compare(&new_fingerprint.to_string());
    for line in [
        "",
        "No key that is trusted here vouches for the new root: nothing proves that it is the index's.",
        "Whoever gets you to trust a root of theirs decides from then on what you install, and nobody",
        "will notice. An attack on the index looks just like this.",
        "",
        "Do it only if its operator has announced, over another channel than the index itself, that its",
        "root keys were replaced, and the announcement has the words above. Ask the operator, or those who",
        "held root keys, in a way that you used before: a known telephone number, in person, or a signed",
        "letter. Not the page, the mail or the chat that told you to run this.",
        "",
        "What the old root verified is forgotten, and a record of it is kept: `waxseal trust list`.",
        "",
    ] {
        output::line(line);
    }
}

/// Has a person type the end of what was announced, so that it was looked at.
fn ask(replacement: &Replacement) -> anyhow::Result<()> {
    let hex = replacement.new_root().1.to_string();
    let words = spoken::of_hex(&hex).unwrap_or_default();
    let words: Vec<_> = words.split_whitespace().collect();
    let last = &words[words.len().saturating_sub(WORDS)..];
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "nobody is there to be asked, and nothing was changed",
            "compare the fingerprint with what the operator announced, and run it with --yes",
        )
        .into());
    }
    anstream::print!("Type the last {WORDS} words of the fingerprint that was announced: ");
    io::stdout().flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let line = line.to_lowercase();
    match line.split_whitespace().eq(last.iter().copied()) && last.len() == WORDS {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Failed,
            "those are not the words, and nothing was changed",
            "if what was announced ends otherwise, this is not the operator's root: tell the operator",
        )
        .into()),
    }
}
