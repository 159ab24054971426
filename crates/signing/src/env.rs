//! Keys in environment variables, as containers get them.

use waxseal_tuf::Signer;

use crate::backend::{KeyBackend, KeyInfo};
use crate::error::KeyError;
use crate::passphrases::{Nobody, Passphrases};
use crate::private_key::Scheme;
use crate::secret::{is_variable, variable};
use crate::stored;
use crate::uri::{KeyUri, PASSPHRASE_SOURCE, invalid};

/// `env:NAME`: the PEM itself.
pub(crate) struct EnvBackend;

impl KeyBackend for EnvBackend {
    fn scheme(&self) -> &'static str {
        "env"
    }

    fn form(&self) -> &'static str {
        "env:NAME"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &[PASSPHRASE_SOURCE, "development"]
    }

    fn check(&self, uri: KeyUri) -> Result<KeyUri, KeyError> {
        match is_variable(uri.place()) {
            true => Ok(uri),
            // The text is not repeated: it may be the key.
            false => Err(invalid(
                "`env:` must go on with the name of a variable, in upper-case letters, digits and `_`",
            )),
        }
    }

    fn open(
        &self,
        uri: &KeyUri,
        passphrases: &dyn Passphrases,
    ) -> Result<Box<dyn Signer>, KeyError> {
        let pem = variable(uri.place())?;
        Ok(Box::new(stored::open(&pem, &place(uri), uri, passphrases)?))
    }

    fn generate(&self, _: &KeyUri, _: Scheme, _: &dyn Passphrases) -> Result<KeyInfo, KeyError> {
        Err(KeyError::Unsupported {
            problem: "a key cannot be made in a variable: make it in a file, and put the file's \
                      contents into the variable",
        })
    }

    fn inspect(&self, uri: &KeyUri, passphrases: &dyn Passphrases) -> Result<KeyInfo, KeyError> {
        stored::inspect(&variable(uri.place())?, &place(uri), uri, passphrases)
    }

    fn list(&self, uri: &KeyUri) -> Result<Vec<KeyInfo>, KeyError> {
        Ok(vec![self.inspect(uri, &Nobody)?])
    }

    fn check_scheme(&self, _: &KeyUri, _: Scheme) -> Result<(), KeyError> {
        Ok(())
    }
}

fn place(uri: &KeyUri) -> String {
    format!("the variable {}", uri.place())
}
