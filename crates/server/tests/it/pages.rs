//! The Simple API for plain clients, and the pages beside it.

use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, LOCATION, VARY,
};

use crate::archives;
use crate::index::{HTML, Index, JSON};

async fn index() -> Index {
    Index::publishing(&[
        ("foo-1.0-py3-none-any.whl", &archives::wheel("foo", "1.0", b"")),
        ("foo-1.1.tar.gz", &archives::sdist("foo", "1.1")),
    ])
    .await
}

#[tokio::test]
async fn the_format_is_negotiated() {
    let index = index().await;
    for path in ["/simple/", "/simple/foo/"] {
        for (accept, content_type) in [
            (JSON, JSON),
            (HTML, HTML),
            ("text/html", "text/html; charset=utf-8"),
            ("*/*", "text/html; charset=utf-8"),
            ("", "text/html; charset=utf-8"),
            ("application/vnd.pypi.simple.latest+json", JSON),
        ] {
            let page = index.page(path, accept).await.expect(200, "foo");
            assert_eq!(page.header(CONTENT_TYPE), content_type, "{path} {accept}");
            assert_eq!(page.header(VARY), "Accept, Accept-Encoding");
            assert_eq!(page.header(CACHE_CONTROL), "public, no-cache");
            assert_eq!(page.headers["x-content-type-options"], "nosniff");
            assert!(page.headers["content-security-policy"].to_str().unwrap().contains("sandbox"));
        }
        index.page(path, "application/json").await.expect(406, "accepts none of them");
        let asked = format!("{path}?x=y&format=application/vnd.pypi.simple.v1%2Bjson");
        assert_eq!(index.page(&asked, "text/html").await.header(CONTENT_TYPE), JSON);
        let asked = format!("{path}?format=application/vnd.pypi.simple.v1+html");
        assert_eq!(index.page(&asked, JSON).await.header(CONTENT_TYPE), HTML);
        index.get(&format!("{path}?format=x/y")).await.expect(406, "");
    }
}

#[tokio::test]
async fn the_bytes_are_those_that_are_signed() {
    let index = index().await;
    let page = index.page("/simple/foo/", JSON).await;
    let etag = page.header(ETAG).trim_matches('"').to_owned();
    let target = format!("/tuf/targets/simple/foo/{etag}.vnd.pypi.simple.v1.json");
    assert_eq!(index.get(&target).await.body, page.body);
    let digest = waxseal_tuf::hash::Sha256::of(&page.body).to_string();
    assert_eq!(etag, digest);
}

#[tokio::test]
async fn a_page_is_sent_again_only_when_it_changed() {
    let index = index().await;
    for accept in [JSON, HTML, "text/html"] {
        let etag = index.page("/simple/foo/", accept).await.header(ETAG).to_owned();
        let again = |tag: String| {
            let index = &index;
            async move {
                let headers = [(ACCEPT, accept), (IF_NONE_MATCH, tag.as_str())];
                index.ask("GET", "/simple/foo/", &headers).await
            }
        };
        for tag in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}")] {
            let same = again(tag).await.expect(304, "");
            assert!(same.body.is_empty());
            assert_eq!(same.header(ETAG), etag);
            assert_eq!(same.header(CACHE_CONTROL), "public, no-cache");
        }
        again("\"x\"".to_owned()).await.expect(200, "foo");
    }
    let html = index.page("/simple/foo/", HTML).await;
    let text = index.page("/simple/foo/", "text/html").await;
    assert_eq!(html.body, text.body);
    assert_ne!(html.header(ETAG), text.header(ETAG), "another type is another representation");

    let old = index.page("/simple/foo/", JSON).await.header(ETAG).to_owned();
    index.upload(&index.wheel("foo", "2.0")).await.expect(200, "OK");
    index.publish();
    let headers = [(ACCEPT, JSON), (IF_NONE_MATCH, old.as_str())];
    index.ask("GET", "/simple/foo/", &headers).await.expect(200, "foo-2.0");
}

#[tokio::test]
async fn names_are_redirected_to_the_normalized_one() {
    let index = index().await;
    for (path, to) in [
        ("/simple", "simple/"),
        ("/simple/foo", "foo/"),
        ("/simple/Foo", "foo/"),
        ("/simple/FOO/", "../foo/"),
        ("/simple/Foo.Bar__baz/", "../foo-bar-baz/"),
        ("/simple/F%6Fo/?format=x", "../foo/?format=x"),
        ("/simple/other", "other/"),
    ] {
        let answer = index.get(path).await.expect(301, "");
        assert_eq!(answer.header(LOCATION), to, "{path}");
    }
    index.get("/simple/f%6Fo/").await.expect(200, "foo");
    index.get("/simple/other/").await.expect(404, "there is no project 'other' on this index");
    for path in
        ["/simple/..%2Ffoo/", "/simple/-foo/", "/simple/f%ff/", "/simple/f%C3%B6o/", "/simple/%00/"]
    {
        assert_eq!(index.get(path).await.status, 404, "{path}");
    }
    index.get("/simple/foo/bar").await.expect(404, "nothing here");
}

#[tokio::test]
async fn an_empty_index_has_an_empty_list() {
    let index = Index::new();
    index.page("/simple/", JSON).await.expect(200, "\"projects\":[]");
    index.get("/simple/").await.expect(200, "<html");
}

#[tokio::test]
async fn heads_have_no_body() {
    let index = index().await;
    let page = index.page("/simple/foo/", JSON).await;
    let head = index.ask("HEAD", "/simple/foo/", &[(ACCEPT, JSON)]).await.expect(200, "");
    assert!(head.body.is_empty());
    for name in [ETAG, CONTENT_TYPE, CACHE_CONTROL, VARY] {
        assert_eq!(head.header(name.clone()), page.header(name));
    }
    assert_eq!(head.headers["content-length"], page.body.len().to_string());
}

#[tokio::test]
async fn health_and_home_are_there() {
    let index = Index::new();
    assert_eq!(index.get("/healthz").await.expect(200, "").text(), "ok\n");
    let waiting = index.get("/readyz").await.expect(503, "no snapshot is published yet");
    assert!(waiting.headers.contains_key("retry-after"));
    index.publish();
    index.upload(&index.wheel("foo", "1.0")).await.expect(200, "OK");
    index.get("/readyz").await.expect(200, "accepted up to 1, published up to 0");
    let home = index.ask("GET", "/", &[(HOST, "pypi.example:8458")]).await;
    // Never a line that would send a token in clear over a network.
    home.expect(200, "--index-url https://pypi.example:8458/simple/ NAME");
    let home = index.ask("GET", "/", &[(HOST, "127.0.0.1:8458")]).await;
    home.expect(200, "--index-url http://127.0.0.1:8458/simple/ NAME");
    let home =
        index.ask("GET", "/", &[(HOST, "<script>")]).await.expect(200, "http://INDEX/simple/");
    assert_eq!(home.header(CONTENT_TYPE), "text/plain; charset=utf-8");
    index.get("/nowhere").await.expect(404, "nothing here");
}
