//! Hashes that two people compare aloud.
//!
//! A proquint is 16 bits as a word of five letters that can be said (Wilkerson, "Proquints: Identifiers
//! that are Readable, Spellable, and Pronounceable", <https://arxiv.org/html/0901.4016>): consonants stand
//! for four bits and vowels for two.

const CONSONANTS: [char; 16] =
    ['b', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'r', 's', 't', 'v', 'z'];
const VOWELS: [char; 4] = ['a', 'i', 'o', 'u'];

/// The words of these bytes, one for each two. A last byte without a second one has a zero after it.
///
/// ```
/// let words = waxseal_tuf::spoken::proquints(&[127, 0, 0, 1]);
/// assert_eq!(words, ["lusab", "babad"]);
/// ```
pub fn proquints(bytes: &[u8]) -> Vec<String> {
    bytes
        .chunks(2)
        .map(|pair| word(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .collect()
}

/// The words of a hash in hex, such as a keyid or a fingerprint, four on a line; `None` if it is not hex.
///
/// ```
/// let spoken = waxseal_tuf::spoken::of_hex("7f0000013f54dcc13f760723").unwrap();
/// assert_eq!(spoken, "lusab babad gutih tugad\ngutuk bisog");
/// ```
pub fn of_hex(hex: &str) -> Option<String> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
    let words = proquints(&bytes);
    let lines: Vec<_> = words.chunks(4).map(|line| line.join(" ")).collect();
    Some(lines.join("\n"))
}

/// A hash in hex in groups of four, as people compare it by eye.
///
/// ```
/// assert_eq!(waxseal_tuf::spoken::groups("7f0000013f5"), "7f00 0001 3f5");
/// ```
pub fn groups(hex: &str) -> String {
    let characters: Vec<char> = hex.chars().collect();
    let groups: Vec<String> = characters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}

fn word(bits: u16) -> String {
    let part = |shift: u16, mask: u16| usize::from((bits >> shift) & mask);
    [
        CONSONANTS[part(12, 15)],
        VOWELS[part(10, 3)],
        CONSONANTS[part(6, 15)],
        VOWELS[part(4, 3)],
        CONSONANTS[part(0, 15)],
    ]
    .into_iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_paper() {
        // Its table of addresses.
        for (address, words) in [
            ([63, 84, 220, 193], ["gutih", "tugad"]),
            ([63, 118, 7, 35], ["gutuk", "bisog"]),
            ([140, 98, 193, 141], ["mudof", "sakat"]),
            ([212, 58, 253, 68], ["tibup", "zujah"]),
            ([216, 35, 68, 215], ["tobog", "higil"]),
        ] {
            assert_eq!(proquints(&address), words);
        }
    }

    #[test]
    fn no_two_words_are_the_same() {
        let words: std::collections::BTreeSet<_> = (0..=u16::MAX).map(word).collect();
        assert_eq!(words.len(), 1 << 16);
    }

    #[test]
    fn what_is_not_hex_has_no_words() {
        assert_eq!((of_hex("xy"), of_hex("abc")), (None, None));
        assert_eq!(of_hex(""), Some(String::new()));
    }
}
