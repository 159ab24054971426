//! The repositories, what clients come with, and a folder in memory that holds both for others.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use waxseal_testkit::keys::TestKey;
use waxseal_testkit::pypi::{Bins, Repository};
use waxseal_testkit::simulator::Store;
use waxseal_tuf::RoleName;

/// What is measured: a kind of client against a way to delegate to the bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) user: User,
    pub(crate) kind: Kind,
}

/// The repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Succinct bins, Ed25519.
    Succinct,
    /// Bins listed with their hash prefixes, Ed25519.
    Classic,
    /// Succinct bins, online key on P-256.
    Ecdsa,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Was here yesterday: timestamp, snapshot and the target's bin are new.
    Returning,
    /// Was here today: nothing is new.
    Unchanged,
    /// Has the first root and nothing else.
    First,
}

impl Scenario {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Kind::ALL.into_iter().flat_map(|kind| {
            let users = [User::Returning, User::Unchanged, User::First];
            users.into_iter().map(move |user| Self { user, kind })
        })
    }

    pub(crate) fn name(self) -> String {
        let user = match self.user {
            User::Returning => "returning",
            User::Unchanged => "unchanged",
            User::First => "first",
        };
        format!("{user}/{}", self.kind.folder())
    }

    /// What is in the trust store when the client starts.
    pub(crate) fn trusted(self, world: &World) -> Store {
        let repository = world.repository(self.kind);
        match self.user {
            User::Returning => repository.yesterday.clone(),
            User::Unchanged => repository.today.clone(),
            User::First => {
                Store::from([(RoleName::from_static(RoleName::ROOT), repository.root().to_vec())])
            }
        }
    }
}

impl Kind {
    const ALL: [Self; 3] = [Self::Succinct, Self::Classic, Self::Ecdsa];

    fn folder(self) -> &'static str {
        match self {
            Self::Succinct => "succinct",
            Self::Classic => "classic",
            Self::Ecdsa => "ecdsa",
        }
    }

    fn repository(self) -> Repository {
        match self {
            Self::Succinct => Repository::new(Bins::Succinct),
            Self::Classic => Repository::new(Bins::Classic),
            Self::Ecdsa => Repository::signed_by(Bins::Succinct, &TestKey::ecdsa_p256()),
        }
    }
}

/// Every repository, and the folder.
#[derive(Debug)]
pub(crate) struct World {
    repositories: Vec<(Kind, Repository)>,
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        // A file system in memory, where there is one: what disks do is not the question.
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("waxseal-bench-").tempdir_in(base).unwrap();
        let repositories = Kind::ALL.map(|kind| (kind, kind.repository())).into();
        let world = Self { repositories, folder };
        for (kind, repository) in &world.repositories {
            let files = files_of(world.folder(), *kind);
            fs::create_dir_all(&files).unwrap();
            for (path, bytes) in &repository.files {
                fs::write(files.join(path), bytes).unwrap();
            }
        }
        for scenario in Scenario::all() {
            write_store(&world.trusted_folder(scenario), &scenario.trusted(&world));
        }
        world
    }

    pub(crate) fn repository(&self, kind: Kind) -> &Repository {
        let (_, repository) = self.repositories.iter().find(|(other, _)| *other == kind).unwrap();
        repository
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What a scenario's client comes with.
    pub(crate) fn trusted_folder(&self, scenario: Scenario) -> PathBuf {
        trusted_of(self.folder(), scenario)
    }

    /// An empty folder for one run.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        let folder = self.folder().join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir(&folder).unwrap();
        folder
    }
}

/// A repository's files below the metadata URL.
pub(crate) fn files_of(world: &Path, kind: Kind) -> PathBuf {
    world.join("repository").join(kind.folder())
}

pub(crate) fn trusted_of(world: &Path, scenario: Scenario) -> PathBuf {
    world.join("trusted").join(scenario.name())
}

/// `<role>.json` for each role, as python-tuf names them as well.
pub(crate) fn write_store(folder: &Path, store: &Store) {
    fs::create_dir_all(folder).unwrap();
    for (role, bytes) in store {
        fs::write(folder.join(role.metafile()), bytes).unwrap();
    }
}
