//! Every attack of the malicious mirror on every kind of file, over real sockets.
//!
//! What holds after each: the call ended in time with the right error, which names the file; the
//! trust store is byte for byte what it was, but for the files that were verified before the
//! attacked one; nothing lies in `tmp/` or beside the destination; memory and disk stayed flat; no
//! more was read than the file may have; and once the mirror is honest the same client succeeds.

mod bombs;
mod endless;
mod failover;
mod framing;
mod measure;
mod mixed;
mod moving;
mod redirects;
mod resuming;
mod slow;
mod statuses;
mod together;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use waxseal_client::{Client, Error, fetch_root};
use waxseal_testkit::mirror::{Change, Flood, PathPattern, Position};
use waxseal_testkit::simulator::Simulator;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{RoleName, TargetFile};

use crate::world::{LARGE, SMALL, World, bin_of, impatient, large, path, publish};
use measure::{Disk, Memory};

/// The longest that a call may take: the attacked file runs into one deadline of [`impatient`], at
/// most some two seconds with what its length adds; the others are honest. The rest is for a busy
/// machine.
const BOUND: Duration = Duration::from_secs(12);

/// What the mirror may have sent beyond the most that the file may have: what the kernel holds for
/// the two ends of a connection, and a client that is not woken at once.
const SLACK: u64 = 12 << 20;

/// What a mirror serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The first root, before anything is trusted.
    FirstRoot,
    /// The next root.
    Root,
    Timestamp,
    Snapshot,
    Targets,
    /// The bin that lists [`LARGE`].
    Bin,
    /// A target file, [`LARGE`].
    File,
}

use Kind::{Bin, File, FirstRoot, Root, Snapshot, Targets, Timestamp};

/// What is fetched whole and parsed. The first root is like the next one, and costs a client more.
const METADATA: [Kind; 5] = [Root, Timestamp, Snapshot, Targets, Bin];

const ALL: [Kind; 6] = [Root, Timestamp, Snapshot, Targets, Bin, File];

/// How a call has to end: the error's slug, and a part of its text.
type Refusal = (&'static str, &'static str);

impl Kind {
    /// The path of the version that is attacked.
    fn attacked(self, world: &World) -> String {
        let mut simulator = world.index.simulator();
        let versioned = |simulator: &Simulator, name: &str, version| {
            format!("/tuf/metadata/{}", simulator.path(name, version))
        };
        match self {
            FirstRoot => "/tuf/metadata/1.root.json".to_owned(),
            Root => versioned(&simulator, "root", simulator.root.version),
            Timestamp => "/tuf/metadata/timestamp.json".to_owned(),
            Snapshot => versioned(&simulator, "snapshot", simulator.snapshot.version),
            Targets => {
                let version = simulator.role("targets").version;
                versioned(&simulator, "targets", version)
            }
            Bin => {
                let bin = bin_of(&mut simulator, LARGE);
                let version = simulator.role(bin.as_str()).version;
                versioned(&simulator, bin.as_str(), version)
            }
            File => {
                let (folder, name) = LARGE.rsplit_once('/').unwrap();
                format!("/tuf/targets/{folder}/{}.{name}", Sha256::of(&large()))
            }
        }
    }

    /// What an error has to name.
    fn name(self) -> &'static str {
        match self {
            FirstRoot | Root => "root",
            Timestamp => "timestamp",
            Snapshot => "snapshot",
            Targets => "targets",
            Bin => "bin-",
            File => "large-1.0-py3-none-any.whl",
        }
    }

    /// The most bytes that a client may read of it.
    fn cap(self, world: &World) -> u64 {
        let limits = impatient().limits;
        match self {
            FirstRoot | Root => limits.root,
            Timestamp => limits.timestamp,
            Snapshot => world.index.simulator().timestamp.snapshot.length.unwrap(),
            Targets | Bin => limits.targets,
            File => large().len() as u64,
        }
    }

    /// The roles that are verified, and so stored, before it.
    fn stored_before(self) -> &'static [&'static str] {
        const ORDER: [&str; 3] = [RoleName::ROOT, RoleName::TIMESTAMP, RoleName::SNAPSHOT];
        match self {
            Timestamp => &ORDER[..1],
            Snapshot => &ORDER[..2],
            Targets => &ORDER,
            _ => &[],
        }
    }
}

/// A client that has to fetch a kind of file through the mirror.
struct Trial {
    world: World,
    kind: Kind,
    client: Client,
    file: Option<TargetFile>,
    /// Where the target file is saved.
    folder: tempfile::TempDir,
}

impl Trial {
    async fn new(kind: Kind) -> Self {
        let world = World::new();
        let client = world.client_with(impatient());
        client.refresh(Simulator::now()).await.unwrap();
        let file = match kind {
            File => client.find(&path(LARGE)).await.unwrap(),
            _ => None,
        };
        let folder = tempfile::tempdir().unwrap();
        let trial = Self { world, kind, client, file, folder };
        trial.prepare().await;
        trial
    }

    /// Publishes, so that the file has to be fetched, and fetches all that comes before it.
    async fn prepare(&self) {
        publish_everything(&mut self.world.index.simulator());
        if matches!(self.kind, Bin | File) {
            self.client.refresh(Simulator::now()).await.unwrap();
        }
        if self.kind == File {
            self.client.find(&path(LARGE)).await.unwrap();
        }
        // There from the trial before.
        let _ = fs::remove_file(self.folder.path().join("large.whl"));
        self.world.mirror.forget_requests();
    }

    fn lie(&self, changes: &[Change]) {
        let attacked = self.kind.attacked(&self.world);
        for change in changes {
            self.world.lie(PathPattern::exact(attacked.clone()), change.clone());
        }
    }

    /// Fetches the file.
    async fn call(&self) -> Result<(), Error> {
        self.call_of(&self.client).await
    }

    /// Fetches the file with this client.
    async fn call_of(&self, client: &Client) -> Result<(), Error> {
        let path = path(LARGE);
        match self.kind {
            FirstRoot => fetch_root(&self.world.url(), &impatient()).await.map(|_| ()),
            Root | Timestamp | Snapshot | Targets => {
                client.refresh(Simulator::now()).await.map(|_| ())
            }
            Bin => client.find(&path).await.map(|_| ()),
            File => {
                let file = self.file.as_ref().unwrap();
                let destination = self.folder.path().join("large.whl");
                client.save(&path, file, &destination, |_| {}).await
            }
        }
    }

    /// What the trust store has to hold after a refusal.
    fn expected(&self, before: &BTreeMap<PathBuf, Vec<u8>>) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut expected = before.clone();
        let metadata = self.world.store().folder().join("metadata");
        let simulator = self.world.index.simulator();
        for role in self.kind.stored_before() {
            let version = match *role {
                RoleName::ROOT => simulator.root.version,
                RoleName::TIMESTAMP => simulator.timestamp.version,
                _ => simulator.snapshot.version,
            };
            let honest = simulator.files[&simulator.path(role, version)].clone();
            expected.insert(metadata.join(format!("{role}.json")), honest);
        }
        expected
    }

    /// What a mirror sent of the attacked file, each time that it was asked.
    fn sent(&self) -> Vec<u64> {
        let attacked = self.kind.attacked(&self.world);
        let requests = self.world.mirror.requests();
        requests.iter().filter(|one| one.path == attacked).map(|one| one.sent).collect()
    }

    /// Attacks, and checks all that holds after every attack.
    async fn refuse(&self, changes: &[Change]) -> Error {
        let kind = self.kind;
        let before = self.world.tree();
        self.lie(changes);
        let disk = Disk::watch([self.world.stores.base(), self.folder.path()]);
        let ended = timeout(BOUND, self.call()).await;
        let [store, destination] = disk.most();
        let ended = ended.unwrap_or_else(|_| panic!("{kind:?}, {changes:?}: it did not end"));
        let Err(error) = ended else { panic!("{kind:?}, {changes:?}: it was not refused") };

        let expected = self.expected(&before);
        assert!(self.world.tree() == expected, "{kind:?}, {changes:?}: the trust store changed");
        let beside = fs::read_dir(self.folder.path()).unwrap().count();
        assert_eq!(beside, 0, "{kind:?}, {changes:?}: something lies where the file was to be");
        // A file is written aside, so both versions of one may be there at a moment.
        let size = |files: &BTreeMap<_, Vec<u8>>| files.values().map(Vec::len).sum::<usize>();
        let most_stored = (size(&before) + size(&expected)) as u64;
        assert!(store <= most_stored, "{kind:?}, {changes:?}: {store} bytes in the trust store");
        let most_saved = large().len() as u64;
        assert!(destination <= most_saved, "{kind:?}, {changes:?}: {destination} bytes saved");

        self.recover(changes).await;
        let most_sent = kind.cap(&self.world) + SLACK;
        for sent in self.sent().into_iter().filter(|_| !changes.iter().any(bounded_by_time_alone)) {
            assert!(sent <= most_sent, "{kind:?}, {changes:?}: {sent} bytes were sent");
        }
        error
    }

    /// With an honest mirror the same client goes on.
    async fn recover(&self, changes: &[Change]) {
        let again = async {
            self.world.mirror.honest();
            self.call().await.unwrap_or_else(|error| panic!("after {changes:?}: {error}"));
            self.client.refresh(Simulator::now()).await.unwrap();
            let (_, small) = self.client.get(&path(SMALL)).await.unwrap().unwrap();
            assert_eq!(small, "a newer file");
            if self.kind == File {
                assert!(fs::read(self.folder.path().join("large.whl")).unwrap() == large());
            }
        };
        timeout(BOUND, again).await.unwrap_or_else(|_| panic!("after {changes:?}: no answer"));
    }
}

/// What the layers below the client read for as long as it waits: interim answers, which come before
/// the one that is waited for.
fn bounded_by_time_alone(change: &Change) -> bool {
    matches!(change, Change::Flood(Flood::Interim))
}

/// A new version of each role, root included, and of a file.
fn publish_everything(simulator: &mut Simulator) {
    simulator.publish_root();
    simulator.publish_targets("targets");
    publish(simulator, SMALL, b"a newer file");
    let bin = bin_of(simulator, LARGE);
    simulator.publish_targets(bin.as_str());
}

/// A trial for each kind of file, each with a client, a trust store and a mirror of its own, which
/// is used for one attack after another.
struct Trials(BTreeMap<Kind, Arc<Trial>>);

impl Trials {
    async fn new(kinds: &[Kind]) -> Self {
        let mut trials = BTreeMap::new();
        for kind in kinds {
            trials.insert(*kind, Arc::new(Trial::new(*kind).await));
        }
        Self(trials)
    }

    /// Attacks all of them at once.
    async fn refuse(
        &self,
        changes: impl Fn(Kind) -> Vec<Change>,
        expected: impl Fn(Kind) -> Refusal,
    ) {
        let memory = Memory::now();
        let mut attacks = JoinSet::new();
        for (kind, trial) in &self.0 {
            let (kind, trial) = (*kind, Arc::clone(trial));
            let (changes, (slug, says)) = (changes(kind), expected(kind));
            attacks.spawn(async move {
                let error = trial.refuse(&changes).await;
                let text = error.to_string();
                assert_eq!(error.slug(), slug, "{kind:?}, {changes:?}: {error:?}");
                assert!(text.contains(says), "{kind:?}, {changes:?}: {text}");
                assert!(text.contains(kind.name()), "{kind:?}, {changes:?}: {text}");
                assert!(text.len() < 2000 && !text.contains('\n'), "{kind:?}, {changes:?}: {text}");
                trial.prepare().await;
            });
        }
        while let Some(attack) = attacks.join_next().await {
            if let Err(error) = attack {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        let grown = memory.growth();
        assert!(grown < measure::allowed(), "the process grew by {grown} bytes");
    }

    /// Attacks one after another, where each takes all of the machine.
    async fn refuse_in_turn(
        &self,
        changes: impl Fn(Kind) -> Vec<Change>,
        expected: impl Fn(Kind) -> Refusal,
    ) {
        for (kind, trial) in &self.0 {
            let one = Self(BTreeMap::from([(*kind, Arc::clone(trial))]));
            one.refuse(&changes, &expected).await;
        }
    }
}

/// Attacks these kinds of file.
async fn refused(
    kinds: &[Kind],
    changes: impl Fn(Kind) -> Vec<Change>,
    expected: impl Fn(Kind) -> Refusal,
) {
    Trials::new(kinds).await.refuse(changes, expected).await;
}

/// The true bytes of a target file would make it verified before the attack is noticed, so one of
/// them is wrong.
fn but_not_the_true_file(kind: Kind, change: Change) -> Vec<Change> {
    let flip = Change::FlipByte { at: Position::FromStart(0) };
    if kind == File { vec![flip, change] } else { vec![change] }
}
