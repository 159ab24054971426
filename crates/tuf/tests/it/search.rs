//! TUF 5.6.7: the pre-order depth-first search through delegations.

use waxseal_testkit::simulator::{Simulator, role, target_path};
use waxseal_tuf::metadata::{DelegatedRole, Paths, RoleKeys, Roles};
use waxseal_tuf::{Error, Search, Step};

use crate::client::Client;

fn patterns(patterns: &[&str]) -> Paths {
    Paths::Patterns(patterns.iter().map(|&pattern| pattern.to_owned()).collect())
}

/// A repository of delegations `(by, name, patterns, terminating)`, with `path` listed by each role
/// in `listed`, its content being the role's name. Returns which of them the client takes.
fn found(
    delegations: &[(&str, &str, &[&str], bool)],
    listed: &[&str],
    path: &str,
) -> (Option<String>, Vec<String>) {
    let mut repository = Simulator::new();
    for (by, name, paths, terminating) in delegations {
        repository.delegate(by, name, patterns(paths), *terminating);
    }
    for name in listed {
        repository.add_target(name, path, name.as_bytes());
    }
    for name in repository.targets.keys().cloned().collect::<Vec<_>>() {
        repository.publish_targets(name.as_str());
    }
    let mut client = Client::new(&repository);
    let mut trusted = client.refresh(&repository).unwrap();
    let file = client.search(&repository, &mut trusted, path).unwrap();
    let is = |name: &&&str| Some(&repository.role(name).targets[path]) == file.as_ref();
    let name = listed.iter().find(is).map(|name| (*name).to_owned());
    assert_eq!(name.is_some(), file.is_some());
    let visited = client.fetched.iter().map(|path| path.split('.').nth(1).unwrap().to_owned());
    (name, visited.collect())
}

fn assert_found(
    delegations: &[(&str, &str, &[&str], bool)],
    listed: &[&str],
    expected: (Option<&str>, &[&str]),
) {
    let (name, visited) = found(delegations, listed, "f.txt");
    assert_eq!(name.as_deref(), expected.0);
    assert_eq!(visited, expected.1);
}

#[test]
fn step_5_6_7_a_role_is_searched_before_its_delegations() {
    let tree: &[_] = &[("targets", "a", &["*"][..], false)];
    assert_found(tree, &["targets", "a"], (Some("targets"), &[]));
    assert_found(tree, &["a"], (Some("a"), &["a"]));
    assert_found(tree, &[], (None, &["a"]));
}

#[test]
fn step_5_6_7_depth_comes_before_breadth() {
    let tree: &[_] = &[
        ("targets", "a", &["*"][..], false),
        ("a", "b", &["*"], false),
        ("targets", "c", &["*"], false),
    ];
    assert_found(tree, &["b", "c"], (Some("b"), &["a", "b"]));
    assert_found(tree, &["c"], (Some("c"), &["a", "b", "c"]));
}

#[test]
fn step_5_6_7_only_roles_trusted_with_the_path_are_searched() {
    let tree: &[_] = &[
        ("targets", "a", &["*.whl", "x/*"][..], false),
        ("targets", "b", &["*.md", "*.txt"], false),
    ];
    assert_found(tree, &["a", "b"], (Some("b"), &["b"]));
    assert_found(tree, &["a"], (None, &["b"]));
}

#[test]
fn step_5_6_7_1_a_role_is_visited_once() {
    let cycle: &[_] = &[
        ("targets", "a", &["*"][..], false),
        ("a", "b", &["*"], false),
        ("b", "a", &["*"], false),
        ("b", "c", &["*"], false),
    ];
    assert_found(cycle, &["c"], (Some("c"), &["a", "b", "c"]));
    assert_found(cycle, &[], (None, &["a", "b", "c"]));
}

#[test]
fn step_5_6_7_1_more_roles_than_the_limit() {
    let mut repository = Simulator::new();
    for i in 0..40 {
        repository.delegate("targets", &format!("r{i}"), patterns(&["*"]), false);
    }
    repository.publish_targets("targets");
    let mut client = Client::refreshed(&repository);
    let error = client.find(&repository, "f").unwrap_err();
    assert_eq!(error, Error::TooMany { what: "delegated roles in one search", limit: 32 });
    client.limits.delegations = 41;
    assert_eq!(client.find(&repository, "f"), Ok(None));
}

#[test]
fn step_5_6_7_2_1_a_terminating_role_ends_the_search() {
    let tree: &[_] = &[
        ("targets", "a", &["*"][..], true),
        ("a", "b", &["*"], false),
        ("targets", "c", &["*"], false),
    ];
    assert_found(tree, &["c"], (None, &["a", "b"]));
    assert_found(tree, &["b", "c"], (Some("b"), &["a", "b"]));
}

#[test]
fn step_5_6_7_2_1_a_terminating_role_below_ends_the_search_above_too() {
    let tree: &[_] = &[
        ("targets", "a", &["*"][..], false),
        ("a", "b", &["*"], true),
        ("a", "c", &["*"], false),
        ("targets", "d", &["*"], false),
    ];
    assert_found(tree, &["c", "d"], (None, &["a", "b"]));
}

#[test]
fn step_5_6_7_2_2_a_terminating_role_for_other_paths_ends_nothing() {
    let tree: &[_] = &[("targets", "a", &["*.whl"][..], true), ("targets", "b", &["*"], false)];
    assert_found(tree, &["b"], (Some("b"), &["b"]));
}

#[test]
fn classic_hash_bins_are_found_by_prefix() {
    let mut repository = Simulator::new();
    let digits = b"0123456789abcdef";
    for (name, half) in [("low", &digits[..8]), ("high", &digits[8..])] {
        let prefixes = half.iter().map(|digit| char::from(*digit).to_string()).collect();
        repository.delegate("targets", name, Paths::HashPrefixes(prefixes), false);
    }
    // SHA-256("a") is ca97…, of "é/ü.txt" abad…, of the wheel's path 4fe2….
    let wheel = "packages/flask/flask-3.0.0-py3-none-any.whl";
    for (path, right, wrong) in
        [("a", "high", "low"), ("é/ü.txt", "high", "low"), (wheel, "low", "high")]
    {
        let mut here = repository.clone();
        here.add_target(wrong, path, b"wrong");
        here.publish_targets(wrong);
        here.publish_targets("targets");
        let mut client = Client::new(&here);
        assert_eq!(client.find(&here, path), Ok(None), "{path}");
        here.add_target(right, path, b"right!");
        here.publish_targets(right);
        assert_eq!(client.find(&here, path).unwrap().unwrap().length, 6, "{path}");
    }
}

#[test]
fn succinct_bins_are_found_and_end_the_search() {
    let mut repository = Simulator::new();
    repository.delegate("targets", "bins", patterns(&["*"]), false);
    repository.delegate("targets", "after", patterns(&["*"]), false);
    repository.delegate_bins("bins", 4, "bin");
    repository.publish_targets("bins");
    // SHA-256("a") is ca97….
    repository.add_target("after", "a", b"after");
    repository.add_target("bin-b", "a", b"another bin");
    for name in ["after", "bin-b", "targets"] {
        repository.publish_targets(name);
    }
    let mut client = Client::new(&repository);
    assert_eq!(client.find(&repository, "a"), Ok(None));
    repository.add_target("bin-c", "a", b"the bin");
    repository.publish_targets("bin-c");
    assert_eq!(client.find(&repository, "a").unwrap().unwrap().length, 7);
    assert!(!client.store.contains_key(&role("bin-b")));
}

#[test]
fn a_search_spends_no_more_on_patterns_than_the_limit() {
    let mut repository = Simulator::new();
    repository.delegate("targets", "a", patterns(&["a*b*c/*", "x*"]), false);
    repository.delegate("a", "b", patterns(&["*******y"]), false);
    repository.publish_targets("a");
    repository.publish_targets("targets");
    let mut client = Client::refreshed(&repository);
    // Nine bytes of patterns in targets, eight in a, which the path leads to; five in the path.
    client.limits.pattern_work = 5 * (9 + 8);
    assert_eq!(client.find(&repository, "xxxxy"), Ok(None));
    client.limits.pattern_work -= 1;
    let error = client.find(&repository, "xxxxy").unwrap_err();
    let limit = client.limits.pattern_work;
    let what = "steps to match path patterns in one search";
    assert_eq!(error, Error::TooMany { what, limit });
    assert_eq!(client.find(&repository, "zzzzz"), Ok(None));
}

/// A long life with many bins takes no more memory than the last few of them.
#[test]
fn what_is_kept_of_earlier_searches_is_bounded() {
    let mut repository = Simulator::new();
    repository.delegate_bins("targets", 8, "bin");
    repository.publish_targets("targets");
    let mut client = Client::new(&repository);
    let mut trusted = client.refresh(&repository).unwrap();
    let paths: Vec<String> = (0..300).map(|i| format!("file-{i}")).collect();
    for path in &paths {
        assert_eq!(client.search(&repository, &mut trusted, path), Ok(None));
    }
    let at_hand = |path: &&String| {
        let search = Search::new(target_path(path), &trusted, client.limits).unwrap();
        search.step(&trusted) == Step::Done
    };
    let at_hand = paths.iter().filter(at_hand).count();
    assert!((32..120).contains(&at_hand), "{at_hand}");
    // The others are in the trust store, and need no request.
    for path in &paths {
        assert_eq!(client.search(&repository, &mut trusted, path), Ok(None));
        assert_eq!(client.fetched, Vec::<String>::new());
    }
}

#[test]
fn a_search_shares_what_another_verified() {
    let mut repository = Simulator::new();
    repository.delegate("targets", "a", patterns(&["*"]), false);
    repository.add_target("a", "one", b"1");
    repository.publish_targets("a");
    repository.publish_targets("targets");
    let mut client = Client::new(&repository);
    let mut trusted = client.refresh(&repository).unwrap();
    client.search(&repository, &mut trusted, "one").unwrap().unwrap();
    assert_eq!(client.fetched, ["2.a.json"]);
    assert_eq!(client.search(&repository, &mut trusted, "two"), Ok(None));
    assert!(client.fetched.is_empty());
}

#[test]
fn a_role_listed_with_no_keys_is_never_trusted() {
    let mut repository = Simulator::new();
    repository.delegate("targets", "a", patterns(&["*"]), false);
    let delegations = repository.role("targets").delegations.as_mut().unwrap();
    let Roles::Listed(roles) = &mut delegations.roles else { unreachable!() };
    let keys = RoleKeys { keyids: Vec::new(), threshold: 1 };
    roles[0] = DelegatedRole { keys, ..roles[0].clone() };
    repository.publish_targets("targets");
    let mut client = Client::refreshed(&repository);
    let error = client.refused_search(&repository, "f", &[]);
    assert_eq!(error, crate::client::unsigned("a", 1, 0, "targets version 2", 1));
}
