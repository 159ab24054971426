//! What people are told, once, of a root that changed.

use jiff::Timestamp;
use waxseal_client::{Event, Observer, RootChange, RootKey};

use crate::{expiry, output};

/// Hears of it from a client, and says it on stderr.
pub(crate) fn told_on_stderr() -> Observer {
    Observer::new(|event| {
        if let Event::RootChanged { url, change } = event {
            output::note(&text(url, change, Timestamp::now()));
        }
    })
}

fn text(url: &str, change: &RootChange, now: Timestamp) -> String {
    let RootChange { from, to, expires, .. } = change;
    let signed = match (change.signed, change.old_keys) {
        (Some(signed), (holders, _)) => {
            format!("signed by {signed} of {holders} holders of version {from}")
        }
        (None, _) => "each version signed by enough holders of the one before it".to_owned(),
    };
    let mut parts = Vec::new();
    for (what, keys) in [("in", &change.added), ("out", &change.removed)] {
        if !keys.is_empty() {
            let keys: Vec<_> = keys.iter().map(key).collect();
            parts.push(format!("{what}: {}", keys.join(", ")));
        }
    }
    let keys = match parts.is_empty() {
        true => "its keys are the same".to_owned(),
        false => format!("keys {}", parts.join("; ")),
    };
    let (count, threshold) = change.new_keys;
    let sign = match change.old_keys == change.new_keys {
        true => String::new(),
        false => format!("; {threshold} of {count} must sign from now on"),
    };
    let day = expires.strftime("%Y-%m-%d");
    let left = expiry::distance(*expires, now);
    format!(
        "the root of {url} went from version {from} to {to} ({signed}): {keys}{sign}; it expires on {day} ({left})"
    )
}

fn key(key: &RootKey) -> String {
    let id: String = key.keyid.as_str().chars().take(8).collect();
    let named = key.holder.as_ref().map_or_else(|| id.clone(), |name| format!("{name} ({id})"));
    output::printable(&named)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use waxseal_tuf::KeyId;

    use super::*;

    fn change() -> RootChange {
        let key = |id: &str, holder: Option<&str>| RootKey {
            keyid: KeyId::new(id),
            holder: holder.map(str::to_owned),
        };
        RootChange {
            from: 3,
            to: 4,
            signed: Some(2),
            old_keys: (3, 2),
            new_keys: (4, 3),
            added: vec![key("0123456789ab", Some("Lin")), key("ab\u{1b}[2J", None)],
            removed: vec![key("ffffffffff", Some("Grace"))],
            expires: "2031-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn it_says_who_signed_who_came_and_who_went() {
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        let told = |change| text("https://a.example/", &change, now);
        assert_eq!(
            told(change()),
            "the root of https://a.example/ went from version 3 to 4 (signed by 2 of 3 holders of version \
             3): keys in: Lin (01234567), ab\u{fffd}[2J; out: Grace (ffffffff); 3 of 4 must sign from now \
             on; it expires on 2031-01-01 (in 365 days)"
        );
        let none = Vec::new;
        let renewed = RootChange {
            to: 6,
            signed: None,
            new_keys: (3, 2),
            added: none(),
            removed: none(),
            ..change()
        };
        assert_eq!(
            told(renewed),
            "the root of https://a.example/ went from version 3 to 6 (each version signed by enough \
             holders of the one before it): its keys are the same; it expires on 2031-01-01 (in 365 days)"
        );
    }
}
