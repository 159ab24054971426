//! One connection of the child, and the requests on it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONNECTION, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::Shared;
use crate::answer::plain;

/// Serves a connection to the proxy itself.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    serve_http(stream, move |request| {
        let shared = Arc::clone(&shared);
        async move { shared.answer(request).await }
    })
    .await;
}

/// A connection that breaks is the child's to notice.
async fn serve_http<S, F, A>(stream: S, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Response> + Send + 'static,
{
    let service = service_fn(|request| {
        let answering = answer(request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let served =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    if let Err(error) = served {
        tracing::debug!("a connection of the child ended: {error}");
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Response {
        let sent = request.headers_mut().remove(PROXY_AUTHORIZATION);
        if !sent.is_some_and(|sent| self.secrets.are_known_to(sent.as_bytes())) {
            let text = "this is the proxy of another program";
            let mut response = plain(StatusCode::PROXY_AUTHENTICATION_REQUIRED, text);
            let realm = HeaderValue::from_static("Basic realm=\"waxseal\"");
            response.headers_mut().insert(PROXY_AUTHENTICATE, realm);
            return response;
        }
        if *request.method() == Method::CONNECT {
            return self.connect(&mut request);
        }
        match Url::parse(&request.uri().to_string()) {
            Ok(url) if url.scheme() == "http" => self.answer_for(url, request).await,
            _ => plain(StatusCode::BAD_REQUEST, "this is a proxy: it takes requests for http URLs"),
        }
    }

    /// Is the server that the child asks for, whichever that is: so a refusal can say why.
    fn connect(self: Arc<Self>, request: &mut Request<Incoming>) -> Response {
        let Some(authority) = request.uri().authority() else {
            return plain(StatusCode::BAD_REQUEST, "CONNECT takes HOST:PORT");
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let Ok(origin) = Url::parse(&format!("https://{authority}/")) else {
            return plain(StatusCode::BAD_REQUEST, "CONNECT takes HOST:PORT");
        };
        let upgrade = hyper::upgrade::on(request);
        tokio::spawn(async move {
            if let Err(error) = self.serve_tunnel(upgrade, &host, origin).await {
                tracing::debug!("a tunnel to {host} ended: {error}");
            }
        });
        let mut response = Response::new(Body::empty());
        // Whatever the version: nothing but the tunnel follows.
        response.headers_mut().remove(CONNECTION);
        response
    }

    async fn serve_tunnel(
        self: Arc<Self>,
        upgrade: OnUpgrade,
        host: &str,
        origin: Url,
    ) -> Result<(), String> {
        let stream: Upgraded = upgrade.await.map_err(|error| error.to_string())?;
        let acceptor = TlsAcceptor::from(self.secrets.authority.server(host)?);
        let stream = acceptor.accept(TokioIo::new(stream)).await;
        let stream = stream.map_err(|error| error.to_string())?;
        serve_http(stream, move |request| {
            let (shared, origin) = (Arc::clone(&self), origin.clone());
            async move {
                // In origin form; in absolute form it says the same, or something else that counts for nothing.
                let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
                match origin.join(path) {
                    Ok(url) if url.origin() == origin.origin() => {
                        shared.answer_for(url, request).await
                    }
                    _ => plain(StatusCode::BAD_REQUEST, "this is no path"),
                }
            }
        })
        .await;
        Ok(())
    }

    /// A request for a URL, of whichever server.
    async fn answer_for(self: Arc<Self>, mut url: Url, request: Request<Incoming>) -> Response {
        url.set_fragment(None);
        let is_index = self.proxy.path_below_index(&url).is_some();
        let unverified = self.policy.index_unverified;
        if is_index && unverified {
            return self.passing_on.pass_on(url, request, true).await;
        }
        let (head, body) = request.into_parts();
        if !unverified && let Some(response) = self.proxy.answer_for_index(&url, &head).await {
            return response;
        }
        if !self.policy.allows(&url) {
            return self.proxy.refuse_elsewhere(&shown(&url)).response();
        }
        self.passing_on.pass_on(url, Request::from_parts(head, body), false).await
    }
}

/// Without user, password and query, any of which may be secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Of an http(s) URL, which can do without.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}
