//! A record as a line of JSON: what another machine keeps, reads and checks. Names and words are stable.

use serde::{Deserialize, Serialize};
use waxseal_tuf::{KeyId, RoleName};

use super::{Head, KeyUse, Logged, SignedValue, UseKind};

/// A line that is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLine(String);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    number: u64,
    time: String,
    kind: String,
    keyid: String,
    snapshot: u64,
    published: u64,
    after_serial: u64,
    serial: u64,
    signed: Vec<Value>,
    hash: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    role: String,
    version: u64,
    sha256: String,
}

impl KeyUse {
    /// The record as a line of JSON, without its end.
    pub fn to_line(&self, head: Head) -> Result<String, BadLine> {
        let value = |value: &SignedValue| Value {
            role: value.role.to_string(),
            version: value.version,
            sha256: value.sha256.to_string(),
        };
        let line = Line {
            number: head.number,
            time: self.time.to_string(),
            kind: self.kind.name().to_owned(),
            keyid: self.keyid.to_string(),
            snapshot: self.snapshot,
            published: self.published,
            after_serial: self.after,
            serial: self.serial,
            signed: self.signed.iter().map(value).collect(),
            hash: head.hash.to_string(),
        };
        serde_json::to_string(&line).map_err(|error| BadLine(error.to_string()))
    }
}

impl Logged {
    /// Reads a line that [`KeyUse::to_line`] wrote. Whether its hash is right is another question.
    pub fn from_line(line: &str) -> Result<Self, BadLine> {
        let line: Line = serde_json::from_str(line).map_err(|error| BadLine(error.to_string()))?;
        let bad = |field: &str| BadLine(format!("its {field} cannot be one"));
        let value = |value: Value| {
            Ok(SignedValue {
                role: RoleName::new(value.role).map_err(|_| bad("role"))?,
                version: value.version,
                sha256: value.sha256.parse().map_err(|_| bad("sha256"))?,
            })
        };
        let record = KeyUse {
            kind: UseKind::named(&line.kind).ok_or_else(|| bad("kind"))?,
            time: line.time.parse().map_err(|_| bad("time"))?,
            keyid: KeyId::new(line.keyid),
            snapshot: line.snapshot,
            published: line.published,
            after: line.after_serial,
            serial: line.serial,
            signed: line.signed.into_iter().map(value).collect::<Result<_, _>>()?,
        };
        let head = Head { number: line.number, hash: line.hash.parse().map_err(|_| bad("hash"))? };
        Ok(Self { head, record: record.encode() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::super::encoding::tests::record;
    use super::*;

    #[test]
    fn a_line_is_read_as_the_record_it_was_made_of() {
        let record = record();
        let head = Head::after(None, &record.encode());
        let line = record.to_line(head).unwrap();
        assert_eq!(Logged::from_line(&line).unwrap(), Logged { head, record: record.encode() });
        let start = r#"{"number":1,"time":"2026-11-23T06:37:49.123456Z","kind":"resumed","keyid":"key","snapshot":7,"published":5,"after_serial":2,"serial":3,"signed":[{"role":"bin-0a","version":4,"sha256":""#;
        assert!(line.starts_with(start), "{line}");

        for (from, to, problem) in [
            ("\"resumed\"", "\"other\"", "kind"),
            ("2026-11", "2026-99", "time"),
            ("bin-0a", "", "role"),
            ("\"number\"", "\"more\":1,\"number\"", "more"),
            ("\"sha256\":\"", "\"sha256\":\"0", "sha256"),
            ("\"hash\":\"", "\"hash\":\"0", "hash"),
            ("}", "", "EOF"),
        ] {
            let error = Logged::from_line(&line.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(problem) || problem == "EOF", "{from}: {error}");
        }
    }
}
