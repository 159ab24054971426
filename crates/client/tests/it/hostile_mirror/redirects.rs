//! Answers that send the client elsewhere.

use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Tamper};

use super::{ALL, Bin, File, Refusal, Snapshot, Targets, Timestamp, Trial, Trials};

/// The `Location`, and how the client refuses it.
const REFUSED: [(&str, Refusal); 9] = [
    ("https://127.0.0.1:1/a", ("redirect", "redirects from http to https")),
    ("ftp://127.0.0.1/a", ("redirect", "redirects from http to ftp")),
    ("file:///etc/passwd", NOWHERE),
    ("data:application/json,{}", NOWHERE),
    ("http://", NOWHERE),
    ("http://[::1", NOWHERE),
    ("http://a b/", NOWHERE),
    ("http://127.0.0.1:99999/", NOWHERE),
    ("//", NOWHERE),
];

const NOWHERE: Refusal = ("redirect", "redirects to where nobody can follow");

#[tokio::test]
async fn a_redirect_that_leads_nowhere_is_not_followed() {
    let trials = Trials::new(&ALL).await;
    for (location, refusal) in REFUSED {
        trials.refuse(|_| vec![Change::Location(location.to_owned())], |_| refusal).await;
    }
    // More than a URL may have, and more than a head may have.
    for (length, refusal) in [(100_000, NOWHERE), (1 << 20, ("unreachable", "cannot be reached"))] {
        let changes = |_| vec![Change::Location(format!("/{}", "a".repeat(length)))];
        trials.refuse(changes, |_| refusal).await;
    }
    // Of this machine too nothing is had but what verifies, and a closed port ends it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let changes = |_| vec![Change::Location(format!("http://127.0.0.1:{port}/"))];
    trials.refuse(changes, |_| ("unreachable", "cannot be reached")).await;
}

#[tokio::test]
async fn redirects_between_two_hosts_end() {
    for kind in ALL {
        let trial = Trial::new(kind).await;
        let other = Mirror::start(&trial.world.index.url());
        let attacked = kind.attacked(&trial.world);
        let here = trial.world.mirror.url().join(&attacked).unwrap();
        let there = other.url().join(&attacked).unwrap();
        let (matches, change) = (PathPattern::Any, Change::Redirect(here));
        other.set(Tamper { matches, change });
        let error = trial.refuse(&[Change::Redirect(there)]).await;
        assert_eq!(error.slug(), "redirect", "{kind:?}: {error}");
        assert!(error.to_string().contains("redirects more than 5 times"), "{kind:?}: {error}");
        assert_eq!(other.requests().len(), 3, "{kind:?}: one of two, of six requests");
    }
}

#[tokio::test]
async fn a_location_that_grows_ends() {
    // Each is another URL, below the one before.
    let deeper = || Change::Location("more/deeper/".to_owned());
    let trial = Trial::new(Timestamp).await;
    trial.world.lie(PathPattern::contains("/more/"), deeper());
    let error = trial.refuse(&[deeper()]).await;
    assert_eq!(error.slug(), "redirect", "{error}");
}

/// That is no way to hide a file: elsewhere it is missing as it would be here.
#[tokio::test]
async fn a_redirect_to_nothing_is_a_file_that_is_missing() {
    let kinds = [Timestamp, Snapshot, Targets, Bin, File];
    let trials = Trials::new(&kinds).await;
    for location in [format!("/{}", "a".repeat(60_000)), "\u{a0}".to_owned(), String::new()] {
        let changes = |_| vec![Change::Location(location.clone())];
        let slug = if location.is_empty() { "redirect" } else { "missing" };
        trials.refuse(changes, |_| (slug, "")).await;
    }
}
