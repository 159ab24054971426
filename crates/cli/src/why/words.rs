//! The words that the tree and the picture share.

use jiff::Timestamp;

use super::explanation::{Item, Key, Part, Role};
use crate::expiry::distance;
use crate::output::printable;

/// `2027-11-28 (in 364 days)`, as it is at that time.
pub(super) fn expires(role: &Role, now: Timestamp) -> String {
    format!("{} ({})", role.expires.strftime("%Y-%m-%d"), distance(role.expires, now))
}

/// `2026-11-28 08:20:11 UTC`
pub(super) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `signed by 2 of 3 keys (2 must sign)`
pub(super) fn signed(role: &Role) -> String {
    let (signed, all) = (role.keys.iter().filter(|key| key.signed).count(), role.keys.len());
    let keys = if all == 1 { "key" } else { "keys" };
    format!("signed by {signed} of {all} {keys}, {} must", role.threshold)
}

/// `Ada (1a2b3c4d)`, or `1a2b3c4d` where nobody is named.
pub(super) fn key(key: &Key) -> String {
    let id: String = key.keyid.chars().take(8).collect();
    printable(&key.holder.as_ref().map_or_else(|| id.clone(), |name| format!("{name} ({id})")))
}

/// Why a role has the path.
pub(super) fn covers(part: &Part) -> String {
    match part {
        Part::Pattern(pattern) => format!("trusted with {}", printable(pattern)),
        Part::HashPrefix(prefix) => begins_with(&printable(prefix)),
        Part::Bin { number, bit_length } if bit_length.is_multiple_of(4) => {
            let width = usize::from(bit_length / 4);
            begins_with(&format!("{number:0width$x}"))
        }
        Part::Bin { number, bit_length } => {
            let width = usize::from(*bit_length);
            format!("trusted with paths whose SHA-256 begins with the bits {number:0width$b}")
        }
    }
}

fn begins_with(hex: &str) -> String {
    format!("trusted with paths whose SHA-256 begins with {hex}")
}

/// `listed by snapshot 25`, with its digest where that is listed.
pub(super) fn listed(role: &Role) -> Option<String> {
    let listed = role.listed.as_ref()?;
    let digest = listed.hashes.get("sha256").map(|digest| {
        let start: String = digest.chars().take(8).collect();
        format!(", with SHA-256 {start}…")
    });
    let verb = if listed.by == "timestamp" { "named" } else { "listed" };
    let (by, version) = (printable(&listed.by), listed.in_version);
    Some(format!("{verb} by {by} {version}{}", digest.unwrap_or_default()))
}

/// `103,424 bytes`
pub(super) fn length(length: Option<u64>) -> String {
    let Some(length) = length else { return "of a length that no page says".to_owned() };
    let digits = length.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {}", if length == 1 { "byte" } else { "bytes" })
}

/// Each digest of an item, `sha256 d842…`.
pub(super) fn digests(item: &Item) -> Vec<(String, String)> {
    item.hashes.iter().map(|(name, digest)| (printable(name), printable(digest))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_named_by_hex_where_their_bits_are_hex() {
        let bin = |number, bit_length| covers(&Part::Bin { number, bit_length });
        assert!(bin(0x3f, 8).ends_with("begins with 3f"));
        assert!(bin(3, 14).ends_with("begins with the bits 00000000000011"));
        assert!(covers(&Part::Pattern("a/*\u{1b}".to_owned())).ends_with("with a/*\u{fffd}"));
    }

    #[test]
    fn lengths_are_in_groups_of_three() {
        let texts = [0, 1, 999, 1000, 1_234_567].map(|bytes| length(Some(bytes)));
        assert_eq!(texts, ["0 bytes", "1 byte", "999 bytes", "1,000 bytes", "1,234,567 bytes"]);
    }
}
