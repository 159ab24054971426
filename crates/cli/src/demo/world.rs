//! The world of the demo, in a temporary folder: an index with three days of history.
//!
//! The index is the real one - data folder, upload API, snapshot process, web server. Only the clock of
//! its snapshot process is the demo's: what it published three days ago, it published with the time of
//! then, so that it has expired today as it would have.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use data_encoding::BASE64;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use waxseal_client::{Client, IndexUrl, Settings, TrustStores};
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::{Repository, SnapshotProcess};
use waxseal_server::AppState;
use waxseal_signing::{Nobody, Scheme};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{RoleName, Signer, TargetPath};

use super::between::{About, Instead, Lie, Mirror, Recorded};
use super::http;
use super::wheel::Wheel;
use crate::config::Config;
use crate::data_folder::{DataFolder, Founding, NewIndex, OnlineKey};
use crate::host;

/// Few, since each is signed three times before anything is shown.
const BINS: u64 = 32;

pub(super) const GREET_1_0: Wheel = Wheel::new("greet", "1.0", &["phrases"], "greet 1.0");
pub(super) const GREET: Wheel = Wheel::new("greet", "1.1", &["phrases"], "greet 1.1");
/// Another file of the same release, as good as that one, and for other machines.
pub(super) const GREET_WINDOWS: Wheel =
    Wheel { tag: "py3-none-win_amd64", says: "greet 1.1 for Windows", ..GREET };
const PHRASES_1_0: Wheel = Wheel::new("phrases", "1.0", &[], "phrases 1.0");
const PHRASES: Wheel = Wheel::new("phrases", "1.1", &[], "phrases 1.1");
/// What nobody should install today.
const OLDXML: Wheel = Wheel::new("oldxml", "0.9", &[], "oldxml 0.9");

/// The demo's index, and what is remembered of it.
pub(super) struct World {
    index: Index,
    pub(super) three_days_ago: Moment,
    pub(super) two_hours_ago: Moment,
    folder: TempDir,
}

/// The index as it was once: what has no version in its name.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    timestamp: Recorded,
    /// By project.
    pages: BTreeMap<&'static str, Recorded>,
}

struct Index {
    data: DataFolder,
    repository: Arc<Repository>,
    process: Arc<SnapshotProcess>,
    address: SocketAddr,
    serving: JoinHandle<io::Result<()>>,
}

impl World {
    /// Makes it.
    pub(super) async fn make(folder: TempDir) -> anyhow::Result<Self> {
        let index = Index::start(&folder.path().join("waxseal-data")).await?;
        let now = Timestamp::now();
        let three_days_ago = now - SignedDuration::from_hours(72);
        for wheel in [GREET_1_0, PHRASES_1_0, OLDXML] {
            index.upload(&wheel).await?;
        }
        let three_days_ago = index.publish(three_days_ago).await?;
        let two_hours_ago = index.publish(now - SignedDuration::from_hours(2)).await?;
        for wheel in [GREET, GREET_WINDOWS, PHRASES] {
            index.upload(&wheel).await?;
        }
        index.publish(now).await?;
        Ok(Self { index, three_days_ago, two_hours_ago, folder })
    }

    /// The temporary folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.index.address)
    }

    pub(super) fn fingerprint(&self) -> anyhow::Result<String> {
        Ok(self.index.data.root_fingerprint()?.to_string())
    }

    /// A mirror of the index, honest at first.
    pub(super) async fn mirror(&self) -> anyhow::Result<Mirror> {
        Mirror::start(self.index.address).await.context("cannot start a mirror on loopback")
    }

    /// One of the three root keys, as a thief has it who found where its holder keeps it.
    pub(super) fn stolen_root_key(&self) -> anyhow::Result<Box<dyn Signer>> {
        let file = self.index.data.keys().join("root-1.pem");
        let uri = format!("file:{}?development", file.display()).parse()?;
        Ok(waxseal_signing::open(&uri, &Nobody)?)
    }

    /// The index's root, as everybody can read it.
    pub(super) fn root(&self) -> anyhow::Result<Vec<u8>> {
        let file = self.index.data.store().join("tuf/metadata/1.root.json");
        fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
    }

    /// The bins that pages of a project are in.
    pub(super) fn bins_of_pages(&self, project: &str) -> anyhow::Result<Vec<RoleName>> {
        let bins = self.index.repository.bins();
        let role = |path| Ok(bins.role(bins.bin_of(&TargetPath::new(path)?)));
        pages(project).into_iter().map(role).collect()
    }

    /// The two newest versions of a bin, the newer one first.
    pub(super) fn newest_versions(&self, bin: &RoleName) -> anyhow::Result<Option<(u64, u64)>> {
        let end = format!(".{bin}.json");
        let mut versions = Vec::new();
        for entry in fs::read_dir(self.index.data.store().join("tuf/metadata"))? {
            let name = entry?.file_name();
            let version = name.to_str().and_then(|name| name.strip_suffix(&end));
            versions.extend(version.and_then(|version| version.parse::<u64>().ok()));
        }
        versions.sort_unstable();
        Ok(versions.pop().zip(versions.pop()))
    }

    /// Gives somebody trust in the index, known by the URL of a mirror, as if the index had been used at
    /// that time: with all that installing `greet` reads of its metadata, but for some bins.
    pub(super) async fn trust(
        &self,
        trust: &Path,
        mirror: &Mirror,
        at: Timestamp,
        not_seen: &[RoleName],
    ) -> anyhow::Result<()> {
        let stores = TrustStores::new(trust);
        let (url, _) = IndexUrl::parse(&mirror.url())?;
        stores.add(&url, &self.root()?, at)?;
        let client = Client::open(&stores.find(&url)?, Settings::default())?;
        client.refresh(at).await?;
        let files = [GREET, PHRASES].iter().flat_map(|wheel| {
            let file = format!("packages/{}/{}", wheel.name, wheel.filename());
            [format!("{file}.metadata"), file]
        });
        let bins = self.index.repository.bins();
        for path in pages("greet").into_iter().chain(pages("phrases")).chain(files) {
            let path = TargetPath::new(path)?;
            if !not_seen.contains(&bins.role(bins.bin_of(&path))) {
                client.find(&path).await?;
            }
        }
        Ok(())
    }
}

/// The target paths of a project's pages.
fn pages(project: &str) -> [String; 2] {
    ["json", "html"].map(|format| format!("simple/{project}/vnd.pypi.simple.v1.{format}"))
}

impl Moment {
    /// What a mirror does that shows the index as it was, with its metadata.
    pub(super) fn replayed(&self) -> Vec<Lie> {
        let timestamp = About::Path("/tuf/metadata/timestamp.json".to_owned());
        let timestamp = Lie { about: timestamp, instead: self.timestamp.clone().into() };
        let pages = self.pages.keys().map(|project| self.page(project));
        [timestamp].into_iter().chain(pages.flatten()).collect()
    }

    /// What it does to show the page of one project as it was.
    pub(super) fn page(&self, project: &str) -> Option<Lie> {
        let instead = self.pages.get(project)?.clone().into();
        Some(Lie { about: About::Path(format!("/simple/{project}/")), instead })
    }
}

impl From<Recorded> for Instead {
    fn from(recorded: Recorded) -> Self {
        Self::Recorded(Box::new(recorded))
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Index {
    async fn start(folder: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.context("cannot listen on loopback")?;
        let address = listener.local_addr()?;
        let config = Config { listen: address, ..Config::development() };
        let bins = Bins::new(BINS, BinStyle::Succinct)?;
        let founding = Founding::Here { bins, online_key: &OnlineKey::New(Scheme::default()) };
        let new = NewIndex { founding, config: &config, upload_token: true };
        let (data, _) = DataFolder::open_or_create(folder, &new)?;
        let repository = data.repository()?;
        let process = Arc::new(host::snapshot_process(&data, Arc::clone(&repository))?);
        let settings = waxseal_server::Settings {
            // Nothing is published before the demo says when.
            publish_wait: Duration::ZERO,
            ..waxseal_server::Settings::default()
        };
        let router = waxseal_server::router(AppState::new(Arc::clone(&repository), settings));
        let serving = tokio::spawn(async move {
            let limits = waxseal_server::Limits::default();
            waxseal_server::serve(listener, router, &limits, std::future::pending()).await
        });
        Ok(Self { data, repository, process, address, serving })
    }

    /// Uploads a wheel as twine does.
    async fn upload(&self, wheel: &Wheel) -> anyhow::Result<()> {
        const BOUNDARY: &str = "waxseal-demo-boundary";
        let (bytes, filename) = (wheel.bytes(), wheel.filename());
        let sha256 = Sha256::of(&bytes).to_string();
        let fields = [
            (":action", "file_upload"),
            ("protocol_version", "1"),
            ("filetype", "bdist_wheel"),
            ("name", wheel.name),
            ("version", wheel.version),
            ("sha256_digest", &sha256),
        ];
        let part = |(name, value): (&str, &str)| {
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
        };
        let content = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"content\"; \
             filename=\"{filename}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        let parts = fields.into_iter().map(part).chain([content]).collect::<Vec<_>>().concat();
        let end = format!("\r\n--{BOUNDARY}--\r\n");
        let body = [parts.as_bytes(), &bytes, end.as_bytes()].concat();
        let token = self.data.quickstart_token().context("the index has no upload token")?;
        let user = BASE64.encode(format!("__token__:{token}").as_bytes());
        let fields = [
            ("Authorization", format!("Basic {user}")),
            ("Content-Type", format!("multipart/form-data; boundary={BOUNDARY}")),
        ];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = http::post(self.address, "/legacy/", &fields, &body).await?;
        let text = String::from_utf8_lossy(&answer.body);
        anyhow::ensure!(answer.status < 300, "{filename} was not taken: {text}");
        Ok(())
    }

    /// Signs and publishes what was uploaded, at this time, and remembers what the index then says.
    async fn publish(&self, at: Timestamp) -> anyhow::Result<Moment> {
        let process = Arc::clone(&self.process);
        tokio::task::spawn_blocking(move || process.publish_all(at)).await??;
        let timestamp = Recorded::of(self.address, "/tuf/metadata/timestamp.json").await?;
        let mut pages = BTreeMap::new();
        for wheel in [GREET, PHRASES] {
            let path = format!("/simple/{}/", wheel.name);
            pages.insert(wheel.name, Recorded::of(self.address, &path).await?);
        }
        Ok(Moment { at, timestamp, pages })
    }
}
