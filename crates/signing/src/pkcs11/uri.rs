//! The parts of a `pkcs11:` URI (RFC 7512, 2.3).

use cryptoki::context::Info;
use cryptoki::slot::{Slot, SlotInfo, TokenInfo};
use percent_encoding::{percent_decode_str, percent_encode_byte};

use crate::error::KeyError;
use crate::uri::{KeyUri, encode, invalid};

/// Which tokens and which keys on them a URI means: those that agree with all that it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    token: Option<String>,
    manufacturer: Option<String>,
    serial: Option<String>,
    model: Option<String>,
    library_manufacturer: Option<String>,
    library_description: Option<String>,
    library_version: Option<String>,
    slot_manufacturer: Option<String>,
    slot_description: Option<String>,
    slot_id: Option<u64>,
    pub(super) object: Option<String>,
    pub(super) id: Option<Vec<u8>>,
    object_type: Option<String>,
}

impl Wanted {
    pub(super) fn parse(place: &str) -> Result<Self, KeyError> {
        let mut this = Self::default();
        for attribute in place.split(';').filter(|attribute| !attribute.is_empty()) {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let bytes: Vec<u8> = percent_decode_str(value).collect();
            if name == "id" {
                if bytes.is_empty() || this.id.replace(bytes).is_some() {
                    return Err(invalid("`id` is there once, and has a value"));
                }
                continue;
            }
            // What is not a known attribute is not repeated, nor any value.
            let text = String::from_utf8(bytes)
                .map_err(|_| invalid("an attribute of `pkcs11:` other than `id` is not UTF-8"))?;
            if name == "slot-id" {
                let id = text.parse().map_err(|_| invalid("`slot-id` is a decimal number"))?;
                if this.slot_id.replace(id).is_some() {
                    return Err(invalid("`slot-id` is there twice"));
                }
                continue;
            }
            if name == "type" && !["private", "public"].contains(&text.as_str()) {
                return Err(invalid("`type` is `private` here, if it is there at all"));
            }
            let Some((name, field)) = this.text(name) else {
                return Err(invalid(
                    "what comes before `?` is not an attribute of `pkcs11:`, which has: token, object, id, \
                     serial, model, manufacturer, slot-id, slot-description, slot-manufacturer, type, \
                     library-description, library-manufacturer, library-version",
                ));
            };
            if field.replace(text).is_some() {
                return Err(invalid(format!("`{name}` is there twice")));
            }
        }
        Ok(this)
    }

    fn text(&mut self, name: &str) -> Option<(&'static str, &mut Option<String>)> {
        Some(match name {
            "token" => ("token", &mut self.token),
            "object" => ("object", &mut self.object),
            "manufacturer" => ("manufacturer", &mut self.manufacturer),
            "serial" => ("serial", &mut self.serial),
            "model" => ("model", &mut self.model),
            "library-manufacturer" => ("library-manufacturer", &mut self.library_manufacturer),
            "library-description" => ("library-description", &mut self.library_description),
            "library-version" => ("library-version", &mut self.library_version),
            "slot-manufacturer" => ("slot-manufacturer", &mut self.slot_manufacturer),
            "slot-description" => ("slot-description", &mut self.slot_description),
            "type" => ("type", &mut self.object_type),
            _ => return None,
        })
    }

    /// In one spelling.
    pub(super) fn to_place(&self) -> String {
        let mut this = self.clone();
        let mut parts = Vec::new();
        for name in [
            "library-manufacturer",
            "library-description",
            "library-version",
            "manufacturer",
            "model",
            "serial",
            "slot-manufacturer",
            "slot-description",
            "slot-id",
            "token",
            "object",
            "id",
            "type",
        ] {
            let value = match name {
                "id" => self.id.as_ref().map(|id| encode_id(id)),
                "slot-id" => self.slot_id.map(|id| id.to_string()),
                name => this
                    .text(name)
                    .and_then(|(_, field)| field.take())
                    .map(|text| encode(text.as_bytes())),
            };
            parts.extend(value.map(|value| format!("{name}={value}")));
        }
        parts.join(";")
    }

    pub(super) fn fits_library(&self, library: &Info) -> bool {
        let version = library.library_version();
        let version = format!("{}.{}", version.major(), version.minor());
        is(self.library_manufacturer.as_ref(), library.manufacturer_id())
            && is(self.library_description.as_ref(), library.library_description())
            && is(self.library_version.as_ref(), &version)
    }

    pub(super) fn fits_token(&self, slot: Slot, slot_info: &SlotInfo, token: &TokenInfo) -> bool {
        self.slot_id.is_none_or(|id| id == slot.id())
            && is(self.slot_description.as_ref(), slot_info.slot_description())
            && is(self.slot_manufacturer.as_ref(), slot_info.manufacturer_id())
            && is(self.token.as_ref(), token.label())
            && is(self.manufacturer.as_ref(), token.manufacturer_id())
            && is(self.serial.as_ref(), token.serial_number())
            && is(self.model.as_ref(), token.model())
    }

    pub(super) fn fits_key(&self, label: &str, id: &[u8]) -> bool {
        is(self.object.as_ref(), label) && self.id.as_ref().is_none_or(|wanted| wanted == id)
    }
}

/// The URI of a key on a token, reached as `uri` is.
pub(super) fn of_key(uri: &KeyUri, token: &TokenInfo, label: &str, id: &[u8]) -> KeyUri {
    let text = |text: &str| Some(text.trim_end().to_owned()).filter(|text| !text.is_empty());
    let key = Wanted {
        token: text(token.label()),
        // Several tokens may have no name, or the same one.
        serial: text(token.serial_number()),
        object: text(label),
        id: Some(id.to_vec()).filter(|id| !id.is_empty()),
        ..Wanted::default()
    };
    uri.with_place(key.to_place())
}

/// Every byte, as RFC 7512 recommends for `id`.
pub(super) fn encode_id(id: &[u8]) -> String {
    id.iter().map(|byte| percent_encode_byte(*byte)).collect()
}

/// Fields of PKCS#11 are filled up with blanks.
fn is(wanted: Option<&String>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted.trim_end() == found.trim_end())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn parts_are_decoded_and_encoded() {
        let place = "token=The%20Software%20PKCS%2311;object=my%3bkey;id=%69%95%3E%5C%f4";
        let wanted = Wanted::parse(place).unwrap();
        assert_eq!(wanted.object.as_deref(), Some("my;key"));
        assert_eq!(wanted.id.as_deref(), Some(&b"\x69\x95\x3e\x5c\xf4"[..]));
        let again = wanted.to_place();
        assert_eq!(again, "token=The%20Software%20PKCS%2311;object=my%3Bkey;id=%69%95%3E%5C%F4");
        assert_eq!(Wanted::parse(&again).unwrap(), wanted);
        assert_eq!(Wanted::parse("").unwrap(), Wanted::default());
    }

    #[test]
    fn a_uri_of_the_rfc_is_read() {
        // RFC 7512, 3: with a module by name and a source of the PIN.
        let uri: KeyUri = "pkcs11:object=my-sign-key;type=private?module-name=mypkcs11&pin-source=file:/etc/token_pin"
            .parse()
            .unwrap();
        assert_eq!(uri.attribute("module-name"), Some("mypkcs11"));
        let wanted = Wanted::parse(uri.place()).unwrap();
        assert!(wanted.fits_key("my-sign-key", b"1") && !wanted.fits_key("other", b"1"));
    }
}
