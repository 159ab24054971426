//! `waxseal mirror`: copies of an index that others serve.

mod air_gap;
mod filter;
mod killed;
mod plain;
mod refused;
mod runs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use waxseal_testkit::mirror::Mirror;
use waxseal_testkit::peers::{CleanCommand, Outcome};

use crate::harness::{Index, Person, Wheel, tree};

/// An index, what may lie between it and the mirror, and who keeps the mirror.
struct World {
    index: Index,
    between: Mirror,
    operator: Person,
}

impl World {
    /// With the projects `alpha` and `beta`.
    fn new() -> Self {
        let index = Index::quickstart_with(|command| command.args(["--bins", "64"]));
        index.upload_new(Wheel::new("alpha", "1.0"));
        index.upload_new(Wheel::new("beta", "1.0"));
        Self::of(index)
    }

    fn of(index: Index) -> Self {
        let between = Mirror::start(&index.url.parse().unwrap());
        let operator = Person::new();
        operator.trust(&index, between.url().as_str());
        Self { index, between, operator }
    }

    fn url(&self) -> String {
        self.between.url().to_string()
    }

    /// `waxseal mirror URL m …`.
    fn mirror(&self, more: &[&str]) -> CleanCommand {
        self.mirror_to("m", more)
    }

    fn mirror_to(&self, folder: &str, more: &[&str]) -> CleanCommand {
        self.operator.waxseal(["mirror", &self.url(), folder]).args(more)
    }

    fn verify(&self, folder: &str) -> Outcome {
        self.operator.waxseal(["mirror", "verify", folder]).run()
    }

    fn status(&self, folder: &str) -> Value {
        let outcome = self.operator.waxseal(["mirror", "status", folder, "--json"]).run().success();
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.operator.work().join("m")
    }

    /// What the mirror shows.
    fn shown(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        shown(&self.folder())
    }

    /// The paths that were asked for since this was asked last.
    fn asked(&self) -> Vec<String> {
        let asked = self.between.requests().into_iter().map(|request| request.path).collect();
        self.between.forget_requests();
        asked
    }
}

/// What is in a mirror's folder, without its own records, by the names below it.
fn shown(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut shown = below(folder);
    shown.retain(|path, _| !path.starts_with(".waxseal-mirror"));
    shown
}

/// What is in a folder, by the names below it.
fn below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let name = |path: PathBuf| path.strip_prefix(folder).unwrap().to_owned();
    tree(folder).into_iter().map(|(path, bytes)| (name(path), bytes)).collect()
}

/// Paths of a tree that hold a text.
fn with(shown: &BTreeMap<PathBuf, Vec<u8>>, part: &str) -> Vec<String> {
    let paths = shown.keys().map(|path| path.display().to_string());
    paths.filter(|path| path.contains(part)).collect()
}
