//! Properties: nothing panics, and canonical JSON is stable.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use waxseal_testkit::simulator::{NOW, Simulator, Store, drive, drive_search, target_path, time};
use waxseal_tuf::json::{Object, Value};
use waxseal_tuf::metadata::{Paths, Role, Root, Snapshot, Targets, Timestamp, Unverified, sign};
use waxseal_tuf::{Limits, MetadataFile, RoleName, Search, TargetPath, Updater};

fn parse_every_role(bytes: &[u8]) {
    parse_and_write::<Root>(bytes);
    parse_and_write::<Timestamp>(bytes);
    parse_and_write::<Snapshot>(bytes);
    parse_and_write::<Targets>(bytes);
}

/// What can be read can be written, and reads back as the same.
fn parse_and_write<T: Role + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(read) = Unverified::<T>::parse(bytes) {
        let written = sign(read.claims(), &[]).unwrap();
        assert_eq!(Unverified::<T>::parse(&written).unwrap().claims(), read.claims());
    }
}

/// Strings that matter here: escapes, names of fields, hex, times.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\\x00-\\x1f\"\\\\/\u{7f}\u{e9}\u{301}\u{2028}]{0,6}",
        "[0-9a-f]{0,4}",
        Just("root".to_owned()),
        Just("../x".to_owned()),
        Just("2030-01-31T12:00:60Z".to_owned()),
        Just("9999-12-31T23:59:59Z".to_owned()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        (-1..40i64).prop_map(Value::Integer),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(text(), inner, 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Object>())),
        ]
    })
}

/// Every file of a repository with listed roles, hash prefixes and bins.
fn repository() -> Simulator {
    let mut repository = Simulator::new();
    let patterns = Paths::Patterns(vec!["f*".to_owned(), "[a-z]?".to_owned()]);
    repository.delegate("targets", "listed", patterns, false);
    let prefixes = Paths::HashPrefixes((0..16).map(|digit| format!("{digit:x}")).collect());
    repository.delegate("targets", "bins", prefixes, true);
    repository.delegate_bins("bins", 1, "bin");
    for bin in ["bin-0", "bin-1"] {
        repository.add_target(bin, "file", b"content");
        repository.publish_targets(bin);
    }
    repository.publish_targets("bins");
    repository.publish_targets("targets");
    repository.publish_root();
    repository
}

/// Each role's newest file, and who signs it.
const FILES: [(&str, &str); 7] = [
    ("2.root.json", "root"),
    ("timestamp.json", "timestamp"),
    ("5.snapshot.json", "snapshot"),
    ("2.targets.json", "targets"),
    ("1.listed.json", "listed"),
    ("2.bins.json", "bins"),
    ("2.bin-0.json", "bin-0"),
];

/// Replaces the value at one place of a file; `choices` says which.
fn replace(value: &mut Value, choices: &[prop::sample::Index], new: Value) {
    let Some((first, rest)) = choices.split_first() else {
        *value = new;
        return;
    };
    match value {
        Value::Array(values) if !values.is_empty() => {
            let at = first.index(values.len());
            replace(&mut values[at], rest, new);
        }
        Value::Object(object) if object.iter().next().is_some() => {
            let keys: Vec<String> = object.iter().map(|(key, _)| key.to_owned()).collect();
            let key = &keys[first.index(keys.len())];
            let mut inner = object.remove(key).unwrap();
            replace(&mut inner, rest, new);
            object.insert(key, inner);
        }
        _ => *value = new,
    }
}

/// A whole update and search; only that they end, without a panic, is of interest.
fn update(repository: &Simulator) {
    let root = repository.first_root();
    let fetch = |file: &MetadataFile| repository.fetch(file);
    let (limits, mut store) = (Limits::default(), Store::new());
    let updater = Updater::new(&root, time(NOW), limits).unwrap();
    let Ok(mut trusted) = drive(updater, &mut store, fetch) else { return };
    let Ok(search) = Search::new(target_path("file"), &trusted, limits) else { return };
    let _ = drive_search(search, &mut trusted, &mut store, fetch);
}

#[test]
fn the_unchanged_repository_is_accepted() {
    let repository = repository();
    for (path, _) in FILES {
        assert!(repository.files.contains_key(path), "{path}");
        parse_every_role(&repository.files[path]);
    }
    let root = repository.first_root();
    let updater = Updater::new(&root, time(NOW), Limits::default()).unwrap();
    let mut store = Store::new();
    let mut trusted = drive(updater, &mut store, |file| repository.fetch(file)).unwrap();
    let search = Search::new(target_path("file"), &trusted, Limits::default()).unwrap();
    let fetch = |file: &MetadataFile| repository.fetch(file);
    assert!(drive_search(search, &mut trusted, &mut store, fetch).unwrap().is_some());
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in vec(any::<u8>(), 0..300)) {
        parse_every_role(&bytes);
    }

    #[test]
    fn no_json_makes_a_parser_panic(value in value(), signed in value()) {
        parse_every_role(&value.to_json());
        let file = Object::from_iter([("signatures", Value::Array(Vec::new())), ("signed", signed)]);
        parse_every_role(&Value::from(file).to_json());
    }

    #[test]
    fn no_cut_or_changed_file_makes_an_update_panic(
        file in 0..FILES.len(),
        at in any::<prop::sample::Index>(),
        with in vec(any::<u8>(), 0..4),
        cut in any::<bool>(),
    ) {
        let mut repository = repository();
        let bytes = repository.files.get_mut(FILES[file].0).unwrap();
        let at = at.index(bytes.len());
        let end = if cut { bytes.len() } else { (at + with.len()).min(bytes.len()) };
        bytes.splice(at..end, with);
        parse_every_role(bytes);
        update(&repository);
    }

    /// The attacker has the keys: what is checked after the signatures is reached too.
    #[test]
    fn no_signed_file_makes_an_update_panic(
        file in 0..FILES.len(),
        choices in vec(any::<prop::sample::Index>(), 1..6),
        new in value(),
    ) {
        let (path, name) = FILES[file];
        let mut repository = repository();
        repository.resign(path, name, |signed| replace(signed, &choices, new));
        parse_every_role(&repository.files[path]);
        if path == "5.snapshot.json" {
            // Let timestamp name the changed file.
            let bytes = repository.files[path].clone();
            repository.timestamp.snapshot = waxseal_testkit::simulator::metafile(5, &bytes);
            repository.publish_timestamp();
        }
        update(&repository);
    }

    #[test]
    fn json_reads_back_as_written(value in value()) {
        let json = value.to_json();
        let read = Value::parse(&json).unwrap();
        prop_assert_eq!(&read, &value);
        prop_assert_eq!(read.to_canonical(), value.to_canonical());
        prop_assert_eq!(read.to_json(), json);
    }

    #[test]
    fn canonical_json_reads_back_where_it_is_json(value in value()) {
        let canonical = value.to_canonical();
        if canonical == value.to_json() {
            prop_assert_eq!(Value::parse(&canonical).unwrap(), value);
        }
    }

    /// Canonical forms are equal only for equal values, or one signature would do for two.
    #[test]
    fn canonical_json_tells_values_apart(a in value(), b in value()) {
        prop_assert_eq!(a == b, a.to_canonical() == b.to_canonical());
    }

    #[test]
    fn names_are_safe_or_refused(name in text()) {
        if let Ok(role) = RoleName::new(name.as_str()) {
            let encoded = role.encoded();
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        }
        if let Ok(path) = TargetPath::new(name.as_str()) {
            let unsafe_segment = |s: &str| s.is_empty() || s == "." || s == "..";
            prop_assert!(!path.as_str().split('/').any(unsafe_segment));
            prop_assert!(!path.as_str().contains(['\\', '\0']));
        }
    }
}
