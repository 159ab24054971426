use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use waxseal_client::{
    BundleState, BundledIndex, Fingerprint, IndexUrl, Settings, TrustBundle, TrustStore,
    TrustStores, fetch_bundle, fetch_root_with_fingerprint,
};
use waxseal_tuf::RoleName;

use crate::commands::block_on;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::trust::TrustOption;

/// Write a trust bundle: one file by which others trust the same indexes.
///
/// It names each index, the fingerprint of its first root, that root, and the mirrors that are known here.
/// Publish the fingerprint of the file over another way than the file.
#[derive(Debug, clap::Args)]
pub(crate) struct Bundle {
    /// URLs of indexes that are trusted on this machine
    #[arg(value_name = "URL", required_unless_present = "all", conflicts_with = "all")]
    urls: Vec<IndexUrl>,

    /// All that are trusted on this machine
    #[arg(long)]
    all: bool,

    /// Where to write it
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    trust: TrustOption,
}

impl Bundle {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let stores = self.trust.stores()?;
        let urls = match self.all {
            true => stores.list()?.into_iter().map(|index| index.url).collect(),
            false => self.urls,
        };
        if urls.is_empty() {
            return Err(waxseal_client::Error::NoIndex.into());
        }
        let mut indexes = Vec::new();
        for url in &urls {
            indexes.push(block_on(bundled(&stores.find(url)?))?);
        }
        let text = TrustBundle::new(indexes)?.to_json()?;
        write_new(&self.output, &text)?;
        let fingerprint = Fingerprint::of(&text).to_string();
        let (file, count) = (self.output.display(), urls.len());
        let count = if count == 1 { "1 index".to_owned() } else { format!("{count} indexes") };
        output::line(&format!("{file} has {count} (bundle {fingerprint})"));
        output::compare(&fingerprint);
        Ok(ExitCode::SUCCESS)
    }
}

/// An index as others are to trust it: by the root that it is known by, which is asked for where another
/// one is the newest.
async fn bundled(store: &TrustStore) -> anyhow::Result<BundledIndex> {
    let index = store.index();
    let newest = store.metadata().read(&RoleName::from_static(RoleName::ROOT))?;
    let first = newest.filter(|root| Fingerprint::of(root) == index.fingerprint);
    let root = match first {
        Some(root) => Some(root),
        None => {
            let settings = Settings { mirrors: index.mirrors.clone(), ..Settings::default() };
            let fetched = fetch_root_with_fingerprint(&index.url, index.fingerprint, &settings);
            fetched
                .await
                .inspect_err(|error| {
                    output::warning(&format!(
                        "the root of {} is not in the bundle, and will be asked of the index: {error}",
                        index.url
                    ));
                })
                .ok()
        }
    };
    Ok(BundledIndex {
        url: index.url.clone(),
        fingerprint: index.fingerprint,
        root: root.and_then(|root| String::from_utf8(root).ok()),
        mirrors: Some(index.mirrors.clone()).filter(|mirrors| !mirrors.is_empty()),
    })
}

/// Whole or not at all, and no other file is lost.
fn write_new(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("cannot write the bundle {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .with_context(failed)?;
    file.write_all(text).and_then(|()| file.as_file().sync_all()).with_context(failed)?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            let problem = format!("{} exists already", path.display());
            let hint = "it was left as it is: choose another name, or remove it first";
            Err(Failure::new(Exit::Usage, problem, hint).into())
        }
        persisted => persisted.map(drop).map_err(|error| error.error).with_context(failed),
    }
}

/// Trusts what a bundle names, all of it or nothing.
pub(super) fn add(
    stores: &TrustStores,
    from: &str,
    fingerprint: Option<Fingerprint>,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::default();
    let bytes = read(from, fingerprint, &settings)?;
    let bundle = TrustBundle::parse(&bytes)?;
    let states = block_on(async { Ok(stores.compare_bundle(&bundle, &settings).await?) })?;
    // It fails before anything is trusted where one of them is another.
    let added = stores.add_bundle(&bundle, &states, Timestamp::now());
    let nothing = matches!(added, Err(waxseal_client::Error::OtherRoot { .. }));
    let rows = bundle.indexes().iter().zip(&states).map(|(index, state)| {
        let state = match state {
            BundleState::New { .. } if added.is_err() => "was not added".to_owned(),
            BundleState::New { .. } => "is trusted from now on".to_owned(),
            BundleState::Already => "is trusted already".to_owned(),
            BundleState::Conflict { trusted } => format!("is trusted with another root: {trusted}"),
        };
        let mirrors = match index.mirrors.as_ref().map_or(0, Vec::len) {
            0 => String::new(),
            1 => "1 mirror".to_owned(),
            count => format!("{count} mirrors"),
        };
        vec![index.url.to_string(), state, index.fingerprint.to_string(), mirrors]
    });
    if added.is_ok() || nothing {
        output::table(&["index", "", "fingerprint of its first root", ""], rows);
    }
    added?;
    let fingerprint = Fingerprint::of(&bytes).to_string();
    output::line(&format!("all of the bundle is trusted (bundle {fingerprint})"));
    output::compare(&fingerprint);
    Ok(ExitCode::SUCCESS)
}

fn read(
    from: &str,
    fingerprint: Option<Fingerprint>,
    settings: &Settings,
) -> anyhow::Result<Vec<u8>> {
    let is_url = ["http://", "https://"].iter().any(|scheme| from.starts_with(scheme));
    match fingerprint {
        Some(expected) if is_url => {
            block_on(async { Ok(fetch_bundle(from, expected, settings).await?) })
        }
        None if is_url => {
            let problem = "whoever answers at a URL could hand out another bundle";
            let hint = "name the bundle's fingerprint, as who publishes it shows it over another way: \
                        --fingerprint FINGERPRINT";
            Err(Failure::new(Exit::Usage, problem, hint).into())
        }
        _ => {
            let failed = || format!("cannot read the bundle {from}");
            let mut bytes = Vec::new();
            let file = File::open(from).with_context(failed)?;
            file.take(TrustBundle::MAX_LENGTH + 1).read_to_end(&mut bytes).with_context(failed)?;
            let got = Fingerprint::of(&bytes);
            match fingerprint.filter(|expected| *expected != got) {
                Some(expected) => {
                    Err(waxseal_client::Error::BundleFingerprint { expected, got }.into())
                }
                None => Ok(bytes),
            }
        }
    }
}
