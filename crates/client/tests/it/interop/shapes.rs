//! Metadata of another shape, well signed: accepted and refused as by python-tuf.

use serde_json::json;
use waxseal_testkit::simulator::{Simulator, metafile, remove, role, set};
use waxseal_tuf::Error;
use waxseal_tuf::json::Value;
use waxseal_tuf::metadata::Paths;

use super::ours::{Ours, found, write};
use super::{ask, assert_no_difference};

/// The target that is looked for: by way of every file of [`FILES`].
const PATH: &str = "g";

/// Files of the repository, and the role of each.
const FILES: [(&str, &str); 7] = [
    ("2.root.json", "root"),
    ("timestamp.json", "timestamp"),
    ("3.snapshot.json", "snapshot"),
    ("2.targets.json", "targets"),
    ("1.a.json", "a"),
    ("1.b.json", "b"),
    ("1.bin-1.json", "bin-1"),
];

/// What a value is replaced by.
const VALUES: [&str; 15] = [
    "null",
    "true",
    "0",
    "-1",
    "1",
    "2",
    "9223372036854775807",
    r#""""#,
    r#""x""#,
    r#""\u0001""#,
    r#""2029-12-31T23:59:59Z""#,
    "[]",
    "{}",
    r#"["x"]"#,
    r#"{"x":1}"#,
];

/// One value in a file, replaced or removed.
#[derive(Debug)]
struct Change {
    file: &'static str,
    role: &'static str,
    place: Vec<String>,
    to: Option<&'static str>,
}

fn repository() -> Simulator {
    let mut simulator = Simulator::new();
    let patterns = Paths::Patterns(vec!["*".to_owned(), "x/*".to_owned()]);
    simulator.delegate("targets", "a", patterns, false);
    let prefixes = (0..16).map(|digit| format!("{digit:x}")).collect();
    simulator.delegate("a", "b", Paths::HashPrefixes(prefixes), true);
    simulator.delegate_bins("b", 1, "bin");
    simulator.add_target("a", "f", b"f");
    simulator.add_target("bin-1", PATH, b"g");
    simulator.role("bin-1").targets.get_mut(PATH).unwrap().custom = Some(vec!["x"].into());
    for name in ["a", "b", "bin-1"] {
        simulator.write_targets(name);
    }
    let listed = simulator.metafile("bin-0");
    simulator.snapshot.roles.insert(role("bin-0"), listed);
    simulator.publish_root();
    simulator.publish_targets("targets");
    simulator.publish_snapshot();
    simulator
}

fn changed(mut simulator: Simulator, change: &Change) -> Simulator {
    let place: Vec<&str> = change.place.iter().map(String::as_str).collect();
    let make = |value: &mut Value, place: &[&str]| match change.to {
        Some(json) => set(value, place, json),
        None => drop(remove(value, place)),
    };
    match place.as_slice() {
        ["signed", place @ ..] if !place.is_empty() => {
            simulator.resign(change.file, change.role, |signed| make(signed, place));
        }
        place => simulator.edit(change.file, |file| make(file, place)),
    }
    if change.role == "snapshot" {
        simulator.timestamp.snapshot = metafile(3, &simulator.files[change.file]);
        simulator.write_timestamp();
    }
    simulator
}

/// Every place in a value, as steps from its root.
fn places(value: &Value) -> Vec<Vec<String>> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.to_owned(), value)).collect()
        }
        Value::Array(values) => (0_u32..).map(|i| i.to_string()).zip(values).collect(),
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for (step, child) in children {
        found.push(vec![step.clone()]);
        let below = places(child).into_iter().map(|place| [vec![step.clone()], place].concat());
        found.extend(below);
    }
    found
}

/// Of all changes, some for each file and each value: all of them would take a minute.
fn changes(repository: &Simulator) -> Vec<Change> {
    let mut changes = Vec::new();
    for (file, role) in FILES {
        for place in places(&Value::parse(&repository.files[file]).unwrap()) {
            let to = VALUES.into_iter().map(Some).chain([None]);
            changes.extend(to.map(|to| Change { file, role, place: place.clone(), to }));
        }
    }
    changes.into_iter().step_by(17).collect()
}

/// Fields whose shape we check and python-tuf does not: truth values that are none, numbers that
/// are truth values, digests that are not hex, texts for lists, signatures and keyids that are no
/// texts, and what only we write.
const STRICTER: [&str; 13] = [
    "bit_length",
    "consistent_snapshot",
    "hashes",
    "keyid",
    "keyids",
    "length",
    "path_hash_prefixes",
    "paths",
    "sig",
    "terminating",
    "threshold",
    "version",
    "x-waxseal-role",
];

#[test]
fn changed_shapes_are_judged_as_by_python_tuf() {
    let repository = repository();
    let changes = changes(&repository);
    let folders: Vec<_> = changes.iter().map(|_| tempfile::tempdir().unwrap()).collect();
    let cases = changes.iter().zip(&folders).map(|(change, folder)| {
        write(&changed(repository.clone(), change), folder.path());
        json!({"folder": folder.path(), "present": [], "absent": [PATH]}).to_string()
    });
    let answers = ask("python_tuf_reads.py", &cases.collect::<Vec<_>>(), &[]);
    let mut differences = Vec::new();
    let mut accepted = 0;
    for ((change, folder), answer) in changes.iter().zip(&folders).zip(answers) {
        let ours = Ours::refreshed(folder.path()).and_then(|mut ours| ours.find(PATH));
        let theirs = &answer["found"][PATH];
        let refused = answer.get("refused").is_some() || theirs.is_string();
        let same = match &ours {
            // Keys of a type that is not known are carried along here, and refused there.
            Ok(Some(_)) if refused => change.place.contains(&"keys".to_owned()),
            Ok(Some(file)) => *theirs == found(file),
            Ok(None) => !refused && theirs.is_null(),
            Err(Error::Format { problem, .. }) if !refused => {
                let field = problem.field.rsplit('.').next().unwrap();
                STRICTER.contains(&field)
            }
            Err(Error::OtherRole { .. }) if !refused => {
                change.place.contains(&"x-waxseal-role".to_owned())
            }
            Err(_) => refused,
        };
        accepted += u32::from(ours.is_ok());
        if !same {
            differences.push(format!("{change:?}\n  ours: {ours:?}\ntheirs: {answer}"));
        }
    }
    assert_no_difference(differences);
    assert!(accepted > 10, "{accepted} changes are accepted");
}
