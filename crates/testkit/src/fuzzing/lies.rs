//! What a mirror without keys can make of a file.

use data_encoding::HEXLOWER;
use waxseal_tuf::Signer as _;
use waxseal_tuf::json::{Object, Value};

use super::cursor::Cursor;
use crate::simulator::{TestKey, signatures};

/// A file in another shape, as the input says.
pub(super) fn changed(mut file: Vec<u8>, input: &mut Cursor<'_>) -> Vec<u8> {
    match input.below(10) {
        0 => {
            let bit = input.position(8 * file.len());
            file[bit / 8] ^= 1 << (bit % 8);
        }
        1 => {
            let at = input.position(file.len());
            file[at] = input.byte();
        }
        2 => {
            let end = input.position(file.len());
            file.truncate(end);
        }
        3 => file.extend(input.bytes(64)),
        4 => file = input.bytes(64).to_vec(),
        // The same to a reader, but not the same bytes.
        5 => file.push(b'\n'),
        // Longer than any role here may be.
        6 => file.resize(600 << 10, b' '),
        7 => edit(&mut file, |file| file.insert("signatures", Vec::<Value>::new())),
        8 => edit(&mut file, |file| {
            let Some(Value::Array(mut all)) = file.remove("signatures") else { return };
            all.extend(all.clone());
            file.insert("signatures", all);
        }),
        _ => {
            let (more, signed_again) = (input.byte(), input.flag());
            edit(&mut file, |file| forge(file, i64::from(more % 16), signed_again));
        }
    }
    file
}

fn edit(file: &mut Vec<u8>, edit: impl FnOnce(&mut Object)) {
    let Ok(Value::Object(mut object)) = Value::parse(file) else { panic!("no object") };
    edit(&mut object);
    *file = Value::from(object).to_json();
}

/// Another version, or with `more` 0 another expiry; signed by nobody, or by a thief under his own keyid
/// and those of the honest keys.
fn forge(file: &mut Object, more: i64, signed_again: bool) {
    let Some(Value::Object(mut signed)) = file.remove("signed") else { panic!("nothing signed") };
    match signed.get("version") {
        Some(Value::Integer(version)) if more > 0 => {
            let version = Value::Integer(version + more);
            signed.insert("version", version);
        }
        _ => signed.insert("expires", "2040-01-01T00:00:00Z"),
    }
    let signed = Value::from(signed);
    if signed_again {
        let thief = TestKey::new("thief");
        let sig = HEXLOWER.encode(&thief.sign(&signed.to_canonical()).unwrap());
        let Some(Value::Array(mut all)) = file.remove("signatures") else { panic!("no array") };
        for signature in &mut all {
            let Value::Object(signature) = signature else { panic!("no object") };
            signature.insert("sig", sig.as_str());
        }
        if let Value::Array(own) = signatures(&signed, &[thief]) {
            all.extend(own);
        }
        file.insert("signatures", all);
    }
    file.insert("signed", signed);
}
