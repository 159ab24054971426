use std::fmt;

use cryptoki::error::{Error, RvError};

/// Why a token, or the module that speaks to it, cannot be used. The texts never hold a PIN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing says which library speaks to the token.
    #[error(
        "{uri} does not say which PKCS#11 module to use: add `?module-path=/…/NAME.so` to it, or set \
         WAXSEAL_PKCS11_MODULE to that path; common ones are /usr/lib/softhsm/libsofthsm2.so, \
         libykcs11.so (YubiKey) and opensc-pkcs11.so (smart cards)"
    )]
    NoModule {
        /// The key's URI.
        uri: String,
    },
    /// The library cannot be used.
    #[error(
        "cannot use the PKCS#11 module {module}: {problem}; check its path and that it is installed"
    )]
    Module {
        /// Its path or name.
        module: String,
        /// What went wrong.
        problem: String,
    },
    /// No token is as the URI says.
    #[error(
        "no token is there for {uri}: {}; plug it in, or correct the URI (`waxseal key list \
         'pkcs11:?module-path=…'` shows what there is)",
        present(tokens)
    )]
    NoToken {
        /// The key's URI.
        uri: String,
        /// The tokens that are there.
        tokens: Vec<String>,
    },
    /// More than one is.
    #[error("{uri} fits more than one token: add `serial=` or `slot-id=` to it: {}", lines(tokens))]
    SeveralTokens {
        /// The key's URI.
        uri: String,
        /// The tokens that fit.
        tokens: Vec<String>,
    },
    /// The token has no name, PIN or keys yet.
    #[error(
        "the token {token} is not ready for use: it has no {missing} yet; its maker's tool sets that, or \
         `pkcs11-tool --module MODULE --init-token --label NAME`, then `--init-pin`"
    )]
    NotReady {
        /// The token.
        token: String,
        /// What it lacks.
        missing: &'static str,
    },
    /// No key on the token is as the URI says.
    #[error("the token {token} has no {what} for {uri}: {}", present(keys))]
    NoKey {
        /// The token.
        token: String,
        /// The kind of object.
        what: &'static str,
        /// The key's URI.
        uri: String,
        /// The keys that are there.
        keys: Vec<String>,
    },
    /// More than one is.
    #[error("{uri} fits more than one key: say in it which by `id=`: {}", lines(keys))]
    SeveralKeys {
        /// The key's URI.
        uri: String,
        /// The keys that fit.
        keys: Vec<String>,
    },
    /// A new key would have the name or the id of one that is there.
    #[error("the token {token} has {key} already: give the new key another name and id")]
    Exists {
        /// The token.
        token: String,
        /// What is there.
        key: String,
    },
    /// The URI of a new key does not name it.
    #[error("{uri} does not name the new key: add `object=NAME` to it")]
    Unnamed {
        /// The key's URI.
        uri: String,
    },
    /// A PIN is needed, and nobody can be asked.
    #[error(
        "the token {token} needs its PIN, and there is no terminal to ask for it: run this at one, or say in \
         the key's URI where the PIN is, in a file (\"{}\") or in a variable (\"{}\")",
        crate::error::with_source(uri, crate::uri::PIN_SOURCE, "file:PATH"),
        crate::error::with_source(uri, crate::uri::PIN_SOURCE, "env:NAME")
    )]
    NoPin {
        /// The token.
        token: String,
        /// The key's URI.
        uri: String,
    },
    /// The PIN is another one.
    #[error(
        "the token {token} says that the PIN {from} is wrong. Wrong PINs count, and after a few the token \
         locks itself; {state}. It was not tried again"
    )]
    WrongPin {
        /// The token.
        token: String,
        /// Where the PIN came from.
        from: String,
        /// How the token says that it stands.
        state: PinState,
    },
    /// A PIN was refused before, and trying it again could lock the token.
    #[error(
        "the token {token} refused the PIN before, so it is not tried again: one more wrong PIN could lock \
         it. Correct the PIN where the URI says it is, then start this again"
    )]
    PinRefused {
        /// The token.
        token: String,
    },
    /// One wrong PIN would lock the token, and no person typed this one.
    #[error(
        "the token {token} has one try left before its PIN is locked, so the PIN of {from} was not tried: \
         log in by hand once with the right PIN, such as with `pkcs11-tool --login --list-objects`"
    )]
    FinalTry {
        /// The token.
        token: String,
        /// Where the PIN is.
        from: String,
    },
    /// Too many wrong PINs were tried.
    #[error(
        "the PIN of the token {token} is locked after too many wrong ones: its security officer sets a new \
         one with the SO PIN or PUK (`pkcs11-tool --init-pin --login --login-type so`)"
    )]
    PinLocked {
        /// The token.
        token: String,
    },
    /// It has no room for another key.
    #[error(
        "the token {token} is full: remove a key that is not needed from it, or use another token"
    )]
    Full {
        /// The token.
        token: String,
    },
    /// It lacks what the scheme needs.
    #[error("the token {token} cannot {action} keys of {scheme}: it lacks {mechanism}; {instead}")]
    Cannot {
        /// The token.
        token: String,
        /// To do what.
        action: &'static str,
        /// The scheme of TUF.
        scheme: &'static str,
        /// The mechanism of PKCS#11.
        mechanism: &'static str,
        /// What can be done.
        instead: &'static str,
    },
    /// It wants its PIN for each signature.
    #[error(
        "the key {uri} asks for its PIN at each signature (CKA_ALWAYS_AUTHENTICATE), which is not supported: \
         use another key or slot, such as 9a in place of 9c on a YubiKey"
    )]
    AlwaysAuthenticate {
        /// The key's URI.
        uri: String,
    },
    /// The key is of a kind that cannot sign here.
    #[error("the key {uri} is not an Ed25519 or an ECDSA P-256 key")]
    Kind {
        /// The key's URI.
        uri: String,
    },
    /// The token signs with another key than before.
    #[error(
        "the token {token} now signs with another key than before: put back the one that was there"
    )]
    OtherKey {
        /// The token.
        token: String,
    },
    /// It is gone, or the session with it is.
    #[error(
        "the token {token} is gone or does not answer ({problem}): put it back; the next signing logs in \
         again"
    )]
    Lost {
        /// The token.
        token: String,
        /// What the module says.
        problem: String,
    },
    /// Something else.
    #[error("the token {token} failed to {action}: {problem}")]
    Other {
        /// The token.
        token: String,
        /// What it was to do.
        action: &'static str,
        /// What the module says.
        problem: String,
    },
}

/// How many wrong PINs a token still takes, as far as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinState {
    /// It says nothing.
    Unsaid,
    /// At least one was wrong since the last right one.
    CountLow,
    /// The next wrong one locks it.
    FinalTry,
    /// It is locked.
    Locked,
}

impl fmt::Display for PinState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsaid => "this one does not say how many are left",
            Self::CountLow => {
                "this one says that fewer are left than before (CKF_USER_PIN_COUNT_LOW)"
            }
            Self::FinalTry => "this one says that ONE is left (CKF_USER_PIN_FINAL_TRY)",
            Self::Locked => "this one is locked now (CKF_USER_PIN_LOCKED)",
        })
    }
}

impl TokenError {
    /// Of an error of a module that was asked to do something.
    pub(super) fn of(token: &str, action: &'static str, error: &Error) -> Self {
        let token = token.to_owned();
        let problem = text(error);
        match error {
            Error::Pkcs11(RvError::DeviceMemory, _) => Self::Full { token },
            Error::Pkcs11(RvError::PinLocked, _) => Self::PinLocked { token },
            Error::Pkcs11(RvError::UserPinNotInitialized, _) => {
                Self::NotReady { token, missing: "PIN" }
            }
            error if is_gone(error) => Self::Lost { token, problem },
            // A module that cannot write says no more than that, and making a key is what writes.
            error if is_vague(error) && action == MAKE => {
                let problem = format!("{problem}; it may be full, or protected against writing");
                Self::Other { token, action, problem }
            }
            error if is_vague(error) => Self::Lost { token, problem },
            _ => Self::Other { token, action, problem },
        }
    }
}

/// What a token does when it is to make a key.
pub(super) const MAKE: &str = "make a key";

/// Whether the token was taken out, or its session ended.
fn is_gone(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::DeviceRemoved
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::SlotIdInvalid
                | RvError::SessionClosed
                | RvError::SessionHandleInvalid
                | RvError::UserNotLoggedIn
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::CryptokiNotInitialized,
            _
        )
    )
}

/// Whether it may be that, or anything else.
fn is_vague(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(RvError::DeviceError | RvError::GeneralError | RvError::FunctionFailed, _)
    )
}

/// The name that PKCS#11 gives it, which is what a person finds in its documents.
pub(super) fn text(error: &Error) -> String {
    match error {
        Error::Pkcs11(code, function) => format!("{} in C_{function:?}", code_name(*code)),
        // Its own text names the library once more, and what the system says.
        Error::LibraryLoading(error) => error.to_string(),
        error => error.to_string(),
    }
}

fn code_name(code: RvError) -> String {
    let name = format!("{code:?}");
    let Some(first) = name.chars().next().filter(|_| !name.contains('(')) else { return name };
    let rest = name.chars().skip(1).flat_map(|c| match c.is_ascii_uppercase() {
        true => vec!['_', c],
        false => vec![c.to_ascii_uppercase()],
    });
    std::iter::once('C').chain("KR_".chars()).chain([first]).chain(rest).collect()
}

fn present(names: &[String]) -> String {
    match names.is_empty() {
        true => "there is none".to_owned(),
        false => format!("there is {}", lines(names)),
    }
}

fn lines(names: &[String]) -> String {
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    /// What a real token of the tests cannot be brought to.
    #[test]
    fn each_failure_of_a_module_has_a_text_that_says_what_to_do() {
        for (code, part) in [
            (RvError::DeviceMemory, "is full: remove a key"),
            (RvError::PinLocked, "locked after too many"),
            (RvError::UserPinNotInitialized, "has no PIN yet"),
            (RvError::DeviceRemoved, "(CKR_DEVICE_REMOVED in C_Sign): put it back"),
            (RvError::SessionHandleInvalid, "CKR_SESSION_HANDLE_INVALID"),
            (RvError::GeneralError, "(CKR_GENERAL_ERROR in C_Sign): put it back"),
            (RvError::MechanismInvalid, "failed to sign: CKR_MECHANISM_INVALID"),
            (RvError::SessionCount, "CKR_SESSION_COUNT"),
        ] {
            let error = TokenError::of("office", "sign", &Error::Pkcs11(code, Function::Sign));
            let text = error.to_string();
            assert!(text.contains(part) && text.contains("the token office"), "{text}");
        }
        let error = Error::Pkcs11(RvError::GeneralError, Function::GenerateKeyPair);
        let text = TokenError::of("office", MAKE, &error).to_string();
        assert!(text.contains("it may be full, or protected against writing"), "{text}");
        for (state, part) in [
            (PinState::CountLow, "CKF_USER_PIN_COUNT_LOW"),
            (PinState::FinalTry, "ONE is left (CKF_USER_PIN_FINAL_TRY)"),
            (PinState::Locked, "locked now (CKF_USER_PIN_LOCKED)"),
        ] {
            let (token, from) = ("office".to_owned(), "that was typed".to_owned());
            let text = TokenError::WrongPin { token, from, state }.to_string();
            assert!(text.contains(part) && text.contains("not tried again"), "{text}");
        }
    }
}
