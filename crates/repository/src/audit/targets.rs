//! Every bin, every target in it, and the object in the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use waxseal_index::paths;
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{TargetFile, Targets, Unverified};
use waxseal_tuf::verify::Verified;

use super::bins::VerifiedBin;
use super::journalled::{Journalled, ReadBin};
use super::metadata::Signed;
use super::pages::Names;
use super::report::Kind;
use super::tally::{Entry, Half, Tally};
use super::{Auditor, metadata_key};
use crate::bin_file::is_recorded;
use crate::database::{Batch, BinFile};
use crate::error::Error;
use crate::store::{Area, ObjectReader, OpenObject, StoreKey};

/// Targets up to this length are hashed in any case.
const SMALL: u64 = 64 << 10;
/// The largest Simple page that is read, in bytes: the list of PyPI's projects has 40 MB.
const PAGE_LIMIT: u64 = 512 << 20;
/// How many bins that differ are looked at again, to name what differs in them.
const EXPLAINED: usize = 64;

/// What the database says of the files of bins.
type RecordedBins = HashMap<(u32, u64), BinFile>;

/// What one reading of all bins gathers.
pub(super) struct Pass<'a> {
    pub(super) signed: &'a Signed,
    /// The serial that was published before the first file was read.
    pub(super) published: Option<u64>,
    pub(super) names: Names,
    /// Whether the store has any target's file.
    has_targets: bool,
    /// Distribution files and what stands beside them.
    pub(super) files: Tally,
    /// Pages as HTML, which say what those as JSON do.
    pub(super) html: Tally,
    /// Targets of projects of this index below `packages/`.
    pub(super) own_files: u64,
    /// Whether some page vouches for its files (layout `index`).
    pub(super) any_vouches: bool,
    /// The paths of those of `own_files`, where some page vouches: what was uploaded under `files`
    /// before the layout became `index`. Some 30 bytes each.
    pub(super) file_targets: HashSet<Half>,
    pub(super) found: Found,
}

/// What of the targets is in the store.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    pub(super) objects: u64,
    pub(super) object_bytes: u64,
    pub(super) plain: u64,
    pub(super) plain_bytes: u64,
    /// Whether every bin was read, so that what is not found is not named.
    pub(super) complete: bool,
}

/// Where a target stands in the public layout.
enum Place<'a> {
    List { json: bool },
    Page { project: &'a str, json: bool },
    File { project: &'a str },
    Other,
}

impl<'a> Place<'a> {
    fn of(path: &'a str) -> Self {
        match path {
            paths::PROJECT_LIST_JSON => return Self::List { json: true },
            paths::PROJECT_LIST_HTML => return Self::List { json: false },
            _ => {}
        }
        let mut pieces = path.splitn(3, '/');
        match (pieces.next(), pieces.next(), pieces.next()) {
            (Some("simple"), Some(project), Some("vnd.pypi.simple.v1.json")) => {
                Self::Page { project, json: true }
            }
            (Some("simple"), Some(project), Some("vnd.pypi.simple.v1.html")) => {
                Self::Page { project, json: false }
            }
            (Some("packages"), Some(project), Some(_)) => Self::File { project },
            _ => Self::Other,
        }
    }
}

/// A target whose place is right.
pub(super) struct Target<'a> {
    pub(super) bin: u32,
    pub(super) path: &'a TargetPath,
    pub(super) file: &'a TargetFile,
    pub(super) sha256: &'a str,
}

impl Target<'_> {
    fn entry(&self) -> Entry<'_> {
        // A page does not say how long core metadata is.
        let says_length = !self.path.as_str().ends_with(".metadata");
        let length = says_length.then_some(self.file.length);
        Entry { path: self.path.as_str(), sha256: self.sha256, length }
    }
}

impl Auditor<'_> {
    /// Reads all bins, and answers what of their targets is in the store.
    pub(super) fn bins(&mut self, signed: &Signed, published: Option<u64>) -> Result<Found, Error> {
        let bins = signed.bins.count();
        let has_targets = self.store.list(Area::Targets)?.next().transpose()?.is_some();
        let names = self.names(signed, has_targets)?;
        let mut pass = Pass {
            signed,
            published,
            names,
            has_targets,
            files: Tally::new(bins),
            html: Tally::new(bins),
            own_files: 0,
            any_vouches: false,
            file_targets: HashSet::new(),
            found: Found { complete: true, ..Found::default() },
        };
        let recorded = self.recorded_bins()?;
        let mut journalled = Journalled::new(signed.bins);
        for bin in 0..bins {
            self.progress("bins", u64::from(bin), u64::from(bins));
            self.hold_journalled(&mut journalled, bin)?;
            let Some(targets) = self.bin(signed, bin, &recorded)? else {
                pass.files.leave_out(bin);
                pass.html.leave_out(bin);
                pass.found.complete = false;
                continue;
            };
            let (role, sha256) = (signed.bins.role(bin), Sha256::of(targets.bytes()));
            self.begin_large(&role, sha256);
            for (path, file) in &targets.targets {
                self.target(&mut pass, bin, path, file)?;
            }
            self.end_large(role, sha256)?;
            if let Some(published) = published {
                let name = format!("{}.{}.json", targets.version, signed.bins.role(bin));
                let read = ReadBin { number: bin, name: &name, targets: &targets.targets };
                self.compare_journalled(&mut journalled, published, read)?;
            }
        }
        self.progress("bins", u64::from(bins), u64::from(bins));
        self.compare_pages(&pass);
        if pass.any_vouches {
            self.vouched(&mut pass)?;
        }
        self.hash_large()?;
        self.compare_tallies(&pass)?;
        Ok(pass.found)
    }

    /// A bin, which is the one that this program published; `None` where it is not to be had.
    fn bin(
        &mut self,
        signed: &Signed,
        bin: u32,
        recorded: &RecordedBins,
    ) -> Result<Option<Verified<Targets>>, Error> {
        let Some(VerifiedBin { key, bytes, targets, .. }) = self.verified_bin(signed, bin)? else {
            return Ok(None);
        };
        // Of another version the publishing went on since, or what is wrong is found with versions.
        let is_other =
            |file: &BinFile| file.length != bytes.len() as u64 || !is_recorded(&bytes, file);
        if recorded.get(&(bin, targets.version)).is_some_and(is_other) {
            let problem = "has other bytes than this program published under its name";
            self.find(Kind::Inconsistent, key.path(), problem);
        }
        Ok(Some(targets))
    }

    /// What is on record of each bin's file by number and version, as the database has it published, or
    /// decided: that may have been committed, or not, when timestamp was read.
    fn recorded_bins(&self) -> Result<RecordedBins, Error> {
        let Some(database) = self.database else { return Ok(RecordedBins::new()) };
        let decided = match database.batch()? {
            Some(Batch::Decided(batch)) => batch.bins,
            Some(Batch::Reserved(_)) | None => Vec::new(),
        };
        let rows = database.bins()?.into_iter();
        let published = rows.filter_map(|row| Some((row.number, row.published?)));
        let files = published.chain(decided);
        Ok(files.map(|(bin, file)| ((bin, file.version), file)).collect())
    }

    fn target(
        &mut self,
        pass: &mut Pass<'_>,
        bin: u32,
        path: &str,
        file: &TargetFile,
    ) -> Result<(), Error> {
        let Some(path) = self.placed(pass.signed, bin, path, file) else { return Ok(()) };
        let own = match Place::of(path.as_str()) {
            Place::List { .. } => pass.names.list_is_own,
            Place::Page { project, .. } | Place::File { project } => pass.names.contains(project),
            Place::Other => false,
        };
        let listed = file.hashes.iter().filter(|(name, _)| matches!(*name, "sha256" | "sha512"));
        let listed = listed.count();
        if listed == 0 || !(own || pass.has_targets) {
            self.report.counts.elsewhere += 1;
            return Ok(());
        }
        if file.hashes.known().count() < listed {
            let problem = match file.hashes.listed_sha256() {
                None if file.hashes.iter().any(|(name, _)| name == "sha256") => {
                    "has a SHA-256 that is none"
                }
                _ => "has a SHA-512 that is none",
            };
            self.find(Kind::Malformed, path.as_str(), problem);
            return Ok(());
        }
        // Pages say the SHA-256 of a file, whatever its metadata lists.
        let sha256 = if own { self.sha256_of(&path, file) } else { Some(String::new()) };
        if sha256.is_none() {
            pass.files.leave_out(bin);
            pass.html.leave_out(bin);
        }
        let sha256 = sha256.unwrap_or_default();
        let target = Target { bin, path: &path, file, sha256: &sha256 };
        self.placed_target(pass, &target, own)
    }

    /// The SHA-256 of a target in hex: what is listed, or that of its bytes; `None` where those are not there
    /// or not what is listed, which is found elsewhere.
    pub(super) fn sha256_of(&self, path: &TargetPath, file: &TargetFile) -> Option<String> {
        if let Some(listed) = file.hashes.listed_sha256() {
            return Some(listed.to_string());
        }
        let digest = file.hashes.known().next()?;
        let object = self.store.open(&StoreKey::Target { path: path.clone(), digest }).ok()??;
        let mut sha256 = Context::new(&SHA256);
        read_bytes(object, file, |bytes| sha256.update(bytes)).ok()?.ok()?;
        Some(HEXLOWER.encode(sha256.finish().as_ref()))
    }

    /// Looks at the object of a target, and compares what it says.
    fn placed_target(
        &mut self,
        pass: &mut Pass<'_>,
        target: &Target<'_>,
        own: bool,
    ) -> Result<(), Error> {
        let place = Place::of(target.path.as_str());
        if own {
            match place {
                Place::List { json: false } | Place::Page { json: false, .. } => {
                    pass.html.name(target.bin, &target.entry());
                }
                Place::File { .. } if !target.path.as_str().ends_with(".provenance") => {
                    pass.own_files += 1;
                    pass.files.name(target.bin, &target.entry());
                }
                _ => {}
            }
        }
        let mut digests = target.file.hashes.known();
        let Some(digest) = digests.next() else { return Ok(()) };
        let key = StoreKey::Target { path: target.path.clone(), digest };
        let object = match self.store.open(&key) {
            Ok(object) => object,
            Err(error) => return self.unreadable(&key, error),
        };
        let Some(object) = object else {
            if own {
                self.find(Kind::TargetMissing, key.path(), "is a target, and not there");
            } else {
                self.report.counts.elsewhere += 1;
            }
            return Ok(());
        };
        self.report.counts.target_files += 1;
        pass.found.objects += 1;
        pass.found.object_bytes += object.length;
        let inode = inode(&object);
        for digest in digests {
            let key = StoreKey::Target { path: target.path.clone(), digest };
            self.other_name(pass, &key, target.file, inode)?;
        }
        let keep =
            own && matches!(place, Place::List { json: true } | Place::Page { json: true, .. });
        let Some(bytes) = self.object(&key, target.file, object, keep) else { return Ok(()) };
        match place {
            Place::List { json: true } if own => self.project_list(pass, target, &bytes),
            Place::Page { json: true, project } if own => {
                self.project_page(pass, project, target, &bytes)?;
            }
            Place::File { .. } => self.plain_name(pass, target, inode, own)?,
            _ => {}
        }
        Ok(())
    }

    /// Checks the name that a target has with another digest: clients may ask for any.
    fn other_name(
        &mut self,
        pass: &mut Pass<'_>,
        key: &StoreKey,
        file: &TargetFile,
        inode: Option<(u64, u64)>,
    ) -> Result<(), Error> {
        let object = match self.store.open(key) {
            Ok(Some(object)) => object,
            Ok(None) => {
                let problem = "is not there, and the same target is under another digest";
                self.find(Kind::TargetMissing, key.path(), problem);
                return Ok(());
            }
            Err(error) => return self.unreadable(key, error),
        };
        pass.found.objects += 1;
        pass.found.object_bytes += object.length;
        let itself = self::inode(&object);
        if itself.is_none() || itself != inode {
            self.object(key, file, object, false);
        }
        Ok(())
    }

    /// Checks an object's length, and its bytes where that is asked for; `None` when they are wrong,
    /// the bytes when they are to be kept, and an empty vector else.
    pub(super) fn object(
        &mut self,
        key: &StoreKey,
        file: &TargetFile,
        object: OpenObject,
        keep: bool,
    ) -> Option<Vec<u8>> {
        if object.length != file.length {
            let problem =
                format!("has {} bytes, and its target says {}", object.length, file.length);
            self.find(Kind::TargetChanged, key.path(), problem);
            return None;
        }
        if !keep && file.length > SMALL {
            if self.settings.deep {
                self.gather_large(key, file);
            }
            return Some(Vec::new());
        }
        let limit = if keep { PAGE_LIMIT } else { 0 };
        match check_bytes(object, file, limit) {
            Ok(Ok(bytes)) => {
                self.report.counts.hashed += 1;
                Some(bytes)
            }
            Ok(Err(problem)) => {
                self.find(Kind::TargetChanged, key.path(), problem);
                None
            }
            Err(error) => {
                self.find(Kind::Unreadable, key.path(), error.to_string());
                None
            }
        }
    }

    /// Checks that the file under the plain name, which plain clients get, has the same bytes.
    pub(super) fn plain_name(
        &mut self,
        pass: &mut Pass<'_>,
        target: &Target<'_>,
        inode: Option<(u64, u64)>,
        own: bool,
    ) -> Result<(), Error> {
        let key = StoreKey::File(target.path.clone());
        let plain = match self.store.open(&key) {
            Ok(Some(plain)) => plain,
            Ok(None) if own => {
                self.find(Kind::PlainName, key.path(), "is not there, and pages link to it");
                return Ok(());
            }
            Ok(None) => return Ok(()),
            Err(error) => return self.unreadable(&key, error),
        };
        self.report.counts.plain_names += 1;
        pass.found.plain += 1;
        pass.found.plain_bytes += plain.length;
        let itself = self::inode(&plain);
        if itself.is_some() && itself == inode {
            return Ok(());
        }
        if plain.length != target.file.length {
            let problem =
                format!("has {} bytes, and its target {}", plain.length, target.file.length);
            self.find(Kind::PlainName, key.path(), problem);
            return Ok(());
        }
        // Not another name of the same file, but a copy: only its bytes tell.
        match check_bytes(plain, target.file, 0) {
            Ok(Ok(_)) => {}
            Ok(Err(problem)) => self.find(Kind::PlainName, key.path(), problem),
            Err(error) => self.find(Kind::Unreadable, key.path(), error.to_string()),
        }
        Ok(())
    }

    /// Compares what pages list with what bins name, and names what differs.
    fn compare_tallies(&mut self, pass: &Pass<'_>) -> Result<(), Error> {
        // Where no file is a target, they are elsewhere, or the pages vouch for them (`vouched`).
        let pages_only = pass.own_files == 0;
        let files = pass.files.different().filter(|_| !pages_only);
        let mut different: Vec<_> = files.chain(pass.html.different()).collect();
        different.sort_unstable();
        different.dedup();
        if different.len() > EXPLAINED {
            let problem = format!(
                "{} bins differ from what the pages list; what differs is named for {EXPLAINED} of \
                 them",
                different.len()
            );
            self.find(Kind::Page, "simple/", problem);
            different.truncate(EXPLAINED);
        }
        if different.is_empty() {
            return Ok(());
        }
        self.explain(pass, &different, pages_only)
    }

    /// What a bin claims, which was verified before.
    pub(super) fn claims(
        &mut self,
        signed: &Signed,
        bin: u32,
    ) -> Result<BTreeMap<String, TargetFile>, Error> {
        let role = signed.bins.role(bin);
        let version = signed.trusted.snapshot().roles.get(&role).map(|listed| listed.version);
        let Some(version) = version else { return Ok(BTreeMap::new()) };
        let bytes = self.store.read(&metadata_key(&role, version), super::METADATA_LIMIT)?;
        let read = bytes.and_then(|bytes| Unverified::<Targets>::parse(&bytes).ok());
        Ok(read.map(|read| read.claims().targets.clone()).unwrap_or_default())
    }

    /// The bytes of a page that is a target; `None` where they are not there or wrong.
    pub(super) fn page_bytes(
        &mut self,
        path: &TargetPath,
        file: &TargetFile,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(digest) = file.hashes.known().next() else { return Ok(None) };
        let bytes =
            self.store.read(&StoreKey::Target { path: path.clone(), digest }, PAGE_LIMIT)?;
        Ok(bytes.filter(|bytes| file.hashes.known().all(|digest| digest.is_of(bytes))))
    }
}

/// Reads an object to its end; the outer error is the disk's, the inner one says what differs. Up to
/// `keep` bytes are handed back.
pub(super) fn check_bytes(
    object: OpenObject,
    file: &TargetFile,
    keep: u64,
) -> io::Result<Result<Vec<u8>, String>> {
    let mut kept = Vec::new();
    let read = read_bytes(object, file, |bytes| {
        if kept.len() as u64 + bytes.len() as u64 <= keep {
            kept.extend_from_slice(bytes);
        }
    })?;
    Ok(read.map(|()| kept))
}

/// The same, with each piece shown to `visit`.
fn read_bytes(
    object: OpenObject,
    file: &TargetFile,
    mut visit: impl FnMut(&[u8]),
) -> io::Result<Result<(), String>> {
    let Some(mut checker) = file.hashes.checker() else {
        return Ok(Err("has no digest that is known here".to_owned()));
    };
    let mut reader = object.reader;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        checker.update(&buffer[..read]);
        visit(&buffer[..read]);
    }
    Ok(checker.finish().map_err(|mismatch| mismatch.to_string()))
}

/// Which file on which disk it is, to tell that two names are one file.
pub(super) fn inode(object: &OpenObject) -> Option<(u64, u64)> {
    match &object.reader {
        ObjectReader::File(file) => file.metadata().ok().map(|is| (is.dev(), is.ino())),
        ObjectReader::Memory(_) => None,
    }
}
