//! Signatures of ECDSA: r and s side by side, as PKCS#11 has them, and in DER, as TUF has them.

/// `SEQUENCE { INTEGER r, INTEGER s }` (RFC 3279, 2.2.3) of two numbers of the same length; `None` if they
/// are not that, or too long.
pub(super) fn of_raw(signature: &[u8]) -> Option<Vec<u8>> {
    if signature.is_empty() || !signature.len().is_multiple_of(2) || signature.len() > 96 {
        return None;
    }
    let (r, s) = signature.split_at(signature.len() / 2);
    let body = [integer(r), integer(s)].concat();
    Some([&[0x30, u8::try_from(body.len()).ok()?][..], &body].concat())
}

/// A positive number in as few bytes as it takes.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut digits = bytes[zeros..].to_vec();
    if digits.first().is_none_or(|first| first & 0x80 != 0) {
        digits.insert(0, 0);
    }
    // Of at most 49 bytes.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    let length = digits.len() as u8;
    [&[0x02, length][..], &digits].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_zeros_before_them_and_are_positive() {
        let mut raw = [0; 64];
        (raw[0], raw[63]) = (0x80, 1);
        let der = of_raw(&raw).unwrap_or_default();
        assert_eq!(der[..5], [0x30, 38, 2, 33, 0]);
        assert_eq!(der[der.len() - 3..], [2, 1, 1]);
        assert_eq!(of_raw(&[0, 0]), Some(vec![0x30, 6, 2, 1, 0, 2, 1, 0]));
        assert_eq!((of_raw(&[]), of_raw(&[1; 63]), of_raw(&[1; 98])), (None, None, None));
    }
}
