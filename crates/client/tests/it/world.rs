//! An index, a mirror before it, and a machine that trusts the index under the mirror's URL.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use waxseal_client::{Client, IndexUrl, Patience, Settings, TrustStore, TrustStores};
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Tamper};
use waxseal_testkit::served::ServedSimulator;
use waxseal_testkit::simulator::{Simulator, role, target_path};
use waxseal_tuf::metadata::Roles;
use waxseal_tuf::{Limits, RoleName, TargetPath};

pub(crate) const SMALL: &str = "packages/small/small-1.0+local.tar.gz";
pub(crate) const LARGE: &str = "packages/large/large-1.0-py3-none-any.whl";

pub(crate) struct World {
    pub(crate) index: Arc<ServedSimulator>,
    pub(crate) mirror: Mirror,
    pub(crate) stores: TrustStores,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut simulator = Simulator::new();
        simulator.delegate_bins("targets", 2, "bin");
        simulator.publish_targets("targets");
        publish(&mut simulator, SMALL, b"a small file");
        publish(&mut simulator, LARGE, &large());
        let root = simulator.first_root();
        let index = Arc::new(ServedSimulator::start(simulator));
        let mirror = Mirror::start(&index.url());
        let folder = tempfile::tempdir().unwrap();
        let stores = TrustStores::new(folder.path().join("trust"));
        let world = Self { index, mirror, stores, _folder: folder };
        world.stores.add(&world.url(), &root, Simulator::now()).unwrap();
        world
    }

    pub(crate) fn url(&self) -> IndexUrl {
        self.mirror.url().as_str().parse().unwrap()
    }

    pub(crate) fn store(&self) -> TrustStore {
        self.stores.find(&self.url()).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with(settings())
    }

    pub(crate) fn client_with(&self, settings: Settings) -> Client {
        Client::open(&self.store(), settings).unwrap()
    }

    pub(crate) async fn refreshed(&self) -> Client {
        let client = self.client();
        client.refresh(Simulator::now()).await.unwrap();
        client
    }

    pub(crate) fn lie(&self, matches: PathPattern, change: Change) {
        self.mirror.set(Tamper { matches, change });
    }

    /// Everything below the base of the trust stores that means anything.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(self.stores.base(), &mut files);
        files.retain(|path, _| path.file_name().is_none_or(|name| name != "lock"));
        files
    }
}

/// Patience for tests: long enough for a busy machine, short where a test waits for the end of it.
pub(crate) fn settings() -> Settings {
    Settings { retries: 0, ..Settings::default() }
}

/// Gives up soon, for tests that wait for it: what a busy machine takes for a few KB is far less.
pub(crate) fn impatient() -> Settings {
    let limits = Limits { root: 128 << 10, targets: 128 << 10, ..Limits::default() };
    Settings { metadata: IMPATIENCE, targets: IMPATIENCE, limits, ..settings() }
}

/// 800 ms of silence; a second in all, and what the length takes at 5 KB in a second.
pub(crate) const IMPATIENCE: Patience = Patience {
    stall: Duration::from_millis(800),
    deadline: Duration::from_secs(1),
    minimum_rate: 5_000,
    rate_window: Duration::from_millis(600),
};

pub(crate) fn path(path: &str) -> TargetPath {
    target_path(path)
}

/// More than what is withheld at the end, and not the same everywhere.
pub(crate) fn large() -> Vec<u8> {
    (0..1_000_000u32).map(|i| (i % 251) as u8).collect()
}

/// Lists a file in its bin, and publishes that.
pub(crate) fn publish(simulator: &mut Simulator, path: &str, content: &[u8]) {
    let bin = bin_of(simulator, path);
    simulator.add_target(bin.as_str(), path, content);
    simulator.publish_targets(bin.as_str());
}

/// The file name of the bin that lists a path, as any version.
pub(crate) fn bin_suffix(simulator: &mut Simulator, path: &str) -> PathPattern {
    PathPattern::suffix(format!(".{}.json", bin_of(simulator, path).encoded()))
}

/// The bin that lists a path.
pub(crate) fn bin_of(simulator: &mut Simulator, path: &str) -> RoleName {
    let delegations = simulator.role("targets").delegations.clone().unwrap();
    let Roles::Succinct(bins) = delegations.roles else { panic!("the simulator has bins") };
    role(bins.name(bins.bin_of(&target_path(path))).as_str())
}

pub(crate) fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}
