use proptest::prelude::*;
use waxseal_index::archive::{ArchiveError, Limits};

use crate::tar_file::{file, header, link, member, pax, sealed, tar};
use crate::zip_file::{Entry, ZipFile};
use crate::{METADATA, assert_refused, gzip, inspect_bytes, inspect_within};

const SDIST: &str = "foo-1.0.tar.gz";

fn pkg_info() -> Vec<u8> {
    file("foo-1.0/PKG-INFO", METADATA)
}

/// An sdist of these members, PKG-INFO in front.
fn with(members: &[Vec<u8>]) -> Vec<u8> {
    gzip(&tar(&[&[pkg_info()], members].concat()))
}

#[track_caller]
fn assert_taken(bytes: &[u8]) {
    let inspected = inspect_bytes(SDIST, bytes).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(inspected.core_metadata.name.as_str(), "Foo");
    assert_eq!(inspected.metadata_file, None);
}

#[test]
fn honest_sdists_are_taken() {
    assert_taken(&with(&[file("foo-1.0/setup.py", b"x"), member("foo-1.0/src/", b'5', b"")]));
    assert_taken(&gzip(&tar(&[
        pax(b'g', &[("comment", "0123456789abcdef")]),
        member("./", b'5', b""),
        pax(b'x', &[("path", "./foo-1.0/PKG-INFO"), ("mtime", "1.5")]),
        file("cut", METADATA),
    ])));
    assert_taken(&gzip(&tar(&[file("FOO-1.0.0/PKG-INFO", METADATA)])));
    // A PKG-INFO that is not the top one, and a folder beside the top one.
    assert_taken(&with(&[file("foo-1.0/foo.egg-info/PKG-INFO", b"x"), file("._foo-1.0", b"x")]));
    // Without the zeros at the end, as some writers leave it.
    assert_taken(&gzip(&pkg_info()));
    let long = format!("foo-1.0/{}", "d/".repeat(60));
    assert_taken(&with(&[
        member("././@LongLink", b'L', format!("{long}\0").as_bytes()),
        file("x", b""),
    ]));
}

#[test]
fn what_the_tar_crate_writes_is_taken() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut append = |name: &str, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, data).unwrap();
    };
    append("foo-1.0/setup.py", b"import this");
    append(&format!("foo-1.0/{}.py", "long".repeat(40)), b"x");
    append("foo-1.0/PKG-INFO", METADATA);
    assert_taken(&gzip(&builder.into_inner().unwrap()));
}

#[test]
fn a_size_given_twice_must_be_the_same() {
    // CVE-2025-62518: a reader that goes by the header's size finds a member inside the data.
    let inner = file("foo-1.0/PKG-INFO", b"Metadata-Version: 2.1\nName: evil\nVersion: 6\n");
    let mut outer = pax(b'x', &[("size", &inner.len().to_string())]);
    outer.extend(header("foo-1.0/data", b'0', 0, ""));
    outer.extend(inner);
    assert_refused(SDIST, &with(&[outer]), "foo-1.0/data: two sizes");
    assert_taken(&with(&[pax(b'x', &[("size", "1")]), file("foo-1.0/data", b"x")]));
    for records in [
        &[("size", "1"), ("size", "1")][..],
        &[("path", "foo-1.0/a"), ("path", "foo-1.0/b")],
        &[("size", "+1")],
        &[("size", "-1")],
        &[("size", "")],
        &[("size", "99999999999999999999999")],
        &[("path", "")],
        &[("path", "a\0b")],
        &[("GNU.sparse.major", "1")],
    ] {
        let bytes = with(&[pax(b'x', records), file("foo-1.0/data", b"x")]);
        assert!(inspect_bytes(SDIST, &bytes).is_err(), "{records:?}");
    }
}

#[test]
fn extended_headers_that_readers_take_differently_are_refused() {
    let last = file("foo-1.0/a", b"x");
    for (members, reason) in [
        (vec![pax(b'g', &[("path", "foo-1.0/b")]), last.clone()], "global"),
        (vec![pax(b'g', &[("size", "1")]), last.clone()], "global"),
        (vec![pax(b'x', &[]), pax(b'x', &[("path", "y")]), last.clone()], "two extended headers"),
        (
            vec![
                pax(b'x', &[("path", "foo-1.0/c")]),
                member("L", b'L', b"foo-1.0/d\0"),
                last.clone(),
            ],
            "same thing twice",
        ),
        (vec![member("L", b'L', b"foo-1.0/d\0e\0"), last.clone()], "NUL"),
        (vec![member("x", b'x', b"99 path=a\n"), last.clone()], "malformed"),
        (vec![member("x", b'x', b"10 path=ab"), last.clone()], "malformed"),
        (vec![member("x", b'x', b"0 path=ab\n"), last], "malformed"),
        (vec![pax(b'x', &[("path", "foo-1.0/c")])], "no entry after it"),
    ] {
        assert_refused(SDIST, &with(&members), reason);
    }
}

#[test]
fn folders_and_links_with_contents_are_refused() {
    for kind in [b'5', b'1', b'2'] {
        let mut block = header("foo-1.0/a", kind, 512, "b").to_vec();
        block.extend(header("foo-1.0/x", b'0', 0, ""));
        assert_refused(SDIST, &with(&[block]), "contents");
    }
    let folder = member("foo-1.0/a/", b'0', b"contents");
    assert_refused(SDIST, &with(&[folder]), "contents");
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for (name, reason) in [
        ("../evil", "goes up"),
        ("foo-1.0/../../evil", "goes up"),
        ("/etc/passwd", "absolute"),
        ("foo-1.0\\evil", "backslash"),
        ("C:evil", "drive letter"),
        ("", "no name"),
    ] {
        assert_refused(SDIST, &with(&[file(name, b"")]), reason);
        if !name.is_empty() {
            let by_pax = [pax(b'x', &[("path", name)]), file("ok", b"")];
            assert_refused(SDIST, &with(&by_pax), reason);
        }
    }
}

#[test]
fn links_stay_in_their_folder_and_nothing_goes_through_them() {
    for (kind, target) in [(b'2', "b"), (b'2', "../foo-1.0/b"), (b'1', "foo-1.0/b")] {
        assert_taken(&with(&[link("foo-1.0/a", kind, target)]));
    }
    for (kind, name, target) in [
        (b'2', "foo-1.0/a", "../../etc/passwd"),
        (b'2', "foo-1.0/a", "/etc/passwd"),
        (b'2', "foo-1.0/a", ".."),
        (b'2', "foo-1.0/a", "."),
        (b'2', "foo-1.0/a", "../other/b"),
        (b'2', "foo-1.0/a", ""),
        (b'2', "foo-1.0/a", "c:\\windows"),
        (b'1', "foo-1.0/a", "../etc/passwd"),
        (b'1', "foo-1.0/a", "b"),
        (b'2', "foo-1.0", "foo-1.0/other"),
        (b'2', "elsewhere", "foo-1.0/b"),
    ] {
        assert_refused(SDIST, &with(&[link(name, kind, target)]), "leaves its top folder");
    }
    for name in ["foo-1.0/a", "foo-1.0/a/b", "foo-1.0/A/b", "./foo-1.0//a"] {
        let through = [link("foo-1.0/a", b'2', "PKG-INFO"), file(name, b"evil")];
        assert_refused(SDIST, &with(&through), "through a link");
    }
    for kind in [b'3', b'4', b'6', b'S', b'V', b'X'] {
        assert_refused(SDIST, &with(&[member("foo-1.0/a", kind, b"")]), "neither file");
    }
}

#[test]
fn one_pkg_info_counts() {
    for name in ["foo-1.0/PKG-INFO", "./foo-1.0/PKG-INFO", "FOO-1.0/PKG-INFO", "foo-1.0/pkg-info"] {
        assert_refused(SDIST, &with(&[file(name, METADATA)]), "second PKG-INFO");
    }
    assert_refused(SDIST, &gzip(&tar(&[file("foo-1.0/pkg-info", METADATA)])), "upper case");
    let linked = [file("foo-1.0/x", METADATA), link("foo-1.0/PKG-INFO", b'2', "x")];
    assert_refused(SDIST, &gzip(&tar(&linked)), "no regular file");
    for name in ["PKG-INFO", "foo-1.1/PKG-INFO", "bar-1.0/PKG-INFO", "foo-1.0/src/PKG-INFO"] {
        let error = inspect_bytes(SDIST, &gzip(&tar(&[file(name, METADATA)]))).unwrap_err();
        assert!(matches!(error, ArchiveError::Missing { .. }), "{name}: {error}");
    }
    let other = b"Metadata-Version: 2.1\nName: bar\nVersion: 1.0\n";
    let bytes = gzip(&tar(&[file("foo-1.0/PKG-INFO", other)]));
    assert_refused(SDIST, &bytes, "the Name in foo-1.0/PKG-INFO is 'bar'");
}

#[test]
fn what_follows_the_end_is_refused() {
    let hidden = [pkg_info(), vec![0; 512], file("foo-1.0/hidden", b"x"), vec![0; 1024]].concat();
    assert_refused(SDIST, &gzip(&hidden), "follow the block of zeros");
    let two = [with(&[]), gzip(&tar(&[file("foo-1.0/hidden", b"x")]))].concat();
    assert_refused(SDIST, &two, "follow the end of the gzip stream");
    assert_refused(SDIST, &[with(&[]), vec![0]].concat(), "follow the end of the gzip stream");
}

#[test]
fn broken_headers_are_refused() {
    let mut wrong_sum = header("foo-1.0/a", b'0', 0, "");
    wrong_sum[0] = b'g';
    assert_refused(SDIST, &with(&[wrong_sum.to_vec()]), "the header after foo-1.0/PKG-INFO");
    for size in
        [b"0000000000a\0", b"-0000000001\0", b"\x80\0\0\0\0\0\0\0\0\0\0\x01", b"1 1        \0"]
    {
        let mut block = header("foo-1.0/a", b'0', 0, "");
        block[124..136].copy_from_slice(size);
        assert_refused(SDIST, &with(&[sealed(block).to_vec()]), "octal");
    }
    let mut old = header("a", b'0', 0, "");
    old[257..265].copy_from_slice(b"ustar  \0");
    old[345..352].copy_from_slice(b"foo-1.0");
    assert_refused(SDIST, &with(&[sealed(old).to_vec()]), "two readings");
}

#[test]
fn damage_and_truncation_are_refused() {
    let whole = with(&[file("foo-1.0/data", &[7; 3000])]);
    for length in 0..whole.len() {
        inspect_bytes(SDIST, &whole[..length]).unwrap_err();
    }
    let mut damaged = whole.clone();
    let crc = damaged.len() - 8;
    damaged[crc] ^= 1;
    assert_refused(SDIST, &damaged, "damaged");
    let cut_member = gzip(&[pkg_info(), file("foo-1.0/a", &[1; 2000])[..1500].to_vec()].concat());
    assert_refused(SDIST, &cut_member, "foo-1.0/a: it ends too early");
    let cut_header = gzip(&[pkg_info(), vec![b'f'; 100]].concat());
    assert_refused(SDIST, &cut_header, "cut short");
    assert_refused(SDIST, b"this is no archive", "broken");
    // The announced length is part of what is checked.
    let filename = SDIST.parse().unwrap();
    let reader = std::io::Cursor::new(&whole);
    let size = whole.len() as u64 + 1;
    let error = waxseal_index::archive::inspect(&filename, reader, size, &Limits::default());
    assert!(matches!(error, Err(ArchiveError::Broken { .. })), "{error:?}");
}

#[test]
fn limits_hold() {
    let bomb = with(&[file("foo-1.0/zeros", &vec![0; 1 << 20])]);
    for (limits, reason) in [
        (Limits { unpacked: 1 << 19, ..Limits::default() }, "unpacked"),
        (Limits { ratio: 10, ratio_from: 1 << 12, ..Limits::default() }, "unpacked"),
        (Limits { entries: 1, ..Limits::default() }, "number of entries is 2"),
        (Limits { metadata: 9, ..Limits::default() }, "foo-1.0/PKG-INFO, in bytes,"),
    ] {
        let error = inspect_within(SDIST, &bomb, &limits).unwrap_err();
        assert!(matches!(error, ArchiveError::TooLarge { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert_taken(&bomb);
    // Zeros after the end count as well.
    let tail = gzip(&[tar(&[pkg_info()]), vec![0; 1 << 20]].concat());
    let limits = Limits { unpacked: 1 << 19, ..Limits::default() };
    assert!(matches!(inspect_within(SDIST, &tail, &limits), Err(ArchiveError::TooLarge { .. })));
    // A size that no archive has is refused before anything is allocated.
    let huge = header("foo-1.0/a", b'0', 0o77_777_777_777, "").to_vec();
    assert_refused(SDIST, &with(&[huge]), "the limit is");
}

#[test]
fn zip_sdists_follow_the_same_rules() {
    let zip = |name: &str, more: Option<&str>| {
        let more = more.map(|name| Entry::stored(name, METADATA));
        let entries: Vec<Entry> =
            [Entry::deflated(name, METADATA)].into_iter().chain(more).collect();
        ZipFile::of(&entries).bytes()
    };
    let inspected = inspect_bytes("foo-1.0.zip", &zip("foo-1.0/PKG-INFO", None)).unwrap();
    assert_eq!(inspected.metadata_file, None);
    let twice = zip("foo-1.0/PKG-INFO", Some("Foo-1.0/PKG-INFO"));
    assert_refused("foo-1.0.zip", &twice, "second PKG-INFO");
    assert_refused("foo-1.0.zip", &zip("bar-1.0/PKG-INFO", None), "has no foo-1.0/PKG-INFO");
    let trailing = [zip("foo-1.0/PKG-INFO", None), b"x".to_vec()].concat();
    assert_refused("foo-1.0.zip", &trailing, "bytes follow it");
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused(bytes in any::<Vec<u8>>()) {
        prop_assert!(inspect_bytes(SDIST, &bytes).is_err());
        prop_assert!(inspect_bytes(SDIST, &gzip(&bytes)).is_err());
        let sealed = match <[u8; 512]>::try_from(bytes.get(..512).unwrap_or_default()) {
            Ok(block) => sealed(block).to_vec(),
            Err(_) => bytes,
        };
        let _ = inspect_bytes(SDIST, &with(&[sealed]));
    }

    #[test]
    fn arbitrary_headers_never_panic(
        kind in prop::sample::select(b"0125xgLK\0".to_vec()),
        data in any::<Vec<u8>>(),
        name in "[a./]{0,20}",
        target in "[a./]{0,20}",
        changes in prop::collection::vec((0..512_usize, any::<u8>()), 0..4),
    ) {
        let mut block = header(&name, kind, data.len() as u64, &target);
        for (position, byte) in changes {
            block[position] = byte;
        }
        let mut bytes = sealed(block).to_vec();
        bytes.extend(&data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        let _ = inspect_bytes(SDIST, &with(&[bytes, file("foo-1.0/after", b"x")]));
    }
}
