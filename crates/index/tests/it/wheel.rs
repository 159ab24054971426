use std::io::{Cursor, Write as _};

use proptest::prelude::*;
use waxseal_index::archive::{ArchiveError, Limits};
use zip::write::SimpleFileOptions;

use crate::zip_file::{Entry, ZipFile};
use crate::{METADATA, assert_refused, inspect_bytes, inspect_within, refusal};

pub(crate) const WHEEL: &str = "foo-1.0-py3-none-any.whl";
const INFO: &str = "foo-1.0.dist-info";

fn entries() -> Vec<Entry> {
    vec![
        Entry::deflated("foo/__init__.py", b"print('hello')\n"),
        Entry::deflated(&format!("{INFO}/METADATA"), METADATA),
        Entry::stored(&format!("{INFO}/WHEEL"), b"Wheel-Version: 1.0\n"),
        Entry::deflated(&format!("{INFO}/RECORD"), b""),
    ]
}

fn zip_of(entries: &[Entry]) -> Vec<u8> {
    ZipFile::of(entries).bytes()
}

/// The wheel with one entry more.
pub(crate) fn with(entry: Entry) -> Vec<u8> {
    zip_of(&[entries(), vec![entry]].concat())
}

/// The wheel with its METADATA changed.
fn changed(change: impl FnOnce(Entry) -> Entry) -> Vec<u8> {
    let mut entries = entries();
    let metadata = change(entries.remove(1));
    entries.insert(1, metadata);
    zip_of(&entries)
}

#[track_caller]
pub(crate) fn assert_taken(bytes: &[u8]) {
    let inspected = inspect_bytes(WHEEL, bytes).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(inspected.metadata_file.as_deref(), Some(METADATA));
    assert_eq!(inspected.core_metadata.name.as_str(), "Foo");
    assert_eq!(inspected.core_metadata.requires_python.as_deref(), Some(">=3.9"));
}

#[test]
fn honest_wheels_are_taken() {
    assert_taken(&zip_of(&entries()));
    assert_taken(&with(Entry::stored("foo-1.0.data/scripts/", b"")));
    assert_taken(&with(Entry::stored("foo/é.txt", b"x")));
    assert_taken(&with(Entry::stored("Foo/__INIT__.py", b"another file where case counts")));
    for (marked, wide) in [(true, false), (false, false), (true, true), (false, true)] {
        assert_taken(&changed(|entry| entry.streamed(marked, wide)));
    }
    let mut commented = ZipFile::of(&entries());
    commented.comment = b"made by hand".to_vec();
    assert_taken(&commented.bytes());
}

#[test]
fn other_spellings_of_name_and_version_are_the_same() {
    assert_taken(&zip_of(&entries()));
    let respelled: Vec<Entry> = entries()
        .into_iter()
        .map(|entry| {
            entry.both(|header| {
                let name = String::from_utf8(header.name.clone()).unwrap();
                header.name = name.replace(INFO, "FOO-1.0.0.dist-info").into_bytes();
            })
        })
        .collect();
    assert_taken(&zip_of(&respelled));
}

#[test]
fn what_the_zip_crate_writes_is_taken() {
    for options in [
        SimpleFileOptions::default(),
        SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored),
        SimpleFileOptions::default().large_file(true),
    ] {
        let write = |archive: &mut dyn FnMut(&str, &[u8])| {
            archive("foo/__init__.py", b"");
            archive(&format!("{INFO}/METADATA"), METADATA);
            archive(&format!("{INFO}/WHEEL"), b"Wheel-Version: 1.0\n");
            archive(&format!("{INFO}/RECORD"), b"foo/__init__.py,,\n");
        };
        let mut seekable = zip::ZipWriter::new(Cursor::new(Vec::new()));
        write(&mut |name, contents| {
            seekable.start_file(name, options).unwrap();
            seekable.write_all(contents).unwrap();
        });
        assert_taken(&seekable.finish().unwrap().into_inner());

        let mut streamed = zip::ZipWriter::new_stream(Vec::new());
        write(&mut |name, contents| {
            streamed.start_file(name, options).unwrap();
            streamed.write_all(contents).unwrap();
        });
        assert_taken(&streamed.finish().unwrap().into_inner());
    }
}

#[test]
fn zip64_is_taken_where_it_agrees() {
    let zip = ZipFile::of(&entries());
    assert_taken(&zip.zip64_bytes(true, 4, None));
    assert_taken(&zip.zip64_bytes(false, 4, None));
    // All values in the ZIP64 field, and in the header as well: protobuf's wheels are so.
    let sizes = |unpacked: u32, packed: u32| {
        let sizes = [u64::from(unpacked).to_le_bytes(), u64::from(packed).to_le_bytes()];
        [&[1, 0, 16, 0], sizes.as_flattened()].concat()
    };
    assert_taken(&changed(|entry| {
        entry.local(|header| header.extra = sizes(header.unpacked, header.packed))
    }));
    assert_taken(&changed(|entry| {
        entry.both(|header| {
            header.extra = sizes(header.unpacked, header.packed);
            (header.unpacked, header.packed) = (u32::MAX, u32::MAX);
        })
    }));
    let differs = changed(|entry| {
        entry.local(|header| header.extra = sizes(header.unpacked + 1, header.packed))
    });
    assert_refused(WHEEL, &differs, "ZIP64 field and its header differ");
}

#[test]
fn zip64_that_disagrees_is_refused() {
    let zip = ZipFile::of(&entries());
    for (bytes, reason) in [
        (zip.zip64_bytes(false, 3, None), "disagrees with the end record"),
        (zip.zip64_bytes(true, 3, None), "has 4 entries, where the end record says 3"),
        (zip.zip64_bytes(true, 4, Some(0)), "locator points elsewhere"),
        (zip.zip64_bytes(false, 4, Some(u64::MAX)), "locator points elsewhere"),
    ] {
        assert_refused(WHEEL, &bytes, reason);
    }
    let lacking = changed(|entry| entry.central(|header| header.packed = u32::MAX));
    assert_refused(WHEEL, &lacking, "lacks a value");
    let twice = changed(|entry| entry.both(|header| header.extra = [1, 0, 0, 0].repeat(2)));
    assert_refused(WHEEL, &twice, "two ZIP64 fields");
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for (name, reason) in [
        ("../evil.py", "goes up"),
        ("foo/../../evil.py", "goes up"),
        ("/etc/passwd", "absolute"),
        ("foo\\..\\evil.py", "backslash"),
        ("C:evil.py", "drive letter"),
        ("foo/\0.py", "NUL"),
        ("", "no name"),
        ("./", "the folder that is unpacked to"),
    ] {
        assert_refused(WHEEL, &with(Entry::stored(name, b"")), reason);
    }
}

#[test]
fn two_entries_for_one_place_are_refused() {
    let metadata = format!("{INFO}/METADATA");
    for name in [
        metadata.clone(),
        format!("./{metadata}"),
        metadata.replace('/', "//"),
        metadata.replace('/', "/./"),
        format!("{metadata}/"),
    ] {
        assert_refused(WHEEL, &with(Entry::stored(&name, b"")), "second entry");
    }
}

#[test]
fn a_file_where_another_entry_needs_a_folder_is_refused() {
    for (file, inside) in [("bar", "bar/x.py"), ("bar", "./bar//a/b/x.py"), ("bar", "bar/a/")] {
        // An entry that sorts between the two if one goes by their names.
        let between = Entry::stored("bar-2.txt", b"");
        let added = [file, inside].map(|name| Entry::stored(name, b""));
        let reversed = [added[1].clone(), between.clone(), added[0].clone()];
        let bytes = zip_of(&[entries(), vec![between], added.to_vec()].concat());
        let reason = format!("bar: it is a file, but {inside} needs a folder there");
        assert_refused(WHEEL, &bytes, &reason);
        assert_refused(WHEEL, &zip_of(&[entries(), reversed.to_vec()].concat()), &reason);
    }
    let inside = with(Entry::stored(&format!("{INFO}/METADATA/x"), b""));
    assert_refused(WHEEL, &inside, "METADATA: it is a file");
    let folder = ["bar/", "bar/a/", "bar/a/x.py", "bar.py", "bar-2/x.py"];
    let folder = folder.map(|name| Entry::stored(name, b""));
    assert_taken(&zip_of(&[entries(), folder.to_vec()].concat()));
}

#[test]
fn a_file_of_the_wheel_in_another_case_is_refused() {
    for (name, file) in [
        ("metadata", "METADATA"),
        ("Wheel", "WHEEL"),
        ("record", "RECORD"),
        ("metaData/x", "METADATA"),
    ] {
        let reason = format!("{INFO}/{name}: it differs from {file} beside it by case only");
        let bytes = with(Entry::stored(&format!("{INFO}/{name}"), METADATA));
        assert_refused(WHEEL, &bytes, &reason);
        let bytes = with(Entry::stored(&format!("./{INFO}/{name}"), METADATA));
        assert_refused(WHEEL, &bytes, &reason);
    }
    assert_taken(&with(Entry::stored("foo/metadata", b"")));
    assert_taken(&with(Entry::stored(&format!("{INFO}/licenses/metadata"), b"")));
}

#[test]
fn two_dist_info_folders_are_refused() {
    for name in ["bar-1.0.dist-info/METADATA", "Foo-1.0.dist-info/METADATA", "foo-1.0.DIST-INFO/x"]
    {
        assert_refused(WHEEL, &with(Entry::stored(name, METADATA)), "second .dist-info");
    }
    assert_taken(&with(Entry::stored("foo/vendored-1.0.dist-info/METADATA", b"")));
}

#[test]
fn headers_that_differ_are_refused() {
    type Change = fn(Entry) -> Entry;
    let cases: [(&str, Change); 9] = [
        ("name", |entry| entry.local(|header| header.name[0] = b'g')),
        ("name", |entry| entry.local(|header| header.name.push(b'x'))),
        ("compression method", |entry| entry.local(|header| header.method = 0)),
        ("size", |entry| entry.local(|header| header.packed -= 1)),
        ("size", |entry| entry.local(|header| header.unpacked += 1)),
        ("checksum", |entry| entry.local(|header| header.crc ^= 1)),
        ("size", |entry| entry.local(|header| header.packed = 0)),
        ("flags", |entry| entry.local(|header| header.flags |= 1)),
        ("flags", |entry| entry.local(|header| header.flags |= 1 << 3)),
    ];
    for (what, change) in cases {
        let reason = format!("its {what} in the local header and in the directory differ");
        assert_refused(WHEEL, &changed(change), &reason);
    }
}

#[test]
fn an_entry_named_otherwise_by_an_extra_field_is_refused() {
    let field = [&[0x75, 0x70, 9, 0, 1, 0, 0, 0, 0][..], b"evil"].concat();
    let bytes = changed(|entry| entry.both(|header| header.extra = field.clone()));
    assert_refused(WHEEL, &bytes, "another name");
    let torn = changed(|entry| entry.both(|header| header.extra = vec![1, 0, 9]));
    assert_refused(WHEEL, &torn, "malformed");
}

#[test]
fn names_that_depend_on_a_code_page_are_refused() {
    let unmarked = Entry::stored("é", b"").both(|header| header.flags = 0);
    assert_refused(WHEEL, &with(unmarked), "not marked as UTF-8");
    let latin = Entry::stored("e", b"").both(|header| header.name = vec![0xe9]);
    assert_refused(WHEEL, &with(latin), "not UTF-8");
}

#[test]
fn bytes_that_belong_to_nothing_are_refused() {
    let whole = zip_of(&entries());
    assert_refused(WHEEL, &[&whole[..], b"x"].concat(), "bytes follow it");
    assert_refused(WHEEL, &[b"x", &whole[..]].concat(), "does not end where the end record starts");
    let gap = changed(|entry| entry.after(b"hidden".to_vec()));
    assert_refused(WHEEL, &gap, "6 bytes that belong to no entry");
    // An entry that only a reader from the start sees.
    let mut zip = ZipFile::of(&entries());
    let hidden = ZipFile::of(&[Entry::stored(&format!("{INFO}/METADATA"), b"evil")]);
    zip.locals.extend(&hidden.locals);
    assert_refused(WHEEL, &zip.bytes(), "belong to no entry");
    let mut first = ZipFile::of(&entries());
    first.locals = [b"MZ".to_vec(), first.locals].concat();
    assert!(inspect_bytes(WHEEL, &first.bytes()).is_err());
    // Between the directory and the end record.
    let zip = ZipFile::of(&entries());
    let bytes = [&zip.locals[..], &zip.directory, b"gap", &zip.end()].concat();
    assert_refused(WHEEL, &bytes, "does not end where the end record starts");
}

#[test]
fn leading_bytes_are_refused_even_if_the_offsets_know_them() {
    let mut offset_entries = entries();
    let mut offset = 2;
    for entry in &mut offset_entries {
        entry.offset = Some(offset);
        offset += (30 + entry.local.name.len() + entry.data.len()) as u32;
    }
    let mut zip = ZipFile::of(&offset_entries);
    zip.locals = [b"MZ".to_vec(), zip.locals].concat();
    assert_refused(WHEEL, &zip.bytes(), "2 bytes stand before the first entry");
}

#[test]
fn overlapping_entries_are_refused() {
    let mut entries = entries();
    entries[2].offset = Some(0);
    assert_refused(WHEEL, &zip_of(&entries), "overlap");
    let long = changed(|entry| entry.both(|header| header.packed += 5));
    assert_refused(WHEEL, &long, "overlap");
    let far = changed(|mut entry| {
        entry.offset = Some(u32::MAX - 1);
        entry
    });
    inspect_bytes(WHEEL, &far).unwrap_err();
}

#[test]
fn two_end_records_are_refused() {
    let inner = ZipFile::of(&[Entry::stored("evil", b"")]);
    let mut zip = ZipFile::of(&entries());
    zip.comment = inner.bytes();
    assert_refused(WHEEL, &zip.bytes(), "there are several");
    // One in the comment that does not end the file, which some readers take all the same.
    zip.comment = [inner.bytes(), b"xxx".to_vec()].concat();
    assert_refused(WHEEL, &zip.bytes(), "there are several");
    // A ZIP among the files is none of our business.
    assert_taken(&with(Entry::stored("foo/data.zip", &inner.bytes())));
}

#[test]
fn encryption_disks_and_rare_methods_are_refused() {
    for flag in [0, 5, 6, 13] {
        let bytes = changed(|entry| entry.both(|header| header.flags |= 1 << flag));
        assert_refused(WHEEL, &bytes, "encrypted or patched");
    }
    for method in [12, 14, 93, 99] {
        let bytes = changed(|entry| entry.both(|header| header.method = method));
        assert_refused(WHEEL, &bytes, "use stored (0) or deflate (8)");
    }
    let zip = ZipFile::of(&entries());
    for position in [4, 6, 8] {
        let mut end = zip.end();
        end[position] ^= 1;
        let bytes = [&zip.locals[..], &zip.directory, &end].concat();
        assert_refused(WHEEL, &bytes, "several disks");
    }
}

#[test]
fn data_that_lies_about_itself_is_refused() {
    assert_refused(
        WHEEL,
        &changed(|entry| entry.both(|header| header.crc ^= 1)),
        "checksum (CRC-32) is wrong",
    );
    for change in [1, u32::MAX] {
        let bytes = changed(|entry| {
            entry.both(|header| header.unpacked = header.unpacked.wrapping_add(change))
        });
        inspect_bytes(WHEEL, &bytes).unwrap_err();
    }
    let trailing = changed(|mut entry| {
        entry.data.extend(b"PK\x03\x04");
        entry.both(|header| header.packed += 4)
    });
    assert_refused(WHEEL, &trailing, "bytes follow its compressed data");
    let cut = changed(|mut entry| {
        entry.data.pop();
        entry.both(|header| header.packed -= 1)
    });
    assert_refused(WHEEL, &cut, "damaged");
    let descriptor = changed(|entry| {
        let mut entry = entry.streamed(true, false);
        entry.after[4] ^= 1;
        entry
    });
    assert_refused(WHEEL, &descriptor, "data descriptor and the directory differ");
}

#[test]
fn the_files_of_the_wheel_must_be_there_and_fit() {
    for (index, file) in [(1, "METADATA"), (2, "WHEEL"), (3, "RECORD")] {
        let mut entries = entries();
        entries.remove(index);
        assert_refused(WHEEL, &zip_of(&entries), &format!("has no {INFO}/{file}"));
    }
    assert_refused(WHEEL, &zip_of(&[]), "has no foo-1.0.dist-info folder");
    let whole = zip_of(&entries());
    for other in ["bar-1.0-py3-none-any.whl", "foo-1.1-py3-none-any.whl"] {
        assert_refused(other, &whole, "the wheel's .dist-info folder is 'foo-1.0.dist-info'");
    }
    let metadata = |text: &str| {
        let mut entries = entries();
        entries[1] = Entry::deflated(&format!("{INFO}/METADATA"), text.as_bytes());
        refusal(WHEEL, &zip_of(&entries))
    };
    let name = metadata("Metadata-Version: 2.1\nName: bar\nVersion: 1.0\n");
    assert!(name.contains("the Name in foo-1.0.dist-info/METADATA is 'bar'"), "{name}");
    let version = metadata("Metadata-Version: 2.1\nName: foo\nVersion: 2\n");
    assert!(version.contains("the Version in foo-1.0.dist-info/METADATA is '2'"), "{version}");
    let invalid = metadata("Metadata-Version: 2.1\nVersion: 2\n");
    assert!(invalid.contains("the field Name is missing"), "{invalid}");
}

#[test]
fn limits_hold() {
    let whole = zip_of(&entries());
    for (limits, reason) in [
        (Limits { entries: 3, ..Limits::default() }, "number of entries is 4"),
        (Limits { directory: 99, ..Limits::default() }, "ZIP directory"),
        (Limits { metadata: 10, ..Limits::default() }, "METADATA, unpacked"),
        (Limits { ratio: 0, ratio_from: 9, ..Limits::default() }, "the archive, unpacked"),
    ] {
        let error = inspect_within(WHEEL, &whole, &limits).unwrap_err();
        assert!(matches!(error, ArchiveError::TooLarge { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    // A bomb that says it is small ends where it says.
    let bomb = vec![b' '; 1 << 20];
    let mut entries = entries();
    entries[1] =
        Entry::deflated(&format!("{INFO}/METADATA"), &bomb).both(|header| header.unpacked = 100);
    assert_refused(WHEEL, &zip_of(&entries), "METADATA: it unpacks to more than its headers say");
}

#[test]
fn a_reader_that_fails_is_not_a_broken_archive() {
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk on fire"))
        }
    }
    impl std::io::Seek for Failing {
        fn seek(&mut self, _: std::io::SeekFrom) -> std::io::Result<u64> {
            Ok(100)
        }
    }
    for filename in [WHEEL, "foo-1.0.tar.gz", "foo-1.0.zip"] {
        let error = waxseal_index::archive::inspect(
            &filename.parse().unwrap(),
            Failing,
            100,
            &Limits::default(),
        );
        assert!(matches!(error, Err(ArchiveError::Read { .. })), "{error:?}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let whole = zip_of(&entries());
    for length in 0..whole.len() {
        inspect_bytes(WHEEL, &whole[..length]).unwrap_err();
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused(bytes in any::<Vec<u8>>()) {
        prop_assert!(inspect_bytes(WHEEL, &bytes).is_err());
    }

    #[test]
    fn changed_bytes_never_panic_nor_change_the_metadata(
        zip64 in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let zip = ZipFile::of(&entries());
        let mut bytes = if zip64 { zip.zip64_bytes(true, 4, None) } else { zip.bytes() };
        for (index, byte) in changes {
            let position = index.index(bytes.len());
            bytes[position] = byte;
        }
        if let Ok(inspected) = inspect_bytes(WHEEL, &bytes) {
            prop_assert_eq!(inspected.metadata_file.as_deref(), Some(METADATA));
        }
    }
}
