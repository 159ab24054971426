//! Import files of PyPI's shape: the targets of an index as JSON Lines, and uploads to it.
//!
//! A project has two pages, and releases of one sdist or some wheels, each wheel with its core metadata;
//! paths are as long as PyPI's are, `packages/<2 hex>/<2 hex>/<60 hex>/<filename>`. Of a hundred targets
//! about sixty are files, thirty-six core metadata and four pages. What is made follows from the seed
//! alone; the hashes are of nothing.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use data_encoding::HEXLOWER;

/// How many targets the index of PEP 458's example has.
pub const PEP_458: u64 = 2_273_539;

/// Nearly as many as PyPI has files.
pub const PYPI: u64 = 20_000_000;

/// More projects than one seed makes.
const PROJECTS: u64 = 10_000_000;

/// One target of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its target path.
    pub path: String,
    /// How many bytes it would have.
    pub length: u64,
    /// Its SHA-256, in lowercase hex.
    pub sha256: String,
    /// Whether it comes with `custom`, as few do.
    pub custom: bool,
}

impl Target {
    /// The target's line of an import file, without the end of the line.
    pub fn line(&self) -> String {
        let Self { path, length, sha256, custom } = self;
        let custom = if *custom { r#","custom":{"yanked":"broken build"}"# } else { "" };
        format!(r#"{{"path":"{path}","length":{length},"hashes":{{"sha256":"{sha256}"}}{custom}}}"#)
    }
}

/// The targets that follow from a seed, project by project; there is no end to them.
#[derive(Debug, Clone)]
pub struct Targets {
    random: Random,
    projects: u64,
    /// Of the project at hand, the last one first.
    project: Vec<Target>,
}

impl Targets {
    /// Those of this seed. Two seeds share no path.
    pub fn new(seed: u64) -> Self {
        Self { random: Random(seed), projects: seed * PROJECTS, project: Vec::new() }
    }

    fn next_project(&mut self) {
        self.projects += 1;
        let name = self.random.name(self.projects);
        for page in ["html", "json"] {
            let target = self.target(format!("simple/{name}/vnd.pypi.simple.v1.{page}"));
            self.project.push(target);
        }
        // From one release to hundreds, as few projects have.
        let few_or_many = 2 << self.random.below(7);
        let releases = 1 + self.random.below(few_or_many);
        for release in 0..releases {
            let version = format!("{}.{}.{}", release / 20, release % 20, self.random.below(10));
            let wheels = match self.random.below(8) {
                0 => 0,
                1 => 5,
                _ => 1,
            };
            if wheels != 1 || self.random.below(2) == 0 {
                self.file(&format!("{name}-{version}.tar.gz"), false);
            }
            for wheel in 0..wheels {
                let tail = match wheels {
                    1 => "py3-none-any".to_owned(),
                    _ => format!("cp3{wheel}-cp3{wheel}-manylinux_2_28_x86_64"),
                };
                self.file(&format!("{name}-{version}-{tail}.whl"), true);
            }
        }
        self.project.reverse();
    }

    fn file(&mut self, filename: &str, core_metadata: bool) {
        let folder = self.random.hex();
        let path =
            format!("packages/{}/{}/{}/{filename}", &folder[..2], &folder[2..4], &folder[4..]);
        let metadata = core_metadata.then(|| format!("{path}.metadata"));
        for path in [Some(path), metadata].into_iter().flatten() {
            let target = self.target(path);
            self.project.push(target);
        }
    }

    fn target(&mut self, path: String) -> Target {
        let (length, custom) = (1 + self.random.below(1 << 22), self.random.below(500) == 0);
        Target { path, length, sha256: self.random.hex(), custom }
    }
}

impl Iterator for Targets {
    type Item = Target;

    fn next(&mut self) -> Option<Target> {
        if self.project.is_empty() {
            self.next_project();
        }
        self.project.pop()
    }
}

/// Uploads of a wheel: the file, its core metadata, and the page of a project that was not there
/// before. All paths are new, and nothing has `custom`.
#[derive(Debug, Clone)]
pub struct Uploads(Targets);

impl Uploads {
    /// Those of this seed, which share no path with [`Targets`] of another one.
    pub fn new(seed: u64) -> Self {
        Self(Targets::new(seed))
    }
}

impl Iterator for Uploads {
    type Item = [Target; 3];

    fn next(&mut self) -> Option<[Target; 3]> {
        let targets = &mut self.0;
        targets.projects += 1;
        let name = targets.random.name(targets.projects);
        targets.file(&format!("{name}-1.0.0-py3-none-any.whl"), true);
        let page = targets.target(format!("simple/{name}/vnd.pypi.simple.v1.json"));
        let mut made = targets.project.drain(..).chain([page]);
        let mut next = || Some(Target { custom: false, ..made.next()? });
        Some([next()?, next()?, next()?])
    }
}

/// Writes an import file of this many targets.
pub fn write(path: &Path, seed: u64, count: u64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for (target, _) in Targets::new(seed).zip(0..count) {
        out.write_all(target.line().as_bytes())?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// `SplitMix64`: quick, and the same everywhere.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// 64 digits.
    fn hex(&mut self) -> String {
        let words = [self.next(), self.next(), self.next(), self.next()];
        HEXLOWER.encode(&words.map(u64::to_be_bytes).concat())
    }

    /// A project's name, which no other number has.
    fn name(&mut self, number: u64) -> String {
        let (letters, count) = (self.next(), 2 + self.below(11));
        let letter = |i| char::from(b'a' + u8::try_from((letters >> (i * 5)) % 26).unwrap_or(0));
        (0..count).map(letter).collect::<String>() + &number.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::collections::BTreeSet;

    use waxseal_tuf::TargetPath;

    use super::*;

    #[test]
    fn a_file_has_the_shape_of_pypi_and_follows_from_its_seed() {
        let targets: Vec<Target> = Targets::new(1).take(30_000).collect();
        let share = |belongs: &dyn Fn(&str) -> bool| {
            targets.iter().filter(|target| belongs(&target.path)).count()
        };
        let pages = share(&|path| path.starts_with("simple/"));
        let metadata = share(&|path| path.ends_with(".metadata"));
        assert!((500..3_000).contains(&pages), "{pages}");
        assert!((9_000..14_000).contains(&metadata), "{metadata}");
        for target in targets.iter().filter(|target| target.path.starts_with("packages/")) {
            assert!((95..160).contains(&target.path.len()), "{}", target.path);
        }
        assert!(targets.iter().all(|target| TargetPath::new(target.path.clone()).is_ok()));

        let again: Vec<Target> = Targets::new(1).take(30_000).collect();
        assert_eq!(targets, again);
        let uploads = Uploads::new(2).take(1_000).flatten().map(|target| target.path);
        let paths = targets.into_iter().map(|target| target.path).chain(uploads);
        assert_eq!(paths.collect::<BTreeSet<_>>().len(), 33_000, "every path is there once");
    }

    #[test]
    fn each_line_is_one_target_in_json() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("targets.jsonl");
        write(&file, 7, 3_000).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let expected: Vec<Target> = Targets::new(7).take(3_000).collect();
        assert_eq!(text.lines().count(), expected.len());
        let mut with_custom = 0;
        for (line, target) in text.lines().zip(expected) {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["path"], target.path);
            assert_eq!(value["length"], target.length);
            assert_eq!(value["hashes"]["sha256"], target.sha256);
            assert_eq!(value.get("custom").is_some(), target.custom);
            with_custom += usize::from(target.custom);
        }
        assert!((1..30).contains(&with_custom), "few have custom: {with_custom}");
    }
}
