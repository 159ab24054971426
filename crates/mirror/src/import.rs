//! Applies an update file to a mirror. The file is trusted with nothing: what it holds is verified from the
//! root that is trusted here, as if a network had brought it.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use waxseal_client::{Located, MetadataStore, Settings, TrustStore};
use waxseal_tuf::{
    Answer, Limits, MetadataFile, RoleName, Step, TargetCheck, TargetFile, TargetPath, Updater,
};

use crate::durable::{length_of, read_if_there};
use crate::error::Error;
use crate::exchange::{MANIFEST, Manifest};
use crate::filter::Filter;
use crate::folder::{linked_name, target_name};
use crate::mirror::Mirror;
use crate::run::{Outcome, Progress, SyncOptions};
use crate::state::{Keep, State};
use crate::sync::Run;
use crate::upstream::{Check, Upstream};
use crate::view::ROOT;

/// The most bytes of a manifest.
const MANIFEST_LIMIT: u64 = 64 << 20;

/// The most bytes of one file in an update.
const ENTRY_LIMIT: u64 = 64 << 30;

/// How to apply an update.
#[derive(Debug, Clone, Copy)]
pub struct ImportOptions {
    /// How long older snapshots stay.
    pub keep: Keep,
    /// How many files are verified at a time.
    pub threads: usize,
    /// Whether other projects may be copied from now on, as the update says, than those that are here.
    pub other_projects: bool,
}

impl Mirror {
    /// Applies an update to the mirror, which is made where there is none.
    pub fn import(
        &self,
        update: &Path,
        trust: &TrustStore,
        options: ImportOptions,
        now: Timestamp,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(Manifest, Outcome), Error> {
        let mut archive = Archive::open(update)?;
        let work = self.begin(&trust.index().url)?;
        let mut state = self.state_of(trust)?;
        archive.connects(&state, options.other_projects)?;
        let incoming = self.folder.private("incoming");
        remove_folder(&incoming)?;
        archive.unpack(self, &incoming)?;
        let manifest = archive.manifest;

        let store = self.trust_store(trust)?;
        let sync = SyncOptions {
            filter: Some(manifest.filter.clone()),
            keep: options.keep,
            check_all: false,
            threads: options.threads,
        };
        let settings = Settings::default();
        let upstream = Incoming { folder: incoming.clone() };
        let run = Run {
            folder: &self.folder,
            folders: &work.folders,
            upstream: &upstream,
            settings: &settings,
            options: &sync,
            now,
            progress,
        };
        let result = run.run(&store, &mut state).map_err(|error| explained(error, update, &state));
        let outcome = self.told(&work.folders, &state, &store, now, result)?;
        remove_folder(&incoming)?;
        Ok((manifest, outcome))
    }
}

/// What is missing in an update is in one that comes before it.
fn explained(error: Error, update: &Path, state: &State) -> Error {
    if !error.may_be_overtaken() {
        return error;
    }
    let since = state.published().map_or(0, |kept| kept.snapshot);
    Error::Update {
        path: update.to_owned(),
        problem: format!("it does not connect to what is here: {error}"),
        hint: format!("have one made with `--since {since}`, which begins from what is here"),
    }
}

fn remove_folder(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// An update file, whose manifest was read.
struct Archive {
    path: PathBuf,
    manifest: Manifest,
    tar: tar::Archive<BufReader<File>>,
}

impl Archive {
    fn open(path: &Path) -> Result<Self, Error> {
        let open = || {
            let file = File::open(path).map_err(Error::io("open", path))?;
            Ok::<_, Error>(tar::Archive::new(BufReader::with_capacity(1 << 20, file)))
        };
        let no_update = |problem: &str| broken(path, &format!("it is no update: {problem}"));
        let mut tar = open()?;
        let mut entries = tar.entries().map_err(|error| no_update(&error.to_string()))?;
        let first = entries.next().ok_or_else(|| no_update("it is empty"))?;
        let first = first.map_err(|error| no_update(&error.to_string()))?;
        if first.path_bytes()[..] != *MANIFEST.as_bytes() {
            return Err(no_update("it does not begin with a manifest"));
        }
        let mut bytes = Vec::new();
        let read = first.take(MANIFEST_LIMIT).read_to_end(&mut bytes);
        read.map_err(|error| no_update(&error.to_string()))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| no_update(&error.to_string()))?;
        if manifest.format != 1 {
            return Err(no_update("it has a form that this version does not know"));
        }
        Ok(Self { path: path.to_owned(), manifest, tar: open()? })
    }

    /// Whether the manifest says that the update fits what is here. What it says proves nothing, and spares
    /// unpacking what would be refused.
    fn connects(&self, state: &State, other_projects: bool) -> Result<(), Error> {
        let here = state.published();
        let update = |problem: String, hint: String| {
            Err(Error::Update { path: self.path.clone(), problem, hint })
        };
        let (from, to) = (self.manifest.from, self.manifest.snapshot);
        let snapshot = here.map_or(0, |kept| kept.snapshot);
        if let Some(from) = from.filter(|from| *from > snapshot) {
            let has = match here {
                Some(kept) => format!("this mirror has {}", kept.snapshot),
                None => "this mirror has none".to_owned(),
            };
            return update(
                format!("it leads from snapshot {from} to {to}, and {has}"),
                format!(
                    "apply the updates before it first, or have one made with `--since {snapshot}`"
                ),
            );
        }
        let filter: &Filter = &self.manifest.filter;
        match here {
            Some(kept) if kept.filter != *filter && !other_projects => update(
                format!("it is of {filter}, and this mirror has {}", kept.filter),
                "if that is meant, say so with --other-projects; what is not in it any more is removed"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }

    /// Unpacks what is not in the mirror already.
    fn unpack(&mut self, mirror: &Mirror, incoming: &Path) -> Result<(), Error> {
        let Self { path, manifest, tar } = self;
        let cut = |error: io::Error| broken(path, &format!("it is cut off or damaged: {error}"));
        let (mut entries, mut bytes) = (0, 0);
        for entry in tar.entries().map_err(cut)? {
            let mut entry = entry.map_err(cut)?;
            let name = String::from_utf8(entry.path_bytes().into_owned());
            let name = name.map_err(|_| broken(path, "it has a name that is none"))?;
            if name == MANIFEST {
                continue;
            }
            let is_file = entry.header().entry_type() == tar::EntryType::Regular;
            let length = entry.size();
            // Of the names that metadata gives, none leaves the folder.
            if !is_file || TargetPath::check(&name).is_err() || length > ENTRY_LIMIT {
                return Err(broken(path, &format!("{name:?} does not belong into an update")));
            }
            entries += 1;
            bytes += length;
            let is_named_by_digest = name.starts_with("tuf/targets/");
            if is_named_by_digest && length_of(&mirror.folder.path(&name)) == Some(length) {
                continue;
            }
            let to = incoming.join(&name);
            let parent = to.parent().unwrap_or(incoming);
            fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
            let mut file = File::create(&to).map_err(Error::io("write", &to))?;
            let copied = copy(&mut entry, &mut file);
            let copied = copied.map_err(|failure| match failure {
                Failure::Read(error) => cut(error),
                Failure::Write(error) => Error::io("write", &to)(error),
            })?;
            if copied != length {
                return Err(broken(path, "it is cut off"));
            }
        }
        if (entries, bytes) != (manifest.entries, manifest.bytes) {
            let problem = format!(
                "it is cut off or changed: it has {entries} files with {bytes} bytes, and its manifest says \
                 {} with {}",
                manifest.entries, manifest.bytes
            );
            return Err(broken(path, &problem));
        }
        Ok(())
    }
}

enum Failure {
    Read(io::Error),
    Write(io::Error),
}

fn copy(from: &mut impl Read, to: &mut impl io::Write) -> Result<u64, Failure> {
    let (mut buffer, mut copied) = (vec![0; 1 << 18], 0);
    loop {
        let read = from.read(&mut buffer).map_err(Failure::Read)?;
        if read == 0 {
            return Ok(copied);
        }
        to.write_all(&buffer[..read]).map_err(Failure::Write)?;
        copied += read as u64;
    }
}

fn broken(path: &Path, problem: &str) -> Error {
    Error::Update {
        path: path.to_owned(),
        problem: problem.to_owned(),
        hint: "nothing of it was used: bring it over again, or have it written again".to_owned(),
    }
}

/// An update that was unpacked.
struct Incoming {
    folder: PathBuf,
}

impl Incoming {
    fn read(&self, file: &MetadataFile) -> Result<Option<Vec<u8>>, Error> {
        let path = self.folder.join("tuf/metadata").join(&file.path);
        if length_of(&path).is_some_and(|length| length > file.max_length) {
            let (got, file) = (length_of(&path).unwrap_or_default(), file.clone());
            let (expected, file) = (file.max_length, file.path);
            return Err(waxseal_tuf::Error::Length { file, expected, exact: false, got }.into());
        }
        read_if_there(&path)
    }
}

impl Upstream for Incoming {
    fn refresh(&self, store: &MetadataStore, now: Timestamp) -> Result<(), Error> {
        let root = store.read(&ROOT)?;
        let url = self.folder.display().to_string();
        let root = root.ok_or(waxseal_client::Error::NotTrusted { url })?;
        let mut updater = Updater::new(&root, now, Limits::default())?;
        loop {
            let answer = match updater.step() {
                Step::Load(role) => Answer::Loaded(store.read(&role)?),
                Step::Fetch(file) => match self.read(&file)? {
                    Some(bytes) => Answer::Fetched(bytes),
                    None => Answer::NotFound,
                },
                Step::Store(role, bytes) => {
                    store.write(&role, &bytes)?;
                    Answer::Stored
                }
                Step::Done => return Ok(()),
            };
            updater = updater.answer(answer)?;
        }
    }

    fn metadata(&self, file: &MetadataFile, check: Check<'_>) -> Result<bool, Error> {
        let Some(bytes) = self.read(file)? else { return Ok(false) };
        check(bytes)?;
        Ok(true)
    }

    fn save(
        &self,
        file: &Located,
        destination: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let missing = |name: &str| {
            let (file, named_by) = (name.to_owned(), RoleName::targets());
            Error::from(waxseal_tuf::Error::Missing { file, named_by })
        };
        let name = match (file.page(), file.below_index()) {
            (None, _) => {
                let digest = file.hashes().known().next();
                digest.map(|digest| target_name(file.path(), &digest.to_string()))
            }
            (Some(_), link) => link.and_then(linked_name),
        };
        let name = name.ok_or_else(|| missing(file.path().as_str()))?;
        let path = self.folder.join(&name);
        let Some(there) = length_of(&path) else { return Err(missing(&name)) };
        let hashes = file.hashes().clone();
        let target = TargetFile { length: file.length().unwrap_or(there), hashes, custom: None };
        let mut check = TargetCheck::new(file.path().clone(), &target)?;
        let mut opened = File::open(&path).map_err(Error::io("read", &path))?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = opened.read(&mut buffer).map_err(Error::io("read", &path))?;
            if read == 0 {
                break;
            }
            check.update(&buffer[..read])?;
            progress(read as u64);
        }
        check.finish()?;
        opened.sync_all().map_err(Error::io("write", &path))?;
        fs::rename(&path, destination).map_err(Error::io("write", destination))
    }
}
