//! What comes out of a ceremony: metadata, transcript, sheet and bundles.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use waxseal_client::Fingerprint;
use waxseal_repository::ceremony::review::{Review, RootFile};
use waxseal_repository::ceremony::{BINS, Ceremony};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{Role, Targets, Unverified};

use super::bundle::{Bundle, Kind};
use super::current::Current;
use super::hold::Made;
use super::plan_file::{PlanFile, slug};
use super::sheet::Sheet;

/// Names in the folder of a ceremony.
pub(crate) const SERVER: &str = "server-bundle.tar";
pub(crate) const EVERYTHING: &str = "everything-bundle.tar";

/// A file that a ceremony signed.
pub(crate) struct Signed {
    pub(crate) role: RoleName,
    pub(crate) version: u64,
    pub(crate) bytes: Vec<u8>,
    /// Digest of what is signed.
    pub(crate) payload: Sha256,
}

impl Signed {
    pub(crate) fn name(&self) -> String {
        format!("{}.{}.json", self.version, self.role)
    }
}

/// The files of a ceremony, roots first.
pub(crate) fn files(ceremony: &Ceremony) -> anyhow::Result<Vec<Signed>> {
    let root = RoleName::from_static(RoleName::ROOT);
    let mut files = Vec::new();
    for bytes in &ceremony.roots {
        files.push(signed::<waxseal_tuf::metadata::Root>(&root, bytes)?);
    }
    if let Some(new) = &ceremony.delegations {
        files.push(signed::<Targets>(&RoleName::targets(), &new.targets)?);
        files.push(signed::<Targets>(&BINS, &new.bins)?);
    }
    Ok(files)
}

fn signed<T: Role>(role: &RoleName, bytes: &[u8]) -> anyhow::Result<Signed> {
    let file = Unverified::<T>::parse(bytes);
    let file = file.map_err(|problem| anyhow::anyhow!("{role} was made wrong: {problem}"))?;
    Ok(Signed {
        role: role.clone(),
        version: file.claims().version(),
        bytes: bytes.to_vec(),
        payload: Sha256::of(file.payload()),
    })
}

/// The sheet of a ceremony.
pub(crate) fn sheet(plan: &PlanFile, made: &Made) -> anyhow::Result<Sheet> {
    let mut sheet = Sheet::new(&plan.name, made.time);
    sheet.text(
        "Keep this on paper. Years later it tells whether a file or a key is of this ceremony.\n\
         Each hash stands in hexadecimal digits, and beside them in words to read out.",
    );
    sheet.heading("Keys");
    for key in &made.holders {
        let label = format!("Root key of {} (keyid)", key.holder.name);
        sheet.hash(&label, key.holder.key.default_keyid().as_str());
    }
    sheet.hash("Online key (keyid)", made.online.key.default_keyid().as_str());
    sheet
        .heading("What was signed: SHA-256 of the signed part, which no further signature changes");
    let files = files(&made.ceremony)?;
    for file in &files {
        sheet.hash(&file.name(), &file.payload.to_string());
    }
    sheet.heading("Whole files, as they are at the end of the ceremony: SHA-256");
    for file in &files {
        let note = match (file.role.as_str(), file.version) {
            (RoleName::ROOT, 1) => {
                "; if no signature comes to it, clients are given this fingerprint"
            }
            _ => "",
        };
        let label = format!("{}{note}", file.name());
        sheet.hash(&label, &Fingerprint::of(&file.bytes).to_string());
    }
    Ok(sheet)
}

/// Who is to sign still, a line for each.
pub(crate) fn missing(made: &Made, current: Option<&Current>) -> anyhow::Result<Vec<String>> {
    let files = files(&made.ceremony)?;
    let names: Vec<_> = files.iter().map(Signed::name).collect();
    let roots: Vec<_> = files
        .iter()
        .zip(&names)
        .filter(|(file, _)| file.role.as_str() == RoleName::ROOT)
        .map(|(file, name)| RootFile { name, bytes: &file.bytes })
        .collect();
    let trusted = current.map(|current| current.offline.root().bytes().to_vec());
    let review = Review::new(trusted.as_deref(), &roots)?;
    Ok(super::review::missing(&review))
}

/// Writes all of it into `folder`, which holds the key files already.
pub(crate) fn write(
    folder: &Path,
    plan: &PlanFile,
    plan_text: &[u8],
    made: &Made,
    current: Option<&Current>,
    transcript: &str,
) -> anyhow::Result<()> {
    let files = files(&made.ceremony)?;
    let sheet = sheet(plan, made)?;
    let metadata = folder.join("metadata");
    fs::DirBuilder::new().mode(0o755).create(&metadata)?;
    for file in &files {
        put(&metadata.join(file.name()), &file.bytes, 0o644)?;
    }
    let (text, pages) = (sheet.to_text(), sheet.to_svg());
    put(&folder.join("plan.toml"), plan_text, 0o644)?;
    put(&folder.join("transcript.txt"), transcript.as_bytes(), 0o644)?;
    put(&folder.join("sheet.txt"), text.as_bytes(), 0o644)?;
    for (number, page) in (1..).zip(&pages) {
        put(&folder.join(format!("sheet-{number}.svg")), page.as_bytes(), 0o644)?;
    }

    let mut server = Bundle::new(Kind::Server, &plan.name, made.time);
    if let Some(current) = current {
        for (name, bytes) in
            current.bundle.files().filter(|(name, _)| name.starts_with("metadata/"))
        {
            server.add(name, bytes);
        }
    }
    for file in &files {
        server.add_metadata(file.version, &file.role, &file.bytes);
    }
    server.add("plan.toml", plan_text);
    if let Some(file) = &made.online.file {
        server.add("keys/online.pem", &fs::read(file)?);
    }
    server.write(&folder.join(SERVER))?;

    let mut everything = server.clone();
    everything.kind = Kind::Everything;
    for key in &made.holders {
        if let Some(file) = &key.file {
            let name = format!("keys/root-{}.pem", slug(&key.holder.name));
            everything.add(name, &fs::read(file)?);
        }
    }
    everything.add("transcript.txt", transcript.as_bytes());
    everything.add("sheet.txt", text.as_bytes());
    for (number, page) in (1..).zip(&pages) {
        everything.add(format!("sheet-{number}.svg"), page.as_bytes());
    }
    everything.write(&folder.join(EVERYTHING))?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn put(path: &PathBuf, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.with_context(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(failed)
}
