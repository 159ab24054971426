//! Which delegation covers a target path: its hash, and shell-style patterns.

use crate::hash::Sha256;
use crate::names::TargetPath;

/// The SHA-256 of a target path, from which its bin follows.
#[derive(Debug, Clone)]
pub struct PathHash(Sha256, String);

impl PathHash {
    /// Hashes the path's UTF-8 bytes.
    pub fn of(path: &TargetPath) -> Self {
        let hash = Sha256::of(path.as_str().as_bytes());
        Self(hash, hash.to_string())
    }

    /// In lower-case hex, for `path_hash_prefixes`.
    pub(crate) fn hex(&self) -> &str {
        &self.1
    }

    /// The number that the first `bits` bits make (TAP 15); `bits` is at most 32.
    pub fn bin(&self, bits: u8) -> u32 {
        bin(self.0, bits)
    }
}

/// The bin of a path, by the first `bits` bits of its SHA-256 (TAP 15); `bits` is at most 32.
pub fn bin_of(path: &str, bits: u8) -> u32 {
    bin(Sha256::of(path.as_bytes()), bits)
}

fn bin(Sha256(hash): Sha256, bits: u8) -> u32 {
    let first = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    first.checked_shr(32 - u32::from(bits.min(32))).unwrap_or(0)
}

/// Whether a `PATHPATTERN` of TUF 4.5 matches: `*` any run, `?` one character, `[…]` one of a set,
/// none of which matches `/`.
pub(crate) fn glob_matches(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut segments) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), segments.next()) {
            (None, None) => return true,
            (Some(pattern), Some(segment)) if segment_matches(pattern, segment) => {}
            _ => return false,
        }
    }
}

/// Matches one segment with a single point to return to, so that time is at most
/// `pattern · segment` and not exponential.
fn segment_matches(pattern: &str, segment: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = segment.chars().collect();
    // Where sets can end at all: a `[` after it is one more character, and is not searched for its end
    // over and over.
    let sets = pattern.iter().rposition(|c| *c == ']').map_or(0, |last| last + 1);
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
        } else if let Some(width) = one_matches(&pattern, p, sets, text[t]) {
            p += width;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            star = Some((star_p, star_t + 1));
            p = star_p + 1;
            t = star_t + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How many characters of the pattern, from `p` on, stand for the one character `c`, if they match
/// it. No set ends at `sets` or after it.
fn one_matches(pattern: &[char], p: usize, sets: usize, c: char) -> Option<usize> {
    match *pattern.get(p)? {
        '?' => Some(1),
        '[' => match pattern.get(p..sets).and_then(set_end) {
            Some(end) => set_matches(&pattern[p + 1..p + end], c).then_some(end + 1),
            None => (c == '[').then_some(1),
        },
        literal => (literal == c).then_some(1),
    }
}

/// The index of the `]` that closes a set; one right after `[` or `[!` is a member.
fn set_end(pattern: &[char]) -> Option<usize> {
    let first = if pattern.get(1) == Some(&'!') { 3 } else { 2 };
    (first..pattern.len()).find(|i| pattern[*i] == ']')
}

fn set_matches(set: &[char], c: char) -> bool {
    let (negated, members) = match set {
        ['!', members @ ..] => (true, members),
        members => (false, members),
    };
    let mut found = false;
    let mut i = 0;
    while i < members.len() {
        if i + 2 < members.len() && members[i + 1] == '-' {
            found |= (members[i]..=members[i + 2]).contains(&c);
            i += 3;
        } else {
            found |= members[i] == c;
            i += 1;
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn star_does_not_cross_a_slash() {
        assert!(glob_matches("packages/*/x.whl", "packages/flask/x.whl"));
        assert!(!glob_matches("packages/*", "packages/flask/x.whl"));
        assert!(!glob_matches("*", "a/b"));
        assert!(!glob_matches("a?b", "a/b"));
        assert!(!glob_matches("a[/]b", "a/b"));
    }

    #[test]
    fn patterns_match_like_fnmatch() {
        for (pattern, path, expected) in [
            ("*.tgz", "foo.tgz", true),
            ("*.tgz", "foo.txt", false),
            ("foo-version-?.tgz", "foo-version-2.tgz", true),
            ("foo-version-?.tgz", "foo-version-12.tgz", false),
            ("[a-c]x[!0-9]", "bxz", true),
            ("[a-c]x[!0-9]", "bx5", false),
            ("[]]", "]", true),
            ("[", "[", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("", "", true),
            ("**", "anything", true),
        ] {
            assert_eq!(glob_matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn stars_take_no_exponential_time() {
        let pattern = "a*".repeat(2_000) + "b";
        assert!(!glob_matches(&pattern, &"a".repeat(4_000)));
    }

    #[test]
    fn sets_without_an_end_are_not_searched_for_it_at_every_character() {
        let pattern = format!("*{}", "[".repeat(1_000_000));
        assert!(!glob_matches(&pattern, &format!("{}b", "[".repeat(2_000))));
        assert!(!glob_matches(&format!("*[!]{pattern}"), &"a".repeat(4_000)));
    }

    #[test]
    fn bins_are_the_first_bits_of_the_hash() {
        let hash = PathHash::of(&TargetPath::new("packages/a/b.whl").unwrap());
        let first = u32::from_str_radix(&hash.hex()[..8], 16).unwrap();
        for bits in 1..=32 {
            assert_eq!(hash.bin(bits), first >> (32 - bits));
        }
    }
}
