//! What the journal says of the targets of another index, against what the bins list.
//!
//! The last entry that names a path decides. There may be tens of millions of paths, so the journal is
//! read once for as many bins in a row as fit into memory, just before the first of them is.
//!
//! An import changes targets without an entry. Where one came after the last entry about a path, it may
//! have put the path back or given it other content; it never takes one away.

use std::collections::BTreeMap;

use waxseal_index::{DistributionFilename, paths};
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Digest;
use waxseal_tuf::metadata::TargetFile;

use super::Auditor;
use super::report::Kind;
use super::tally::{Half, half};
use crate::bins::Bins;
use crate::database::{AddTarget, Database, Entry, TargetsEntry};
use crate::error::Error;
use crate::layout::Layout;

/// Journal entries read at a time.
const AT_ONCE: u64 = 1_000;

/// How many paths are held at a time, some 80 bytes each, unless one bin alone has more.
const PATHS: usize = 1_000_000;

/// The last entries about paths that fall into some bins in a row.
#[derive(Debug)]
pub(super) struct Journalled {
    bins: Bins,
    /// How many paths are held.
    limit: usize,
    /// The bins that are held: from the first to before the second.
    held: (u32, u32),
    paths: BTreeMap<(u32, Half), Last>,
}

/// The last entry about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    serial: u64,
    /// What it adds; `None`: it removes the path.
    file: Option<Said>,
}

/// What is said of a target. Two of them are of one file where they agree in all that both say: with what
/// digests its target is listed is the index's own to say (`hash-algorithms`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    /// Of the SHA-256, where there is one.
    sha256: Option<Half>,
    /// Of the SHA-512, where there is one.
    sha512: Option<Half>,
    /// Of all else, without whether the page vouches for its files: that is the index's own as well, and
    /// follows the layout of the time.
    rest: Half,
}

impl Said {
    fn of(path: &TargetPath, file: &TargetFile) -> Self {
        let digest = |digest: Digest| half(digest.to_string().as_bytes());
        let sha256 = file.hashes.listed_sha256().map(|listed| digest(listed.into()));
        let sha512 = file.hashes.listed_sha512().map(|listed| digest(listed.into()));
        let mut file = file.clone();
        for known in file.hashes.known() {
            file.hashes.remove(known.algorithm());
        }
        Layout::Index.mark(path, &mut file);
        Self { sha256, sha512, rest: half(&file.to_canonical()) }
    }

    fn agrees_with(&self, other: &Self) -> bool {
        let agree = |a: Option<Half>, b: Option<Half>| a.zip(b).is_none_or(|(a, b)| a == b);
        agree(self.sha256, other.sha256)
            && agree(self.sha512, other.sha512)
            && self.rest == other.rest
    }
}

impl Journalled {
    pub(super) fn new(bins: Bins) -> Self {
        Self { bins, limit: PATHS, held: (0, 0), paths: BTreeMap::new() }
    }

    fn holds(&self, bin: u32) -> bool {
        bin < self.held.1
    }

    /// Begins to hold the paths of this bin and as many after it as there is room for.
    fn begin(&mut self, bin: u32) {
        self.held = (bin, self.bins.count());
        self.paths.clear();
    }

    /// Holds nothing, of no bin: the journal cannot be read.
    fn give_up(&mut self) {
        self.held = (0, u32::MAX);
        self.paths.clear();
    }

    /// Takes the next entry.
    fn read(&mut self, serial: u64, entry: &TargetsEntry) {
        let added = entry.add.iter().map(|AddTarget { path, file }| (path, Some(file)));
        let removed = entry.remove.iter().map(|path| (path, None));
        for (path, file) in added.chain(removed) {
            let bin = self.bins.bin_of(path);
            if self.held.0 <= bin && bin < self.held.1 {
                let last = Last { serial, file: file.map(|file| Said::of(path, file)) };
                self.paths.insert((bin, half(path.as_str().as_bytes())), last);
                self.make_room();
            }
        }
    }

    /// What an entry about a file of this index makes of its targets and its project's pages goes by the
    /// catalog, whatever an entry before said of them: a restoration after a compromise takes those back.
    fn is_hosted(&mut self, filename: &str) {
        if self.paths.is_empty() {
            return;
        }
        let Ok(filename) = filename.parse::<DistributionFilename>() else { return };
        let project = filename.project();
        for path in [
            paths::project_json(project),
            paths::project_html(project),
            paths::distribution(&filename),
            paths::core_metadata(&filename),
        ] {
            let Ok(path) = TargetPath::new(path) else { continue };
            let bin = self.bins.bin_of(&path);
            if let Some(last) = self.paths.get_mut(&(bin, half(path.as_str().as_bytes()))) {
                last.file = None;
            }
        }
    }

    /// Gives up bins from the end until there is room.
    fn make_room(&mut self) {
        let (first, end) = self.held;
        if self.paths.len() <= self.limit || end == first + 1 {
            return;
        }
        let middle = self.paths.keys().nth(self.limit / 2).map_or(first, |(bin, _)| *bin);
        self.held.1 = middle.max(first + 1);
        self.paths.split_off(&(self.held.1, [0; 16]));
    }

    /// Takes out what is held of a bin, and forgets those before it.
    fn of_bin(&mut self, bin: u32) -> BTreeMap<Half, Last> {
        let later = self.paths.split_off(&(bin + 1, [0; 16]));
        let paths = std::mem::replace(&mut self.paths, later);
        paths
            .into_iter()
            .filter(|((of, _), _)| *of == bin)
            .map(|((_, path), last)| (path, last))
            .collect()
    }
}

/// A bin that was read, for its findings.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadBin<'a> {
    pub(super) number: u32,
    /// Its file.
    pub(super) name: &'a str,
    pub(super) targets: &'a BTreeMap<String, TargetFile>,
}

impl Auditor<'_> {
    /// Reads the journal for `bin`, and for those after it, if it was not yet.
    pub(super) fn hold_journalled(
        &mut self,
        journalled: &mut Journalled,
        bin: u32,
    ) -> Result<(), Error> {
        let Some(database) = self.database else { return Ok(()) };
        if journalled.holds(bin) {
            return Ok(());
        }
        journalled.begin(bin);
        let (mut after, last) = (0, database.last_serial()?);
        loop {
            self.progress("journal entries", after, last);
            let rows = match database.waiting(after, AT_ONCE) {
                Ok(rows) => rows,
                // Found where the journal itself is looked at.
                Err(Error::JournalCorrupt { .. } | Error::JournalUnknownKind { .. }) => {
                    journalled.give_up();
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let Some(newest) = rows.last() else { return Ok(()) };
            after = newest.serial;
            for row in &rows {
                match &row.entry {
                    Entry::Targets(entry) => journalled.read(row.serial, entry),
                    Entry::Upload(upload) => journalled.is_hosted(&upload.filename),
                    Entry::Revoke(entry) => {
                        entry.files.iter().for_each(|filename| journalled.is_hosted(filename));
                    }
                    Entry::Readmit(_) => {}
                }
            }
        }
    }

    /// Compares a bin with the entries up to `published`. What later ones change may be there or not.
    pub(super) fn compare_journalled(
        &mut self,
        journalled: &mut Journalled,
        published: u64,
        bin: ReadBin<'_>,
    ) -> Result<(), Error> {
        let Some(database) = self.database else { return Ok(()) };
        let mut paths = journalled.of_bin(bin.number);
        paths.retain(|_, last| last.serial <= published);
        if paths.is_empty() {
            return Ok(());
        }
        let imported = database.imported_serial()?;
        for (path, file) in bin.targets {
            let Some(last) = paths.remove(&half(path.as_bytes())) else { continue };
            // One that is none was found with the targets.
            let Ok(path) = TargetPath::new(path.as_str()) else { continue };
            let says = Said::of(&path, file);
            if last.file.is_some_and(|file| file.agrees_with(&says))
                || is_of_uploads(database, &path, last)?
            {
                self.report.counts.journalled += 1;
            } else if last.serial <= imported {
                self.report.counts.imported_over += 1;
            } else {
                let says = format!("lists it with {}", in_words(file));
                self.divergent(database, last, half(path.as_str().as_bytes()), bin, &says)?;
            }
        }
        for (path, last) in paths {
            match last.file {
                None => self.report.counts.journalled += 1,
                Some(_) => self.divergent(database, last, path, bin, "does not list it")?,
            }
        }
        Ok(())
    }

    fn divergent(
        &mut self,
        database: &dyn Database,
        last: Last,
        path: Half,
        bin: ReadBin<'_>,
        bin_says: &str,
    ) -> Result<(), Error> {
        // Where nobody reads it, nothing is looked up for it.
        if self.report.is_full() {
            self.report.counts.findings += 1;
            return Ok(());
        }
        let rows = database.waiting(last.serial - 1, 1)?;
        let Some(Entry::Targets(entry)) = rows.into_iter().next().map(|row| row.entry) else {
            return Ok(());
        };
        let is = |it: &TargetPath| half(it.as_str().as_bytes()) == path;
        let added = entry.add.into_iter().find(|target| is(&target.path));
        let (path, did) = match added {
            Some(AddTarget { path, file }) => {
                (Some(path), format!("adds it with {}", in_words(&file)))
            }
            None => (entry.remove.into_iter().find(is), "removes it".to_owned()),
        };
        let problem = format!(
            "is not as the journal has it: entry {} {did}, and {} {bin_says}",
            last.serial, bin.name
        );
        self.find(Kind::Divergent, path.as_ref().map_or(bin.name, TargetPath::as_str), problem);
        Ok(())
    }
}

/// Whether uploads decide about a path by now: the list of projects, and what was removed before its
/// project had its first upload.
fn is_of_uploads(database: &dyn Database, path: &TargetPath, last: Last) -> Result<bool, Error> {
    let path = path.as_str();
    if [paths::PROJECT_LIST_JSON, paths::PROJECT_LIST_HTML].contains(&path) {
        return database.hosts_projects();
    }
    let mut pieces = path.splitn(3, '/');
    match (pieces.next(), pieces.next(), last.file) {
        (Some("simple" | "packages"), Some(project), None) => database.is_hosted(project),
        _ => Ok(false),
    }
}

fn in_words(file: &TargetFile) -> String {
    let digest = file.hashes.file_name_digest().unwrap_or("none");
    format!("the digest {digest} and {} bytes", file.length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use waxseal_tuf::hash::{Hashes, Sha256};

    use super::*;
    use crate::bins::BinStyle;

    fn file(content: &str) -> TargetFile {
        let hashes = Hashes::sha256(Sha256::of(content.as_bytes()));
        TargetFile { length: content.len() as u64, hashes, custom: None }
    }

    fn entry(add: &[(String, &str)], remove: &[String]) -> TargetsEntry {
        let path = |path: &String| TargetPath::new(path.as_str()).unwrap();
        let add = add.iter().map(|(at, content)| AddTarget { path: path(at), file: file(content) });
        let remove = remove.iter().map(path).collect();
        TargetsEntry { add: add.collect(), remove, by: "warehouse".to_owned() }
    }

    /// However few are held at a time, each path has its last entry, and none is left out.
    #[test]
    fn the_last_entry_decides_however_little_memory_there_is() {
        let bins = Bins::new(16, BinStyle::Succinct).unwrap();
        let paths: Vec<_> = (0..500).map(|n| format!("packages/p/p-{n}.whl")).collect();
        let all = |content| paths.iter().map(|path| (path.clone(), content)).collect::<Vec<_>>();
        let journal = [
            entry(&all("first"), &[]),
            entry(&all("second")[..300], &paths[300..400]),
            entry(&all("third")[250..350], &paths[..10]),
        ];
        let mut expected = BTreeMap::new();
        for (n, path) in paths.iter().enumerate() {
            let (serial, says) = match n {
                0..10 => (3, None),
                250..350 => (3, Some("third")),
                10..250 => (2, Some("second")),
                350..400 => (2, None),
                _ => (1, Some("first")),
            };
            let at = TargetPath::new(path.as_str()).unwrap();
            let file = says.map(|says| Said::of(&at, &file(says)));
            expected.insert((bins.bin_of(&at), half(path.as_bytes())), Last { serial, file });
        }
        for (limit, least, most) in [(1_000, 1, 1), (200, 3, 8), (40, 8, 16), (1, 16, 16)] {
            let mut journalled = Journalled { limit, ..Journalled::new(bins) };
            let (mut found, mut readings) = (BTreeMap::new(), 0);
            for bin in 0..bins.count() {
                if !journalled.holds(bin) {
                    journalled.begin(bin);
                    readings += 1;
                    for (serial, entry) in (1..).zip(&journal) {
                        journalled.read(serial, entry);
                    }
                    let (first, end) = journalled.held;
                    assert!(journalled.paths.len() <= limit || end == first + 1, "{limit}");
                }
                let of_bin = journalled.of_bin(bin).into_iter();
                found.extend(of_bin.map(|(path, last)| ((bin, path), last)));
            }
            assert_eq!(found, expected, "{limit}");
            assert!((least..=most).contains(&readings), "{readings} readings for {limit}");
        }
    }
}
