use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use waxseal_signing::{KeyInfo, KeyUri, Scheme};

use super::shown::{Shown, show};
use crate::failure::{Exit, Failure};
use crate::output;
use crate::terminal::Terminal;

/// Make a new key: in a file encrypted with a passphrase, or on a token.
///
/// Nothing that is there is written over. Whoever holds a key at a ceremony sends the file of `--public`,
/// and reads the words out to the others.
#[derive(Debug, clap::Args)]
pub(crate) struct Generate {
    /// Where to make it: `file:PATH` or `pkcs11:token=TOKEN;object=NAME?module-path=PATH`
    uri: String,

    /// How it signs: `ed25519` or `ecdsa-sha2-nistp256`
    #[arg(long, value_name = "SCHEME", default_value_t = Scheme::default(),
          value_parser = PossibleValuesParser::new(Scheme::ALL.map(Scheme::name)).try_map(|name| name.parse::<Scheme>()))]
    scheme: Scheme,

    /// Write the public key, in PEM, to a new file
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,

    /// Leave the file unencrypted: for trials, not for production
    #[arg(long)]
    development: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Generate {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut uri: KeyUri = self.uri.parse()?;
        if self.development {
            // As if it were in the URI: not with every kind of key.
            uri = uri.with_development().to_string().parse()?;
        }
        // Before a key is made whose public half cannot be handed over.
        if let Some(public) = self.public.as_deref().filter(|path| path.exists()) {
            return Err(exists(public).into());
        }
        waxseal_signing::check_scheme(&uri, self.scheme)?;
        let info = waxseal_signing::generate(&uri, self.scheme, &Terminal)?;
        if let Some(public) = &self.public {
            write_public(public, &info).with_context(|| {
                format!("the key {} was made, and its public half was not written", info.uri)
            })?;
        }
        match self.json {
            true => output::json(&Shown::of(&info))?,
            false => show(&info),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn exists(path: &Path) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{} exists already", path.display()),
        "give the file of the public key another name, or move the old one away",
    )
}

fn write_public(path: &Path, info: &KeyInfo) -> anyhow::Result<()> {
    let key = info.public_key.as_ref().and_then(waxseal_tuf::PublicKey::to_pem);
    let pem = key.context("the place of the key does not show its public half")?;
    let failed = || format!("cannot write {}", path.display());
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.with_context(failed)?;
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)
}
