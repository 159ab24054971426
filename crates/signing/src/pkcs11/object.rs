//! Keys on a token: finding them, reading the public half, making new ones.

use aws_lc_rs::rand;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use waxseal_tuf::PublicKey;

use super::error::{MAKE, TokenError};
use super::token::Token;
use super::uri::{Wanted, encode_id};
use crate::private_key::Scheme;
use crate::uri::KeyUri;

/// The object identifiers of the curves in DER (RFC 8410, RFC 5480).
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// `edwards25519` as a `PrintableString`, as PKCS#11 3.0 has it; some tokens take that alone.
const EDWARDS25519: &[u8] = b"\x13\x0cedwards25519";

/// A key object that fits a URI.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) handle: ObjectHandle,
    pub(super) label: String,
    pub(super) id: Vec<u8>,
    /// The public half, where the object has it and it can sign here.
    pub(super) public: Option<PublicKey>,
    always_authenticate: bool,
}

impl Found {
    pub(super) fn shown(&self) -> String {
        format!("\"{}\" (id={})", self.label, encode_id(&self.id))
    }
}

/// The keys of a class that fit.
pub(super) fn all(
    session: &Session,
    token: &Token,
    class: ObjectClass,
    wanted: &Wanted,
) -> Result<Vec<Found>, TokenError> {
    let failed = |error: Error| TokenError::of(&token.name, "list its keys", &error);
    let mut found = Vec::new();
    for handle in session.find_objects(&[Attribute::Class(class)]).map_err(failed)? {
        let key = read(session, handle).map_err(failed)?;
        if wanted.fits_key(&key.label, &key.id) {
            found.push(key);
        }
    }
    // A token has them in any order.
    found.sort_by(|a, b| (&a.label, &a.id).cmp(&(&b.label, &b.id)));
    Ok(found)
}

/// The one private key that a URI means.
pub(super) fn private(
    session: &Session,
    token: &Token,
    uri: &KeyUri,
    wanted: &Wanted,
) -> Result<Found, TokenError> {
    let mut found = all(session, token, ObjectClass::PRIVATE_KEY, wanted)?;
    match found.len() {
        1 => {}
        0 => {
            let others = all(session, token, ObjectClass::PRIVATE_KEY, &Wanted::default())?;
            let keys = others.iter().map(Found::shown).collect();
            let (token, uri) = (token.name.clone(), uri.to_string());
            return Err(TokenError::NoKey { token, what: "private key", uri, keys });
        }
        _ => {
            let keys = found.iter().map(Found::shown).collect();
            return Err(TokenError::SeveralKeys { uri: uri.to_string(), keys });
        }
    }
    let key = found.remove(0);
    match key.always_authenticate {
        true => Err(TokenError::AlwaysAuthenticate { uri: uri.to_string() }),
        false => Ok(key),
    }
}

/// The public half of a private key: of the object with the same id and name, or of its own attributes.
pub(super) fn public_of(
    session: &Session,
    token: &Token,
    uri: &KeyUri,
    private: &Found,
) -> Result<PublicKey, TokenError> {
    let beside = all(session, token, ObjectClass::PUBLIC_KEY, &Wanted::default())?;
    let mut beside: Vec<_> = beside.iter().filter(|public| public.id == private.id).collect();
    if private.id.is_empty() || beside.len() > 1 {
        beside.retain(|public| public.label == private.label);
    }
    if beside.is_empty() && private.public.is_none() {
        let (token, uri) = (token.name.clone(), uri.to_string());
        return Err(TokenError::NoKey { token, what: "public key", uri, keys: Vec::new() });
    }
    let public = beside.first().and_then(|found| found.public.clone());
    let public = public.or_else(|| private.public.clone());
    public.ok_or_else(|| TokenError::Kind { uri: uri.to_string() })
}

fn read(session: &Session, handle: ObjectHandle) -> Result<Found, Error> {
    let wanted = [
        AttributeType::Label,
        AttributeType::Id,
        AttributeType::KeyType,
        AttributeType::EcParams,
        AttributeType::EcPoint,
        AttributeType::AlwaysAuthenticate,
    ];
    let (mut label, mut id, mut kind, mut params, mut point) =
        (String::new(), Vec::new(), None, Vec::new(), Vec::new());
    let mut always_authenticate = false;
    // What an object does not have is left out.
    for attribute in session.get_attributes(handle, &wanted)? {
        match attribute {
            Attribute::Label(text) => label = String::from_utf8_lossy(&text).into_owned(),
            Attribute::Id(bytes) => id = bytes,
            Attribute::KeyType(read) => kind = Some(read),
            Attribute::EcParams(bytes) => params = bytes,
            Attribute::EcPoint(bytes) => point = bytes,
            Attribute::AlwaysAuthenticate(read) => always_authenticate = read,
            _ => {}
        }
    }
    let public = kind.and_then(|kind| public_key(kind, &params, &point));
    Ok(Found { handle, label, id, public, always_authenticate })
}

/// The key of `CKA_EC_PARAMS` and `CKA_EC_POINT`.
fn public_key(kind: KeyType, params: &[u8], point: &[u8]) -> Option<PublicKey> {
    if kind == KeyType::EC_EDWARDS && [ED25519, EDWARDS25519].contains(&params) {
        let bare = unwrapped(point, 32, &[&[0x04, 0x20], &[0x03, 0x21, 0x00]]);
        return bare.try_into().ok().map(PublicKey::ed25519);
    }
    if kind == KeyType::EC && params == P256 {
        let bare = unwrapped(point, 65, &[&[0x04, 0x41], &[0x03, 0x42, 0x00]]);
        let key = PublicKey::from_spki(bare);
        return key.filter(|key| key.scheme() == Some(Scheme::EcdsaP256.name()));
    }
    None
}

/// A point of this length without what is around it: an `OCTET STRING` (PKCS#11 2.40), a `BIT STRING`, or
/// nothing, as some tokens have it.
fn unwrapped<'a>(point: &'a [u8], length: usize, wraps: &[&[u8]]) -> &'a [u8] {
    let found = wraps.iter().find_map(|wrap| point.strip_prefix(*wrap));
    found.filter(|bare| bare.len() == length).unwrap_or(point)
}

/// Makes a key that cannot be read out, and gives the name and id that it has.
pub(super) fn generate(
    session: &Session,
    token: &Token,
    uri: &KeyUri,
    wanted: &Wanted,
    scheme: Scheme,
) -> Result<(Found, PublicKey), TokenError> {
    let failed = |error: Error| TokenError::of(&token.name, MAKE, &error);
    let label =
        wanted.object.clone().ok_or_else(|| TokenError::Unnamed { uri: uri.to_string() })?;
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        for other in all(session, token, class, &Wanted::default())? {
            if other.label == label || Some(&other.id) == wanted.id.as_ref() {
                let token = token.name.clone();
                return Err(TokenError::Exists { token, key: other.shown() });
            }
        }
    }
    let mut id = [0; 8];
    rand::fill(&mut id).map_err(|_| {
        failed(Error::Pkcs11(RvError::RandomNoRng, cryptoki::context::Function::GenerateRandom))
    })?;
    let id = wanted.id.clone().unwrap_or_else(|| id.to_vec());
    let (mechanism, kind, curves): (_, _, &[&[u8]]) = match scheme {
        Scheme::Ed25519 => {
            (Mechanism::EccEdwardsKeyPairGen, KeyType::EC_EDWARDS, &[ED25519, EDWARDS25519])
        }
        Scheme::EcdsaP256 => (Mechanism::EccKeyPairGen, KeyType::EC, &[P256]),
    };
    let make = |curve: &[u8]| {
        let common = [
            Attribute::Token(true),
            Attribute::Label(label.clone().into_bytes()),
            Attribute::Id(id.clone()),
        ];
        let public = [
            Attribute::KeyType(kind),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(curve.to_vec()),
        ];
        let private = [
            Attribute::KeyType(kind),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        let public = [common.as_slice(), &public].concat();
        let private = [common.as_slice(), &private].concat();
        session.generate_key_pair(&mechanism, &public, &private)
    };
    let mut pair = make(curves[0]);
    for curve in &curves[1..] {
        if let Err(Error::Pkcs11(
            RvError::CurveNotSupported
            | RvError::DomainParamsInvalid
            | RvError::AttributeValueInvalid
            | RvError::TemplateInconsistent,
            _,
        )) = pair
        {
            pair = make(curve);
        }
    }
    let (public, private) = pair.map_err(failed)?;
    let public = read(session, public).map_err(failed)?.public;
    let private = read(session, private).map_err(failed)?;
    let public = public.ok_or_else(|| TokenError::Kind { uri: uri.to_string() })?;
    Ok((private, public))
}
