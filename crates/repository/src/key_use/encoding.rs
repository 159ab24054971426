//! A record as bytes. One record has one encoding, and its hash is of that.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the form, 1 |
//! | 1 | the kind: 1 batch, 2 resumed, 3 before |
//! | 8 | when, in microseconds since 1970 |
//! | 8, 8 | version of the snapshot it makes, and of the published one |
//! | 8, 8 | the serial it begins after, and its last one |
//! | 2, n | the keyid |
//! | 4 | how many values, and then for each |
//! | 2, n | its role |
//! | 8 | its version |
//! | 32 | SHA-256 of its canonical form |
//!
//! Numbers are big-endian, and texts are UTF-8 after their length.

use jiff::Timestamp;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{KeyId, RoleName};

use super::{KeyUse, SignedValue, UseKind};

const FORM: u8 = 1;

/// Bytes that are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DamagedRecord(pub(super) &'static str);

impl KeyUse {
    /// The record as bytes.
    pub fn encode(&self) -> Vec<u8> {
        // A role is some eight bytes.
        let mut out = Vec::with_capacity(128 + self.signed.len() * 52);
        out.extend([FORM, self.kind.number()]);
        out.extend(self.time.as_microsecond().to_be_bytes());
        for number in [self.snapshot, self.published, self.after, self.serial] {
            out.extend(number.to_be_bytes());
        }
        push_text(self.keyid.as_str(), &mut out);
        // What one batch signs is bounded by how many bins there can be.
        out.extend(u32::try_from(self.signed.len()).unwrap_or(u32::MAX).to_be_bytes());
        for SignedValue { role, version, sha256 } in &self.signed {
            push_text(role.as_str(), &mut out);
            out.extend(version.to_be_bytes());
            out.extend(sha256.0);
        }
        out
    }

    /// Reads a record, which must be all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DamagedRecord> {
        let mut rest = Rest(bytes);
        let [form, kind] = rest.take()?;
        if form != FORM {
            return Err(DamagedRecord("is not of a form that this program knows"));
        }
        let kind = UseKind::of(kind).ok_or(DamagedRecord("is of no known kind"))?;
        let time = Timestamp::from_microsecond(i64::from_be_bytes(rest.take()?));
        let time = time.map_err(|_| DamagedRecord("has a time that is none"))?;
        let mut number = || Ok(u64::from_be_bytes(rest.take()?));
        let (snapshot, published) = (number()?, number()?);
        let (after, serial) = (number()?, number()?);
        let keyid = KeyId::new(rest.text()?);
        let count = u32::from_be_bytes(rest.take()?) as usize;
        // As many as there are bytes for.
        let mut signed = Vec::with_capacity(count.min(rest.0.len() / 42));
        for _ in 0..count {
            let role = RoleName::new(rest.text()?);
            signed.push(SignedValue {
                role: role.map_err(|_| DamagedRecord("names a role that cannot be one"))?,
                version: u64::from_be_bytes(rest.take()?),
                sha256: Sha256(rest.take()?),
            });
        }
        match rest.0.is_empty() {
            true => Ok(Self { kind, time, keyid, snapshot, published, after, serial, signed }),
            false => Err(DamagedRecord("goes on after its end")),
        }
    }
}

impl UseKind {
    const ALL: [Self; 3] = [Self::Batch, Self::Resumed, Self::Before];

    fn number(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::Resumed => 2,
            Self::Before => 3,
        }
    }

    fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// As a line of JSON says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Resumed => "resumed",
            Self::Before => "before-the-log",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A keyid or the name of a role, which are short: one of more than 65,535 bytes is cut.
fn push_text(text: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend(length.to_be_bytes());
    out.extend(&text.as_bytes()[..usize::from(length)]);
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DamagedRecord> {
        let (taken, rest) =
            self.0.split_first_chunk().ok_or(DamagedRecord("ends before it should"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn text(&mut self) -> Result<&'a str, DamagedRecord> {
        let length = usize::from(u16::from_be_bytes(self.take()?));
        let (text, rest) =
            self.0.split_at_checked(length).ok_or(DamagedRecord("ends before it should"))?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| DamagedRecord("has a name that is no text"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use data_encoding::HEXLOWER;

    use super::*;

    pub(in crate::key_use) fn record() -> KeyUse {
        let value = |role: &str, version| SignedValue {
            role: RoleName::new(role).unwrap(),
            version,
            sha256: Sha256::of(role.as_bytes()),
        };
        KeyUse {
            kind: UseKind::Resumed,
            time: "2026-11-23T06:37:49.123456Z".parse().unwrap(),
            keyid: KeyId::new("key"),
            snapshot: 7,
            published: 5,
            after: 2,
            serial: 3,
            signed: vec![value("bin-0a", 4), value("timestamp", 258)],
        }
    }

    /// Bytes of before are read, and hashed, by every later version.
    #[test]
    fn a_record_has_one_encoding_which_stays_as_it_is() {
        let record = record();
        let bytes = record.encode();
        assert_eq!(KeyUse::decode(&bytes).unwrap(), record);
        let head = "0102\
                    000660ebd51a6b80\
                    00000000000000070000000000000005\
                    00000000000000020000000000000003\
                    00036b6579\
                    00000002";
        let text = HEXLOWER.encode(&bytes);
        assert!(text.starts_with(head), "{text}");
        let first = format!("000662696e2d30610000000000000004{}", Sha256::of(b"bin-0a"));
        assert!(text[head.len()..].starts_with(&first), "{text}");
        assert_eq!(bytes.len(), head.len() / 2 + (2 + 6 + 8 + 32) + (2 + 9 + 8 + 32));
    }

    #[test]
    fn what_is_not_a_record_is_refused_and_not_read_as_another() {
        let bytes = record().encode();
        for end in 0..bytes.len() {
            let error = KeyUse::decode(&bytes[..end]).unwrap_err();
            assert_eq!(error.to_string(), "ends before it should", "{end}");
        }
        let with = |at: usize, byte: u8| {
            let mut changed = bytes.clone();
            changed[at] = byte;
            KeyUse::decode(&changed)
        };
        assert!(with(0, 2).is_err_and(|error| error.to_string().contains("form")));
        assert!(with(1, 9).is_err_and(|error| error.to_string().contains("kind")));
        assert!(with(44, 0xff).is_err_and(|error| error.to_string().contains("no text")));
        assert!(KeyUse::decode(&[bytes.as_slice(), b"x"].concat()).is_err());
        // Any other byte makes another record, or none.
        for (at, byte) in bytes.iter().enumerate() {
            let other = with(at, byte ^ 1);
            assert!(other.is_err() || other.unwrap() != record(), "{at}");
        }
    }
}
