//! Conditional and partial requests: `If-None-Match`, `Range` and `If-Range` (RFC 9110).

use http::HeaderMap;
use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

/// What part of an object a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    Whole,
    /// These bytes of it; at least one.
    Part {
        /// The first byte.
        first: u64,
        /// The last byte.
        last: u64,
    },
    /// Bytes after its end.
    Unsatisfiable,
}

/// Whether the client has the object with this entity tag already (RFC 9110, 13.1.2). The
/// comparison is the weak one: a compressed copy is good as well.
pub(crate) fn has_already(headers: &HeaderMap, etag: &str) -> bool {
    let etag = etag.trim_start_matches("W/");
    let mut values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| {
        let mut tags = value.split(',').map(str::trim);
        tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
    })
}

/// The part that a `GET` asks for (RFC 9110, 14.2). What cannot be read, several ranges, and a
/// range of another version (`If-Range`) are answered with the whole.
pub(crate) fn wanted(headers: &HeaderMap, etag: &str, length: u64) -> Wanted {
    let Some(range) = headers.get(RANGE) else { return Wanted::Whole };
    // Only a strong tag will do: the parts have to fit byte by byte.
    if headers.get(IF_RANGE).is_some_and(|tag| tag.as_bytes() != etag.as_bytes()) {
        return Wanted::Whole;
    }
    range.to_str().ok().and_then(|range| parse(range, length)).unwrap_or(Wanted::Whole)
}

fn parse(range: &str, length: u64) -> Option<Wanted> {
    let (unit, range) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(match suffix.min(length) {
            0 => Wanted::Unsatisfiable,
            suffix => Wanted::Part { first: length - suffix, last: length - 1 },
        });
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    Some(match first < length {
        true => Wanted::Part { first, last: last.min(length - 1) },
        false => Wanted::Unsatisfiable,
    })
}

/// Digits only; a number too large to count is as large as can be.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        let value = |text: &'static str| http::HeaderValue::from_static(text);
        pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    #[test]
    fn ranges_of_ten_bytes() {
        let part = |first, last| Wanted::Part { first, last };
        for (range, expected) in [
            ("bytes=0-3", part(0, 3)),
            ("bytes=0-0", part(0, 0)),
            ("bytes=9-", part(9, 9)),
            ("bytes=3-99", part(3, 9)),
            ("bytes=0-99999999999999999999999", part(0, 9)),
            ("bytes=-4", part(6, 9)),
            ("bytes=-99", part(0, 9)),
            ("BYTES= 1-2 ", part(1, 2)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=3-2", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes", Wanted::Whole),
            ("lines=0-3", Wanted::Whole),
        ] {
            assert_eq!(wanted(&headers(&[(RANGE, range)]), "\"a\"", 10), expected, "{range}");
        }
        assert_eq!(wanted(&HeaderMap::new(), "\"a\"", 10), Wanted::Whole);
        let empty = headers(&[(RANGE, "bytes=0-")]);
        assert_eq!(wanted(&empty, "\"a\"", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn a_range_of_another_version_is_the_whole() {
        let with = |tag| headers(&[(RANGE, "bytes=0-3"), (IF_RANGE, tag)]);
        assert_eq!(wanted(&with("\"a\""), "\"a\"", 10), Wanted::Part { first: 0, last: 3 });
        for tag in ["\"b\"", "W/\"a\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(wanted(&with(tag), "\"a\"", 10), Wanted::Whole, "{tag}");
        }
    }

    #[test]
    fn known_tags_are_recognised() {
        for (sent, known) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("\"A\"", false),
        ] {
            assert_eq!(has_already(&headers(&[(IF_NONE_MATCH, sent)]), "\"a\""), known, "{sent}");
        }
        assert!(!has_already(&HeaderMap::new(), "\"a\""));
    }
}
