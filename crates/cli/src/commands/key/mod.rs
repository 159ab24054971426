mod generate;
mod inspect;
mod list;
mod passphrase;
mod shown;

use std::path::Path;
use std::process::ExitCode;

use waxseal_signing::KeyUri;

/// Make private keys, look at them, and change their passphrases.
///
/// A key URI says where a key is: `file:PATH`, `pkcs11:token=TOKEN;object=NAME?module-path=PATH` or
/// `env:NAME`. Passphrases and PINs are asked for at the terminal, or come from where the URI says:
/// `?passphrase-source=file:PATH` or `env:NAME`, and `pin-source=` of a token.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Key {
    Generate(generate::Generate),
    Inspect(inspect::Inspect),
    List(list::List),
    Passphrase(passphrase::Passphrase),
}

impl Key {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Generate(generate) => generate.run(),
            Self::Inspect(inspect) => inspect.run(),
            Self::List(list) => list.run(),
            Self::Passphrase(passphrase) => passphrase.run(),
        }
    }
}

/// A key URI, or the path of a file or folder that is there.
///
/// The text is not taken as an option's value by the parser of the command line, which would repeat it:
/// it may be a key.
fn uri_or_path(text: &str) -> anyhow::Result<KeyUri> {
    match text.parse() {
        Ok(uri) => Ok(uri),
        Err(_) if Path::new(text).exists() => Ok(KeyUri::file(Path::new(text))),
        Err(error) => Err(error.into()),
    }
}
