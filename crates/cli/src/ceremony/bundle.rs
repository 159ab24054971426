//! What a ceremony hands over: one file, in the form of `tar`, that any machine can open in ten years.
//!
//! | file in it | what it is |
//! |---|---|
//! | `waxseal-bundle.json` | what kind of bundle this is, and the SHA-256 of every other file |
//! | `metadata/N.root.json`, … | every root since the first, and the newest targets and bins |
//! | `keys/online.pem` | the online key, encrypted with its passphrase |
//! | `keys/root-NAME.pem` | root keys that were made at the ceremony, each encrypted; "everything" alone |
//! | `plan.toml`, `transcript.txt`, `sheet.txt`, `sheet-N.svg` | the papers |
//!
//! Its digests find damage, not forgery: whoever opens it verifies root by its signatures.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxseal_repository::ceremony::{BINS, Ceremony, NewDelegations};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

use crate::failure::{Exit, Failure};

/// The form of bundles that this program writes and reads.
const FORMAT: u64 = 1;
const MANIFEST: &str = "waxseal-bundle.json";
const METADATA: &str = "metadata/";

/// The most bytes of a bundle: classic bins of the largest index are 50 MB.
const MAX_LENGTH: u64 = 256 << 20;
/// The most files in a bundle.
const MAX_FILES: usize = 10_000;

/// What a bundle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// For the safe: all that was made.
    Everything,
    /// For the server: what is public, and the online key.
    Server,
    /// For the next ceremony: what is public.
    Public,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everything => "everything",
            Self::Server => "server",
            Self::Public => "public",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    waxseal_bundle: u64,
    kind: Kind,
    name: String,
    made: Timestamp,
    files: BTreeMap<String, String>,
}

/// Files that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bundle {
    pub(crate) kind: Kind,
    /// The index, as its plan names it.
    pub(crate) name: String,
    pub(crate) made: Timestamp,
    files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    pub(crate) fn new(kind: Kind, name: &str, made: Timestamp) -> Self {
        Self { kind, name: name.to_owned(), made, files: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, name: impl Into<String>, bytes: &[u8]) {
        self.files.insert(name.into(), bytes.to_vec());
    }

    pub(crate) fn add_metadata(&mut self, version: u64, role: &RoleName, bytes: &[u8]) {
        self.add(metadata_name(version, role), bytes);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// Its files and their contents, by name.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// The roots in it, by version.
    pub(crate) fn roots(&self) -> BTreeMap<u64, &[u8]> {
        self.versions(&RoleName::from_static(RoleName::ROOT))
    }

    /// Its newest targets and bins, if both are in it.
    pub(crate) fn delegations(&self) -> Option<NewDelegations> {
        let newest = |role| self.versions(&role).into_values().next_back().map(<[u8]>::to_vec);
        Some(NewDelegations { targets: newest(RoleName::targets())?, bins: newest(BINS)? })
    }

    /// What is in it as what a ceremony made: the roots after the version `after`, and the newest targets and
    /// bins.
    pub(crate) fn ceremony(&self, after: u64) -> Ceremony {
        let roots = self.roots().into_iter().filter(|(version, _)| *version > after);
        Ceremony {
            roots: roots.map(|(_, bytes)| bytes.to_vec()).collect(),
            delegations: self.delegations(),
        }
    }

    fn versions(&self, role: &RoleName) -> BTreeMap<u64, &[u8]> {
        let end = format!(".{role}.json");
        let version = |name: &str| name.strip_prefix(METADATA)?.strip_suffix(&end)?.parse().ok();
        let files = self.files.iter();
        files.filter_map(|(name, bytes)| Some((version(name)?, bytes.as_slice()))).collect()
    }

    /// Writes a new file, for its owner alone, whole or not at all, and durable on return.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let failed = || format!("cannot write the bundle {}", path.display());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
        file.write_all(&self.to_tar()?).with_context(failed)?;
        file.as_file().sync_all().with_context(failed)?;
        match file.persist_noclobber(path) {
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("{} exists already", path.display()),
                    "it was left as it is: choose another name, or remove it first",
                )
                .into());
            }
            persisted => _ = persisted.map_err(|error| error.error).with_context(failed)?,
        }
        File::open(folder).and_then(|folder| folder.sync_all()).with_context(failed)
    }

    fn to_tar(&self) -> anyhow::Result<Vec<u8>> {
        let manifest = Manifest {
            waxseal_bundle: FORMAT,
            kind: self.kind,
            name: self.name.clone(),
            made: self.made,
            files: self
                .files
                .iter()
                .map(|(name, bytes)| (name.clone(), Sha256::of(bytes).to_string()))
                .collect(),
        };
        let manifest = serde_json::to_vec_pretty(&manifest)?;
        let mut tar = tar::Builder::new(Vec::new());
        let made = u64::try_from(self.made.as_second()).unwrap_or(0);
        for (name, bytes) in [(MANIFEST, manifest.as_slice())].into_iter().chain(self.files()) {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(if name.starts_with("keys/") { 0o600 } else { 0o644 });
            header.set_mtime(made);
            tar.append_data(&mut header, name, bytes)?;
        }
        Ok(tar.into_inner()?)
    }

    /// Reads a bundle, or a folder with metadata files in it, and refuses what is damaged.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let hint = "name a bundle of `waxseal ceremony`, or a folder with N.root.json, N.targets.json and \
                    N.bins.json";
        let failed = |problem: String| {
            let what = format!("cannot use {}: {problem}", path.display());
            anyhow::Error::from(Failure::new(Exit::Usage, what, hint))
        };
        let is = fs::metadata(path).map_err(|error| failed(error.to_string()))?;
        if is.is_dir() {
            return Self::of_folder(path).map_err(|error| failed(format!("{error:#}")));
        }
        if is.len() > MAX_LENGTH {
            return Err(failed(format!("{} bytes are too many for a bundle", is.len())));
        }
        let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
        Self::of_tar(&bytes).map_err(|error| failed(format!("{error:#}")))
    }

    fn of_tar(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        let mut tar = tar::Archive::new(bytes);
        for entry in tar.entries().context("it is no tar file")? {
            let mut entry = entry.context("it is no tar file, or cut off")?;
            anyhow::ensure!(
                entry.header().entry_type().is_file() && files.len() < MAX_FILES,
                "it is no bundle: it holds other things than some files"
            );
            let name = checked_name(&entry.path()?)?;
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).context("it is cut off")?;
            anyhow::ensure!(
                files.insert(name.clone(), contents).is_none(),
                "it is no bundle: it holds {name} twice"
            );
        }
        let manifest =
            files.remove(MANIFEST).with_context(|| format!("{MANIFEST} is not in it"))?;
        let manifest: Manifest = serde_json::from_slice(&manifest)
            .with_context(|| format!("{MANIFEST} in it is damaged"))?;
        anyhow::ensure!(
            manifest.waxseal_bundle == FORMAT,
            "it has form {}, and this program knows form {FORMAT}: use the newer waxseal that wrote it",
            manifest.waxseal_bundle
        );
        for (name, digest) in &manifest.files {
            let bytes = files.get(name).with_context(|| format!("{name} is missing from it"))?;
            let is = Sha256::of(bytes).to_string();
            anyhow::ensure!(
                is == *digest,
                "{name} in it is damaged: its SHA-256 is {is}, not {digest}"
            );
        }
        let foreign = files.keys().find(|name| !manifest.files.contains_key(*name));
        if let Some(foreign) = foreign {
            anyhow::bail!("{foreign} is in it, and its list does not name it");
        }
        let Manifest { kind, name, made, .. } = manifest;
        Ok(Self { kind, name, made, files })
    }

    /// Metadata files that lie in a folder, or in a folder `metadata` in it.
    fn of_folder(path: &Path) -> anyhow::Result<Self> {
        let folder = match path.join("metadata") {
            inner if inner.is_dir() => inner,
            _ => path.to_owned(),
        };
        let mut this = Self::new(Kind::Public, "", Timestamp::UNIX_EPOCH);
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let Some((version, role)) = metadata_of(name) else { continue };
            let bytes = read_bounded(&path)?;
            this.add_metadata(version, &role, &bytes);
        }
        anyhow::ensure!(!this.files.is_empty(), "no metadata of root, targets or bins is in it");
        Ok(this)
    }
}

/// Reads a file that cannot be longer than a bundle.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_LENGTH + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_LENGTH {
        true => Err(io::Error::other("it is too long")),
        false => Ok(bytes),
    }
}

/// The name in a bundle of a metadata file.
pub(crate) fn metadata_name(version: u64, role: &RoleName) -> String {
    format!("{METADATA}{version}.{role}.json")
}

/// `2.root.json` and the like, of the offline roles.
fn metadata_of(name: &str) -> Option<(u64, RoleName)> {
    let (version, role) = name.strip_suffix(".json")?.split_once('.')?;
    let roles = [RoleName::from_static(RoleName::ROOT), RoleName::targets(), BINS];
    Some((version.parse().ok()?, roles.into_iter().find(|known| known.as_str() == role)?))
}

/// A name that stays within whatever folder it is unpacked into.
fn checked_name(path: &Path) -> anyhow::Result<String> {
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let name = path.to_str().filter(|_| plain).map(str::to_owned);
    name.with_context(|| format!("it is no bundle: it holds {}", PathBuf::from(path).display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn bundle() -> Bundle {
        let mut bundle =
            Bundle::new(Kind::Server, "an index", "2030-01-01T00:00:00Z".parse().unwrap());
        bundle.add_metadata(1, &RoleName::from_static(RoleName::ROOT), b"one");
        bundle.add_metadata(10, &RoleName::from_static(RoleName::ROOT), b"ten");
        bundle.add_metadata(9, &RoleName::targets(), b"targets");
        bundle.add_metadata(2, &BINS, b"bins");
        bundle.add("keys/online.pem", b"key");
        bundle
    }

    #[test]
    fn what_is_written_is_read_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar");
        bundle().write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Bundle::read(&path).unwrap();
        assert_eq!(read, bundle());
        assert_eq!(read.roots().into_keys().collect::<Vec<_>>(), [1, 10]);
        assert_eq!(read.ceremony(1).roots, [b"ten"]);
        assert_eq!(read.delegations().unwrap().targets, b"targets");
        assert!(bundle().write(&path).is_err(), "written over");
        // Other programs open it.
        let list = std::process::Command::new("tar").arg("-tf").arg(&path).output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        assert!(list.contains("metadata/10.root.json") && list.contains(MANIFEST), "{list}");
    }

    #[test]
    fn what_is_damaged_or_no_bundle_is_refused() {
        let tar = bundle().to_tar().unwrap();
        let text = |bytes: &[u8]| format!("{:#}", Bundle::of_tar(bytes).unwrap_err());
        let at = |what: &[u8]| tar.windows(what.len()).position(|part| part == what).unwrap();
        let mut changed = tar.clone();
        let place = tar.windows(7).rposition(|part| part == b"targets").unwrap();
        changed[place] = b'T';
        assert!(text(&changed).contains("damaged"), "{}", text(&changed));
        for cut in [0, 1, 511, 513, at(b"ten"), tar.len() / 2] {
            let error = text(&tar[..cut]);
            assert!(
                ["is not in it", "cut off", "is missing", "damaged", "no tar file"]
                    .iter()
                    .any(|part| error.contains(part)),
                "{cut}: {error}"
            );
        }
        for (name, problem) in [("../x", "it holds ../x"), ("x", "does not name it")] {
            let mut builder = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_ustar();
            header.set_size(1);
            header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, &b"1"[..]).unwrap();
            let mut strange = builder.into_inner().unwrap();
            strange.truncate(1024);
            strange.extend_from_slice(&tar);
            assert!(text(&strange).contains(problem), "{}", text(&strange));
        }
    }

    #[test]
    fn a_folder_of_metadata_is_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("metadata");
        fs::create_dir(&inner).unwrap();
        for name in ["1.root.json", "2.root.json", "1.bins.json", "3.snapshot.json", "x"] {
            fs::write(inner.join(name), name).unwrap();
        }
        for path in [folder.path(), &inner] {
            let bundle = Bundle::read(path).unwrap();
            assert_eq!(bundle.roots().into_keys().collect::<Vec<_>>(), [1, 2]);
            assert_eq!(bundle.delegations(), None, "targets are not there");
        }
        let empty = tempfile::tempdir().unwrap();
        let error = Bundle::read(empty.path()).unwrap_err().to_string();
        assert!(error.contains("no metadata"), "{error}");
    }
}
