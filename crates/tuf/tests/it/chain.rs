//! Why a target is trusted: the roles that vouch for it.

use waxseal_testkit::simulator::{Simulator, role, target_path};
use waxseal_tuf::metadata::Paths;
use waxseal_tuf::paths::bin_of;
use waxseal_tuf::{Chain, Covers, Limits, RoleName, Search, Step};

use crate::client::Client;

/// The chain of a path after a search for it.
fn chain(repository: &Simulator, path: &str) -> Chain {
    let mut client = Client::new(repository);
    let mut trusted = client.refresh(repository).unwrap();
    client.search(repository, &mut trusted, path).unwrap();
    // Roles that are kept now need not be loaded again.
    let search = Search::new(target_path(path), &trusted, Limits::default()).unwrap();
    assert_eq!(search.step(&trusted), Step::Done);
    search.chain(&trusted).unwrap()
}

fn names(chain: &Chain) -> Vec<&str> {
    chain.targets.iter().map(|link| link.role.as_str()).collect()
}

#[test]
fn it_goes_by_bins_to_the_one_that_lists_the_target() {
    let mut repository = Simulator::new();
    repository.root.holders.insert(repository.signers[&role("root")][0].keyid(), "Ada".to_owned());
    repository.publish_root();
    repository.delegate("targets", "bins", Paths::Patterns(vec!["*/*".to_owned()]), true);
    repository.delegate_bins("bins", 4, "bin");
    let number = bin_of("a/b.whl", 4);
    let bin = format!("bin-{number:x}");
    repository.add_target(&bin, "a/b.whl", b"wheel");
    for name in [bin.as_str(), "bins", "targets"] {
        repository.publish_targets(name);
    }
    let found = chain(&repository, "a/b.whl");
    assert_eq!(names(&found), ["targets", "bins", &bin]);
    assert_eq!(found.target.as_ref().unwrap(), &repository.role(&bin).targets["a/b.whl"]);
    assert_eq!(found.reference_time, Simulator::now());

    assert_eq!((found.root.version, found.root.threshold), (2, 2));
    assert_eq!(found.root.delegated_by, None);
    let signed: Vec<_> = found.root.keys.iter().map(|key| key.signed).collect();
    assert_eq!(signed.len(), 3);
    assert!(signed.iter().filter(|signed| **signed).count() >= 2);
    let holders: Vec<_> = found.root.keys.iter().map(|key| key.holder.as_deref()).collect();
    assert_eq!(holders, [Some("Ada"), None, None]);

    let [targets, bins, last] = &found.targets[..] else { panic!("{found:?}") };
    assert_eq!(targets.delegated_by, Some(RoleName::from_static("root")));
    assert_eq!(bins.delegated_by, Some(RoleName::targets()));
    assert_eq!(last.delegated_by, Some(role("bins")));
    assert_eq!(targets.covers, Covers::Everything);
    assert_eq!(bins.covers, Covers::Pattern("*/*".to_owned()));
    assert_eq!(last.covers, Covers::Bin { number, bit_length: 4 });
    for link in &found.targets {
        let listed = link.listed.as_ref().unwrap();
        assert_eq!((&listed.by, listed.in_version), (&role("snapshot"), found.snapshot.version));
        assert_eq!(listed.file.version, link.version);
        assert!(link.keys.iter().all(|key| key.signed), "{link:?}");
        assert_eq!(link.keys[0].scheme.as_deref(), Some("ed25519"));
    }
    assert_eq!(found.snapshot.listed.as_ref().unwrap().in_version, found.timestamp.version);
    assert_eq!(found.roles().count(), 6);
}

#[test]
fn a_key_that_did_not_sign_is_not_said_to_have() {
    let mut repository = Simulator::new();
    let signers = repository.signers.get_mut(&role("root")).unwrap();
    let absent = signers.pop().unwrap().keyid();
    repository.publish_root();
    // A signature that is there and is no good.
    repository.resign("2.root.json", "root", |_| ());
    repository.add_target("targets", "f", b"");
    repository.publish_targets("targets");
    let found = chain(&repository, "f");
    for key in &found.root.keys {
        assert_eq!(key.signed, key.keyid != absent, "{found:?}");
    }
}

#[test]
fn a_classic_bin_is_named_by_the_prefix_and_a_detour_is_left_out() {
    let mut repository = Simulator::new();
    let patterns = |pattern: &str| Paths::Patterns(vec![pattern.to_owned()]);
    let prefix = format!("{:x}", bin_of("f", 4));
    repository.delegate("targets", "empty", patterns("*"), false);
    repository.delegate("targets", "other", patterns("f"), false);
    repository.delegate("other", "bin", Paths::HashPrefixes(vec![prefix.clone()]), true);
    repository.add_target("bin", "f", b"");
    for name in ["empty", "bin", "other", "targets"] {
        repository.publish_targets(name);
    }
    let found = chain(&repository, "f");
    assert_eq!(names(&found), ["targets", "other", "bin"]);
    assert_eq!(found.targets[2].covers, Covers::HashPrefix(prefix));
}

#[test]
fn a_role_with_every_prefix_has_every_path() {
    for (digits, covers) in
        [(0..16, Covers::Everything), (0..15, Covers::HashPrefix("0".to_owned()))]
    {
        let mut repository = Simulator::new();
        let path = (0..999).map(|n| format!("f{n}")).find(|path| bin_of(path, 4) == 0).unwrap();
        let prefixes = digits.map(|digit| format!("{digit:x}")).collect();
        repository.delegate("targets", "bins", Paths::HashPrefixes(prefixes), false);
        repository.add_target("bins", &path, b"");
        for name in ["bins", "targets"] {
            repository.publish_targets(name);
        }
        assert_eq!(chain(&repository, &path).targets[1].covers, covers);
    }
}

#[test]
fn of_what_is_not_listed_it_leads_to_who_would_list_it() {
    let mut repository = Simulator::new();
    repository.delegate_bins("targets", 1, "bin");
    repository.publish_targets("targets");
    let found = chain(&repository, "f");
    assert_eq!(found.target, None);
    assert_eq!(names(&found), ["targets", &format!("bin-{:x}", bin_of("f", 1))]);
}
