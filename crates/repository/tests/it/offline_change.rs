//! New root, targets and bins: renewed, with other holders, another online key, after a compromise. The
//! store itself checks at every write that a client finds a whole index.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::ceremony::{
    self, Ceremony, ChangeError, OfflineLifetimes, OneTimeKeys, Plan, Signers, Stage, Succession,
};
use waxseal_repository::store::StoreKey;
use waxseal_repository::{Error, OnlineKeys, Repository, SnapshotProcess};
use waxseal_testkit::simulator::TestKey;
use waxseal_tuf::metadata::{Root, Targets, Timestamp as TimestampFile, Unverified};
use waxseal_tuf::{Error as Refused, Signer};

use super::audit::{Client, audit_all};
use super::index::{Index, Kind, LIMIT, holder, hours, send, start, upload};
use super::resume::{counted, fail_each, prove_whole, until_done};

/// What a ceremony is to change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    holders: [&'static str; 3],
    online: &'static str,
    /// Whose one-time keys sign; `None`: root alone is new.
    one_time: Option<&'static str>,
    succession: Succession,
    /// How many bins; `None`: as before.
    bins: Option<(u64, BinStyle)>,
}

const RENEWAL: Wanted = Wanted {
    holders: ["root-a", "root-b", "root-c"],
    online: "online",
    one_time: Some("2101"),
    succession: Succession::Planned,
    bins: None,
};
const OTHER_HOLDERS: Wanted =
    Wanted { holders: ["root-b", "root-c", "root-d"], one_time: None, ..RENEWAL };
const OTHER_KEY: Wanted =
    Wanted { holders: ["root-a", "root-b", "root-d"], online: "online-2", ..RENEWAL };
pub(crate) const COMPROMISE: Wanted = Wanted { succession: Succession::Compromise, ..OTHER_KEY };

/// Another online key, and other bins.
pub(crate) fn with_bins(count: u64, style: BinStyle) -> Wanted {
    Wanted { bins: Some((count, style)), ..OTHER_KEY }
}

/// Every root key that was or will be.
const ROOT_KEYS: [&str; 4] = ["root-a", "root-b", "root-c", "root-d"];

pub(crate) fn hold(repository: &Repository, wanted: Wanted, now: Timestamp) -> Ceremony {
    let before = repository.offline_roles().unwrap();
    hold_after(&before, wanted, now)
}

fn hold_after(before: &ceremony::OfflineRoles, wanted: Wanted, now: Timestamp) -> Ceremony {
    let plan = Plan {
        holders: wanted.holders.map(holder).into(),
        root_threshold: 2,
        online: TestKey::new(wanted.online).public_key().clone(),
        bins: wanted.bins.map_or(before.bins(), |(count, style)| Bins::new(count, style).unwrap()),
        lifetimes: OfflineLifetimes::default(),
    };
    let root = ROOT_KEYS.map(TestKey::new);
    let root = root.each_ref().map(|key| key as &dyn Signer);
    let label = wanted.one_time.unwrap_or_default();
    let keys = ["targets-1", "targets-2", "bins-1", "bins-2"]
        .map(|role| TestKey::new(&format!("{role} of {label}")));
    let [targets_1, targets_2, bins_1, bins_2] = keys.each_ref().map(|key| key as &dyn Signer);
    let one_time = OneTimeKeys { targets: &[targets_1, targets_2], bins: &[bins_1, bins_2] };
    let signers = Signers { root: &root, one_time: wanted.one_time.map(|_| one_time) };
    ceremony::perform(&plan, Some((before, wanted.succession)), signers, now).unwrap()
}

type Opened = (Arc<Repository>, SnapshotProcess);

/// Opens what is there, with every online key at hand.
pub(crate) fn open(index: &Index) -> Result<Opened, Error> {
    let repository = Arc::new(index.open_repository()?);
    let process = process(index, &repository, &["online", "online-2"])?;
    Ok((repository, process))
}

fn process(
    index: &Index,
    repository: &Arc<Repository>,
    online: &[&str],
) -> Result<SnapshotProcess, Error> {
    let key = |label: &&str| Box::new(TestKey::new(label)) as Box<dyn Signer>;
    index.process_with(repository, OnlineKeys::new(online.iter().map(key).collect()))
}

/// An index that has published a file, and publishes each change with a file that waits; a failure ends
/// the process, and the next one goes on. Answers how many crashes were looked at.
fn run(index: &Index, changes: &[Wanted]) -> usize {
    run_as(index, changes, true)
}

/// The same where a client that was there before may have to ask once more after a crash.
fn run_lenient(index: &Index, changes: &[Wanted]) -> usize {
    run_as(index, changes, false)
}

fn run_as(index: &Index, changes: &[Wanted], returning_always: bool) -> usize {
    drop(until_done(|| index.create()));
    let mut opened = Some(until_done(|| open(index)));
    let mut returning = Client::default();
    let mut crashes = 0;
    for (number, wanted) in (0..).zip([None].into_iter().chain(changes.iter().map(Some))) {
        let mut now = hours(number);
        let mut made = None;
        loop {
            let (repository, process) = opened.as_ref().unwrap();
            let attempt = || -> Result<(), Error> {
                upload(repository, &format!("flask-{number}.tar.gz"), b"bytes")?;
                if let Some(wanted) = wanted {
                    // Held once; published again after a crash, unless that is done.
                    let made = made.get_or_insert_with(|| hold(repository, *wanted, now));
                    if root_version(repository) < last_root(made) {
                        match repository.change_offline_roles(made, now) {
                            // Some of its roots are there.
                            Err(Error::Change(_)) => {}
                            recorded => drop(recorded?),
                        }
                    }
                }
                process.publish_all(now)
            };
            let Err(error) = ({ attempt }()) else { break };
            assert!(error.to_string().contains("timed out"), "{error}");
            drop(opened.take());
            now += SignedDuration::from_mins(1);
            opened = Some(until_done(|| open(index)));
            crashes += 1;
            let (repository, _) = opened.as_ref().unwrap();
            let published = repository.store().read(&StoreKey::Timestamp, LIMIT).unwrap().is_some();
            if published && wanted.is_none_or(|wanted| wanted.succession == Succession::Planned) {
                prove_whole(repository, now);
                if returning_always {
                    returning.find_a_moment(repository, now);
                }
                Client::default().find_a_moment(repository, now);
            }
        }
        let (repository, _) = opened.as_ref().unwrap();
        returning.audit(repository, now);
        audit_all(repository, now);
        prove_whole(repository, now);
        if let Some(made) = made {
            assert_eq!(root_version(repository), last_root(&made));
            assert_eq!(repository.database().waiting_change().unwrap(), []);
        }
    }
    crashes
}

pub(crate) fn root_version(repository: &Repository) -> u64 {
    repository.offline_roles().unwrap().root().version
}

pub(crate) fn last_root(made: &Ceremony) -> u64 {
    claims::<Root>(made.roots.last().unwrap()).version
}

fn claims<T: waxseal_tuf::metadata::Role + Clone>(bytes: &[u8]) -> T {
    Unverified::<T>::parse(bytes).unwrap().claims().clone()
}

const PLANNED: [Wanted; 3] = [RENEWAL, OTHER_HOLDERS, OTHER_KEY_AGAIN];
/// After [`OTHER_HOLDERS`].
const OTHER_KEY_AGAIN: Wanted = Wanted { one_time: Some("2102"), ..OTHER_KEY };

#[test]
fn clients_find_a_whole_index_at_every_write_of_planned_changes() {
    for kind in Kind::EACH {
        let (index, faults) = counted(kind);
        assert_eq!(run(&index, &PLANNED), 0);
        for method in ["record_change", "root_published", "replace_timestamp", "finish"] {
            assert!(faults.calls().contains(&method), "{method}");
        }
    }
}

#[test]
fn a_crash_at_any_write_of_planned_changes_is_resumed() {
    let (index, faults) = counted(Kind::Memory);
    assert_eq!(run(&index, &PLANNED), 0);
    fail_each(Kind::Memory, &faults.calls(), |index| run(index, &PLANNED));
}

/// More bins, which go on among those that are there; then far more, with another online key; then few;
/// and at last the same ones, written down otherwise.
const REFILED: [Wanted; 4] = [
    Wanted { bins: Some((16, BinStyle::Succinct)), one_time: Some("a"), ..RENEWAL },
    Wanted { bins: Some((32, BinStyle::Classic)), one_time: Some("b"), ..OTHER_KEY },
    Wanted {
        bins: Some((2, BinStyle::Succinct)),
        online: "online",
        one_time: Some("c"),
        ..OTHER_KEY
    },
    Wanted {
        bins: Some((2, BinStyle::Classic)),
        online: "online",
        one_time: Some("d"),
        ..OTHER_KEY
    },
];

#[test]
fn clients_find_every_target_in_other_bins() {
    for kind in Kind::EACH {
        let (index, _) = counted(kind);
        assert_eq!(run(&index, &REFILED), 0);
        let (repository, process) = open(&index).unwrap();
        assert_eq!(repository.bins(), Bins::new(2, BinStyle::Classic).unwrap());
        // Nothing is left of the bins of before.
        let options = waxseal_repository::GcOptions::default();
        let later = Timestamp::now() + SignedDuration::from_hours(24);
        repository.collect_garbage(&options, later, &|_| {}).unwrap();
        let names = super::metadata_names(repository.store());
        let is_old = |name: &&String| name.contains("bin-1f") || name.contains("bin-f");
        assert_eq!(names.iter().find(is_old), None);
        assert!(names.iter().any(|name| name.contains("bin-1")), "{names:?}");
        audit_all(&repository, hours(5));
        prove_whole(&repository, hours(5));
        drop(process);
    }
}

/// What only a snapshot of other bins names is kept as long as that is in use.
#[test]
fn nothing_is_collected_while_snapshots_of_other_bins_are_in_use() {
    let (index, _) = counted(Kind::Memory);
    assert_eq!(run(&index, &REFILED[..2]), 0);
    let (repository, process) = open(&index).unwrap();
    let options = waxseal_repository::GcOptions::default();
    let later = Timestamp::now() + SignedDuration::from_hours(24);
    let collect = || repository.collect_garbage(&options, later, &|_| {}).unwrap().removed;
    assert_eq!(collect(), 0);
    for number in 0..3 {
        send(&repository, &format!("click-{number}.tar.gz"));
        process.publish_all(hours(5)).unwrap();
    }
    assert!(collect() > 16);
    audit_all(&repository, hours(5));
    prove_whole(&repository, hours(5));
}

/// A client that keeps its trust store goes on while the targets move; and a crash anywhere loses none.
/// Between the two roots of a change whose bins vanish, a client that was there before takes the new
/// snapshot for a rollback, until the next process has published the second root.
#[test]
fn a_crash_at_any_write_of_filing_anew_is_resumed() {
    let (index, faults) = counted(Kind::Memory);
    assert_eq!(run(&index, &REFILED[..1]), 0);
    fail_each(Kind::Memory, &faults.calls(), |index| run(index, &REFILED[..1]));
    let (index, faults) = counted(Kind::Memory);
    assert_eq!(run_lenient(&index, &REFILED[1..3]), 0);
    fail_each(Kind::Memory, &faults.calls(), |index| run_lenient(index, &REFILED[1..3]));
}

/// Those that read while the bins change find every target, in one bin or the other.
#[test]
fn whoever_reads_meanwhile_finds_every_target() {
    let (index, repository, first) = Index::published(Kind::Memory);
    drop(first);
    let process = process(&index, &repository, &["online", "online-2"]).unwrap();
    send(&repository, "flask-1.0.tar.gz");
    process.publish_all(start()).unwrap();
    let path = waxseal_tuf::TargetPath::new("packages/flask/flask-1.0.tar.gz").unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u64;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert!(repository.target(&path).unwrap().is_some(), "after {reads} reads");
                reads += 1;
            }
            reads
        });
        for (number, bins) in (0_u64..6).zip([64, 2, 128, 8, 256, 4]) {
            let online = if number % 2 == 0 { "online-2" } else { "online" };
            let label = ["a", "b", "c", "d", "e", "f"][usize::try_from(number).unwrap()];
            let wanted = Wanted {
                bins: Some((bins, BinStyle::Succinct)),
                online,
                one_time: Some(label),
                ..RENEWAL
            };
            let made = hold(&repository, wanted, start());
            repository.change_offline_roles(&made, start()).unwrap();
            process.publish_all(start()).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().unwrap() > 100);
    });
    audit_all(&repository, start());
}

/// Between the root that trusts the old keys no more and the timestamp of the new one clients refuse what
/// they find, rather than believe the old keys; a crash leaves that for the next process to end.
#[test]
fn a_crash_at_any_write_after_a_compromise_is_resumed() {
    let (index, faults) = counted(Kind::Memory);
    index.store.set_watch(Arc::new(|_, _| {}));
    assert_eq!(run(&index, &[COMPROMISE]), 0);
    fail_each(Kind::Memory, &faults.calls(), |index| {
        index.store.set_watch(Arc::new(|_, _| {}));
        run(index, &[COMPROMISE])
    });
}

/// What clients saw that went on with the old keys is worth nothing under the new ones.
#[test]
fn the_old_online_key_signs_nothing_that_clients_take_afterwards() {
    for wanted in [OTHER_KEY, COMPROMISE] {
        let (index, repository, _) = Index::published(Kind::Memory);
        let process = process(&index, &repository, &["online", "online-2"]).unwrap();
        index.store.set_watch(Arc::new(|_, _| {}));
        let made = hold(&repository, wanted, start());
        repository.change_offline_roles(&made, start()).unwrap();
        process.publish_all(start()).unwrap();
        audit_all(&repository, start());
        let timestamp = repository.store().read(&StoreKey::Timestamp, LIMIT).unwrap().unwrap();
        let timestamp: TimestampFile = claims(&timestamp);
        let forged = TimestampFile { version: timestamp.version + 1, ..timestamp };
        let thief = TestKey::new("online");
        let forged = waxseal_tuf::metadata::sign(&forged, &[&thief]).unwrap();
        let before = repository.store().read(&StoreKey::Timestamp, LIMIT).unwrap().unwrap();
        let digest = waxseal_tuf::hash::Sha256::of(&before);
        repository.store().replace_timestamp(Some(digest), &forged).unwrap();
        let refused = super::audit::read_everything(
            repository.store(),
            &mut std::collections::BTreeMap::new(),
            start(),
        );
        let refused = refused.unwrap_err();
        assert!(matches!(refused, Refused::Signatures { valid: 0, .. }), "{refused}");
    }
}

/// A change whose online key is elsewhere holds up nothing, and is published when the key comes.
#[test]
fn a_change_waits_for_its_online_key() {
    let (index, repository, first) = Index::published(Kind::Memory);
    let made = hold(&repository, OTHER_KEY, start());
    repository.change_offline_roles(&made, start()).unwrap();
    send(&repository, "flask-1.0.tar.gz");
    first.publish_all(start()).unwrap();
    audit_all(&repository, start());
    // The first of its roots is out, and trusts both keys.
    assert_eq!(root_version(&repository), 2);
    assert_eq!(repository.database().waiting_change().unwrap().len(), 3);
    drop(first);

    // The new key alone begins with the change.
    let second = process(&index, &repository, &["online-2"]).unwrap();
    send(&repository, "flask-1.1.tar.gz");
    second.publish_all(start()).unwrap();
    audit_all(&repository, start());
    assert_eq!(root_version(&repository), 3);
    drop(second);
    let refused = process(&index, &repository, &["online"]).unwrap_err();
    assert!(matches!(refused, Error::WrongOnlineKey { .. }), "{refused}");
}

#[test]
fn one_change_waits_at_a_time_and_can_be_withdrawn() {
    let (_index, repository, process) = Index::published(Kind::Memory);
    let (renewal, other) = (
        hold(&repository, RENEWAL, start()),
        hold(&repository, Wanted { one_time: Some("other"), ..RENEWAL }, start()),
    );
    assert!(!repository.withdraw_change().unwrap(), "nothing waits");
    repository.change_offline_roles(&renewal, start()).unwrap();
    repository.change_offline_roles(&renewal, start()).unwrap();
    let refused = repository.change_offline_roles(&other, start()).unwrap_err();
    assert!(matches!(refused, Error::ChangeWaits { .. }), "{refused}");
    assert!(refused.to_string().contains("2.root.json, 2.targets.json, 2.bins.json, 3.root.json"));
    assert!(repository.withdraw_change().unwrap());
    repository.change_offline_roles(&other, start()).unwrap();
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
    let refused = repository.change_offline_roles(&renewal, start()).unwrap_err();
    assert!(matches!(refused, Error::Change(ChangeError::Refused(_))), "{refused}");
}

/// A running process publishes what another one recorded.
#[test]
fn a_running_process_finds_what_another_recorded() {
    let (index, repository, process) = Index::published(Kind::Filesystem);
    let stop = waxseal_repository::Stop::new(Arc::clone(&repository));
    std::thread::scope(|scope| {
        scope.spawn(|| process.run(&stop).unwrap());
        let elsewhere = index.open_repository().unwrap();
        // By the clock of this machine, which the running process goes by.
        let made = hold(&elsewhere, RENEWAL, start());
        elsewhere.change_offline_roles(&made, start()).unwrap();
        let begun = std::time::Instant::now();
        while root_version(&elsewhere) < 3 {
            assert!(begun.elapsed().as_secs() < 60, "it was not published");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        stop.request();
    });
}

#[test]
fn what_clients_would_refuse_is_refused() {
    let (_index, repository, _process) = Index::published(Kind::Memory);
    let before = repository.offline_roles().unwrap();
    let good = hold(&repository, OTHER_KEY, start());
    let check = |made: &Ceremony, now| ceremony::check(&before, made, now);
    let refused = |made: &Ceremony| check(made, start()).unwrap_err().to_string();

    let stages = |made: &Ceremony| -> Vec<_> {
        let change = check(made, start()).unwrap();
        change.files.iter().map(|file| (file.stage, file.role.to_string(), file.version)).collect()
    };
    let of = |stage, role: &str, version| (stage, role.to_owned(), version);
    let with_snapshot = |role| of(Stage::WithSnapshot, role, 2);
    assert_eq!(
        stages(&good),
        [
            of(Stage::Before, "root", 2),
            with_snapshot("targets"),
            with_snapshot("bins"),
            of(Stage::After, "root", 3)
        ]
    );
    let compromise = hold(&repository, COMPROMISE, start());
    assert_eq!(
        stages(&compromise),
        [with_snapshot("root"), with_snapshot("targets"), with_snapshot("bins")]
    );
    let holders = hold(&repository, OTHER_HOLDERS, start());
    assert_eq!(stages(&holders), [of(Stage::Before, "root", 2)]);

    let nothing = Ceremony { roots: Vec::new(), delegations: good.delegations.clone() };
    assert_eq!(check(&nothing, start()).unwrap_err(), ChangeError::NoRoot);
    // The second root alone, and the first one alone, which trusts the old keys for ever after.
    let second = Ceremony { roots: good.roots[1..].into(), ..good.clone() };
    assert!(refused(&second).contains("version 3, expected version 2"), "{}", refused(&second));
    let without = Ceremony { delegations: None, ..good.clone() };
    assert!(refused(&without).contains("targets"), "{}", refused(&without));
    let mixed =
        Ceremony { delegations: hold(&repository, RENEWAL, start()).delegations, ..compromise };
    assert!(refused(&mixed).contains("of different ceremonies"), "{}", refused(&mixed));
    let late = check(&good, start() + SignedDuration::from_hours(366 * 24)).unwrap_err();
    assert!(matches!(late, ChangeError::Expired { .. }), "{late}");

    // Signed by one holder of the two that are needed.
    let root: Root = claims(&good.roots[0]);
    let alone = waxseal_tuf::metadata::sign(&root, &[&TestKey::new("root-a")]).unwrap();
    let unsigned = Ceremony { roots: vec![alone, good.roots[1].clone()], ..good.clone() };
    assert!(refused(&unsigned).contains("signed by 1 of the keys"), "{}", refused(&unsigned));

    // Made from the state before a renewal: the root is right, targets and bins are old.
    let new = good.delegations.as_ref().unwrap();
    let mut targets: Targets = claims(&new.targets);
    targets.version = 1;
    let keys = ["targets-1 of 2101", "targets-2 of 2101"].map(TestKey::new);
    let targets = waxseal_tuf::metadata::sign(&targets, &[&keys[0], &keys[1]]).unwrap();
    let bins = new.bins.clone();
    let stale =
        Ceremony { delegations: Some(ceremony::NewDelegations { targets, bins }), ..good.clone() };
    let stale = check(&stale, start()).unwrap_err();
    assert!(matches!(stale, ChangeError::Version { published: 1, got: 1, .. }), "{stale}");
}

/// Bins that would vanish are refused also where a plan was not asked.
#[test]
fn bins_that_vanish_are_refused() {
    let (_index, repository, _process) = Index::published(Kind::Memory);
    let before = repository.offline_roles().unwrap();
    let good = hold(&repository, RENEWAL, start());
    let mut bins: Targets = claims(&good.delegations.as_ref().unwrap().bins);
    let few = super::index::ceremony(Bins::new(4, BinStyle::Succinct).unwrap());
    bins.delegations = claims::<Targets>(&few.delegations.unwrap().bins).delegations;
    let keys = ["bins-1 of 2101", "bins-2 of 2101"].map(TestKey::new);
    let bins = waxseal_tuf::metadata::sign(&bins, &[&keys[0], &keys[1]]).unwrap();
    let targets = good.delegations.as_ref().unwrap().targets.clone();
    let made = Ceremony { delegations: Some(ceremony::NewDelegations { targets, bins }), ..good };
    let refused = ceremony::check(&before, &made, start()).unwrap_err();
    assert_eq!(refused, ChangeError::BinsVanish { before: 8, after: 4 });
}
