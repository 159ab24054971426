//! What the entries of a wheel hold.

use crate::assert_refused;
use crate::wheel::{WHEEL, assert_taken, with};
use crate::zip_file::{Entry, ZipFile};

#[test]
fn every_entry_is_what_its_headers_say() {
    // Longer than a buffer, packed as well as unpacked.
    let noise = noise(200_000);
    for entry in [Entry::stored("foo/x", &noise), Entry::deflated("foo/x", &noise)] {
        assert!(entry.data.len() > 150_000);
        assert_taken(&with(entry.clone()));
        assert_taken(&with(entry.clone().streamed(true, false)));
        let checksum = entry.clone().both(|header| header.crc ^= 1);
        assert_refused(WHEEL, &with(checksum), "foo/x: its length or checksum (CRC-32) is wrong");
        // The last byte but a few: only a reader that goes to the end sees it.
        let mut changed = entry;
        let position = changed.data.len() - 10;
        changed.data[position] ^= 1;
        assert_refused(WHEEL, &with(changed), "broken at foo/x");
    }
    assert_taken(&with(Entry::deflated("foo/x", b"")));
    let longer = Entry::deflated("foo/x", &noise).both(|header| header.unpacked += 1);
    assert_refused(WHEEL, &with(longer), "foo/x: its length or checksum");
    let shorter = Entry::deflated("foo/x", &noise).both(|header| header.unpacked -= 1);
    assert_refused(WHEEL, &with(shorter), "foo/x: it unpacks to more than its headers say");
    let bomb = Entry::deflated("foo/x", &vec![0; 8 << 20]).both(|header| header.unpacked = 4);
    assert_refused(WHEEL, &with(bomb), "foo/x: it unpacks to more than its headers say");
    let cut = |mut entry: Entry| {
        entry.data.truncate(entry.data.len() - 1);
        entry.both(|header| header.packed -= 1)
    };
    assert_refused(WHEEL, &with(cut(Entry::deflated("foo/x", &noise))), "foo/x: the compressed");
    let garbage = Entry::deflated("foo/x", b"").both(|header| header.packed = 500);
    let garbage = Entry { data: vec![0xff; 500], ..garbage };
    assert_refused(WHEEL, &with(garbage), "foo/x: the compressed data is damaged");
    let empty = Entry::deflated("foo/x", b"").both(|header| header.packed = 0);
    let empty = Entry { data: Vec::new(), ..empty };
    assert_refused(WHEEL, &with(empty), "foo/x: the compressed data is damaged");
}

/// A reader that goes by the deflated data finds its descriptor and another entry within what
/// the directory says is one entry's data.
#[test]
fn an_entry_hidden_in_the_data_of_another_is_refused() {
    for contents in [b"x = 1\n".to_vec(), noise(200_000)] {
        let seen = Entry::deflated("foo/x.py", &contents).streamed(true, false);
        let hidden = ZipFile::of(&[Entry::stored("foo/evil.py", b"evil")]).locals;
        let data = [&seen.data[..], &seen.after, &hidden].concat();
        let packed = data.len() as u32;
        let entry = Entry { data, ..Entry::deflated("foo/x.py", &contents) };
        let entry = entry.both(|header| header.packed = packed).streamed(true, false);
        assert_refused(WHEEL, &with(entry), "foo/x.py: bytes follow its compressed data");
    }
}

/// Bytes that deflate does not shrink.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
