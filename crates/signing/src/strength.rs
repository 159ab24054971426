//! How strong a passphrase is, at most: what somebody who knows how people choose them needs to try.
//!
//! A copy of a key file can be tried for years, so a weak passphrase is refused. The estimate errs towards
//! weak: it counts a word as one of 7,776 that a die chooses (12.9 bits), however rare it is, and what
//! follows from the character before it as one bit.

use std::fmt;

/// The fewest characters.
const MIN_LENGTH: usize = 12;
/// The fewest bits of the estimate. At what `encrypted.rs` makes a guess cost, half of 2^60 of them take
/// a thousand such machines ten million years.
const MIN_BITS: f64 = 60.0;

/// What a word of a list for dice is worth: log2(7776).
const WORD_BITS: f64 = 12.9;
/// The letters that a word has, on the average; longer runs of letters are several.
const WORD_LETTERS: usize = 7;
/// The letters of a short word, and what it is worth: there are fewer of them.
const SHORT_WORD: usize = 3;
const SHORT_WORD_BITS: f64 = 9.0;
/// What a character is worth that is one of a known sequence, or is there again.
const EXPECTED_BITS: f64 = 1.0;

const SEQUENCES: [&str; 5] =
    ["abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"];

/// What comes first in every list of passwords.
const COMMON: [&str; 14] = [
    "password",
    "passphrase",
    "passwort",
    "secret",
    "letmein",
    "admin",
    "welcome",
    "login",
    "waxseal",
    "python",
    "pypi",
    "signing",
    "root",
    "key",
];

/// Why a passphrase is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// It has too few characters.
    Short,
    /// It is too easy to guess: the estimate in bits.
    Guessable(u32),
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(f, "it has fewer than {MIN_LENGTH} characters")?,
            Self::Guessable(bits) => write!(
                f,
                "it is worth some {bits} bits, and {MIN_BITS} are needed: words count as guessed whole, \
                 and repetitions, sequences and years for little"
            )?,
        }
        f.write_str(
            "; five or more words chosen by dice do, or 14 characters by a password manager",
        )
    }
}

/// Refuses a weak passphrase.
pub(crate) fn check(passphrase: &str) -> Result<(), Weakness> {
    if passphrase.chars().count() < MIN_LENGTH {
        return Err(Weakness::Short);
    }
    let bits = bits(passphrase);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small number for people"
    )]
    match bits < MIN_BITS {
        true => Err(Weakness::Guessable(bits as u32)),
        false => Ok(()),
    }
}

/// An estimate of the bits of a passphrase.
fn bits(passphrase: &str) -> f64 {
    let characters: Vec<char> = passphrase.chars().collect();
    // A capital begins a word, as in `MyDog`.
    let begins = |a: char, b: char| a.is_lowercase() && b.is_uppercase();
    let parts = characters.chunk_by(|a, b| kind(*a) == kind(*b) && !begins(*a, *b));
    let mut seen: Vec<String> = Vec::new();
    let mut bits = 0.0;
    let mut last = None;
    for part in parts {
        let lower: String = part.iter().flat_map(|c| c.to_lowercase()).collect();
        // Where digits go among letters has to be guessed too.
        if last.is_some_and(|last| {
            last != kind(part[0]) && ![last, kind(part[0])].contains(&Kind::Other)
        }) {
            bits += EXPECTED_BITS;
        }
        last = Some(kind(part[0]));
        bits += match seen.contains(&lower) {
            true => EXPECTED_BITS,
            false => part_bits(part, &lower),
        };
        seen.push(lower);
    }
    bits
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Kind {
    Letter,
    Digit,
    Other,
}

fn kind(c: char) -> Kind {
    match c {
        _ if c.is_alphabetic() => Kind::Letter,
        _ if c.is_numeric() => Kind::Digit,
        _ => Kind::Other,
    }
}

/// The bits of characters of one kind in a row.
#[expect(clippy::cast_precision_loss, reason = "a passphrase is short")]
fn part_bits(part: &[char], lower: &str) -> f64 {
    let by_character = |each: f64| -> f64 {
        let lower: Vec<char> = lower.chars().collect();
        let followers = lower.windows(2).map(|pair| match follows(pair[0], pair[1]) {
            true => EXPECTED_BITS,
            false => each,
        });
        each + followers.sum::<f64>()
    };
    match kind(part[0]) {
        Kind::Letter => {
            if COMMON.contains(&lower) {
                return 2.0;
            }
            let words = match part.len() {
                1..=SHORT_WORD => SHORT_WORD_BITS,
                letters => letters.div_ceil(WORD_LETTERS) as f64 * WORD_BITS,
            };
            by_character(4.7).min(words)
        }
        Kind::Digit if part.len() == 4 && (lower.starts_with("19") || lower.starts_with("20")) => {
            7.0
        }
        Kind::Digit => by_character(3.3),
        // What stands between words is mostly the same.
        Kind::Other => {
            by_character(if part.len() == 1 && " -_.".contains(part[0]) { 1.0 } else { 5.0 })
        }
    }
}

/// Whether one character is what comes after another one, or is the same.
fn follows(before: char, after: char) -> bool {
    let is_next = |sequence: &str| {
        let position = |c| sequence.find(c);
        position(before).zip(position(after)).is_some_and(|(a, b)| a.abs_diff(b) == 1)
    };
    before == after || SEQUENCES.into_iter().any(is_next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_easy_to_guess_is_refused() {
        for passphrase in [
            "",
            "Tr0ub4dor&3",
            "passwordpassword",
            "password password password password password",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "qwertyuiopasdfghjklzxcvbnm",
            "12345678901234567890",
            "Summer-2024-Summer-2025",
            "correct horse battery staple",
            "correcthorsebatterystaple",
            "MyDogIsCalledRex1999",
            "internationalization!",
            "111-222-333-444-555-666",
        ] {
            assert!(check(passphrase).is_err(), "{passphrase}: {}", bits(passphrase));
        }
        assert_eq!(check("Tr0ub4dor&3"), Err(Weakness::Short));
    }

    #[test]
    fn words_by_dice_and_random_characters_do() {
        for passphrase in [
            "correct horse battery staple crayon",
            "unpaved-giddily-reenter-slum-ladybug",
            "lusab babad gutih tugad mumum",
            "k7Qw9Zr2Xv5Tn8",
            "vF3&kq8!Lm2^wz",
            "xKjRbTqWzLpNvHs",
            "9f86d081884c7d659a2feaa0",
        ] {
            assert_eq!(check(passphrase), Ok(()), "{passphrase}: {}", bits(passphrase));
        }
    }

    #[test]
    fn a_refusal_says_what_would_do() {
        let text = check("correct horse battery staple").unwrap_err().to_string();
        assert!(
            text.contains("bits, and 60 are needed") && text.contains("five or more"),
            "{text}"
        );
    }
}
