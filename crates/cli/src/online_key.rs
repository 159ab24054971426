//! The online key of an index, from where its configuration says.

use std::path::Path;

use waxseal_signing::{KeyError, TokenError};
use waxseal_tuf::Signer;

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::terminal::Terminal;

/// Opens the online key of the index in `folder`. A failure names the line of its configuration to
/// change.
pub(crate) fn open(folder: &Path, config: &Config) -> anyhow::Result<Box<dyn Signer>> {
    let uri = config.online_key(folder)?;
    waxseal_signing::open(&uri, &Terminal).map_err(|error| {
        let Some(line) = remedy(&error, &config.online_key) else { return error.into() };
        let file = folder.join("waxseal.toml");
        Failure::new(
            Exit::Failed,
            format!("cannot open the online key: {error}"),
            format!("for a server without a terminal, this line in {}: {line}", file.display()),
        )
        .into()
    })
}

/// The line with which it would not fail.
fn remedy(error: &KeyError, online_key: &str) -> Option<String> {
    let with = match error {
        KeyError::Unencrypted { .. } => "development",
        KeyError::NoPassphrase { .. } => {
            "passphrase-source=file:/run/credentials/waxseal.service/online-passphrase"
        }
        KeyError::Token(TokenError::NoPin { .. }) => {
            "pin-source=file:/run/credentials/waxseal.service/online-pin"
        }
        _ => return None,
    };
    let separator = if online_key.contains('?') { '&' } else { '?' };
    Some(format!("online-key = \"{online_key}{separator}{with}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_add_keeps_what_is_there() {
        let (place, uri) = ("k".to_owned(), "file:/data/k?x=y".to_owned());
        let line = remedy(&KeyError::NoPassphrase { place, uri }, "file:k?x=y").unwrap_or_default();
        let expected = "online-key = \"file:k?x=y&passphrase-source=file:/run/credentials/";
        assert!(line.starts_with(expected), "{line}");
    }
}
