//! A root that is trusted by hand instead of the trusted one.

use std::fs;

use waxseal_client::{
    Client, Error, Fingerprint, Replacement, TrustStore, TrustedIndex, find_new_root,
};
use waxseal_testkit::simulator::{Simulator, role};

use crate::world::{SMALL, World, path, publish, settings};

/// An index that was founded anew at the URL of one whose root keys are gone.
async fn founded_anew() -> World {
    let world = World::new();
    // So many versions that the new index would be a rollback of each.
    {
        let mut simulator = world.index.simulator();
        for _ in 0..5 {
            publish(&mut simulator, SMALL, b"a small file");
        }
    }
    world.refreshed().await;
    let mut new = Simulator::new();
    let keys = ["a", "b"];
    for role in ["root", "timestamp", "snapshot", "targets"] {
        new.rotate(role, &keys, 2);
    }
    new.write_root();
    new.delegate_bins("targets", 2, "bin");
    new.publish_targets("targets");
    publish(&mut new, SMALL, b"another file");
    *world.index.simulator() = new;
    world
}

async fn replacement(world: &World) -> Replacement {
    let root = world.index.simulator().first_root();
    Replacement::check(world.store(), root, &settings()).await.unwrap()
}

async fn small(client: &Client) -> Vec<u8> {
    client.get(&path(SMALL)).await.unwrap().unwrap().1.to_vec()
}

#[tokio::test]
async fn the_new_root_is_trusted_and_what_the_old_one_verified_is_forgotten() {
    let world = founded_anew().await;
    let refused = world.client().refresh(Simulator::now()).await.unwrap_err();
    assert_eq!(refused.slug(), "unsigned");
    let hint = refused.hint();
    assert!(
        hint.contains("waxseal trust replace") && hint.contains("over another channel"),
        "{hint}"
    );
    let old = world.store().index().clone();

    let new = world.index.simulator().first_root();
    let found = find_new_root(&world.store(), Fingerprint::of(&new), &settings()).await.unwrap();
    assert_eq!(found, new);
    let replacement = Replacement::check(world.store(), found, &settings()).await.unwrap();
    assert_eq!(replacement.trusted(), (1, old.fingerprint));
    assert_eq!(replacement.new_root(), (1, Fingerprint::of(&new)));
    replacement.perform(Simulator::now()).unwrap();

    let names: Vec<_> = names(&world.store());
    assert_eq!(names, ["root.json"], "nothing of the old root is left");
    assert_eq!(world.store().last_refresh(), None);
    assert!(!world.store().folder().join("metadata").exists());
    assert_eq!(small(&world.refreshed().await).await, b"another file");
    let TrustedIndex { added, fingerprint, replaced, .. } = world.store().index().clone();
    assert_eq!((added, fingerprint), (old.added, Fingerprint::of(&new)));
    assert_eq!(replaced.len(), 1);
    assert_eq!((replaced[0].fingerprint, replaced[0].root_version), (old.fingerprint, 1));
    assert_eq!(replaced[0].when, Simulator::now());

    // A second time it is the trusted one.
    let again = Replacement::check(world.store(), new, &settings()).await.unwrap_err();
    assert_eq!(again.slug(), "nothing-to-replace");
}

#[tokio::test]
async fn a_fingerprint_that_no_root_has_changes_nothing() {
    let world = founded_anew().await;
    let before = world.tree();
    let wrong = Fingerprint::of(b"another root");
    let error = find_new_root(&world.store(), wrong, &settings()).await.unwrap_err();
    assert_eq!(error.slug(), "fingerprint");
    let mut broken = world.index.simulator().first_root();
    let at = broken.len() / 2;
    broken[at] ^= 1;
    let error = Replacement::check(world.store(), broken, &settings()).await.unwrap_err();
    assert!(["unsigned", "malformed"].contains(&error.slug()), "{error}");
    assert_eq!(world.tree(), before);
}

#[tokio::test]
async fn a_root_that_follows_or_came_before_is_refused() {
    let world = World::new();
    let roots: Vec<_> = {
        let mut simulator = world.index.simulator();
        for number in 2..5 {
            simulator.rotate("root", &[&format!("x{number}"), &format!("y{number}")], 2);
            simulator.publish_root();
        }
        (1..5).map(|version| simulator.files[&format!("{version}.root.json")].clone()).collect()
    };
    // Trusted is the first one, and then the last.
    for trusted in [1, 4] {
        assert_eq!(
            world.store().metadata().read(&role("root")).unwrap(),
            Some(roots[trusted - 1].clone())
        );
        for (number, root) in roots.iter().enumerate() {
            let error = Replacement::check(world.store(), root.clone(), &settings()).await;
            let error = error.unwrap_err();
            assert_eq!(error.slug(), "nothing-to-replace", "{trusted} {number}");
            assert!(matches!(error, Error::Follows { .. }));
        }
        world.refreshed().await;
    }
    // One of the same versions that does not follow.
    let mut other = Simulator::new();
    other.rotate("root", &["x", "y"], 2);
    for _ in 1..6 {
        other.publish_root();
    }
    for version in 2..6 {
        let root = other.files[&format!("{version}.root.json")].clone();
        Replacement::check(world.store(), root, &settings()).await.unwrap();
    }
}

/// The record alone says which root counts, so a stop before or after it is written leaves one of the two.
#[tokio::test]
async fn a_crash_leaves_the_old_or_the_new_trust() {
    let world = founded_anew().await;
    let folder = world.store().folder().to_owned();
    let old = world.store().metadata().read(&role("root")).unwrap();
    // Stopped before the record: the new folder is there, whole or in part, and counts for nothing.
    fs::create_dir(folder.join("metadata-1")).unwrap();
    fs::write(folder.join("metadata-1/root.json"), b"{\"half").unwrap();
    fs::write(folder.join("metadata-1/timestamp.json"), b"{}").unwrap();
    assert_eq!(world.store().metadata().read(&role("root")).unwrap(), old);
    replacement(&world).await.perform(Simulator::now()).unwrap();
    assert_eq!(names(&world.store()), ["root.json"]);
    // Stopped after it: the old folder is left, and counts for nothing either.
    fs::create_dir(folder.join("metadata")).unwrap();
    fs::write(folder.join("metadata/root.json"), old.unwrap()).unwrap();
    assert_eq!(small(&world.refreshed().await).await, b"another file");
}

#[tokio::test]
async fn trust_that_changed_meanwhile_is_not_replaced() {
    let world = founded_anew().await;
    let (first, second) = (replacement(&world).await, replacement(&world).await);
    first.perform(Simulator::now()).unwrap();
    let before = world.tree();
    let error = second.perform(Simulator::now()).unwrap_err();
    assert_eq!(error.slug(), "busy");
    assert_eq!(world.tree(), before);
}

fn names(store: &TrustStore) -> Vec<String> {
    let entries = fs::read_dir(store.folder().join("metadata-1")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
