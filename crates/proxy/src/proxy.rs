//! From a request to its answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use url::Url;
use waxseal_client::{Client, Credentials, Error, linked_path};
use waxseal_index::simple::Links;

use crate::answer::plain;
use crate::content::Contents;
use crate::fresh::Fresh;
use crate::minimum_age::KnownYoungFiles;
use crate::refusal::Refusals;
use crate::request::{Head, names_elsewhere, names_loopback};
use crate::{Exposure, Refusal, Settings};

/// The proxy for one index. Clones share everything.
#[derive(Debug, Clone)]
pub struct Proxy(pub(crate) Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) client: Arc<Client>,
    pub(crate) settings: Settings,
    pub(crate) fresh: Fresh,
    pub(crate) contents: Contents,
    pub(crate) refusals: Refusals,
    pub(crate) young_files: KnownYoungFiles,
}

impl Proxy {
    /// A proxy for the client's index.
    pub fn new(client: Client, settings: Settings) -> Self {
        let client = Arc::new(client);
        let fresh = Fresh::new(Arc::clone(&client), settings.clone());
        let contents = Contents::new(settings.clone());
        let (refusals, young_files) = (Refusals::default(), KnownYoungFiles::default());
        Self(Arc::new(Parts { client, settings, fresh, contents, refusals, young_files }))
    }

    /// Refreshes the metadata now, so that a failure shows before anything asks; otherwise the first
    /// request does it.
    pub async fn refresh(&self) -> Result<(), Error> {
        self.0.fresh.refresh_if_older(Duration::ZERO).await
    }

    /// What was refused so far, each once, oldest first.
    pub fn refusals(&self) -> Vec<Refusal> {
        self.0.refusals.recorded()
    }

    /// The proxy's routes, for [`Bound::serve`](crate::Bound::serve) and for tests without a network.
    pub fn router(&self, exposure: Exposure) -> Router {
        self.router_for(Access { exposure, address: None })
    }

    pub(crate) fn router_on(&self, exposure: Exposure, address: SocketAddr) -> Router {
        self.router_for(Access { exposure, address: Some(address) })
    }

    fn router_for(&self, access: Access) -> Router {
        Router::new().fallback(answer).with_state((self.clone(), access))
    }

    pub(crate) fn refuse(&self, what: String, error: &Error) -> Refusal {
        self.refuse_because(Refusal::new(what, error, self.0.client.blamed()))
    }

    pub(crate) fn refuse_because(&self, refusal: Refusal) -> Refusal {
        self.0.refusals.record(&refusal);
        refusal
    }

    /// A tool that has this proxy for all its requests asked for something that is not the index.
    pub(crate) fn refuse_elsewhere(&self, url: &str) -> Refusal {
        self.refuse_because(Refusal {
            what: url.to_owned(),
            reason: "it is not the trusted index, and nothing verifies what comes from there"
                .to_owned(),
            hint:
                "take what names it out of the command, the lock file or the project; or run the \
                   tool without waxseal"
                    .to_owned(),
            slug: Refusal::ELSEWHERE.to_owned(),
            mirror: url.to_owned(),
        })
    }

    /// Where pages keep their links, or lead here.
    pub(crate) fn links(&self) -> Links {
        self.0.settings.links
    }

    /// Who asks the index.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        self.0.client.credentials().cloned()
    }

    /// The path of a URL below that of the index, with a slash before it.
    pub(crate) fn path_below_index<'a>(&self, url: &'a Url) -> Option<&'a str> {
        let index = self.0.client.index()?;
        let folder = index.path().strip_suffix('/')?;
        let below = url.path().strip_prefix(folder).filter(|rest| rest.starts_with('/'));
        below.filter(|_| url.origin() == index.origin())
    }

    /// The answer to a request for a URL, if that is the index's, or of a file that a page of the index
    /// links to.
    pub(crate) async fn answer_for_index(&self, url: &Url, request: &Head) -> Option<Response> {
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        let is_file = reads && linked_path(url).is_some();
        let Some(path) = self.path_below_index(url) else {
            return if is_file { self.linked_file(url, request).await } else { None };
        };
        if !reads {
            return Some(plain(StatusCode::METHOD_NOT_ALLOWED, "this proxy is read only"));
        }
        let is_ours =
            path == "/simple" || path.starts_with("/simple/") || path.starts_with("/files/");
        if !is_ours
            && is_file
            && let Some(file) = self.linked_file(url, request).await
        {
            return Some(file);
        }
        Some(self.route(path, request).await)
    }

    async fn route(&self, path: &str, request: &Head) -> Response {
        match path {
            "/healthz" => plain(StatusCode::OK, "ok"),
            "/simple" => crate::answer::moved("simple/"),
            "/simple/" => self.project_list(request).await,
            _ => {
                if let Some(project) = path.strip_prefix("/simple/") {
                    self.project_page(project, request).await
                } else if let Some(target) = path.strip_prefix("/files/") {
                    self.file(target, request).await
                } else {
                    let text = "this is a waxseal proxy: its index is /simple/";
                    plain(StatusCode::NOT_FOUND, text)
                }
            }
        }
    }
}

/// Whom the proxy answers, and as whom.
#[derive(Debug, Clone, Copy)]
struct Access {
    exposure: Exposure,
    /// Its own address, where it listens on one.
    address: Option<SocketAddr>,
}

async fn answer(State((proxy, access)): State<(Proxy, Access)>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    if let Some(elsewhere) = names_elsewhere(&request.method, &request.uri, access.address) {
        return proxy.refuse_elsewhere(&elsewhere).response();
    }
    if access.exposure == Exposure::Loopback && !names_loopback(&request.headers) {
        let text = "this proxy answers to its own machine only, by the name 127.0.0.1 or localhost";
        return plain(StatusCode::FORBIDDEN, text);
    }
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "this proxy is read only");
    }
    proxy.route(request.uri.path(), &request).await
}
