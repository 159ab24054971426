//! Simple pages.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use waxseal_client::{Error, Located};
use waxseal_index::NormalizedName;
use waxseal_index::negotiate::{Format, negotiate, negotiate_html};
use waxseal_index::paths::{PROJECT_LIST_HTML, PROJECT_LIST_JSON, project_html, project_json};
use waxseal_index::percent;
use waxseal_index::simple::{Listing, refusal_page};
use waxseal_tuf::TargetPath;

use crate::Refusal;
use crate::answer::{Kind, moved, plain};
use crate::content::{Content, not_kept};
use crate::minimum_age::YoungFiles;
use crate::proxy::Proxy;
use crate::request::{Head, accept, has, is_pip};

impl Proxy {
    /// The list of all projects.
    pub(crate) async fn project_list(&self, request: &Head) -> Response {
        let Some(format) = negotiate(accept(&request.headers)) else { return not_acceptable() };
        let path = |format: Format| match format.is_html() {
            true => PROJECT_LIST_HTML.to_owned(),
            false => PROJECT_LIST_JSON.to_owned(),
        };
        match self.page(None, path, format, request).await {
            Ok(Some(page)) => page,
            Ok(None) => plain(StatusCode::NOT_FOUND, "the index has no list of projects"),
            Err(error) => self.refuse("the list of projects".to_owned(), &error).response(),
        }
    }

    /// A project's page; `rest` is what follows `/simple/`.
    pub(crate) async fn project_page(&self, rest: &str, request: &Head) -> Response {
        let name = rest.strip_suffix('/').unwrap_or(rest);
        let not_found = || plain(StatusCode::NOT_FOUND, "there is no such project");
        let Some(decoded) = percent::decode(name) else { return not_found() };
        let Ok(project) = NormalizedName::of(&decoded) else { return not_found() };
        // One page has one address (PEP 503), so that its relative links are right.
        if name != project.as_str() || !rest.ends_with('/') {
            let up = if rest.ends_with('/') { "../" } else { "" };
            return moved(&format!("{up}{project}/"));
        }
        let Some(format) = negotiate(accept(&request.headers)) else { return not_acceptable() };
        let path = |format: Format| match format.is_html() {
            true => project_html(&project),
            false => project_json(&project),
        };
        let mut page = self.page(Some(&project), path, format, request).await;
        if let Ok(None) = page {
            page = match self.page_signed_soon(&project).await {
                Ok(true) => self.page(Some(&project), path, format, request).await,
                Ok(false) => Ok(None),
                Err(error) => Err(error),
            };
        }
        match page {
            Ok(Some(page)) => page,
            Ok(None) => {
                let index = self.0.client.url();
                let text = format!("the index {index} has no project {project}");
                plain(StatusCode::NOT_FOUND, text)
            }
            Err(error) => {
                let refusal = self.refuse(format!("project {project}"), &error);
                self.refusal_page(&project, format, request, refusal)
            }
        }
    }

    /// Waits for the page of a project that the index hands out, and has not signed yet.
    async fn page_signed_soon(&self, project: &NormalizedName) -> Result<bool, Error> {
        let paths = [project_json(project), project_html(project)].map(TargetPath::new);
        let [json, html] = paths;
        let served = format!("simple/{project}/");
        let signed = self.0.fresh.signed_soon(&[json?, html?], &served).await?;
        Ok(signed.is_some())
    }

    /// A page in the format that was asked for, or in the next one that will do: an index that is not
    /// ours may have one alone. `None` where no role lists any.
    async fn page(
        &self,
        project: Option<&NormalizedName>,
        path: impl Fn(Format) -> String,
        format: Format,
        request: &Head,
    ) -> Result<Option<Response>, Error> {
        let found = self.page_at(project, path(format), format, request).await?;
        if found.is_some() || format.is_html() {
            return Ok(found);
        }
        match negotiate_html(accept(&request.headers)) {
            Some(html) => self.page_at(project, path(html), html, request).await,
            None => Ok(None),
        }
    }

    /// A page, verified whole; `None` where no role lists it.
    async fn page_at(
        &self,
        project: Option<&NormalizedName>,
        path: String,
        format: Format,
        request: &Head,
    ) -> Result<Option<Response>, Error> {
        let path = TargetPath::new(path)?;
        let parts = &self.0;
        let mut tries = 0;
        loop {
            let Some(file) = parts.fresh.locate(&path).await? else { return Ok(None) };
            let young = match project {
                Some(project) => self.young_files(project).await?,
                None => Arc::default(),
            };
            let links = parts.settings.links;
            let kind = Kind::page(format.content_type(), &file, links, &young.tag());
            if has(&request.headers, &kind.etag) {
                return Ok(Some(kind.not_modified()));
            }
            let head = request.method == Method::HEAD;
            if head && !file.vouches_for_files() && *young == YoungFiles::default() {
                return Ok(Some(kind.whole(Body::empty(), file.length())));
            }
            // Who asked refuses it, as a project's page.
            let entry = parts.contents.obtain(&parts.client, &file, |_| {});
            match parts.fresh.within(entry.verified()).await {
                Ok(content) => {
                    let mut content = self.relinked(content, &file).await?;
                    if let Some(project) = project.filter(|_| *young != YoungFiles::default()) {
                        let Some(rest) = without(content, project, format, young).await? else {
                            let refusal = self.all_too_young(project);
                            let page = self.refusal_page(project, format, request, refusal);
                            return Ok(Some(page));
                        };
                        content = rest;
                    }
                    let length = content.length();
                    let body = if head { Body::empty() } else { content.body(0, length) };
                    return Ok(Some(kind.whole(body, length)));
                }
                // The project changed in between: its new page, once.
                Err(Error::Superseded { .. }) if tries == 0 => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// A page that vouches for its files leads to where this proxy answers for each of them, for only
    /// what comes through here is verified. Every other page is passed on as it was signed.
    async fn relinked(&self, content: Content, page: &Located) -> Result<Content, Error> {
        if !page.vouches_for_files() {
            return Ok(content);
        }
        let bytes = content.bytes().await.map_err(|error| not_kept(&error))?;
        let (client, page) = (Arc::clone(&self.0.client), page.clone());
        let links = self.0.settings.links;
        // Of a large page that is work.
        let relinked = tokio::task::spawn_blocking(move || {
            let page = client.learn_page(&page, &bytes)?;
            Ok::<_, Error>(page.and_then(|page| page.relinked(&bytes, links)))
        });
        let relinked = relinked.await.map_err(|error| not_kept(&io::Error::other(error)))?;
        Ok(match relinked? {
            Some(page) => Content::Memory(page.into()),
            None => content,
        })
    }

    /// How the refusal of a project's page reaches the screen of who asked for it.
    fn refusal_page(
        &self,
        project: &NormalizedName,
        format: Format,
        request: &Head,
        refusal: Refusal,
    ) -> Response {
        if !is_pip(&request.headers) {
            return refusal.response();
        }
        let page = refusal_page(project, &refusal.slug);
        self.0.refusals.announce(format!("packages/{project}/{}", page.filename), refusal);
        let body = if format.is_html() { page.html } else { page.json };
        let mut response = Response::new(Body::from(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// A page without files that are too young; none if it has no other.
async fn without(
    page: Content,
    project: &NormalizedName,
    format: Format,
    young: Arc<YoungFiles>,
) -> Result<Option<Content>, Error> {
    let bytes = page.bytes().await.map_err(|error| not_kept(&error))?;
    let project = project.clone();
    // Of a large page that is work.
    let rest = tokio::task::spawn_blocking(move || {
        let listing = match format.is_html() {
            true => Listing::from_html(&bytes),
            false => Listing::from_json(&bytes),
        };
        // It was read before, or a moment ago as JSON; what cannot be is not passed on.
        listing.ok()?.without(&bytes, &project, |name| young.contains(name))
    });
    let rest = rest.await.map_err(|error| not_kept(&io::Error::other(error)))?;
    Ok(rest.map(|rest| Content::Memory(rest.into())))
}

fn not_acceptable() -> Response {
    let text = "pages are application/vnd.pypi.simple.v1+json, …+html, or text/html";
    plain(StatusCode::NOT_ACCEPTABLE, text)
}
