//! A client in memory, and what a refusal must leave of its trust store.

use jiff::Timestamp as Time;
use waxseal_testkit::simulator::{Simulator, Store, drive, drive_search, role, target_path};
use waxseal_tuf::metadata::Paths;
use waxseal_tuf::{Error, Limits, MetadataFile, Search, TargetFile, TrustedMetadata, Updater};

/// What a refused update may have stored before it came to the refused file: role, published path.
pub(crate) type Stored<'a> = &'a [(&'a str, &'a str)];

pub(crate) const TIMESTAMP: (&str, &str) = ("timestamp", "timestamp.json");

/// A client that came with the first root of a repository.
#[derive(Clone)]
pub(crate) struct Client {
    first_root: Vec<u8>,
    pub(crate) store: Store,
    pub(crate) now: Time,
    pub(crate) limits: Limits,
    /// Paths asked for in the last update or search.
    pub(crate) fetched: Vec<String>,
}

impl Client {
    pub(crate) fn new(repository: &Simulator) -> Self {
        Self {
            first_root: repository.first_root(),
            store: Store::new(),
            now: Simulator::now(),
            limits: Limits::default(),
            fetched: Vec::new(),
        }
    }

    /// A client that is up to date with the repository.
    pub(crate) fn refreshed(repository: &Simulator) -> Self {
        let mut client = Self::new(repository);
        client.refresh(repository).unwrap();
        client
    }

    pub(crate) fn refresh(&mut self, repository: &Simulator) -> Result<TrustedMetadata, Error> {
        self.fetched.clear();
        let root = self.store.get(&role("root")).unwrap_or(&self.first_root);
        let updater = Updater::new(root, self.now, self.limits)?;
        drive(updater, &mut self.store, recording(repository, &mut self.fetched))
    }

    /// Refreshes and searches.
    pub(crate) fn find(
        &mut self,
        repository: &Simulator,
        path: &str,
    ) -> Result<Option<TargetFile>, Error> {
        let mut trusted = self.refresh(repository)?;
        self.search(repository, &mut trusted, path)
    }

    pub(crate) fn search(
        &mut self,
        repository: &Simulator,
        trusted: &mut TrustedMetadata,
        path: &str,
    ) -> Result<Option<TargetFile>, Error> {
        self.fetched.clear();
        let search = Search::new(target_path(path), trusted, self.limits)?;
        let fetch = recording(repository, &mut self.fetched);
        drive_search(search, trusted, &mut self.store, fetch)
    }

    /// The error of an update that must be refused. The trust store is byte for byte as it was,
    /// but for the files that are verified before the refused one.
    pub(crate) fn refused(&mut self, repository: &Simulator, stored: Stored<'_>) -> Error {
        let expected = self.store_with(repository, stored);
        let error = self.refresh(repository).unwrap_err();
        assert_eq!(self.store, expected, "{error}");
        error
    }

    /// The same for a search.
    pub(crate) fn refused_search(
        &mut self,
        repository: &Simulator,
        path: &str,
        stored: Stored<'_>,
    ) -> Error {
        let expected = self.store_with(repository, stored);
        let error = self.find(repository, path).unwrap_err();
        assert_eq!(self.store, expected, "{error}");
        error
    }

    fn store_with(&self, repository: &Simulator, stored: Stored<'_>) -> Store {
        let mut store = self.store.clone();
        for (name, path) in stored {
            store.insert(role(name), repository.files[*path].clone());
        }
        store
    }
}

fn recording<'a>(
    repository: &'a Simulator,
    fetched: &'a mut Vec<String>,
) -> impl FnMut(&MetadataFile) -> Option<Vec<u8>> + 'a {
    |file| {
        fetched.push(file.path.clone());
        repository.fetch(file)
    }
}

/// The file of a role at a version, where consistent snapshots are used.
fn file_of(name: &str, version: u64) -> String {
    match name {
        "timestamp" => "timestamp.json".to_owned(),
        _ => format!("{version}.{name}.json"),
    }
}

/// `Error::Signatures`, with fields in the order of its text.
pub(crate) fn unsigned(
    name: &str,
    version: u64,
    valid: u64,
    delegator: &str,
    threshold: u64,
) -> Error {
    let (file, delegator) = (file_of(name, version), delegator.to_owned());
    Error::Signatures { file, role: role(name), version, delegator, threshold, valid }
}

/// `Error::Expired` at the client's time.
pub(crate) fn expired(name: &str, version: u64, expired: &str, client: &Client) -> Error {
    let (file, expired) = (file_of(name, version), expired.parse().unwrap());
    Error::Expired { file, role: role(name), version, expired, now: client.now }
}

/// `Error::WrongVersion`.
pub(crate) fn wrong_version(name: &str, expected: u64, got: u64) -> Error {
    Error::WrongVersion { file: file_of(name, expected), role: role(name), expected, got }
}

/// `Error::Rollback` of a role that this file names.
pub(crate) fn rollback(file: &str, name: &str, trusted: u64, got: u64) -> Error {
    Error::Rollback { file: file.to_owned(), role: role(name), trusted, got }
}

/// Field and problem of an `Error::Format` about this role.
pub(crate) fn malformed(error: Error, name: &str) -> (String, String) {
    match error {
        Error::Format { file, role: of, problem } if of == role(name) => {
            assert!(file.ends_with(&format!("{name}.json")), "{file}");
            (problem.field, problem.problem)
        }
        _ => panic!("not a malformed {name}: {error}"),
    }
}

/// The pattern that covers every path without a `/`.
pub(crate) fn everything() -> Paths {
    Paths::Patterns(vec!["*".to_owned()])
}

/// A repository in which targets delegates everything to `a`; snapshot is at version 2.
pub(crate) fn with_delegation() -> Simulator {
    let mut repository = Simulator::new();
    repository.delegate("targets", "a", everything(), false);
    repository.publish_targets("targets");
    repository
}
