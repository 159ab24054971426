//! Keys on tokens: hardware security modules, smart cards, software that acts as one.
//!
//! `uri.rs` says which token and key a URI means, `module.rs` loads the library that speaks to it,
//! `token.rs` logs in, `object.rs` finds and makes keys, `signer.rs` signs.

mod der;
mod error;
mod module;
mod object;
mod signer;
mod token;
mod uri;

use cryptoki::object::ObjectClass;
use waxseal_tuf::Signer;

pub use error::{PinState, TokenError};

use crate::backend::{KeyBackend, KeyInfo, Protection};
use crate::error::KeyError;
use crate::passphrases::Passphrases;
use crate::private_key::Scheme;
use crate::uri::{KeyUri, PIN_SOURCE, invalid};
use module::{Loaded, Module};
use object::Found;
use signer::TokenKey;
use token::Token;
use uri::Wanted;

/// `pkcs11:…` (RFC 7512).
pub(crate) struct Pkcs11Backend;

impl KeyBackend for Pkcs11Backend {
    fn scheme(&self) -> &'static str {
        "pkcs11"
    }

    fn form(&self) -> &'static str {
        "pkcs11:token=TOKEN;object=NAME"
    }

    fn attributes(&self) -> &'static [&'static str] {
        &["module-path", "module-name", PIN_SOURCE]
    }

    fn check(&self, uri: KeyUri) -> Result<KeyUri, KeyError> {
        let wanted = Wanted::parse(uri.place())?;
        if uri.attribute("module-path").is_some_and(|path| !path.starts_with('/')) {
            return Err(invalid("`module-path` is an absolute path"));
        }
        if uri.attribute("module-name").is_some_and(|name| name.contains(['/', '\0'])) {
            return Err(invalid(
                "`module-name` is a name without folders: use `module-path` for a path",
            ));
        }
        Ok(uri.with_place(wanted.to_place()))
    }

    fn open(
        &self,
        uri: &KeyUri,
        passphrases: &dyn Passphrases,
    ) -> Result<Box<dyn Signer>, KeyError> {
        Ok(Box::new(TokenKey::open(uri, passphrases)?))
    }

    fn generate(
        &self,
        uri: &KeyUri,
        scheme: Scheme,
        passphrases: &dyn Passphrases,
    ) -> Result<KeyInfo, KeyError> {
        let wanted = Wanted::parse(uri.place())?;
        let module = Module::of(uri)?;
        let info = with(&module, |loaded| {
            let token = token::one(&loaded.context, uri, &wanted)?;
            token::check_scheme(&loaded.context, &token, scheme, true)?;
            if wanted.object.is_none() {
                return Err(TokenError::Unnamed { uri: uri.to_string() }.into());
            }
            let session = loaded
                .context
                .open_rw_session(token.slot)
                .map_err(|error| TokenError::of(&token.name, "open a session", &error))?;
            token::log_in(&module, &loaded.context, &session, &token, uri, Some(passphrases))?;
            let (found, public) = object::generate(&session, &token, uri, &wanted, scheme)?;
            let mut info = describe(uri, &token, &found);
            (info.public_key, info.problem) = (Some(public), None);
            Ok(info)
        })?;
        // What it says it made has to be what it signs with.
        let signed = TokenKey::open(&info.uri, passphrases)?.sign(b"waxseal: a new key");
        signed.map_err(|error| TokenError::Other {
            token: info.uri.to_string(),
            action: "sign with the key that it made",
            problem: error.problem,
        })?;
        Ok(info)
    }

    /// Of the public key, which a token shows without a PIN, or else of the private one with it.
    fn inspect(&self, uri: &KeyUri, passphrases: &dyn Passphrases) -> Result<KeyInfo, KeyError> {
        let wanted = Wanted::parse(uri.place())?;
        let mut found = self.list(uri)?;
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => {
                let module = Module::of(uri)?;
                let mut info = with(&module, |loaded| {
                    let token = token::one(&loaded.context, uri, &wanted)?;
                    let (public_key, problem) = (None, None);
                    let protection = protection(&token);
                    Ok(KeyInfo { uri: uri.clone(), public_key, protection, problem })
                })?;
                info.public_key = Some(TokenKey::open(uri, passphrases)?.public_key().clone());
                Ok(info)
            }
            _ => {
                let keys = found.iter().map(|info| info.uri.to_string()).collect();
                Err(TokenError::SeveralKeys { uri: uri.to_string(), keys }.into())
            }
        }
    }

    fn list(&self, uri: &KeyUri) -> Result<Vec<KeyInfo>, KeyError> {
        let wanted = Wanted::parse(uri.place())?;
        with(&*Module::of(uri)?, |loaded| {
            let mut found = Vec::new();
            for token in token::all(&loaded.context, &wanted)? {
                if !token.info.token_initialized() {
                    continue;
                }
                let session = loaded
                    .context
                    .open_ro_session(token.slot)
                    .map_err(|error| TokenError::of(&token.name, "open a session", &error))?;
                let keys = object::all(&session, &token, ObjectClass::PUBLIC_KEY, &wanted)?;
                found.extend(keys.iter().map(|key| describe(uri, &token, key)));
            }
            Ok(found)
        })
    }

    fn check_scheme(&self, uri: &KeyUri, scheme: Scheme) -> Result<(), KeyError> {
        let wanted = Wanted::parse(uri.place())?;
        with(&*Module::of(uri)?, |loaded| {
            let token = token::one(&loaded.context, uri, &wanted)?;
            Ok(token::check_scheme(&loaded.context, &token, scheme, true)?)
        })
    }
}

/// Does something with a module whose errors are of more than the token.
fn with<T>(
    module: &Module,
    work: impl FnOnce(&Loaded) -> Result<T, KeyError>,
) -> Result<T, KeyError> {
    module.with(|loaded| Ok(work(loaded)))?
}

fn describe(uri: &KeyUri, token: &Token, key: &Found) -> KeyInfo {
    KeyInfo {
        uri: uri::of_key(uri, &token.info, &key.label, &key.id),
        public_key: key.public.clone(),
        protection: protection(token),
        problem: key.public.is_none().then(|| {
            "it is of a kind that cannot sign here: Ed25519 and ECDSA P-256 can".to_owned()
        }),
    }
}

fn protection(token: &Token) -> Protection {
    Protection::Token { token: token.name.clone(), device: token.device() }
}
