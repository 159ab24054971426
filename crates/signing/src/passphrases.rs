//! Whoever knows passphrases and PINs.

use std::fmt;
use std::io;

use crate::error::KeyError;
use crate::secret::{Secret, SecretSource};
use crate::strength;

/// How often a person may try.
const ATTEMPTS: usize = 3;

/// Whoever can be asked for a secret that a URI says no source of: a person at a terminal.
pub trait Passphrases: Send + Sync {
    /// The answer, or `None` where there is nobody to ask.
    ///
    /// # Errors
    /// When whoever was asked gave up, or cannot be reached any more.
    fn ask(&self, question: &Question<'_>) -> io::Result<Option<Secret>>;
}

/// Nobody.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Passphrases for Nobody {
    fn ask(&self, _: &Question<'_>) -> io::Result<Option<Secret>> {
        Ok(None)
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question<'a> {
    /// Which kind of secret.
    pub wanted: Wanted,
    /// What it opens: a file's name, or a token's.
    pub place: &'a str,
    /// What is to be said first: why the last answer would not do, or what hangs on this one.
    pub remark: Option<String>,
}

/// A kind of secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The passphrase of a key.
    Passphrase,
    /// A passphrase for a new key, or a new one.
    NewPassphrase,
    /// The same once more.
    Repetition,
    /// The PIN of a token.
    Pin,
}

impl fmt::Display for Question<'_> {
    /// As a prompt, without what is to be said first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wanted {
            Wanted::Passphrase => write!(f, "Passphrase of {}: ", self.place),
            Wanted::NewPassphrase => write!(f, "New passphrase for {}: ", self.place),
            Wanted::Repetition => write!(f, "The same again: "),
            Wanted::Pin => write!(f, "PIN of {}: ", self.place),
        }
    }
}

/// Opens something with the passphrase of its source, or else with one that is asked for, up to three
/// times. `open` gives `None` where the passphrase is wrong.
pub(crate) fn with_passphrase<T>(
    place: &str,
    uri: &str,
    source: Option<&SecretSource>,
    passphrases: &dyn Passphrases,
    open: impl Fn(&Secret) -> Result<Option<T>, KeyError>,
) -> Result<T, KeyError> {
    let place_owned = || place.to_owned();
    if let Some(source) = source {
        let opened = open(&source.read()?)?;
        return opened.ok_or_else(|| KeyError::WrongPassphrase {
            place: place_owned(),
            from: format!("in {source}"),
        });
    }
    let mut remark = None;
    for _ in 0..ATTEMPTS {
        let wrong = remark.is_some();
        let question = Question { wanted: Wanted::Passphrase, place, remark: remark.take() };
        let answer = passphrases.ask(&question).map_err(|source| KeyError::Ask { source })?;
        match answer {
            Some(secret) => match open(&secret)? {
                Some(opened) => return Ok(opened),
                None => remark = Some("That passphrase does not open it.".to_owned()),
            },
            None if wrong => break,
            None => {
                return Err(KeyError::NoPassphrase { place: place_owned(), uri: uri.to_owned() });
            }
        }
    }
    Err(KeyError::WrongPassphrase { place: place_owned(), from: "that was typed".to_owned() })
}

/// A new passphrase that is strong enough: of its source, or asked for twice, with up to three tries.
pub(crate) fn new_passphrase(
    place: &str,
    uri: &str,
    source: Option<&SecretSource>,
    passphrases: &dyn Passphrases,
) -> Result<Secret, KeyError> {
    let weak = |weakness| KeyError::WeakPassphrase { weakness };
    if let Some(source) = source {
        let secret = source.read()?;
        return strength::check(secret.expose()).map(|()| secret).map_err(weak);
    }
    let ask = |wanted, remark| {
        let question = Question { wanted, place, remark };
        passphrases.ask(&question).map_err(|source| KeyError::Ask { source })
    };
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let remark = last.as_ref().map(ToString::to_string);
        let Some(secret) = ask(Wanted::NewPassphrase, remark)? else {
            let nobody = KeyError::NoNewPassphrase { place: place.to_owned(), uri: uri.to_owned() };
            return Err(last.unwrap_or(nobody));
        };
        if let Err(weakness) = strength::check(secret.expose()) {
            last = Some(weak(weakness));
            continue;
        }
        match ask(Wanted::Repetition, None)? {
            Some(again) if again == secret => return Ok(secret),
            _ => last = Some(KeyError::Unlike),
        }
    }
    Err(last.unwrap_or(KeyError::Unlike))
}
