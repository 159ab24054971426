use std::collections::BTreeSet;
use std::sync::OnceLock;

use data_encoding::{BASE64, HEXLOWER, HEXUPPER};
use waxseal_tuf::json::{Object, Value};
use waxseal_tuf::{Error, Limits, Signer as _, Updater};

use super::cursor::Cursor;
use crate::simulator::{Simulator, TestKey};

/// A root with keys and signatures of the input's choice: real keys in several spellings, broken ones,
/// kinds that nobody knows; signatures that are real, of other bytes, of another key, broken or noise.
/// It is trusted exactly where a threshold of distinct real keys signed, and the error counts them right.
pub fn keys_and_signatures(input: &[u8]) {
    let mut input = Cursor::new(input);
    let root = ChosenRoot::read(&mut input);
    let signed = root.signed();
    let signatures = Signatures::read(&mut input, &signed);
    let mut file = Object::default();
    file.insert("signatures", signatures.value());
    file.insert("signed", signed);
    let file = Value::from(file).to_json();

    let result = Updater::new(&file, Simulator::now(), Limits::default());
    if !root.is_well_formed() || !signatures.is_well_formed() {
        let error = result.expect_err("a malformed root was trusted");
        assert_eq!(error.slug(), "malformed", "{error}");
        return;
    }
    let expected = root.signers(&signatures).len() as u64;
    match result {
        Ok(_) => assert!(expected >= root.threshold, "trusted, but {expected} keys signed"),
        Err(Error::Signatures { valid, threshold, .. }) => {
            assert_eq!(
                (valid, threshold),
                (expected, root.threshold),
                "valid signatures, threshold"
            );
            assert!(valid < threshold, "refused, although enough keys signed");
        }
        Err(error) => panic!("a well-formed root is refused: {error}"),
    }
}

/// A real key: what signs with it, and how metadata may spell it.
struct Known {
    key: TestKey,
    keytype: &'static str,
    scheme: &'static str,
    /// Values of `keyval.public` that are this key; the first one is what we write.
    publics: Vec<String>,
}

/// The real keys. A kind of key that `waxseal-tuf` learns gets its line here.
fn known_keys() -> &'static [Known] {
    static KNOWN: OnceLock<Vec<Known>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let mut known: Vec<Known> = ["a", "b", "c"].map(ed25519).into();
        known.push(ecdsa("ecdsa-sha2-nistp256", TestKey::ecdsa_p256()));
        known.push(ecdsa("ecdsa-sha2-nistp384", TestKey::ecdsa_p384()));
        known.push(rsa(TestKey::rsa()));
        known
    })
}

fn ed25519(label: &str) -> Known {
    let key = TestKey::new(label);
    let public = written(&key);
    let upper = public.to_uppercase();
    let mixed = format!("{}{}", &public[..32], &upper[32..]);
    Known { key, keytype: "ed25519", scheme: "ed25519", publics: vec![public, upper, mixed] }
}

fn ecdsa(scheme: &'static str, key: TestKey) -> Known {
    let pem = written(&key);
    let der = pem_body(&pem);
    // The point is the last of a `SubjectPublicKeyInfo`, after its first byte: uncompressed.
    let coordinate = if scheme.ends_with("256") { 32 } else { 48 };
    let point = &der[der.len() - 1 - 2 * coordinate..];
    let odd = point.last().unwrap() & 1;
    let compressed = [&[2 + odd], &point[1..=coordinate]].concat();
    let hex = [&der, point, &compressed].map(|bytes| HEXLOWER.encode(bytes));
    let mut publics = spellings_of_pem(&pem);
    publics.extend(hex.iter().map(|hex| hex.to_uppercase()));
    publics.extend(hex);
    Known { key, keytype: "ecdsa", scheme, publics }
}

fn rsa(key: TestKey) -> Known {
    let pem = written(&key);
    // What is in the `SubjectPublicKeyInfo` of a key of 2048 bits, after 24 bytes of heading.
    let bare = pem_of("RSA PUBLIC KEY", &pem_body(&pem)[24..]);
    let publics = spellings_of_pem(&pem).into_iter().chain(spellings_of_pem(&bare)).collect();
    Known { key, keytype: "rsa", scheme: "rsassa-pss-sha256", publics }
}

fn spellings_of_pem(pem: &str) -> Vec<String> {
    let before = format!("A key:\n{pem}");
    vec![pem.to_owned(), pem.replace('\n', "\r\n"), pem.trim_end().to_owned(), before]
}

fn pem_body(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    BASE64.decode(lines.collect::<String>().as_bytes()).unwrap()
}

fn pem_of(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
}

/// How this project spells a key: read from a root that lists it.
fn written(key: &TestKey) -> String {
    let mut root = Simulator::new().root;
    root.keys.insert(key.keyid(), key.public_key().clone());
    let file = waxseal_tuf::metadata::sign(&root, &[]).unwrap();
    let mut value = Value::parse(&file).unwrap();
    for name in ["signed", "keys", key.keyid().as_str(), "keyval", "public"] {
        let Value::Object(mut object) = value else { panic!("no object above {name}") };
        value = object.remove(name).unwrap();
    }
    let Value::String(public) = value else { panic!("no string") };
    public
}

impl Known {
    /// Whether a key of this type and scheme, with this key's value, is this key. ECDSA keys had
    /// their scheme's name as their type once.
    fn is_named(&self, keytype: &str, scheme: &str) -> bool {
        let older = self.keytype == "ecdsa" && keytype == scheme;
        scheme == self.scheme && (keytype == self.keytype || older)
    }

    /// A value of `keyval.public` that differs from this key's in one bit.
    fn broken(&self, input: &mut Cursor<'_>) -> String {
        if self.keytype == "ed25519" {
            let mut public = HEXLOWER.decode(self.publics[0].as_bytes()).unwrap();
            flip(&mut public, input);
            return HEXLOWER.encode(&public);
        }
        let mut der = pem_body(&self.publics[0]);
        // What comes before the key itself can be spelled in several ways.
        let key = der.len() - 64;
        flip(&mut der[key..], input);
        pem_of("PUBLIC KEY", &der)
    }
}

fn key_object(keytype: &str, scheme: &str, public: Value) -> Value {
    let mut object = Object::default();
    object.insert("keytype", keytype);
    object.insert("scheme", scheme);
    object.insert("keyval", Object::from_iter([("public", public)]));
    object.into()
}

/// Fields that nobody knows, which make no difference.
fn with_more(mut key: Value) -> Value {
    if let Value::Object(key) = &mut key {
        key.insert("keyid_hash_algorithms", vec!["sha256", "sha512"]);
        if let Some(Value::Object(mut keyval)) = key.remove("keyval") {
            keyval.insert("private", "");
            key.insert("keyval", keyval);
        }
    }
    key
}

/// A key as the input has it, and which of the real keys it is.
struct ChosenKey {
    keyid: String,
    value: Value,
    real: Option<usize>,
}

const KINDS: &[&str] = &[
    "ed25519",
    "ecdsa",
    "rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "rsassa-pss-sha256",
    "sigstore-oidc",
    "Fulcio",
    "ED25519",
    "",
];

impl ChosenKey {
    fn read(input: &mut Cursor<'_>) -> Self {
        let keyid = keyid(input);
        let number = input.below(known_keys().len());
        let known = &known_keys()[number];
        let named = |public: &str| key_object(known.keytype, known.scheme, Value::from(public));
        let (value, real) = match input.below(8) {
            0 | 1 => (named(&known.publics[0]), Some(number)),
            2 => {
                let spelling = input.below(known.publics.len());
                (named(&known.publics[spelling]), Some(number))
            }
            3 => (with_more(named(&known.publics[0])), Some(number)),
            4 => (named(&known.broken(input)), None),
            5 => {
                // A real key's value under another kind.
                let (keytype, scheme) = (input.one_of(KINDS), input.one_of(KINDS));
                let value = key_object(keytype, scheme, Value::from(known.publics[0].as_str()));
                (value, known.is_named(keytype, scheme).then_some(number))
            }
            6 => {
                let (keytype, scheme) = (input.one_of(KINDS), input.one_of(KINDS));
                let bytes = input.bytes(128);
                let public = match input.flag() {
                    false => HEXLOWER.encode(bytes),
                    true => pem_of("PUBLIC KEY", bytes),
                };
                (key_object(keytype, scheme, Value::from(public)), None)
            }
            _ => {
                let (keytype, scheme) = (input.one_of(KINDS), input.one_of(KINDS));
                let text = input.bytes(64);
                let noise = String::from_utf8_lossy(text).into_owned();
                let public = Value::parse(text).unwrap_or_else(|_| Value::from(noise));
                (key_object(keytype, scheme, public), None)
            }
        };
        Self { keyid, value, real }
    }
}

fn flip(bytes: &mut [u8], input: &mut Cursor<'_>) {
    let bit = input.position(8 * bytes.len());
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// One of few, so that they meet; keyids mean nothing (TAP 12).
fn keyid(input: &mut Cursor<'_>) -> String {
    input.one_of(&["0", "1", "2", "3", "4", "\u{e9}", "", "A"]).to_owned()
}

/// The part of a root that the input chooses.
struct ChosenRoot {
    /// Each keyid once.
    keys: Vec<ChosenKey>,
    keyids: Vec<String>,
    threshold: u64,
}

impl ChosenRoot {
    fn read(input: &mut Cursor<'_>) -> Self {
        let mut keys: Vec<ChosenKey> = Vec::new();
        for _ in 0..input.below(7) {
            let key = ChosenKey::read(input);
            keys.retain(|other| other.keyid != key.keyid);
            keys.push(key);
        }
        // Mostly all of them: other lists are what the last choice is for.
        let keyids = match input.below(4) {
            0..=2 => keys.iter().map(|key| key.keyid.clone()).collect(),
            _ => (0..input.below(6)).map(|_| keyid(input)).collect(),
        };
        let threshold = input.one_of(&[1, 2, 3, 0, 7, u64::MAX >> 1]);
        Self { keys, keyids, threshold }
    }

    fn signed(&self) -> Value {
        let keys = self.keys.iter().map(|key| (key.keyid.as_str(), key.value.clone()));
        let role = |keyids: Vec<&str>, threshold: u64| {
            let threshold = Value::Integer(i64::try_from(threshold).unwrap());
            Value::from(Object::from_iter([("keyids", keyids.into()), ("threshold", threshold)]))
        };
        let root = role(self.keyids.iter().map(String::as_str).collect(), self.threshold);
        let others = ["snapshot", "targets", "timestamp"].map(|name| (name, role(vec![], 1)));
        let roles: Object = [("root", root)].into_iter().chain(others).collect();
        let mut signed = Object::default();
        signed.insert("_type", "root");
        signed.insert("spec_version", "1.0.34");
        signed.insert("version", Value::Integer(1));
        signed.insert("expires", "2031-01-01T00:00:00Z");
        signed.insert("keys", keys.collect::<Object>());
        signed.insert("roles", roles);
        signed.into()
    }

    fn is_well_formed(&self) -> bool {
        // A keyid of no key is well-formed, and nobody signs with it.
        let unique: BTreeSet<_> = self.keyids.iter().collect();
        self.threshold > 0 && unique.len() == self.keyids.len()
    }

    /// The real keys that signed as this root wants it.
    fn signers(&self, signatures: &Signatures) -> BTreeSet<usize> {
        let mut signers = BTreeSet::new();
        for (keyid, _, genuine) in &signatures.0 {
            let key = self.keys.iter().find(|key| key.keyid == *keyid);
            let listed = self.keyids.contains(keyid);
            signers.extend(
                key.and_then(|key| key.real).filter(|real| listed && *genuine == Some(*real)),
            );
        }
        signers
    }
}

/// Each with its keyid, its hex digits, and the number of the real key that made it.
struct Signatures(Vec<(String, String, Option<usize>)>);

impl Signatures {
    fn read(input: &mut Cursor<'_>, signed: &Value) -> Self {
        let payload = signed.to_canonical();
        let all = (0..input.below(7)).map(|_| {
            let keyid = keyid(input);
            let number = input.below(known_keys().len());
            let sign = |message: &[u8]| known_keys()[number].key.sign(message).unwrap();
            match input.below(9) {
                0..=2 => (keyid, HEXLOWER.encode(&sign(&payload)), Some(number)),
                3 => (keyid, HEXUPPER.encode(&sign(&payload)), Some(number)),
                4 => {
                    let mut sig = sign(&payload);
                    flip(&mut sig, input);
                    (keyid, HEXLOWER.encode(&sig), None)
                }
                5 => (keyid, HEXLOWER.encode(&sign(&signed.to_json()[1..])), None),
                6 => {
                    let sig = sign(&payload);
                    let cut = input.below(sig.len());
                    (keyid, HEXLOWER.encode(&sig[..cut]), None)
                }
                7 => (keyid, HEXLOWER.encode(input.bytes(128)), None),
                // Signatures of other kinds of keys need not be hex.
                _ => (keyid, String::from_utf8_lossy(input.bytes(32)).into_owned(), None),
            }
        });
        Self(all.collect())
    }

    fn value(&self) -> Value {
        let signature = |(keyid, sig, _): &(String, String, _)| {
            Object::from_iter([("keyid", keyid.as_str()), ("sig", sig.as_str())])
        };
        self.0.iter().map(signature).collect::<Vec<_>>().into()
    }

    fn is_well_formed(&self) -> bool {
        let keyids: BTreeSet<_> = self.0.iter().map(|(keyid, ..)| keyid).collect();
        keyids.len() == self.0.len()
    }
}
