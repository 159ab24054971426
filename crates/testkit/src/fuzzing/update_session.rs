use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp as Time};
use waxseal_tuf::json::Value;
use waxseal_tuf::metadata::Paths;
use waxseal_tuf::{
    Answer, Error, Limits, MetadataFile, RoleName, Search, Step, TargetFile, TrustedMetadata,
    Updater,
};

use super::cursor::Cursor;
use super::lies::changed;
use crate::simulator::{Simulator, Store, metafile, role, target_path};

/// Several updates with one trust store while the repository publishes in between and the mirror answers
/// as the input says: honest, older, another role's file, none, changed, cut off, forged, noise.
///
/// Whatever is stored was signed by the repository as that role; versions rise, but for what root took
/// back; an update ends; a refused one leaves what it had; and the honest repository is always believed
/// afterwards.
pub fn update_session(input: &[u8]) {
    let mut session = Session::new(input);
    for _ in 0..MAX_EVENTS {
        if session.input.is_empty() {
            break;
        }
        session.event();
    }
    session.settle();
}

/// Most stories need few; signing is slow, and a fuzzer would rather tell many stories than long ones.
const MAX_EVENTS: usize = 16;

/// The target that clients look for.
const TARGET: &str = "f";

struct Session<'a> {
    input: Cursor<'a>,
    repository: Simulator,
    first_root: Vec<u8>,
    now: Time,
    store: Store,
    /// Every file that the repository ever signed, by role.
    history: BTreeMap<String, Vec<Vec<u8>>>,
    /// What it signed: role and canonical form of `signed`.
    signed: BTreeSet<(String, Vec<u8>)>,
    /// What it ever listed for the target.
    listed: Vec<TargetFile>,
    /// Versions of root that took timestamp and snapshot back to version 1 with new keys.
    resets: Vec<u64>,
    /// For each role in the store: its version, and that of root when it was stored.
    floors: BTreeMap<RoleName, (u64, u64)>,
    /// Labels of keys are numbered, so that a key that was taken away never comes back.
    labels: u64,
}

impl<'a> Session<'a> {
    fn new(input: &'a [u8]) -> Self {
        static REPOSITORY: OnceLock<Simulator> = OnceLock::new();
        let repository = REPOSITORY.get_or_init(|| {
            let mut repository = Simulator::new();
            let everything = Paths::Patterns(vec!["*".to_owned()]);
            repository.delegate("targets", "a", everything, false);
            repository.add_target("a", TARGET, b"content");
            repository.publish_targets("a");
            repository.publish_targets("targets");
            // The story begins here: no snapshot of it lacks the target.
            let begun =
                ["1.root.json", "timestamp.json", "3.snapshot.json", "2.targets.json", "2.a.json"];
            repository.files.retain(|path, _| begun.contains(&path.as_str()));
            assert_eq!(repository.files.len(), begun.len());
            repository
        });
        let mut session = Self {
            input: Cursor::new(input),
            first_root: repository.first_root(),
            repository: repository.clone(),
            now: Simulator::now(),
            store: Store::new(),
            history: BTreeMap::new(),
            signed: BTreeSet::new(),
            listed: Vec::new(),
            resets: Vec::new(),
            floors: BTreeMap::new(),
            labels: 0,
        };
        session.record();
        session
    }

    fn event(&mut self) {
        match self.input.below(16) {
            0..=4 => self.update(),
            5 => self.name_older_snapshot(),
            6 => self.publish(Simulator::publish_timestamp),
            7 => self.publish(Simulator::publish_snapshot),
            8 => self.publish(|repository| repository.publish_targets("targets")),
            9 => {
                let content = [self.input.byte()];
                self.publish(|repository| {
                    repository.add_target("a", TARGET, &content);
                    repository.publish_targets("a");
                });
            }
            10 => self.rotate(),
            11 => self.expired_root(),
            12 => self.reset(),
            13 => {
                let hours = i64::from(self.input.byte());
                self.now += SignedDuration::from_hours(hours % 40);
            }
            14 => self.list_digests(),
            _ => self.publish(Simulator::publish_root),
        }
    }

    /// Publishes with fresh expiry times, and remembers what was signed.
    fn publish(&mut self, publish: impl FnOnce(&mut Simulator)) {
        let (day, year) = (self.now + SignedDuration::from_hours(24), self.year());
        self.repository.timestamp.expires = day;
        self.repository.snapshot.expires = day;
        self.repository.root.expires = year;
        self.repository.targets.values_mut().for_each(|targets| targets.expires = year);
        publish(&mut self.repository);
        self.record();
    }

    fn year(&self) -> Time {
        self.now + SignedDuration::from_hours(24 * 365)
    }

    /// A top-level role gets new keys, and what they sign is published.
    fn rotate(&mut self) {
        let name = self.input.one_of(&["root", "timestamp", "snapshot", "targets"]);
        let count = 1 + self.input.below(3);
        let threshold = 1 + self.input.below(count) as u64;
        let labels: Vec<String> = (0..count).map(|_| self.label()).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        self.publish(|repository| {
            repository.rotate(name, &labels, threshold);
            repository.publish_root();
            match name {
                "root" => {}
                "timestamp" => repository.publish_timestamp(),
                "snapshot" => repository.publish_snapshot(),
                _ => repository.publish_targets("targets"),
            }
        });
    }

    fn label(&mut self) -> String {
        self.labels += 1;
        format!("rotated-{}", self.labels)
    }

    /// A root that is expired already: good as a step to the next one only.
    fn expired_root(&mut self) {
        self.repository.root.expires = self.now;
        self.repository.publish_root();
        self.record();
    }

    /// Recovery from a fast-forward attack (TUF 5.3.11): new keys, and versions from 1 on.
    fn reset(&mut self) {
        let (timestamp, snapshot) = (self.label(), self.label());
        self.publish(|repository| {
            repository.rotate("timestamp", &[&timestamp], 1);
            repository.rotate("snapshot", &[&snapshot], 1);
            repository.publish_root();
            repository.snapshot.version = 0;
            repository.timestamp.version = 0;
            repository.publish_snapshot();
        });
        self.resets.push(self.repository.root.version);
    }

    /// Snapshot lists lengths and digests too.
    fn list_digests(&mut self) {
        let publish = |repository: &mut Simulator| {
            for name in ["targets", "a"] {
                let metafile = repository.metafile(name);
                repository.snapshot.roles.insert(role(name), metafile);
            }
            repository.publish_snapshot();
        };
        self.publish(publish);
    }

    /// A thief of the timestamp's key alone: a new timestamp names a snapshot of some time ago.
    fn name_older_snapshot(&mut self) {
        let snapshots = &self.history[RoleName::SNAPSHOT];
        let older = &snapshots[self.input.below(snapshots.len())];
        let listed = metafile(version(older), older);
        if listed.version > self.repository.snapshot.version {
            // A fast-forward attack: from this the honest repository recovers with new keys only.
            return;
        }
        self.publish(|repository| {
            repository.timestamp.snapshot = listed;
            repository.publish_timestamp();
        });
    }

    /// Remembers the files that are new.
    fn record(&mut self) {
        for (path, bytes) in &self.repository.files {
            let name = path.strip_suffix(".json").unwrap();
            let name = name.split_once('.').map_or(name, |(_, name)| name);
            let files = self.history.entry(name.to_owned()).or_default();
            if !files.contains(bytes) {
                files.push(bytes.clone());
                self.signed.insert((name.to_owned(), signed_part(bytes)));
            }
        }
        let file = &self.repository.role("a").targets[TARGET];
        if !self.listed.contains(file) {
            self.listed.push(file.clone());
        }
    }

    /// One update and, where it succeeds, one search, with whatever the mirror makes of it.
    fn update(&mut self) {
        let before = self.store.clone();
        let mut run = Run::default();
        let result = self.run(&mut run, Self::lie);
        // What was not stored on the way is as it was.
        for (name, bytes) in &before {
            assert!(run.stored.contains(name) || self.store.get(name) == Some(bytes), "{name}");
        }
        if let Ok(found) = result {
            assert!(found.is_some_and(|file| self.listed.contains(&file)), "an invented target");
        }
    }

    /// The honest repository, with everything fresh, is believed; and then nothing is fetched again.
    fn settle(&mut self) {
        self.publish(|repository| {
            repository.publish_root();
            repository.role("a").version += 1;
            repository.write_targets("a");
            repository.publish_targets("targets");
        });
        let honest = |session: &mut Self, file: &MetadataFile| session.repository.fetch(file);
        let mut run = Run::default();
        let found = self.run(&mut run, honest).expect("the honest repository is refused");
        let root = self.repository.root.version;
        assert_eq!(found.as_ref(), self.repository.role("a").targets.get(TARGET));
        for (name, version) in [
            ("root", root),
            ("snapshot", self.repository.snapshot.version),
            ("targets", self.repository.role("targets").version),
            ("a", self.repository.role("a").version),
        ] {
            let path = self.repository.path(name, version);
            assert_eq!(self.store[&role(name)], self.repository.files[&path], "{path}");
        }
        assert_eq!(self.store[&role("timestamp")], self.repository.files["timestamp.json"]);

        let before = self.store.clone();
        let mut run = Run::default();
        assert_eq!(self.run(&mut run, honest), Ok(found));
        assert_eq!(run.fetched, [format!("{}.root.json", root + 1), "timestamp.json".to_owned()]);
        assert_eq!(self.store, before, "nothing is new, and yet something was stored");
    }

    fn run(
        &mut self,
        run: &mut Run,
        mut mirror: impl FnMut(&mut Self, &MetadataFile) -> Option<Vec<u8>>,
    ) -> Result<Option<TargetFile>, Error> {
        let trusted_root = self.store.get(&role("root")).unwrap_or(&self.first_root).clone();
        let mut updater = Updater::new(&trusted_root, self.now, Limits::default())?;
        run.root = version(&trusted_root);
        while let Some(answer) = self.answer(updater.step(), run, &mut mirror) {
            updater = updater.answer(answer)?;
        }
        let mut trusted = updater.finish()?;
        self.check_trusted(&trusted);
        let mut search = Search::new(target_path(TARGET), &trusted, Limits::default())?;
        while let Some(answer) = self.answer(search.step(&trusted), run, &mut mirror) {
            search = search.answer(&mut trusted, answer)?;
        }
        Ok(search.finish())
    }

    fn answer(
        &mut self,
        step: Step,
        run: &mut Run,
        mirror: &mut impl FnMut(&mut Self, &MetadataFile) -> Option<Vec<u8>>,
    ) -> Option<Answer> {
        run.steps += 1;
        // Every root takes two; the other five roles at most three.
        assert!(run.steps <= 2 * self.repository.root.version + 20, "an endless update");
        match step {
            Step::Load(name) => Some(Answer::Loaded(self.store.get(&name).cloned())),
            Step::Fetch(file) => {
                run.fetched.push(file.path.clone());
                Some(mirror(self, &file).map_or(Answer::NotFound, Answer::Fetched))
            }
            Step::Store(name, bytes) => {
                self.check_stored(&name, &bytes, run);
                self.store.insert(name.clone(), bytes.to_vec());
                run.stored.push(name);
                Some(Answer::Stored)
            }
            Step::Done => None,
        }
    }

    fn check_stored(&mut self, name: &RoleName, bytes: &[u8], run: &mut Run) {
        let signed = (name.to_string(), signed_part(bytes));
        assert!(self.signed.contains(&signed), "stored as {name}, but it was never signed");
        let got = version(bytes);
        if name.as_str() == RoleName::ROOT {
            assert_eq!(got, run.root + 1, "root skips a version, or goes back");
            run.root = got;
        }
        let floor = self.floors.insert(name.clone(), (got, run.root));
        let Some((before, root)) = floor else { return };
        let taken_back = self.resets.iter().any(|reset| (root + 1..=run.root).contains(reset));
        let by_reset = taken_back && ["timestamp", "snapshot"].contains(&name.as_str());
        assert!(got >= before || by_reset, "{name} went back from version {before} to {got}");
    }

    /// Nothing in it is expired, and each file is the one that the file above it names.
    fn check_trusted(&self, trusted: &TrustedMetadata) {
        let (root, timestamp, snapshot) = (trusted.root(), trusted.timestamp(), trusted.snapshot());
        let expires = root.expires.min(timestamp.expires).min(snapshot.expires);
        assert!(expires > self.now, "something is expired");
        assert_eq!(timestamp.snapshot.version, snapshot.version);
        assert_eq!(timestamp.snapshot.length, Some(snapshot.bytes().len() as u64));
        for (name, bytes) in [
            ("root", root.bytes()),
            ("timestamp", timestamp.bytes()),
            ("snapshot", snapshot.bytes()),
        ] {
            let stored =
                self.store.get(&role(name)).or((name == "root").then_some(&self.first_root));
            assert_eq!(
                stored.map(Vec::as_slice),
                Some(&**bytes),
                "{name} is trusted and not stored"
            );
            assert!(self.signed.contains(&(name.to_owned(), signed_part(bytes))));
        }
        // What timestamp names by its digest is byte for byte what was published.
        assert!(self.history["snapshot"].iter().any(|file| **file == **snapshot.bytes()));
        let targets = &self.store[&RoleName::targets()];
        assert_eq!(version(targets), snapshot.roles[&RoleName::targets()].version);
    }

    /// The mirror's answer: one of three is not what the repository published last.
    fn lie(&mut self, file: &MetadataFile) -> Option<Vec<u8>> {
        let honest = self.repository.fetch(file);
        match self.input.below(24) {
            1 => None,
            2 | 3 => self.another(file.role.as_str()),
            4 => {
                let names: Vec<String> = self.history.keys().cloned().collect();
                let name = self.input.below(names.len());
                self.another(&names[name])
            }
            5..=8 => Some(changed(honest?, &mut self.input)),
            _ => honest,
        }
    }

    /// Any file that was ever signed as this role.
    fn another(&mut self, name: &str) -> Option<Vec<u8>> {
        let files = self.history.get(name)?;
        let at = self.input.below(files.len());
        Some(files[at].clone())
    }
}

/// One update, as it goes.
#[derive(Default)]
struct Run {
    steps: u64,
    /// The version of the trusted root.
    root: u64,
    fetched: Vec<String>,
    stored: Vec<RoleName>,
}

fn signed_part(file: &[u8]) -> Vec<u8> {
    let Ok(Value::Object(mut file)) = Value::parse(file) else { panic!("no object") };
    file.remove("signed").unwrap().to_canonical()
}

fn version(file: &[u8]) -> u64 {
    let Ok(Value::Object(file)) = Value::parse(file) else { panic!("no object") };
    let Some(Value::Object(signed)) = file.get("signed") else { panic!("nothing signed") };
    let Some(Value::Integer(version)) = signed.get("version") else { panic!("no version") };
    u64::try_from(*version).unwrap()
}
