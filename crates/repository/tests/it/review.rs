//! What key holders are shown before they sign, and what becomes of what they sign apart.

use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::ceremony::review::{Review, ReviewError, RootFile, combine};
use waxseal_repository::ceremony::{
    self, Ceremony, OfflineLifetimes, OfflineRoles, OneTimeKeys, Plan, Signers, Succession,
};
use waxseal_testkit::simulator::TestKey;
use waxseal_tuf::metadata::{Root, Unverified, sign};
use waxseal_tuf::{Limits, Signer, trusted::RootPhase};

use super::index::{ceremony, holder, start};

fn first() -> Ceremony {
    ceremony(Bins::new(8, BinStyle::Succinct).unwrap())
}

/// A renewal that replaces root-a by root-d and the online key, signed by nobody yet.
fn unsigned() -> Ceremony {
    let first = first();
    let new = first.delegations.unwrap();
    let before = OfflineRoles::verify_files(&first.roots[0], &new.targets, &new.bins).unwrap();
    let plan = Plan {
        holders: ["root-b", "root-c", "root-d"].map(holder).into(),
        root_threshold: 3,
        online: TestKey::new("online-2").public_key().clone(),
        bins: before.bins(),
        lifetimes: OfflineLifetimes::default(),
    };
    let keys = ["t1", "t2", "b1", "b2"].map(TestKey::new);
    let [t1, t2, b1, b2] = keys.each_ref().map(|key| key as &dyn Signer);
    let one_time = OneTimeKeys { targets: &[t1, t2], bins: &[b1, b2] };
    let signers = Signers { root: &[], one_time: Some(one_time) };
    ceremony::perform(&plan, Some((&before, Succession::Planned)), signers, start()).unwrap()
}

fn file<'a>(name: &'a str, bytes: &'a [u8]) -> RootFile<'a> {
    RootFile { name, bytes }
}

fn names(named: &[waxseal_repository::ceremony::review::Named]) -> Vec<&str> {
    named.iter().map(|named| named.holder.as_deref().unwrap_or("?")).collect()
}

#[test]
fn a_review_says_what_changes_and_who_is_missing() {
    let (first, made) = (first(), unsigned());
    // In any order.
    let files = [file("3.root.json", &made.roots[1]), file("2.root.json", &made.roots[0])];
    let review = Review::new(Some(&first.roots[0]), &files).unwrap();
    assert_eq!(review.trusted.as_ref().unwrap().version, 1);
    let [both, last] = review.steps.as_slice() else { panic!() };

    let [root, timestamp, snapshot, targets] = both.roles.as_slice() else { panic!() };
    assert_eq!((root.role, root.threshold), ("root", (Some(2), 3)));
    assert_eq!((names(&root.come), names(&root.go)), (vec!["root-d"], vec!["root-a"]));
    let mut stay = names(&root.stay);
    stay.sort_unstable();
    assert_eq!(stay, ["root-b", "root-c"]);
    for online in [timestamp, snapshot] {
        assert_eq!((online.stay.len(), online.come.len(), online.go.len()), (1, 1, 0));
    }
    assert_eq!((targets.stay.len(), targets.come.len(), targets.go.len()), (2, 2, 0));
    let [_, timestamp, _, targets] = last.roles.as_slice() else { panic!() };
    assert_eq!((timestamp.come.len(), timestamp.go.len()), (0, 1));
    assert_eq!((targets.come.len(), targets.go.len()), (0, 2));

    let missing = |step: &waxseal_repository::ceremony::review::Step| -> Vec<_> {
        step.needed.iter().map(|tally| (tally.by_root, tally.missing())).collect()
    };
    assert_eq!(missing(both), [(1, 2), (2, 3)]);
    assert_eq!(missing(last), [(2, 3), (3, 3)]);
    assert!(!review.is_complete());
}

/// Three holders sign apart, each on what they got, and the files are put together in any order.
#[test]
fn holders_sign_apart_and_in_any_order() {
    let (first, made) = (first(), unsigned());
    let trusted = first.roots[0].as_slice();
    let originals = [file("2.root.json", &made.roots[0]), file("3.root.json", &made.roots[1])];
    let signed_by = |label: &str| -> Vec<Vec<u8>> {
        let review = Review::new(Some(trusted), &originals).unwrap();
        let key = TestKey::new(label);
        let asked = review.steps.iter().filter(|step| step.asks_for(key.public_key()));
        asked.map(|step| step.sign(&key).unwrap()).collect()
    };
    assert_eq!(signed_by("online"), Vec::<Vec<u8>>::new());
    assert_eq!(signed_by("root-a").len(), 1, "who goes signs the first of the two");
    let all: Vec<_> = ["root-d", "root-b", "root-c", "root-b"].map(signed_by).concat();
    let mut files: Vec<_> = all.iter().map(|bytes| file("a copy", bytes)).collect();
    let together = combine(&files).unwrap();
    files.reverse();
    assert_eq!(combine(&files).unwrap(), together, "the order of copies makes other bytes");
    assert_eq!(together.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [2, 3]);

    let complete: Vec<_> = together.iter().map(|(_, bytes)| file("x", bytes)).collect();
    assert!(Review::new(Some(trusted), &complete).unwrap().is_complete());
    let mut chain = RootPhase::new(trusted, &Limits::default()).unwrap();
    for (_, bytes) in &together {
        chain.update(bytes).unwrap();
    }
    // Signing again changes no count.
    let review = Review::new(Some(trusted), &complete).unwrap();
    let again = review.steps[0].sign(&TestKey::new("root-b")).unwrap();
    assert_eq!(again, together[0].1);
}

/// A signature that is not one is not counted, whosever it claims to be, and a good one replaces it.
#[test]
fn false_signatures_do_not_count() {
    let (first, made) = (first(), unsigned());
    let trusted = first.roots[0].as_slice();
    let unsigned = Unverified::<Root>::parse(&made.roots[0]).unwrap();
    let good = sign(unsigned.claims(), &[&TestKey::new("root-b")]).unwrap();
    let good = Unverified::<Root>::parse(&good).unwrap();
    let mut wrong = good.signatures()[0].clone();
    wrong.sig[3] ^= 1;
    let bad = unsigned.with_signatures(&[wrong]).unwrap();
    let review = Review::new(Some(trusted), &[file("bad", &bad)]).unwrap();
    assert_eq!(review.steps[0].needed[0].missing(), 2);
    let good = good.with_signatures(good.signatures()).unwrap();
    for files in
        [[file("bad", &bad), file("good", &good)], [file("good", &good), file("bad", &bad)]]
    {
        let [(_, together)] = combine(&files).unwrap().try_into().unwrap();
        assert_eq!(together, good);
    }
}

/// What a thief puts before a holder is compared with the root that the holder trusts.
#[test]
fn what_is_not_of_this_index_is_refused() {
    let (first, made) = (first(), unsigned());
    let trusted = first.roots[0].as_slice();
    let review = |files: &[RootFile<'_>]| Review::new(Some(trusted), files).unwrap_err();

    let mut forged: Root = Unverified::<Root>::parse(&made.roots[0]).unwrap().claims().clone();
    forged.roles.root.threshold = 2;
    let other = sign(&forged, &[&TestKey::new("thief")]).unwrap();
    let two = [file("a/2.root.json", &made.roots[0]), file("b/2.root.json", &other)];
    assert!(matches!(review(&two), ReviewError::Differ { version: 2, .. }));
    assert!(matches!(combine(&two).unwrap_err(), ReviewError::Differ { .. }));
    assert_eq!(review(&[file("3", &made.roots[1])]), ReviewError::Gap { missing: 2 });
    assert_eq!(review(&[file("1", trusted)]), ReviewError::Nothing { version: 1 });
    let other_index = ceremony(Bins::new(16, BinStyle::Succinct).unwrap());
    // Of the same keys: the bins are no part of root, so make another one.
    let mut root: Root = Unverified::<Root>::parse(&other_index.roots[0]).unwrap().claims().clone();
    root.roles.timestamp.threshold = 7;
    let forged = sign(&root, &[&TestKey::new("thief")]).unwrap();
    let forged = review(&[file("1", &forged), file("2", &made.roots[0])]);
    assert!(matches!(forged, ReviewError::Forged { version: 1, .. }), "{forged}");
    assert!(matches!(review(&[file("x", b"{}")]), ReviewError::Format { .. }));
    let trusted = Review::new(Some(&made.roots[0]), &[file("3", &made.roots[1])]).unwrap_err();
    assert!(matches!(trusted, ReviewError::Trusted(_)), "{trusted}");
}

/// At the first ceremony everything is new, and the root's own keys are what counts.
#[test]
fn the_first_root_is_reviewed_without_another() {
    let first = first();
    let review = Review::new(None, &[file("1.root.json", &first.roots[0])]).unwrap();
    assert!(review.is_complete() && review.trusted.is_none());
    let [step] = review.steps.as_slice() else { panic!() };
    assert_eq!(step.needed.len(), 1);
    assert_eq!(step.roles[0].come.len(), 3);
    assert_eq!(step.expired_before, None);
}
