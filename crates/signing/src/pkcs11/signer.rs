//! Signing on a token, from many threads, also when it was out in between.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use waxseal_tuf::hash::{Hashed, Sha256};
use waxseal_tuf::{PublicKey, SignError, Signer};

use super::error::TokenError;
use super::module::{Loaded, Module, Ready};
use super::uri::Wanted;
use super::{der, object, token};
use crate::error::KeyError;
use crate::passphrases::Passphrases;
use crate::private_key::Scheme;
use crate::uri::KeyUri;

/// How long a token that takes no more sessions is waited for.
const SESSION_WAIT: Duration = Duration::from_secs(10);

static KEYS: AtomicU64 = AtomicU64::new(0);

/// A private key on a token.
pub(super) struct TokenKey {
    /// Its sessions' number.
    number: u64,
    uri: KeyUri,
    wanted: Wanted,
    module: Arc<Module>,
    public: PublicKey,
    scheme: Scheme,
    /// The token's name, for errors.
    token: String,
    /// One thread logs in, and the others find it done: of a wrong PIN each try would count.
    logging_in: Mutex<()>,
}

impl TokenKey {
    /// Finds the key and logs in.
    pub(super) fn open(uri: &KeyUri, passphrases: &dyn Passphrases) -> Result<Self, KeyError> {
        match Self::open_now(uri, passphrases) {
            // A module that saw a token go can know that it is back only when it starts anew.
            Err(KeyError::Token(TokenError::Lost { .. } | TokenError::NoToken { .. })) => {
                let module = Module::of(uri)?;
                let generation = module.with(|loaded| Ok(loaded.generation))?;
                module.restart(generation)?;
                Self::open_now(uri, passphrases)
            }
            opened => opened,
        }
    }

    fn open_now(uri: &KeyUri, passphrases: &dyn Passphrases) -> Result<Self, KeyError> {
        let wanted = Wanted::parse(uri.place())?;
        let module = Module::of(uri)?;
        let number = KEYS.fetch_add(1, Ordering::Relaxed);
        let (public, scheme, token) = super::with(&module, |loaded| {
            let ready = connect(&module, loaded, uri, &wanted, Some(passphrases))?;
            let described = describe(loaded, &ready, uri, &wanted)?;
            loaded.put(number, ready);
            Ok(described)
        })?;
        let (uri, logging_in) = (uri.clone(), Mutex::default());
        Ok(Self { number, uri, wanted, module, public, scheme, token, logging_in })
    }

    fn sign_now(&self, data: &[u8]) -> Result<Vec<u8>, (TokenError, u64)> {
        let mut generation = 0;
        let signed = self.module.with(|loaded| {
            generation = loaded.generation;
            let ready = self.session(loaded)?;
            let mechanism = match self.scheme {
                Scheme::Ed25519 => {
                    Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519))
                }
                Scheme::EcdsaP256 => Mechanism::Ecdsa,
            };
            match ready.session.sign(&mechanism, ready.key, data) {
                Ok(signature) => {
                    loaded.put(self.number, ready);
                    Ok(signature)
                }
                Err(error) => {
                    let error = TokenError::of(&self.token, "sign", &error);
                    if matches!(error, TokenError::Lost { .. }) {
                        drop(ready);
                        loaded.forget(self.number);
                    } else {
                        // The session is as good as before; a new one would need a login.
                        loaded.put(self.number, ready);
                    }
                    Err(error)
                }
            }
        });
        signed.map_err(|error| (error, generation))
    }

    /// A session that can sign: one that is free, or a new one.
    fn session(&self, loaded: &Loaded) -> Result<Ready, TokenError> {
        let until = Instant::now() + SESSION_WAIT;
        loop {
            if let Some(ready) = loaded.take(self.number) {
                return Ok(ready);
            }
            let guard = self.logging_in.lock().unwrap_or_else(PoisonError::into_inner);
            match connect(&self.module, loaded, &self.uri, &self.wanted, None) {
                Ok(ready) => return Ok(ready),
                Err(KeyError::Token(TokenError::Other { problem, .. }))
                    if problem.contains("CKR_SESSION_COUNT") && Instant::now() < until =>
                {
                    // The other threads have all that there are, and put them back.
                    drop(guard);
                    thread::sleep(Duration::from_millis(2));
                }
                Err(KeyError::Token(error)) => return Err(error),
                Err(error) => {
                    let (token, problem) = (self.token.clone(), error.to_string());
                    return Err(TokenError::Other { token, action: "log in", problem });
                }
            }
        }
    }

    /// The signature as TUF has it; `None` if it is not one of this key.
    fn verified(&self, message: &[u8], raw: Vec<u8>) -> Option<Vec<u8>> {
        let signature = match self.scheme {
            Scheme::Ed25519 => raw,
            Scheme::EcdsaP256 => der::of_raw(&raw)?,
        };
        self.public.verifies(message, &signature).then_some(signature)
    }

    fn refused(&self, error: &TokenError) -> SignError {
        SignError { key: self.uri.to_string(), problem: error.to_string() }
    }
}

impl Signer for TokenKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self.scheme {
            Scheme::Ed25519 => self.sign_as_token(message, message),
            // Not every token hashes by itself.
            Scheme::EcdsaP256 => self.sign_as_token(message, &Sha256::of(message).0),
        }
    }

    fn sign_hashed(&self, message: &Hashed) -> Result<Vec<u8>, SignError> {
        match self.scheme {
            Scheme::Ed25519 => self.sign(message.bytes()),
            Scheme::EcdsaP256 => self.sign_as_token(message.bytes(), &message.sha256().0),
        }
    }
}

impl TokenKey {
    /// The signature over a message, of which the token is given `data`.
    fn sign_as_token(&self, message: &[u8], data: &[u8]) -> Result<Vec<u8>, SignError> {
        let raw = match self.sign_now(data) {
            // The token may be back: a module that saw it go can know so only when it starts anew.
            Err((error @ (TokenError::Lost { .. } | TokenError::NoToken { .. }), generation)) => {
                self.module.restart(generation).map_err(|_| self.refused(&error))?;
                self.sign_now(data).map_err(|(error, _)| self.refused(&error))?
            }
            signed => signed.map_err(|(error, _)| self.refused(&error))?,
        };
        // Another token may be there under the same name; and what a token signs wrongly must not go out.
        self.verified(message, raw).ok_or_else(|| {
            let _ = self.module.with(|loaded| {
                loaded.forget(self.number);
                Ok(())
            });
            self.refused(&TokenError::OtherKey { token: self.token.clone() })
        })
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// A session with the URI's token, logged in, and the URI's key.
fn connect(
    module: &Module,
    loaded: &Loaded,
    uri: &KeyUri,
    wanted: &Wanted,
    passphrases: Option<&dyn Passphrases>,
) -> Result<Ready, KeyError> {
    let token = token::one(&loaded.context, uri, wanted)?;
    let session = loaded
        .context
        .open_ro_session(token.slot)
        .map_err(|error| TokenError::of(&token.name, "open a session", &error))?;
    token::log_in(module, &loaded.context, &session, &token, uri, passphrases)?;
    let key = object::private(&session, &token, uri, wanted)?.handle;
    Ok(Ready { session, key })
}

/// The public half, how it signs, and the token's name.
fn describe(
    loaded: &Loaded,
    ready: &Ready,
    uri: &KeyUri,
    wanted: &Wanted,
) -> Result<(PublicKey, Scheme, String), KeyError> {
    let token = token::one(&loaded.context, uri, wanted)?;
    let private = object::private(&ready.session, &token, uri, wanted)?;
    let public = object::public_of(&ready.session, &token, uri, &private)?;
    let scheme: Scheme = public.scheme().unwrap_or_default().parse()?;
    token::check_scheme(&loaded.context, &token, scheme, false)?;
    Ok((public, scheme, token.name))
}
