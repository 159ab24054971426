//! JSON values as metadata has them, and OLPC canonical JSON, the form that is signed.
//!
//! Metadata is JSON with three restrictions that make its meaning unambiguous: an object has each
//! key once (also when two keys are spelled with different escapes), numbers are integers that fit
//! an `i64`, and nesting and the number of values are bounded ([`Limits`]). Anything else is refused
//! before it is looked at.
//!
//! Canonical form: no white space, object keys in the order of their code points, and in strings
//! only `"` and `\` escaped. It is what securesystemslib's `encode_canonical` writes.

mod document;
mod parse;

use crate::limits::Limits;

pub(crate) use document::{Document, Element, Entries, Members};

/// A JSON value without floating-point numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without a fraction or an exponent.
    Integer(i64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

/// A JSON object: unique keys in the order of their code points.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object(Vec<(String, Value)>);

impl Object {
    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let at = self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// Takes the value under `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        Some(self.0.remove(at).1)
    }

    /// Sets the value under `key`.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.0.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v))
    }
}

impl IntoIterator for Object {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Object {
    /// Of entries with the same key the last one stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<(String, Value)> =
            entries.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        entries.reverse();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|later, first| later.0 == first.0);
        Self(entries)
    }
}

impl Value {
    /// Reads a JSON text within the default [`Limits`]; the error says what is wrong and at which line
    /// and column.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        Self::parse_within(text, &Limits::default())
    }

    /// The same within other limits.
    pub fn parse_within(text: &[u8], limits: &Limits) -> Result<Self, String> {
        Ok(Document::parse(text, limits)?.root().to_value())
    }

    /// The canonical form: what signatures are made over.
    pub fn to_canonical(&self) -> Vec<u8> {
        self.write(StringForm::Canonical)
    }

    /// Compact JSON. The same bytes as the canonical form except that control characters in
    /// strings are escaped, without which canonical JSON is not JSON.
    pub fn to_json(&self) -> Vec<u8> {
        self.write(StringForm::Json)
    }

    fn write(&self, form: StringForm) -> Vec<u8> {
        let mut out = Vec::new();
        write_value(self, form, &mut out);
        out
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(values: Vec<V>) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum StringForm {
    Canonical,
    Json,
}

fn write_value(value: &Value, form: StringForm, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => write_string(text, form, out),
        Value::Array(values) => {
            out.push(b'[');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(value, form, out);
            }
            out.push(b']');
        }
        Value::Object(object) => {
            out.push(b'{');
            for (i, (key, value)) in object.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(key, form, out);
                out.push(b':');
                write_value(value, form, out);
            }
            out.push(b'}');
        }
    }
}

fn write_string(text: &str, form: StringForm, out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 if form == StringForm::Json => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn canonical(text: &str) -> String {
        String::from_utf8(Value::parse(text.as_bytes()).unwrap().to_canonical()).unwrap()
    }

    #[test]
    fn canonical_form_sorts_keys_and_escapes_two_characters() {
        let text = r#" { "b" : [ 1 , -2, true, null ], "a\"\\\n\u00e9" : { } } "#;
        assert_eq!(canonical(text), "{\"a\\\"\\\\\né\":{},\"b\":[1,-2,true,null]}");
    }

    #[test]
    fn canonical_form_does_not_normalise_unicode() {
        assert_eq!(canonical("\"e\u{301}\"").as_bytes(), "\"e\u{301}\"".as_bytes());
    }

    #[test]
    fn json_form_escapes_control_characters_and_reads_back() {
        let value = Value::from("a\u{1}\n\"");
        assert_eq!(value.to_json(), br#""a\u0001\u000a\"""#);
        assert_eq!(Value::parse(&value.to_json()).unwrap(), value);
    }

    #[test]
    fn duplicate_keys_are_refused_also_when_spelled_differently() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"a\r":1,"a\u000d":2}"#, r#"[{"x":{"k":1,"k":2}}]"#] {
            let error = Value::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains("twice"), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_that_are_not_64_bit_integers_are_refused() {
        for text in ["1.0", "1e3", "-0", "9223372036854775808", "1e999", "123456789012345678901"] {
            assert!(Value::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(Value::parse(b"9223372036854775807"), Ok(Value::Integer(i64::MAX)));
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let text = "[".repeat(100_000);
        assert!(Value::parse(text.as_bytes()).is_err());
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        let limits = Limits { json_depth: 3, json_values: 5, ..Limits::default() };
        let parse = |text: &str| Value::parse_within(text.as_bytes(), &limits);
        assert!(parse(r#"{"a":[{}]}"#).is_ok());
        assert!(parse("[[[[]]]]").unwrap_err().contains("3 levels deep"));
        assert!(parse("[1,2,3,4]").is_ok());
        assert!(parse("[1,2,3,4,5]").unwrap_err().contains("more than 5 values"));
        assert!(parse(r#"{"a":[1,2],"b":3,"c":4}"#).unwrap_err().contains("more than 5 values"));
        assert!(parse("1 2").unwrap_err().contains("goes on"));
    }
}
