//! Keys as people and programs see them.

use serde::Serialize;
use waxseal_signing::{KeyInfo, Protection};
use waxseal_tuf::spoken;

use crate::output;

/// A key as `--json` shows it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    uri: String,
    /// How it signs; `null`, as all of its public half, where that takes a secret to know.
    scheme: Option<String>,
    keyid: Option<String>,
    /// The keyid as words.
    spoken: Option<String>,
    /// PEM.
    public_key: Option<String>,
    /// `passphrase`, `none`, `token`, `public` or `unknown`.
    protection: &'static str,
    /// What exactly.
    detail: Option<String>,
    /// Why it cannot be used as it is.
    problem: Option<String>,
}

impl Shown {
    pub(super) fn of(info: &KeyInfo) -> Self {
        let key = info.public_key.as_ref();
        let keyid = key.map(|key| key.default_keyid().as_str().to_owned());
        let (protection, detail) = match &info.protection {
            Protection::Encrypted(encryption) => ("passphrase", Some(encryption.to_string())),
            Protection::Unencrypted => ("none", None),
            Protection::Token { token, device } => ("token", Some(format!("{token} ({device})"))),
            Protection::PublicOnly => ("public", None),
            Protection::Unknown => ("unknown", None),
        };
        Self {
            uri: info.uri.to_string(),
            scheme: key.and_then(|key| key.scheme()).map(ToOwned::to_owned),
            spoken: keyid.as_deref().and_then(spoken::of_hex).map(|words| words.replace('\n', " ")),
            keyid,
            public_key: key.and_then(waxseal_tuf::PublicKey::to_pem),
            protection,
            detail,
            problem: info.problem.clone(),
        }
    }

    /// A line of a table.
    pub(super) fn row(&self) -> Vec<String> {
        // Enough to tell one's own keys apart; what is compared is shown for one key at a time.
        let keyid = self.keyid.as_deref().map_or("?", |keyid| keyid.get(..16).unwrap_or(keyid));
        let protection = match &self.detail {
            Some(detail) => format!("{}: {detail}", self.protection),
            None => self.protection.to_owned(),
        };
        let scheme = self.scheme.clone().unwrap_or_else(|| "?".to_owned());
        vec![self.uri.clone(), scheme, keyid.to_owned(), protection]
    }
}

/// Shows one key to a person.
pub(super) fn show(info: &KeyInfo) {
    output::field("key", &info.uri.to_string());
    output::field("kept by", &info.protection.to_string());
    let Some(key) = &info.public_key else {
        output::field("keyid", "not known without the passphrase: add --unlock");
        return;
    };
    output::field("scheme", key.scheme().unwrap_or("unknown"));
    let keyid = key.default_keyid();
    output::field("keyid", keyid.as_str());
    output::compare(keyid.as_str());
}
