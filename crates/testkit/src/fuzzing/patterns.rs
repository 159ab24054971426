//! Which paths a delegation covers, told slowly.

use waxseal_tuf::hash::Sha256;

/// Whether a `PATHPATTERN` of TUF 4.5 matches: segment by segment, trying every length for each `*`.
pub(super) fn glob_matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<Vec<char>> = pattern.split('/').map(|part| part.chars().collect()).collect();
    let path: Vec<Vec<char>> = path.split('/').map(|part| part.chars().collect()).collect();
    pattern.len() == path.len()
        && pattern.iter().zip(&path).all(|(pattern, text)| segment_matches(pattern, text))
}

fn segment_matches(pattern: &[char], text: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
    if *first == '*' {
        return (0..=text.len()).any(|taken| segment_matches(rest, &text[taken..]));
    }
    let Some((c, text)) = text.split_first() else { return false };
    if *first == '?' {
        return segment_matches(rest, text);
    }
    match (*first == '[').then(|| set(rest)).flatten() {
        Some((set, rest)) => set.has(*c) && segment_matches(rest, text),
        None => first == c && segment_matches(rest, text),
    }
}

struct Set {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Set {
    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|(low, high)| *low <= c && c <= *high) != self.negated
    }
}

/// The set that begins after a `[`, and what follows its `]`; `None` where none closes it. Its first
/// member may be a `]`.
fn set(pattern: &[char]) -> Option<(Set, &[char])> {
    let (negated, mut rest) = match pattern {
        ['!', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut members = Vec::new();
    loop {
        let (first, after) = rest.split_first()?;
        rest = after;
        if *first == ']' && !members.is_empty() {
            break;
        }
        members.push(*first);
    }
    let mut ranges = Vec::new();
    let mut members = members.as_slice();
    loop {
        members = match members {
            [] => return Some((Set { negated, ranges }, rest)),
            [low, '-', high, after @ ..] => {
                ranges.push((*low, *high));
                after
            }
            [member, after @ ..] => {
                ranges.push((*member, *member));
                after
            }
        };
    }
}

/// The SHA-256 of a path in lower-case hex.
pub(super) fn hex_hash(path: &str) -> String {
    Sha256::of(path.as_bytes()).to_string()
}

/// The name of the succinct bin of a path (TAP 15), bit by bit.
pub(super) fn bin_name(prefix: &str, bit_length: u32, path: &str) -> String {
    let hash = Sha256::of(path.as_bytes()).0;
    let bit = |i: u32| u64::from(hash[i as usize / 8] >> (7 - i % 8) & 1);
    let number = (0..bit_length).fold(0, |number, i| 2 * number + bit(i));
    let last = format!("{:x}", (1_u64 << bit_length) - 1);
    format!("{prefix}-{number:0>width$x}", width = last.len())
}
