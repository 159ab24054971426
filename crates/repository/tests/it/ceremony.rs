//! The ceremony's shape is that of PEP 458, and what would be weaker is refused.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::ceremony::{CeremonyError, OFFLINE_LIFETIME, Participants, Plan, perform};
use waxseal_testkit::simulator::TestKey;
use waxseal_tuf::metadata::{Delegations, Paths, RoleKeys, Roles, Root, Targets, Unverified};
use waxseal_tuf::{KeyId, RoleName, Signer};

use super::index::{ceremony, start};

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
        let root: Root = parse(&made.root);
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
    for (bytes, count) in [(&made.root, 3), (&made.targets, 2), (&made.bins, 2)] {
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
    let (root, targets, bins) = (keys(root), keys(targets), keys(bins));
    let online = TestKey::new("online");
    let plan = Plan {
        root_threshold: threshold,
        bins: Bins::new(8, BinStyle::Succinct).unwrap(),
        lifetime: OFFLINE_LIFETIME,
    };
    let participants = Participants {
        root: &signers(&root),
        targets: &signers(&targets),
        bins: &signers(&bins),
        online: online.public_key(),
    };
    perform(&plan, participants, start()).err()
}

fn signers(keys: &[TestKey]) -> Vec<&dyn Signer> {
    keys.iter().map(|key| key as &dyn Signer).collect()
}

#[test]
fn thresholds_that_protect_nothing_or_cannot_be_reached_are_refused() {
    let (a, b, c) = ("a", "b", "c");
    let two = ["x", "y"];
    let refused = |threshold, keys| Some(CeremonyError::RootThreshold { threshold, keys });
    assert_eq!(perform_with(2, &[a, b, c], &two, &two), None);
    assert_eq!(perform_with(3, &[a, b, c], &two, &two), None);
    assert_eq!(perform_with(0, &[a, b, c], &two, &two), refused(0, 3));
    assert_eq!(perform_with(1, &[a, b, c], &two, &two), refused(1, 3));
    assert_eq!(perform_with(4, &[a, b, c], &two, &two), refused(4, 3));
    assert_eq!(perform_with(u64::MAX, &[a, b, c], &two, &two), refused(u64::MAX, 3));
    assert_eq!(perform_with(2, &[], &two, &two), refused(2, 0));
    // One key that takes part twice is one key.
    assert_eq!(perform_with(2, &[a, a], &two, &two), refused(2, 1));
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
fn a_lifetime_without_end_is_refused() {
    let keys = ["a", "b", "c", "d", "e", "f"].map(TestKey::new);
    let online = TestKey::new("online");
    let participants = Participants {
        root: &signers(&keys[..2]),
        targets: &signers(&keys[2..4]),
        bins: &signers(&keys[4..]),
        online: online.public_key(),
    };
    let bins = Bins::new(8, BinStyle::Succinct).unwrap();
    let plan = Plan { root_threshold: 2, bins, lifetime: SignedDuration::MAX };
    let refused = perform(&plan, participants, start()).unwrap_err();
    assert!(matches!(refused, CeremonyError::Lifetime { .. }), "{refused}");
}
