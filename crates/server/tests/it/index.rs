//! An index with a real repository and snapshot process in a temporary folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::header::{ACCEPT, HeaderName};
use http::{HeaderMap, Request, StatusCode};
use hyper::ext::ReasonPhrase;
use jiff::Timestamp;
use tempfile::TempDir;
use tower::ServiceExt;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::ceremony::{self, Holder, OfflineLifetimes, OneTimeKeys, Plan, Signers};
use waxseal_repository::database::{SqliteDatabase, TokenScope, Tokens};
use waxseal_repository::store::{FilesystemStore, MemoryStore, Store};
use waxseal_repository::{Lifetimes, Repository, SnapshotProcess, WriterLock};
use waxseal_server::{AppState, Settings, router};
use waxseal_testkit::simulator::TestKey;
use waxseal_tuf::Signer;

use crate::form::Form;

pub(crate) const JSON: &str = "application/vnd.pypi.simple.v1+json";
pub(crate) const HTML: &str = "application/vnd.pypi.simple.v1+html";

/// An index. Nothing is published but by [`Index::publish`].
pub(crate) struct Index {
    pub(crate) repository: Arc<Repository>,
    pub(crate) process: Arc<SnapshotProcess>,
    pub(crate) router: Router,
    /// For uploads.
    pub(crate) token: String,
    /// For the API.
    pub(crate) api_token: String,
    folder: TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) reason: String,
    pub(crate) body: Vec<u8>,
}

/// What must not change when an upload is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    last_serial: u64,
    files: BTreeSet<(String, u64)>,
}

/// Settings for tests: the snapshot process is not waited for.
pub(crate) fn settings() -> Settings {
    Settings { publish_wait: Duration::ZERO, max_upload: 1 << 20, ..Settings::default() }
}

/// The online key of each index.
pub(crate) fn online_key() -> TestKey {
    TestKey::new("online")
}

impl Index {
    /// An index on the file system.
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = FilesystemStore::open(folder.path().join("public")).unwrap();
        Self::on(Box::new(store), folder, settings)
    }

    /// An index in memory whose online key is [`online_key`], as `signer` does with it.
    pub(crate) fn signing_with(signer: Box<dyn Signer>, settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        Self::on_with(Box::new(MemoryStore::new()), folder, settings, signer, now)
    }

    /// An index in memory whose ceremony was held then.
    pub(crate) fn founded(when: Timestamp) -> Self {
        let (store, folder) = (Box::new(MemoryStore::new()), tempfile::tempdir().unwrap());
        Self::on_with(store, folder, settings(), Box::new(online_key()), when)
    }

    /// The same index with a server that was started just now.
    pub(crate) fn restarted(self, settings: Settings) -> Self {
        let router = router(AppState::new(Arc::clone(&self.repository), settings));
        Self { router, ..self }
    }

    /// An index in memory, its database apart.
    pub(crate) fn in_memory() -> Self {
        Self::on(Box::new(MemoryStore::new()), tempfile::tempdir().unwrap(), settings())
    }

    fn on(store: Box<dyn Store>, folder: TempDir, settings: Settings) -> Self {
        Self::on_with(store, folder, settings, Box::new(online_key()), Timestamp::now())
    }

    fn on_with(
        store: Box<dyn Store>,
        folder: TempDir,
        settings: Settings,
        online: Box<dyn Signer>,
        founded: Timestamp,
    ) -> Self {
        let [root, targets, bins] = ["root", "targets", "bins"]
            .map(|role| [1, 2].map(|number| TestKey::new(&format!("{role} {number}"))));
        let one_time =
            OneTimeKeys { targets: &[&targets[0], &targets[1]], bins: &[&bins[0], &bins[1]] };
        let signers = Signers { root: &[&root[0], &root[1]], one_time: Some(one_time) };
        let holder =
            |key: &TestKey| Holder { name: "holder".to_owned(), key: key.public_key().clone() };
        let plan = Plan {
            holders: root.iter().map(holder).collect(),
            root_threshold: 2,
            online: online.public_key().clone(),
            bins: Bins::new(4, BinStyle::Succinct).unwrap(),
            lifetimes: OfflineLifetimes::default(),
        };
        let ceremony = ceremony::perform(&plan, None, signers, founded).unwrap();
        let database = SqliteDatabase::open(database_path(&folder)).unwrap();
        let (_, token) = database.create_token("laptop").unwrap();
        let (_, api_token) = database.create_token_for("warehouse", TokenScope::Api).unwrap();
        let repository =
            Arc::new(Repository::create(store, Box::new(database), &ceremony).unwrap());
        let lock = WriterLock::acquire(&folder.path().join("lock")).unwrap();
        let process =
            SnapshotProcess::new(Arc::clone(&repository), online, Lifetimes::default(), lock);
        let router = router(AppState::new(Arc::clone(&repository), settings));
        let process = Arc::new(process.unwrap());
        let [token, api_token] = [token, api_token].map(|token| token.expose().to_owned());
        Self { repository, process, router, token, api_token, folder }
    }

    /// An index that has published `files`, as name and bytes.
    pub(crate) async fn publishing(files: &[(&str, &[u8])]) -> Self {
        let index = Self::new();
        for (filename, bytes) in files {
            index.upload(&index.form(filename, bytes)).await.expect(200, "OK");
        }
        index.publish();
        index
    }

    pub(crate) fn database_path(&self) -> PathBuf {
        database_path(&self.folder)
    }

    pub(crate) fn publish(&self) {
        self.process.publish_all(Timestamp::now()).unwrap();
    }

    pub(crate) fn form(&self, filename: &str, bytes: &[u8]) -> Form {
        Form::new(&self.token, filename, bytes)
    }

    pub(crate) fn wheel(&self, name: &str, version: &str) -> Form {
        Form::wheel(&self.token, name, version)
    }

    pub(crate) async fn upload(&self, form: &Form) -> Answer {
        self.send(form.request()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    pub(crate) async fn page(&self, path: &str, accept: &str) -> Answer {
        self.ask("GET", path, &[(ACCEPT, accept)]).await
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(HeaderName, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// Everything the index keeps: journal, objects, and what lies in the spool.
    pub(crate) fn contents(&self) -> Contents {
        let mut files = BTreeSet::new();
        list(&self.folder.path().join("public"), &mut files);
        Contents { last_serial: self.repository.database().last_serial().unwrap(), files }
    }
}

/// Reads an answer whole.
pub(crate) async fn read(response: Response) -> Answer {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let reason = parts.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    let reason = String::from_utf8(reason.unwrap_or_default().to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, reason, body }
}

impl Contents {
    pub(crate) fn last_serial(&self) -> u64 {
        self.last_serial
    }

    pub(crate) fn has(&self, end: &str) -> bool {
        self.files.iter().any(|(path, _)| path.ends_with(end))
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks status and text; a refusal tells its text in the reason phrase as well.
    #[track_caller]
    pub(crate) fn expect(self, status: u16, text: &str) -> Self {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{body}");
        assert!(body.contains(text), "{text:?} is not in {body:?}");
        if self.status.as_u16() >= 400 {
            let ascii = text.is_ascii() && !text.contains('…');
            assert!(!ascii || self.reason.contains(text), "{:?}", self.reason);
            assert_eq!(self.headers["content-type"], "text/plain; charset=utf-8");
        }
        self
    }
}

fn database_path(folder: &TempDir) -> PathBuf {
    folder.path().join("waxseal.db")
}

fn list(folder: &Path, files: &mut BTreeSet<(String, u64)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else {
            let length = fs::metadata(&path).unwrap().len();
            files.insert((path.to_str().unwrap().to_owned(), length));
        }
    }
}
