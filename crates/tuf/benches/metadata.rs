//! Reading and writing metadata: how fast, and that nothing grows faster than its input. See
//! `docs/performance.md`.
//!
//! ```console
//! $ cargo bench -p waxseal-tuf --bench metadata
//! $ cargo bench -p waxseal-tuf --bench metadata -- signatures    # the rows that contain a word
//! ```

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use waxseal_testkit::pypi::{Bins, Repository};
use waxseal_testkit::simulator::{Simulator, TestKey, drive, signatures};
use waxseal_testkit::stopwatch::timed;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::json::{Object, Value};
use waxseal_tuf::metadata::{
    self, Delegations, Keys, MetaFile, Paths, Role, RoleKeys, Roles, Root, Snapshot, Targets,
    Unverified,
};
use waxseal_tuf::{KeyId, Limits, MetadataFile, RoleName, Signer, TargetPath, Updater};

fn main() {
    // Cargo passes `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    throughput(&chosen);
    growth(&chosen);
}

/// Processor time of the quickest of many runs: what disturbs a run can only make it longer.
fn least(mut work: impl FnMut()) -> Duration {
    let (mut least, mut total, mut runs) = (Duration::MAX, Duration::ZERO, 0);
    while runs < 10 || (total < Duration::from_millis(200) && runs < 5_000) {
        let taken = timed(&mut work).cpu;
        least = least.min(taken);
        total += taken;
        runs += 1;
    }
    least
}

// Throughput

fn throughput(chosen: &impl Fn(&str) -> bool) {
    println!("\nMegabytes (10⁶) a second of processor time, the best run of each.\n");
    println!(
        "| file | KB | SHA-256 | SHA-512 | `serde_json::Value` | `Value::parse` | `to_canonical` | `Unverified::parse` |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let succinct = Repository::new(Bins::Succinct);
    let classic = Repository::new(Bins::Classic);
    let file = |repository: &Repository, start: &str| {
        let mut stored = repository.today.iter();
        stored.find(|(role, _)| role.as_str().starts_with(start)).unwrap().1.clone()
    };
    row::<Snapshot>(chosen, "snapshot, 16,384 bins", &file(&succinct, "snapshot"));
    row::<Targets>(chosen, "bin, 1,283 targets", &file(&succinct, "bin-"));
    row::<Targets>(chosen, "classic bins, 16,384 delegations", &file(&classic, "bins"));
}

fn row<T: Role>(chosen: &impl Fn(&str) -> bool, name: &str, bytes: &[u8]) {
    if !chosen(name) {
        return;
    }
    let value = Value::parse(bytes).unwrap();
    let rate = |work: &mut dyn FnMut()| {
        let seconds = least(work).as_secs_f64();
        format!("{:.0}", number(bytes.len()) / seconds / 1e6)
    };
    let rates = [
        rate(&mut || {
            black_box(digest(&SHA256, bytes));
        }),
        rate(&mut || {
            black_box(digest(&SHA512, bytes));
        }),
        rate(&mut || drop(black_box(serde_json::from_slice::<serde_json::Value>(bytes).unwrap()))),
        rate(&mut || drop(black_box(Value::parse(bytes).unwrap()))),
        rate(&mut || drop(black_box(value.to_canonical()))),
        rate(&mut || drop(black_box(Unverified::<T>::parse(bytes).unwrap()))),
    ];
    println!("| {name} | {} | {} |", bytes.len() / 1000, rates.join(" | "));
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn number(n: usize) -> f64 {
    n as f64
}

// Growth

/// Sizes, as multiples of the first.
const SCALES: [usize; 5] = [1, 2, 4, 8, 16];

/// Makes a case, so many times the first size.
type AtScale = fn(usize) -> Case;

/// Work at one size, and how many bytes of input it is about.
struct Case {
    bytes: usize,
    /// `Err` with what was said when the input is refused, as limits do.
    work: Box<dyn Fn() -> Result<(), String>>,
}

impl Case {
    fn new(bytes: usize, work: impl Fn() -> Result<(), String> + 'static) -> Self {
        Self { bytes, work: Box::new(work) }
    }

    /// Reads a file of this kind.
    fn parse<T: Role>(bytes: Vec<u8>) -> Self {
        Self::new(bytes.len(), move || {
            let parsed = Unverified::<T>::parse(black_box(&bytes));
            parsed.map(|file| drop(black_box(file))).map_err(|problem| problem.to_string())
        })
    }

    /// Reads JSON and writes its canonical form.
    fn json(text: String) -> Self {
        Self::new(text.len(), move || {
            let value = Value::parse(black_box(text.as_bytes()))?;
            drop(black_box(value.to_canonical()));
            Ok(())
        })
    }

    /// Checks a root's signatures.
    fn root(bytes: Vec<u8>) -> Self {
        Self::new(bytes.len(), move || {
            let limits = Limits { root: u64::MAX, ..Limits::default() };
            let updater = Updater::new(black_box(&bytes), Simulator::now(), limits);
            updater.map(|updater| drop(black_box(updater))).map_err(|error| error.to_string())
        })
    }
}

fn growth(chosen: &impl Fn(&str) -> bool) {
    println!(
        "\nNanoseconds of processor time for each byte of input at 1 to 16 times the size; `last to first` shows"
    );
    println!("what grows faster than its input: 16 is quadratic.\n");
    println!("| input | KB at 1x | 1x | 2x | 4x | 8x | 16x | last to first |");
    println!("|---|---|---|---|---|---|---|---|");
    let cases: [(&str, AtScale); 18] = [
        ("snapshot, roles", |n| Case::parse::<Snapshot>(snapshot(1_024 * n))),
        ("update from a snapshot to the next, roles", |n| update(1_024 * n)),
        ("bin, targets", |n| Case::parse::<Targets>(targets(128 * n))),
        ("delegations, listed", |n| Case::parse::<Targets>(delegations(1_024 * n))),
        ("delegations, searched for a path", |n| search(1_024 * n)),
        ("object, keys in order", |n| Case::json(object(1_024 * n, |i, _| i))),
        ("object, keys in reverse", |n| Case::json(object(1_024 * n, |i, of| of - i))),
        ("object, keys shuffled", |n| Case::json(object(1_024 * n, |i, _| shuffled(i)))),
        ("object, long keys alike", |n| Case::json(long_keys(64 * n))),
        ("nesting, 60 deep", |n| Case::json(nested(64 * n))),
        ("strings of escapes", |n| Case::json(format!("\"{}\"", r"\u00e9\n\\".repeat(1_024 * n)))),
        ("integers", |n| Case::json(format!("[{}1]", "-9223372036854775807,".repeat(1_024 * n)))),
        ("signatures, read", |n| Case::parse::<Targets>(signed_by(64 * n))),
        ("signatures, one key's under many keyids", |n| Case::root(one_key(48 * n))),
        ("keys, one must sign", |n| Case::root(root(48 * n, 1))),
        ("keys that all sign (keys times bytes)", |n| Case::root(root(16 * n, 16 * n))),
        ("patterns, many", |n| patterns(1_024 * n, "packages/*/x-?.[a-z]*", &long_path(120))),
        ("pattern and path, both to 4 KB (their product)", |n| {
            patterns(1, &format!("*{}b", "a".repeat(120 * n)), &"a".repeat(250 * n))
        }),
    ];
    for (name, case) in cases {
        if chosen(name) {
            println!("| {name} | {}", measure(case));
        }
    }
}

fn measure(case: AtScale) -> String {
    let mut row = format!("{:.1} |", number(case(1).bytes) / 1e3);
    let mut each = Vec::new();
    for scale in SCALES {
        let case = case(scale);
        if let Err(problem) = (case.work)() {
            let problem: String = problem.chars().take(80).collect();
            let _ = write!(row, " refused: {problem} |");
            continue;
        }
        let taken = least(|| (case.work)().unwrap());
        let nanoseconds = taken.as_secs_f64() * 1e9 / number(case.bytes);
        let _ = write!(row, " {nanoseconds:.2} |");
        each.push(nanoseconds);
    }
    match each.as_slice() {
        [first, .., last] => row + &format!(" {:.1} |", last / first),
        _ => row + " |",
    }
}

fn sign<T: Role>(signed: &T, keys: &[TestKey]) -> Vec<u8> {
    let signers: Vec<&dyn Signer> = keys.iter().map(|key| key as &dyn Signer).collect();
    metadata::sign(signed, &signers).unwrap()
}

fn name(i: usize) -> RoleName {
    RoleName::new(format!("bin-{i:06x}")).unwrap()
}

fn snapshot(roles: usize) -> Vec<u8> {
    let roles = (0..roles).map(|i| (name(i), MetaFile::version(10_000)));
    let roles = roles.chain([(RoleName::targets(), MetaFile::version(1))]).collect();
    sign(&Snapshot { version: 1, expires: Simulator::now(), roles }, &[TestKey::new("a")])
}

/// The step from a stored snapshot to a newer one, each of so many roles.
fn update(roles: usize) -> Case {
    let mut simulator = Simulator::new();
    simulator.snapshot.roles.extend((0..roles).map(|i| (name(i), MetaFile::version(10_000))));
    simulator.snapshot.version += 1;
    simulator.write_snapshot();
    simulator.timestamp.version += 1;
    simulator.write_timestamp();
    let root = simulator.first_root();
    let limits = Limits { snapshot: u64::MAX, ..Limits::default() };
    let mut before = BTreeMap::new();
    let updater = Updater::new(&root, Simulator::now(), limits).unwrap();
    drive(updater, &mut before, |file| simulator.fetch(file)).unwrap();
    simulator.snapshot.version += 1;
    simulator.write_snapshot();
    simulator.timestamp.version += 1;
    simulator.write_timestamp();
    let bytes = 2 * simulator.files["3.snapshot.json"].len();
    Case::new(bytes, move || {
        let updater = Updater::new(&root, Simulator::now(), limits).unwrap();
        let mut store = before.clone();
        let fetch = |file: &MetadataFile| simulator.fetch(file);
        let done = drive(updater, &mut store, fetch);
        done.map(|trusted| drop(black_box(trusted))).map_err(|error| error.to_string())
    })
}

fn targets(files: usize) -> Vec<u8> {
    let mut simulator = Simulator::new();
    for i in 0..files {
        simulator.add_target("targets", &format!("packages/{}/file.whl", shuffled(i)), b"");
    }
    simulator.write_targets("targets");
    simulator.files["1.targets.json"].clone()
}

fn delegation(i: usize, key: &TestKey, paths: Paths) -> metadata::DelegatedRole {
    let keys = RoleKeys { keyids: vec![key.keyid()], threshold: 1 };
    metadata::DelegatedRole { name: name(i), keys, terminating: false, paths }
}

fn delegating(roles: Vec<metadata::DelegatedRole>, key: &TestKey) -> Targets {
    let keys = Keys::from([(key.keyid(), key.public_key().clone())]);
    let delegations = Some(Delegations { keys, roles: Roles::Listed(roles) });
    Targets {
        version: 1,
        expires: Simulator::now(),
        name: None,
        targets: BTreeMap::new(),
        delegations,
    }
}

fn bins(count: usize) -> Targets {
    let key = TestKey::new("bins");
    let prefixes = |i| Paths::HashPrefixes(vec![format!("{i:06x}")]);
    delegating((0..count).map(|i| delegation(i, &key, prefixes(i))).collect(), &key)
}

fn delegations(count: usize) -> Vec<u8> {
    sign(&bins(count), &[TestKey::new("a")])
}

fn search(count: usize) -> Case {
    let bins = bins(count);
    let path = TargetPath::new(long_path(120)).unwrap();
    let bytes = delegations(count).len();
    Case::new(bytes, move || {
        drop(black_box(bins.delegations.as_ref().unwrap().roles_for(black_box(&path))));
        Ok(())
    })
}

fn patterns(count: usize, pattern: &str, path: &str) -> Case {
    let key = TestKey::new("patterns");
    let roles = vec![delegation(0, &key, Paths::Patterns(vec![pattern.to_owned(); count]))];
    let (targets, path) = (delegating(roles, &key), TargetPath::new(path).unwrap());
    Case::new(count * pattern.len(), move || {
        drop(black_box(targets.delegations.as_ref().unwrap().roles_for(black_box(&path))));
        Ok(())
    })
}

fn long_path(length: usize) -> String {
    let name = length - "packages/p/".len() - ".whl".len();
    format!("packages/p/{}.whl", "x".repeat(name))
}

/// Members `key i of n`, whatever the order of `i` in `0..n` becomes.
fn object(members: usize, order: impl Fn(usize, usize) -> usize) -> String {
    let members = (0..members).map(|i| format!("\"key {:020}\":{i}", order(i, members)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Another number for each number below 2³².
fn shuffled(i: usize) -> usize {
    i.wrapping_mul(2_654_435_761) & 0xffff_ffff
}

/// Keys of 1 KB that differ at the end only.
fn long_keys(members: usize) -> String {
    let start = "k".repeat(1_000);
    let members = (0..members).map(|i| format!("\"{start}{:020}\":1", shuffled(i)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn nested(times: usize) -> String {
    let one = format!("{}1{}", "{\"b\":[".repeat(30), "],\"a\":0}".repeat(30));
    format!("[{}0]", format!("{one},").repeat(times))
}

/// An empty role with so many signatures of different keyids.
fn signed_by(count: usize) -> Vec<u8> {
    let signed = Targets {
        version: 1,
        expires: Simulator::now(),
        name: None,
        targets: BTreeMap::new(),
        delegations: None,
    };
    let file = sign(&signed, &[TestKey::new("a")]);
    with_signatures(&file, |_| {
        let signature = |i: usize| {
            let keyid = Sha256::of(&i.to_be_bytes()).to_string();
            Value::from(Object::from_iter([
                ("keyid", keyid.as_str()),
                ("sig", "00".repeat(64).as_str()),
            ]))
        };
        (0..count).map(signature).collect::<Vec<_>>().into()
    })
}

/// A root of so many keys, `threshold` of which must sign; so many do.
fn root(count: usize, threshold: usize) -> Vec<u8> {
    let keys: Vec<TestKey> = (0..count).map(|i| TestKey::new(&format!("key {i}"))).collect();
    sign(&root_of(&keys, threshold), &keys[..threshold])
}

fn root_of(keys: &[TestKey], threshold: usize) -> Root {
    let mut root = Simulator::new().root;
    root.keys.extend(keys.iter().map(|key| (key.keyid(), key.public_key().clone())));
    let keyids = keys.iter().map(TestKey::keyid).collect();
    root.roles.root = RoleKeys { keyids, threshold: threshold as u64 };
    root
}

/// A root that lists one key under so many keyids, each with the key's signature, which counts once.
fn one_key(count: usize) -> Vec<u8> {
    let key = TestKey::new("key");
    let keyid = |i: usize| KeyId::new(Sha256::of(&i.to_be_bytes()).to_string());
    let mut root = root_of(std::slice::from_ref(&key), 1);
    root.keys.extend((0..count).map(|i| (keyid(i), key.public_key().clone())));
    root.roles.root.keyids.extend((0..count).map(keyid));
    let file = sign(&root, std::slice::from_ref(&key));
    with_signatures(&file, |signed| {
        let Value::Array(mut all) = signatures(signed, std::slice::from_ref(&key)) else {
            panic!("signatures are an array")
        };
        let signature = all[0].clone();
        all.extend((0..count).map(|i| {
            let Value::Object(mut another) = signature.clone() else { panic!("an object") };
            another.insert("keyid", keyid(i).as_str());
            Value::from(another)
        }));
        all.into()
    })
}

fn with_signatures(file: &[u8], signatures: impl FnOnce(&Value) -> Value) -> Vec<u8> {
    let Value::Object(mut object) = Value::parse(file).unwrap() else { panic!("an object") };
    let new = signatures(object.get("signed").unwrap());
    object.insert("signatures", new);
    Value::from(object).to_json()
}
