//! Tokens: which one a URI means, what it can do, and logging in.

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::{MechanismInfo, MechanismType};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;

use super::error::{PinState, TokenError};
use super::module::{Module, Pin};
use super::uri::Wanted;
use crate::error::KeyError;
use crate::passphrases::{Passphrases, Question, Wanted as WantedSecret};
use crate::private_key::Scheme;
use crate::secret::Secret;
use crate::uri::{KeyUri, PIN_SOURCE};

/// A token that is there.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) slot: Slot,
    pub(super) info: TokenInfo,
    /// Its label, or its slot where it has none.
    pub(super) name: String,
}

impl Token {
    /// What tells it from others.
    pub(super) fn identity(&self) -> String {
        format!("{} {}", self.info.serial_number().trim_end(), self.info.label().trim_end())
    }

    /// Who made it, its model and its serial number.
    pub(super) fn device(&self) -> String {
        let info = &self.info;
        let parts = [info.manufacturer_id(), info.model(), info.serial_number()];
        let parts: Vec<_> =
            parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
        parts.join(" ")
    }

    fn shown(&self) -> String {
        format!("{} ({}, slot-id {})", self.name, self.device(), self.slot.id())
    }

    /// How many wrong PINs it takes, asked anew.
    fn pin_state(&self, context: &Pkcs11) -> PinState {
        let info = context.get_token_info(self.slot).unwrap_or_else(|_| self.info.clone());
        match info {
            info if info.user_pin_locked() => PinState::Locked,
            info if info.user_pin_final_try() => PinState::FinalTry,
            info if info.user_pin_count_low() => PinState::CountLow,
            _ => PinState::Unsaid,
        }
    }
}

/// Every token that a URI means.
pub(super) fn all(context: &Pkcs11, wanted: &Wanted) -> Result<Vec<Token>, TokenError> {
    let failed = |error: Error| TokenError::of("of this module", "list its slots", &error);
    let library = context.get_library_info().map_err(failed)?;
    if !wanted.fits_library(&library) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for slot in context.get_slots_with_token().map_err(failed)? {
        // One that is taken out just now is not there.
        let (Ok(slot_info), Ok(info)) = (context.get_slot_info(slot), context.get_token_info(slot))
        else {
            continue;
        };
        if wanted.fits_token(slot, &slot_info, &info) {
            let name = match info.label().trim_end() {
                "" => format!("in slot {}", slot.id()),
                label => label.to_owned(),
            };
            found.push(Token { slot, info, name });
        }
    }
    Ok(found)
}

/// The one token that a URI means, which has to be ready for use.
pub(super) fn one(context: &Pkcs11, uri: &KeyUri, wanted: &Wanted) -> Result<Token, TokenError> {
    let shown = |tokens: &[Token]| tokens.iter().map(Token::shown).collect();
    let mut found = all(context, wanted)?;
    // Some modules have a slot with nothing in it for the next token to be set up.
    if found.len() > 1 {
        found.retain(|token| token.info.token_initialized());
    }
    let token = match found.len() {
        0 => {
            let mut tokens = all(context, &Wanted::default())?;
            // A slot for the next token to be set up is none that somebody meant.
            tokens.retain(|token| token.info.token_initialized());
            return Err(TokenError::NoToken { uri: uri.to_string(), tokens: shown(&tokens) });
        }
        1 => found.remove(0),
        _ => {
            return Err(TokenError::SeveralTokens { uri: uri.to_string(), tokens: shown(&found) });
        }
    };
    let not_ready = |missing| TokenError::NotReady { token: token.name.clone(), missing };
    if !token.info.token_initialized() {
        return Err(not_ready("name and security officer"));
    }
    if token.info.login_required() && !token.info.user_pin_initialized() {
        return Err(not_ready("PIN"));
    }
    Ok(token)
}

/// Logs in, with the PIN that is known, or that of the URI's source, or one that is asked for. A PIN that
/// is wrong is never tried twice.
pub(super) fn log_in(
    module: &Module,
    context: &Pkcs11,
    session: &Session,
    token: &Token,
    uri: &KeyUri,
    passphrases: Option<&dyn Passphrases>,
) -> Result<(), KeyError> {
    let failed = |error: &Error| TokenError::of(&token.name, "log in", error);
    let state = session.get_session_info().map_err(|error| failed(&error))?.session_state();
    if matches!(state, SessionState::RoUser | SessionState::RwUser) || !token.info.login_required()
    {
        return Ok(());
    }
    let name = || token.name.clone();
    let pins = token.pin_state(context);
    if pins == PinState::Locked {
        return Err(TokenError::PinLocked { token: name() }.into());
    }
    let (pin, from) = match (module.pin(&token.identity()), passphrases) {
        (Some(Pin::Known(pin)), _) => (Pin::Known(pin), "that it took before".to_owned()),
        (Some(Pin::None), _) => (Pin::None, String::new()),
        (Some(Pin::Refused), None) => return Err(TokenError::PinRefused { token: name() }.into()),
        (None | Some(Pin::Refused), passphrases) => find_pin(token, uri, pins, passphrases)?,
    };
    let auth = match &pin {
        Pin::Known(pin) => Some(AuthPin::from(pin.expose().to_owned())),
        Pin::None | Pin::Refused => None,
    };
    match session.login(UserType::User, auth.as_ref()) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
            module.remember(&token.identity(), pin);
            Ok(())
        }
        Err(Error::Pkcs11(
            RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid,
            _,
        )) => {
            module.remember(&token.identity(), Pin::Refused);
            let state = token.pin_state(context);
            Err(TokenError::WrongPin { token: name(), from, state }.into())
        }
        Err(error) => Err(failed(&error).into()),
    }
}

/// The PIN and where it came from.
fn find_pin(
    token: &Token,
    uri: &KeyUri,
    state: PinState,
    passphrases: Option<&dyn Passphrases>,
) -> Result<(Pin, String), KeyError> {
    let name = || token.name.clone();
    if let Some(source) = uri.source(PIN_SOURCE)? {
        if state == PinState::FinalTry {
            let from = source.to_string();
            return Err(TokenError::FinalTry { token: name(), from }.into());
        }
        return Ok((Pin::Known(source.read()?), format!("of {source}")));
    }
    if token.info.protected_authentication_path() {
        return Ok((Pin::None, "that was typed at the token".to_owned()));
    }
    let remark = match state {
        PinState::FinalTry => {
            Some("ONE try is left: another wrong PIN locks this token.".to_owned())
        }
        PinState::CountLow => {
            Some("A wrong PIN was tried before; after a few the token locks itself.".to_owned())
        }
        PinState::Unsaid | PinState::Locked => None,
    };
    let place = format!("the token {}", token.name);
    let question = Question { wanted: WantedSecret::Pin, place: &place, remark };
    let answer: Option<Secret> = match passphrases {
        Some(passphrases) => {
            passphrases.ask(&question).map_err(|source| KeyError::Ask { source })?
        }
        None => None,
    };
    match answer {
        Some(pin) => Ok((Pin::Known(pin), "that was typed".to_owned())),
        None => Err(TokenError::NoPin { token: name(), uri: uri.to_string() }.into()),
    }
}

type Flag = fn(&MechanismInfo) -> bool;

/// Fails where a token cannot sign by a scheme, or cannot make such keys.
pub(super) fn check_scheme(
    context: &Pkcs11,
    token: &Token,
    scheme: Scheme,
    makes: bool,
) -> Result<(), TokenError> {
    let failed = |error: Error| TokenError::of(&token.name, "list what it can do", &error);
    let mechanisms = context.get_mechanism_list(token.slot).map_err(failed)?;
    let can = |wanted: MechanismType, flag: Flag| {
        // A module that says nothing more of a mechanism than that it has it is believed.
        mechanisms.contains(&wanted)
            && context.get_mechanism_info(token.slot, wanted).map_or(true, |info| flag(&info))
    };
    let (makes_pairs, signs): (Flag, Flag) =
        (MechanismInfo::generate_key_pair, MechanismInfo::sign);
    let (needs, instead) = match scheme {
        Scheme::Ed25519 => (
            [
                (
                    MechanismType::ECC_EDWARDS_KEY_PAIR_GEN,
                    makes_pairs,
                    "make",
                    "CKM_EC_EDWARDS_KEY_PAIR_GEN",
                ),
                (MechanismType::EDDSA, signs, "sign with", "CKM_EDDSA"),
            ],
            "use another token, or `--scheme ecdsa-sha2-nistp256`",
        ),
        Scheme::EcdsaP256 => (
            [
                (MechanismType::ECC_KEY_PAIR_GEN, makes_pairs, "make", "CKM_EC_KEY_PAIR_GEN"),
                (MechanismType::ECDSA, signs, "sign with", "CKM_ECDSA"),
            ],
            "use another token",
        ),
    };
    for (mechanism, flag, action, name) in needs {
        if (action == "make" && !makes) || can(mechanism, flag) {
            continue;
        }
        let token = token.name.clone();
        return Err(TokenError::Cannot {
            token,
            action,
            scheme: scheme.name(),
            mechanism: name,
            instead,
        });
    }
    Ok(())
}
