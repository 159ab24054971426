//! The command line of the public conformance suite for TUF clients (its `CLIENT-CLI.md`), over this
//! crate's client. Exit code 0 or 1 and nothing else.
//!
//! ```console
//! $ cargo build --package waxseal-client --example tuf-conformance
//! $ pytest tuf_conformance --entrypoint target/debug/examples/tuf-conformance
//! ```

use std::fs;
use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use waxseal_client::{Client, MetadataStore, Repository, Settings};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{Root, Unverified};
use waxseal_tuf::{RoleName, TargetPath};

type Done = Result<(), Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(about = "A TUF client for the conformance suite")]
struct Options {
    /// Folder of the trusted metadata
    #[arg(long)]
    metadata_dir: PathBuf,
    #[command(flatten)]
    repository: RepositoryOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct RepositoryOptions {
    /// Base URL of the repository's metadata
    #[arg(long, global = true)]
    metadata_url: Option<String>,
    /// Target path to download; several are downloaded in their order
    #[arg(long = "target-name", global = true)]
    target_names: Vec<String>,
    /// Base URL of the repository's targets
    #[arg(long, global = true)]
    target_base_url: Option<String>,
    /// Folder for the downloaded targets
    #[arg(long, global = true)]
    target_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Trust this root
    Init {
        /// The first root
        trusted_root: PathBuf,
    },
    /// Bring the metadata up to date
    Refresh,
    /// Bring the metadata up to date, then fetch targets
    Download,
}

fn main() -> ExitCode {
    // A panic would end with a code of its own.
    let done = panic::catch_unwind(|| match Options::try_parse() {
        Ok(options) => run(&options),
        Err(error) => Err(error.into()),
    });
    match done {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(options: &Options) -> Done {
    let work = options.metadata_dir.join(".waxseal");
    let store = MetadataStore::new(&options.metadata_dir, work);
    if let Command::Init { trusted_root } = &options.command {
        let root = fs::read(trusted_root)?;
        Unverified::<Root>::parse(&root)?;
        store.create()?;
        return Ok(store.write(&RoleName::from_static(RoleName::ROOT), &root)?);
    }
    store.create()?;
    // One thread for the disk, so that a test can count its calls.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build()?;
    runtime.block_on(use_repository(options, store))
}

async fn use_repository(options: &Options, store: MetadataStore) -> Done {
    let RepositoryOptions { metadata_url, target_names, target_base_url, target_dir } =
        &options.repository;
    let metadata_url = metadata_url.as_ref().ok_or("--metadata-url is missing")?;
    let target_url = target_base_url.as_ref().unwrap_or(metadata_url);
    let repository = Repository::new(metadata_url, target_url)?;
    // The suite counts requests: what is not there is asked for once.
    let settings = Settings { restarts: 0, ..Settings::default() };
    let client = Client::of(&repository, store, settings)?;
    client.refresh(jiff::Timestamp::now()).await?;
    if let Command::Download = options.command {
        let folder = target_dir.as_ref().ok_or("--target-dir is missing")?;
        target_base_url.as_ref().ok_or("--target-base-url is missing")?;
        for name in target_names {
            let path = TargetPath::new(name)?;
            let file = client.find(&path).await?.ok_or_else(|| format!("there is no {path}"))?;
            client.save(&path, &file, &folder.join(file_name(&path)), |_| {}).await?;
        }
    }
    Ok(())
}

/// One file name for each target path, whichever version of it is current.
fn file_name(path: &TargetPath) -> String {
    match RoleName::new(path.as_str()).map(|name| name.encoded()) {
        Ok(encoded) if encoded.len() <= 200 => encoded,
        _ => Sha256::of(path.as_str().as_bytes()).to_string(),
    }
}
