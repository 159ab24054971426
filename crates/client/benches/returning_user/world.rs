//! The repositories, what clients come with, and the folder in memory that holds both for python-tuf.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use waxseal_testkit::pypi::{Bins, Repository};
use waxseal_testkit::simulator::Store;
use waxseal_tuf::RoleName;

/// What is measured: a kind of client against a way to delegate to the bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) user: User,
    pub(crate) bins: Bins,
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
        [Bins::Succinct, Bins::Classic].into_iter().flat_map(|bins| {
            [User::Returning, User::Unchanged, User::First]
                .into_iter()
                .map(move |user| Self { user, bins })
        })
    }

    pub(crate) fn name(self) -> String {
        let user = match self.user {
            User::Returning => "returning",
            User::Unchanged => "unchanged",
            User::First => "first",
        };
        format!("{user}/{}", folder_of(self.bins))
    }

    /// What is in the trust store when the client starts.
    pub(crate) fn trusted(self, world: &World) -> Store {
        let repository = world.repository(self.bins);
        match self.user {
            User::Returning => repository.yesterday.clone(),
            User::Unchanged => repository.today.clone(),
            User::First => {
                Store::from([(RoleName::from_static(RoleName::ROOT), repository.root().to_vec())])
            }
        }
    }
}

fn folder_of(bins: Bins) -> &'static str {
    match bins {
        Bins::Succinct => "succinct",
        Bins::Classic => "classic",
    }
}

/// Both repositories.
#[derive(Debug)]
pub(crate) struct World {
    succinct: Repository,
    classic: Repository,
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        // A file system in memory, where there is one: what disks do is not the question.
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("waxseal-bench-").tempdir_in(base).unwrap();
        let (succinct, classic) = (Repository::new(Bins::Succinct), Repository::new(Bins::Classic));
        let world = Self { succinct, classic, folder };
        for bins in [Bins::Succinct, Bins::Classic] {
            let repository = world.repository(bins);
            let files = world.files(bins);
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

    pub(crate) fn repository(&self, bins: Bins) -> &Repository {
        match bins {
            Bins::Succinct => &self.succinct,
            Bins::Classic => &self.classic,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The repository's files below the metadata URL.
    pub(crate) fn files(&self, bins: Bins) -> PathBuf {
        files_of(self.folder(), bins)
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

pub(crate) fn files_of(world: &Path, bins: Bins) -> PathBuf {
    world.join("repository").join(folder_of(bins))
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
