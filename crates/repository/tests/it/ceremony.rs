//! The ceremony's shape is that of PEP 458, and what would be weaker is refused.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::ceremony::{
    Ceremony, CeremonyError, OFFLINE_LIFETIME, OfflineLifetimes, OfflineRoles, OneTimeKeys, Plan,
    PlanError, Signers, Succession, perform,
};
use waxseal_testkit::simulator::TestKey;
use waxseal_tuf::metadata::{Delegations, Paths, RoleKeys, Roles, Root, Targets, Unverified};
use waxseal_tuf::{KeyId, RoleName, Signer};

use super::index::{ceremony, holder, start};

fn parse<T: waxseal_tuf::metadata::Role + Clone>(bytes: &[u8]) -> T {
    Unverified::<T>::parse(bytes).unwrap().claims().clone()
}

fn keyids<const N: usize>(labels: [&str; N]) -> BTreeSet<KeyId> {
    labels.into_iter().map(|label| TestKey::new(label).keyid()).collect()
}

fn assert_keys<const N: usize>(role: &RoleKeys, threshold: u64, labels: [&str; N]) {
    assert_eq!(role.threshold, threshold);
    assert_eq!(role.keyids.iter().cloned().collect::<BTreeSet<_>>(), keyids(labels));
    assert_eq!(role.keyids.len(), N);
}

fn listed(delegations: &Delegations) -> &[waxseal_tuf::metadata::DelegatedRole] {
    match &delegations.roles {
        Roles::Listed(roles) => roles,
        Roles::Succinct(_) => panic!("succinct"),
    }
}

#[test]
fn the_shape_is_that_of_the_pep() {
    for style in [BinStyle::Succinct, BinStyle::Classic] {
        let made = ceremony(Bins::new(16, style).unwrap());
        let [root] = made.roots.as_slice() else { panic!("one root") };
        let root: Root = parse(root);
        let made = made.delegations.unwrap();
        assert_eq!((root.version, root.consistent_snapshot), (1, true));
        assert_eq!(root.expires, start() + OFFLINE_LIFETIME);
        assert_keys(&root.roles.root, 2, ["root-a", "root-b", "root-c"]);
        assert_keys(&root.roles.targets, 2, ["targets-a", "targets-b"]);
        assert_keys(&root.roles.timestamp, 1, ["online"]);
        assert_keys(&root.roles.snapshot, 1, ["online"]);
        assert_eq!(root.keys.len(), 6, "keys that no role has");

        let targets: Targets = parse(&made.targets);
        assert!(targets.targets.is_empty());
        let delegations = targets.delegations.unwrap();
        let [bins] = listed(&delegations) else { panic!("targets delegates to bins alone") };
        assert_eq!(bins.name, RoleName::new("bins").unwrap());
        assert_keys(&bins.keys, 2, ["bins-a", "bins-b"]);
        assert!(!bins.terminating);
        assert!(matches!(&bins.paths, Paths::HashPrefixes(prefixes) if prefixes.len() == 16));

        let bins: Targets = parse(&made.bins);
        assert!(bins.targets.is_empty());
        let delegations = bins.delegations.unwrap();
        assert_eq!(delegations.keys.keys().cloned().collect::<BTreeSet<_>>(), keyids(["online"]));
        match (style, &delegations.roles) {
            (BinStyle::Succinct, Roles::Succinct(succinct)) => {
                assert_eq!((succinct.bit_length, succinct.name_prefix.as_str()), (4, "bin"));
                assert_keys(&succinct.keys, 1, ["online"]);
            }
            (BinStyle::Classic, Roles::Listed(roles)) => {
                assert_eq!(roles.len(), 16);
                for role in roles {
                    assert_keys(&role.keys, 1, ["online"]);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Every offline role is signed by all who take part, so that one lost signature is no loss.
#[test]
fn all_sign() {
    let made = ceremony(Bins::new(8, BinStyle::Succinct).unwrap());
    let new = made.delegations.unwrap();
    for (bytes, count) in [(&made.roots[0], 3), (&new.targets, 2), (&new.bins, 2)] {
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert_eq!(text.matches(r#""sig":"#).count(), count, "{text}");
    }
}

fn perform_with(
    threshold: u64,
    root: &[&str],
    targets: &[&str],
    bins: &[&str],
) -> Option<CeremonyError> {
    let keys = |labels: &[&str]| labels.iter().map(|label| TestKey::new(label)).collect::<Vec<_>>();
    let (targets, bins) = (keys(targets), keys(bins));
    let one_time = OneTimeKeys { targets: &signers(&targets), bins: &signers(&bins) };
    let holders = keys(root);
    let signers = Signers { root: &signers(&holders), one_time: Some(one_time) };
    perform(&plan(threshold, root), None, signers, start()).err()
}

fn plan(root_threshold: u64, root: &[&str]) -> Plan {
    Plan {
        holders: root.iter().map(|label| holder(label)).collect(),
        root_threshold,
        online: TestKey::new("online").public_key().clone(),
        bins: Bins::new(8, BinStyle::Succinct).unwrap(),
        lifetimes: OfflineLifetimes::default(),
    }
}

fn signers(keys: &[TestKey]) -> Vec<&dyn Signer> {
    keys.iter().map(|key| key as &dyn Signer).collect()
}

#[test]
fn thresholds_that_protect_nothing_or_cannot_be_reached_are_refused() {
    let (a, b, c) = ("a", "b", "c");
    let two = ["x", "y"];
    let refused =
        |threshold, keys| Some(CeremonyError::Plan(PlanError::RootThreshold { threshold, keys }));
    assert_eq!(perform_with(2, &[a, b, c], &two, &two), None);
    assert_eq!(perform_with(3, &[a, b, c], &two, &two), None);
    assert_eq!(perform_with(0, &[a, b, c], &two, &two), refused(0, 3));
    assert_eq!(perform_with(1, &[a, b, c], &two, &two), refused(1, 3));
    assert_eq!(perform_with(4, &[a, b, c], &two, &two), refused(4, 3));
    assert_eq!(perform_with(u64::MAX, &[a, b, c], &two, &two), refused(u64::MAX, 3));
    assert_eq!(perform_with(2, &[], &two, &two), refused(2, 0));
    // One key that takes part twice is one key, and one that is online protects nothing.
    let shared = PlanError::SharedKey { first: "a".to_owned(), second: "a".to_owned() };
    assert_eq!(perform_with(2, &[a, a], &two, &two), Some(CeremonyError::Plan(shared)));
    let online = PlanError::OnlineRootKey { name: "online".to_owned() };
    assert_eq!(perform_with(2, &[a, "online"], &two, &two), Some(CeremonyError::Plan(online)));
}

#[test]
fn one_time_keys_are_two_at_least() {
    let (root, two) = (["a", "b", "c"], ["x", "y"]);
    let refused = |role, keys| Some(CeremonyError::OneTimeKeys { role, keys });
    assert_eq!(perform_with(2, &root, &[], &two), refused("targets", 0));
    assert_eq!(perform_with(2, &root, &["x"], &two), refused("targets", 1));
    assert_eq!(perform_with(2, &root, &["x", "x"], &two), refused("targets", 1));
    assert_eq!(perform_with(2, &root, &two, &["x"]), refused("bins", 1));
    assert_eq!(perform_with(2, &root, &two, &["x", "x"]), refused("bins", 1));
}

#[test]
fn a_lifetime_without_end_or_without_beginning_is_refused() {
    for lifetime in [SignedDuration::MAX, SignedDuration::ZERO, SignedDuration::from_mins(-90)] {
        let lifetimes = OfflineLifetimes { bins: lifetime, ..OfflineLifetimes::default() };
        let plan = Plan { lifetimes, ..plan(2, &["a", "b"]) };
        let keys = ["c", "d", "e", "f"].map(TestKey::new);
        let one_time = OneTimeKeys { targets: &signers(&keys[..2]), bins: &signers(&keys[2..]) };
        let signers = Signers { root: &[], one_time: Some(one_time) };
        let refused = perform(&plan, None, signers, start()).unwrap_err();
        let expected = PlanError::Lifetime { role: "bins", hours: lifetime.as_hours() };
        assert_eq!(refused, CeremonyError::Plan(expected));
    }
}

/// Root names its holders, also for other programs that know nothing of them.
#[test]
fn root_names_its_holders() {
    let made = ceremony(Bins::new(8, BinStyle::Succinct).unwrap());
    let root: Root = parse(&made.roots[0]);
    let named: BTreeSet<_> = root.holders.values().map(String::as_str).collect();
    assert_eq!(named, BTreeSet::from(["root-a", "root-b", "root-c"]));
    assert_eq!(
        root.holders.keys().cloned().collect::<BTreeSet<_>>(),
        keyids(["root-a", "root-b", "root-c"])
    );
    assert!(String::from_utf8(made.roots[0].clone()).unwrap().contains(r#""x-waxseal-holders":{"#));
}

fn offline(made: &Ceremony) -> OfflineRoles {
    let new = made.delegations.as_ref().unwrap();
    OfflineRoles::verify_files(&made.roots[0], &new.targets, &new.bins).unwrap()
}

/// What is there decides what may follow.
#[test]
fn what_cannot_follow_is_refused() {
    let before = offline(&ceremony(Bins::new(8, BinStyle::Succinct).unwrap()));
    let keys = ["c", "d", "e", "f"].map(TestKey::new);
    let one_time = OneTimeKeys { targets: &signers(&keys[..2]), bins: &signers(&keys[2..]) };
    let perform = |plan: &Plan, renews: bool, before: Option<&OfflineRoles>| {
        let signers = Signers { root: &[], one_time: renews.then_some(one_time) };
        let before = before.map(|before| (before, Succession::Planned));
        perform(plan, before, signers, start()).err()
    };
    let plan = plan(2, &["root-a", "root-b", "root-c"]);
    let refused = |error| Some(CeremonyError::Plan(error));
    assert_eq!(perform(&plan, true, Some(&before)), None);
    assert_eq!(perform(&plan, false, Some(&before)), None);
    assert_eq!(perform(&plan, false, None), refused(PlanError::NothingBefore));
    let online = TestKey::new("other").public_key().clone();
    let rekeyed = Plan { online, ..plan.clone() };
    let must = |what| refused(PlanError::MustRenew { what });
    assert_eq!(perform(&rekeyed, false, Some(&before)), must("the online key"));
    let bins = |count| Bins::new(count, BinStyle::Succinct).unwrap();
    let with = |count, plan: &Plan| Plan { bins: bins(count), ..plan.clone() };
    assert_eq!(perform(&with(16, &plan), false, Some(&before)), must("the number of bins"));
    // `bin-0` to `bin-7` go on among `bin-0` to `bin-f`, and not among `bin-00` to `bin-ff`.
    assert_eq!(perform(&with(16, &plan), true, Some(&before)), None);
    for after in [2, 32] {
        let vanish = PlanError::BinsVanish { before: 8, after };
        assert_eq!(perform(&with(after.into(), &plan), true, Some(&before)), refused(vanish));
        assert_eq!(perform(&with(after.into(), &rekeyed), true, Some(&before)), None);
    }
}

/// In a planned change the first root trusts what goes and what comes; where nothing of theirs changes,
/// there is one.
#[test]
fn the_roots_of_a_planned_change_overlap() {
    let before = offline(&ceremony(Bins::new(8, BinStyle::Succinct).unwrap()));
    let keys = ["targets-c", "targets-d", "bins-c", "bins-d"].map(TestKey::new);
    let one_time = OneTimeKeys { targets: &signers(&keys[..2]), bins: &signers(&keys[2..]) };
    let online = TestKey::new("online-2").public_key().clone();
    let renewed = Plan { online, ..plan(2, &["root-b", "root-c", "root-d"]) };
    let holders = ["root-a", "root-b", "root-c", "root-d"].map(TestKey::new);
    let perform = |plan: &Plan, how, one_time| -> Vec<Root> {
        let before = Some((&before, how));
        let signers = Signers { root: &signers(&holders), one_time };
        let made = perform(plan, before, signers, start()).unwrap();
        made.roots.iter().map(|root| parse(root)).collect()
    };

    let roots = perform(&renewed, Succession::Planned, Some(one_time));
    let [both, last] = roots.as_slice() else { panic!("{roots:#?}") };
    assert_eq!((both.version, last.version), (2, 3));
    for root in [both, last] {
        assert_keys(&root.roles.root, 2, ["root-b", "root-c", "root-d"]);
    }
    assert_keys(&both.roles.targets, 2, ["targets-a", "targets-b", "targets-c", "targets-d"]);
    assert_keys(&both.roles.timestamp, 1, ["online", "online-2"]);
    assert_keys(&both.roles.snapshot, 1, ["online", "online-2"]);
    assert_keys(&last.roles.targets, 2, ["targets-c", "targets-d"]);
    assert_keys(&last.roles.timestamp, 1, ["online-2"]);
    assert_eq!(last.keys.len(), 6, "keys that no role has");

    let roots = perform(&renewed, Succession::Compromise, Some(one_time));
    let [only] = roots.as_slice() else { panic!("{roots:#?}") };
    assert_eq!(only.version, 2);
    assert_eq!(only.roles, last.roles);

    let holders_change = plan(2, &["root-b", "root-c", "root-d"]);
    let roots = perform(&holders_change, Succession::Planned, None);
    let [only] = roots.as_slice() else { panic!("{roots:#?}") };
    assert_keys(&only.roles.targets, 2, ["targets-a", "targets-b"]);
    assert_keys(&only.roles.root, 2, ["root-b", "root-c", "root-d"]);
}
