//! Which delegation covers a path: succinct bins, hash prefixes and patterns as python-tuf has them.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::sample::select;
use serde_json::{Value as Json, json};
use waxseal_testkit::simulator::{role, target_path};
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{
    DelegatedRole, Delegations, Keys, Paths, RoleKeys, Roles, SuccinctRoles,
};

use super::{ask, assert_no_difference, generated};

/// Any path, of one segment or of several; a text that is no target path is made one.
fn path() -> impl Strategy<Value = TargetPath> {
    let char = prop_oneof![4 => any::<char>(), 1 => select(&['/', '.', '%', ' ', '\u{301}'][..])];
    vec(char, 0..24).prop_map(|chars| legal(&String::from_iter(chars)))
}

fn legal(text: &str) -> TargetPath {
    TargetPath::new(text).unwrap_or_else(|_| {
        let legal = |c: &char| !c.is_control() && !matches!(c, '/' | '\\');
        target_path(&format!("x{}", text.chars().filter(legal).collect::<String>()))
    })
}

/// Ours, and a question for the script that has the same answer.
struct Case {
    ours: Json,
    question: Json,
}

fn assert_same(cases: &[Case]) {
    let questions: Vec<String> = cases.iter().map(|case| case.question.to_string()).collect();
    let answers = ask("bins.py", &questions, &[]);
    let different = cases.iter().zip(answers).filter(|(case, answer)| case.ours != *answer);
    let different = different.map(|(Case { ours, question }, theirs)| {
        format!("{question}\n  ours: {ours}\ntheirs: {theirs}")
    });
    assert_no_difference(different.collect());
}

/// That neither "always" nor "never" would do as an answer.
fn assert_mixed(cases: &[Case]) {
    let covered = cases.iter().filter(|case| case.ours == json!(true)).count();
    let (least, all) = (cases.len() / 10, cases.len());
    assert!((least..all - least).contains(&covered), "{covered} of {all} are covered");
}

#[test]
fn bins_are_those_of_python_tuf() {
    let cases = generated(1_500, path()).into_iter().map(|path| {
        let ours: Vec<String> = (1..=32).map(|bits| bin(bits, &path)).collect();
        Case { ours: json!(ours), question: json!({"path": path.as_str()}) }
    });
    assert_same(&cases.collect::<Vec<_>>());
}

/// The bin that covers a path, which is one of the delegation's roles by its name as well.
fn bin(bit_length: u8, path: &TargetPath) -> String {
    let bins = SuccinctRoles { keys: nobody(), bit_length, name_prefix: "a-b".to_owned() };
    let name = bins.name(bins.bin_of(path));
    let delegations = Delegations { keys: Keys::new(), roles: Roles::Succinct(bins) };
    assert_eq!(delegations.roles_for(path), [(name.clone(), true)]);
    assert_eq!(delegations.role_keys(&name), Some(&nobody()));
    name.to_string()
}

fn nobody() -> RoleKeys {
    RoleKeys { keyids: Vec::new(), threshold: 1 }
}

fn covers(paths: Paths, path: &TargetPath) -> Json {
    let role = DelegatedRole { name: role("a"), keys: nobody(), terminating: false, paths };
    let delegations = Delegations { keys: Keys::new(), roles: Roles::Listed(vec![role]) };
    json!(!delegations.roles_for(path).is_empty())
}

#[test]
fn hash_prefixes_cover_as_in_python_tuf() {
    // A prefix of the path's own hash, or something that is none.
    let prefix = (0..8_u8, 0..=64_usize, "[0-9a-f]{0,3}");
    let cases =
        generated(2_000, (path(), vec(prefix, 0..4))).into_iter().map(|(path, prefixes)| {
            let hash = Sha256::of(path.as_str().as_bytes()).to_string();
            let prefixes = prefixes.into_iter().map(|(kind, length, other)| match kind {
                0 => hash[..length].to_owned(),
                1 => hash[..length].to_uppercase(),
                2 => format!("{}{other}", &hash[..length]),
                _ => other,
            });
            let prefixes: Vec<String> = prefixes.collect();
            let question = json!({"path": path.as_str(), "prefixes": prefixes});
            Case { ours: covers(Paths::HashPrefixes(prefixes), &path), question }
        });
    let cases: Vec<Case> = cases.collect();
    assert_mixed(&cases);
    assert_same(&cases);
}

/// What patterns are made of; `""` stands for the next character of the path.
const PIECES: &[&str] = &[
    "", "", "", "", "", "", "*", "?", "**", "*?", "[", "]", "!", "-", "^", "/", "\\", "a", "A",
    "é", "[a-c]", "[!a-c]", "[a]", "[!a]", "[]a]", "[!]]", "[c-a]", "[!c-a]", "[^a]", "[a-]",
    "[-a]", "[--a]", "[a-c-é]", "[]", "[!]", "[[]", "[*?]", "[\\]", "[&&a]", "[~~]", "[||]",
    "{a,b}", "\n",
];

const PATH_CHARS: &[char] = &[
    'a', 'b', 'c', 'd', 'A', 'é', 'e', '\u{301}', '/', '[', ']', '!', '-', '^', '*', '?', '&', '~',
    '|', '{', '.', '😀',
];

#[test]
fn patterns_cover_as_in_python_tuf() {
    let path = vec(select(PATH_CHARS), 0..8).prop_map(|chars| legal(&String::from_iter(chars)));
    let pattern = vec(select(PIECES), 0..8);
    let cases = generated(6_000, (path, vec(pattern, 0..4))).into_iter().map(|(path, patterns)| {
        let pattern = |pieces: Vec<&str>| {
            let mut chars = path.as_str().chars();
            let piece = |piece: &str| match piece {
                "" => chars.next().map(String::from).unwrap_or_default(),
                // A wildcard stands for a character too, so that much matches.
                piece => {
                    chars.next();
                    piece.to_owned()
                }
            };
            let mut pattern: String = pieces.into_iter().map(piece).collect();
            pattern.push_str(chars.as_str());
            pattern
        };
        let patterns: Vec<String> = patterns.into_iter().map(pattern).collect();
        let question = json!({"path": path.as_str(), "patterns": patterns});
        Case { ours: covers(Paths::Patterns(patterns), &path), question }
    });
    let cases: Vec<Case> = cases.collect();
    assert_mixed(&cases);
    assert_same(&cases);
}
