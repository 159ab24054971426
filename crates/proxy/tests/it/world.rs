//! An index, a mirror before it, a proxy that asks the mirror, and a client that asks the proxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::ext::ReasonPhrase;
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect};
use tokio::sync::oneshot;
use waxseal_client::{Client, IndexUrl, LAYOUT_FIELD, TrustStores};
use waxseal_index::paths::{PROJECT_LIST_HTML, PROJECT_LIST_JSON, project_html, project_json};
use waxseal_index::simple::{FileEntry, ProjectList, ProjectPage};
use waxseal_index::{DistributionFilename, NormalizedName};
use waxseal_proxy::{Bound, Exposure, Proxy, Settings};
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Tamper};
use waxseal_testkit::served::ServedSimulator;
use waxseal_testkit::simulator::{Simulator, target_path};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::json::{Object, Value};
use waxseal_tuf::metadata::Roles;

pub(crate) const PIP: &str = "pip/26.3 {}";
pub(crate) const UV: &str = "uv/0.13.9 {}";
pub(crate) const JSON: &str = "application/vnd.pypi.simple.v1+json";

pub(crate) const SMALL: &str = "foo_bar-1.0-py3-none-any.whl";
pub(crate) const LARGE: &str = "foo_bar-1.0.tar.gz";
pub(crate) const SMALL_URL: &str = "/files/packages/foo-bar/foo_bar-1.0-py3-none-any.whl";
pub(crate) const LARGE_URL: &str = "/files/packages/foo-bar/foo_bar-1.0.tar.gz";

pub(crate) struct World {
    pub(crate) index: ServedSimulator,
    pub(crate) mirror: Mirror,
    pub(crate) proxy: Proxy,
    pub(crate) address: SocketAddr,
    clock: Arc<Mutex<Timestamp>>,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
}

/// No memory of failures, so that a mirror is honest from one request to the next.
pub(crate) fn settings() -> Settings {
    Settings {
        refresh_after: Some(Duration::ZERO),
        answer_within: Duration::from_secs(10),
        stream_after: Duration::from_secs(10),
        remember_failure: Duration::ZERO,
        ..Settings::default()
    }
}

impl World {
    pub(crate) async fn new(settings: Settings) -> Self {
        let mut index = Packages::new();
        index.add(SMALL, b"a small wheel");
        index.add(LARGE, &large());
        Self::serving(index.publish(), settings).await
    }

    pub(crate) async fn serving(simulator: Simulator, settings: Settings) -> Self {
        let root = simulator.first_root();
        let index = ServedSimulator::start(simulator);
        let mirror = Mirror::start(&index.url());
        let url: IndexUrl = mirror.url().as_str().parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let stores = TrustStores::new(folder.path());
        stores.add(&url, &root, Simulator::now()).unwrap();
        let patience = waxseal_client::Settings { retries: 1, ..Default::default() };
        let client = Client::open(&stores.find(&url).unwrap(), patience).unwrap();
        let clock = Arc::new(Mutex::new(Simulator::now()));
        let time = Arc::clone(&clock);
        let settings = Settings { clock: Arc::new(move || *time.lock().unwrap()), ..settings };
        let proxy = Proxy::new(client, settings);
        let bound = Bound::bind("127.0.0.1:0".parse().unwrap(), Exposure::Loopback).await.unwrap();
        let address = bound.address();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(bound.serve(proxy.clone(), async { drop(stopped.await) }));
        let http = reqwest::Client::builder().redirect(redirect::Policy::none()).no_proxy();
        let http = http.build().unwrap();
        Self { index, mirror, proxy, address, clock, http, _folder: folder, _stop: stop }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) async fn fetch(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// A page as this program asks for it.
    pub(crate) async fn page(&self, path: &str, agent: &str) -> Response {
        let request = self.request(Method::GET, path).header("User-Agent", agent);
        request.header("Accept", JSON).send().await.unwrap()
    }

    pub(crate) fn lie(&self, matches: PathPattern, change: Change) {
        self.mirror.set(Tamper { matches, change });
    }

    pub(crate) fn pass(&self, time: SignedDuration) {
        *self.clock.lock().unwrap() += time;
    }

    /// How often the mirror was asked for what ends so.
    pub(crate) fn asked(&self, end: &str) -> usize {
        self.mirror.requests().iter().filter(|request| request.path.ends_with(end)).count()
    }
}

/// The reason phrase of a refusal, which every refusal has.
pub(crate) fn reason(response: &Response) -> String {
    assert_eq!(response.status(), StatusCode::CONFLICT);
    let phrase = response.extensions().get::<ReasonPhrase>();
    String::from_utf8(phrase.unwrap().as_bytes().to_vec()).unwrap()
}

/// A header's value.
pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

/// Too large to be held in memory by the proxy.
pub(crate) fn large() -> Vec<u8> {
    (0..6_000_000u32).map(|i| (i % 251) as u8).collect()
}

/// An index with bins, and the pages of what is in it.
pub(crate) struct Packages {
    simulator: Simulator,
    pages: BTreeMap<NormalizedName, ProjectPage>,
    /// Whether pages vouch for the files, which then are no targets.
    layout_index: bool,
    /// What becomes of a page before it is signed.
    pub(crate) edit: Box<Edit>,
}

/// What makes another page, or none, of the page at a target path.
pub(crate) type Edit = dyn Fn(&str, Vec<u8>) -> Option<Vec<u8>>;

impl Packages {
    pub(crate) fn new() -> Self {
        let mut simulator = Simulator::new();
        simulator.delegate_bins("targets", 2, "bin");
        Self { simulator, pages: BTreeMap::new(), layout_index: false, edit: Box::new(keep) }
    }

    /// Of layout `index`. Each page goes through `edit` with its target path before it is signed, and
    /// is left out if that says so.
    pub(crate) fn layout_index(edit: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>> + 'static) -> Self {
        Self { layout_index: true, edit: Box::new(edit), ..Self::new() }
    }

    fn put(&mut self, path: &str, content: &[u8]) {
        match self.layout_index {
            true => _ = self.simulator.target_files.insert(path.to_owned(), content.to_vec()),
            false => list(&mut self.simulator, path, content),
        }
    }

    pub(crate) fn add(&mut self, filename: &str, content: &[u8]) {
        self.add_file(filename, content, None);
    }

    pub(crate) fn add_file(&mut self, filename: &str, content: &[u8], metadata: Option<&[u8]>) {
        self.add_file_of(filename, content, metadata, Simulator::now());
    }

    /// A file that was uploaded at this time.
    pub(crate) fn add_file_of(
        &mut self,
        filename: &str,
        content: &[u8],
        metadata: Option<&[u8]>,
        upload_time: Timestamp,
    ) {
        let filename: DistributionFilename = filename.parse().unwrap();
        let name = filename.project().clone();
        let path = format!("packages/{name}/{filename}");
        self.put(&path, content);
        if let Some(metadata) = metadata {
            self.put(&format!("{path}.metadata"), metadata);
        }
        let entry = FileEntry {
            filename,
            sha256: Sha256::of(content).0,
            size: content.len() as u64,
            upload_time,
            requires_python: None,
            core_metadata_sha256: metadata.map(|metadata| Sha256::of(metadata).0),
            yanked: None,
        };
        let empty = ProjectPage { name: name.clone(), last_serial: 1, files: Vec::new() };
        self.pages.entry(name).or_insert(empty).files.push(entry);
    }

    pub(crate) fn publish(mut self) -> Simulator {
        for (name, page) in &self.pages {
            for (path, bytes) in
                [(project_json(name), page.to_json()), (project_html(name), page.to_html())]
            {
                let Some(bytes) = (self.edit)(&path, bytes) else { continue };
                list(&mut self.simulator, &path, &bytes);
                if self.layout_index {
                    vouch(&mut self.simulator, &path);
                }
            }
        }
        let projects = ProjectList { names: self.pages.keys().cloned().collect() };
        list(&mut self.simulator, PROJECT_LIST_JSON, &projects.to_json());
        list(&mut self.simulator, PROJECT_LIST_HTML, &projects.to_html());
        publish_all(&mut self.simulator);
        self.simulator
    }
}

/// Whether a page is in this format.
pub(crate) fn is(path: &str, format: &str) -> bool {
    path.rsplit('.').next() == Some(format)
}

/// The page as it is.
#[expect(clippy::unnecessary_wraps, reason = "it is one of the edits, and others leave pages out")]
pub(crate) fn keep(_: &str, page: Vec<u8>) -> Option<Vec<u8>> {
    Some(page)
}

/// Says of a page that is listed that it vouches for its files; not yet published.
pub(crate) fn vouch(simulator: &mut Simulator, path: &str) {
    let bin = bin_of(simulator, path);
    let says = Value::Object(Object::from_iter([LAYOUT_FIELD]));
    simulator.role(&bin).targets.get_mut(path).unwrap().custom = Some(says);
}

/// Lists a file in its bin; not yet published.
pub(crate) fn list(simulator: &mut Simulator, path: &str, content: &[u8]) {
    let bin = bin_of(simulator, path);
    simulator.add_target(&bin, path, content);
}

/// The bin that lists a path.
pub(crate) fn bin_of(simulator: &mut Simulator, path: &str) -> String {
    let delegations = simulator.role("targets").delegations.clone().unwrap();
    let Roles::Succinct(bins) = delegations.roles else { panic!("the simulator has bins") };
    bins.name(bins.bin_of(&target_path(path))).to_string()
}

/// Publishes every role anew.
pub(crate) fn publish_all(simulator: &mut Simulator) {
    let names: Vec<_> = simulator.targets.keys().map(ToString::to_string).collect();
    for name in names {
        simulator.role(&name).version += 1;
        simulator.write_targets(&name);
    }
    simulator.publish_snapshot();
}
