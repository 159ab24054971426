//! Percent-encoding in paths of URLs (RFC 3986), undone once.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A path as it is meant; none where an escape is broken or the bytes are no text. An encoded `/` is one
/// afterwards.
pub fn decode(path: &str) -> Option<Cow<'_, str>> {
    let mut escapes = path.split('%').skip(1);
    let whole = |escape: &str| {
        let digits = escape.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    escapes.all(whole).then(|| decode_leniently(path)).flatten()
}

/// The same as tools read it that others write for: a `%` that begins no escape stands for itself.
pub fn decode_leniently(path: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(path).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_once() {
        for (path, is) in [
            ("", ""),
            ("a/b", "a/b"),
            ("a%2Bb%2b/c", "a+b+/c"),
            ("%252e%252E", "%2e%2E"),
            ("%C3%a9", "é"),
            ("é%20", "é "),
            ("a%2fb%00", "a/b\0"),
        ] {
            assert_eq!(decode(path).as_deref(), Some(is), "{path}");
            assert_eq!(decode_leniently(path).as_deref(), Some(is), "{path}");
        }
    }

    #[test]
    fn what_is_broken_is_refused_or_stands_for_itself() {
        for (path, is) in [
            ("a%", Some("a%")),
            ("a%2", Some("a%2")),
            ("%zz", Some("%zz")),
            ("%+f", Some("%+f")),
            ("%%41", Some("%A")),
            ("%é", Some("%é")),
            ("%ff", None),
            ("%C3%28", None),
        ] {
            assert_eq!(decode(path), None, "{path}");
            assert_eq!(decode_leniently(path).as_deref(), is, "{path}");
        }
    }
}
