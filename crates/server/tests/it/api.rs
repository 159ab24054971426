//! The API for other indexes, as its clients see it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use data_encoding::BASE64;
use futures_util::{StreamExt, future, stream};
use http::header::{
    ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::request::Builder;
use http::{HeaderName, Request};
use serde_json::{Value, json};
use waxseal_repository::Stop;
use waxseal_server::Settings;
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;

use crate::index::{Answer, Index, settings};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A target whose content follows from `content`.
pub(crate) fn target(path: &str, content: &str) -> Value {
    let sha256 = Sha256::of(content.as_bytes()).to_string();
    json!({"path": path, "length": content.len(), "hashes": {"sha256": sha256}})
}

pub(crate) fn adding(path: &str, content: &str) -> String {
    json!({"add": [target(path, content)]}).to_string()
}

/// A request of a program that has a token for the API.
pub(crate) fn request(index: &Index, method: &str, path: &str) -> Builder {
    let bearer = format!("Bearer {}", index.api_token);
    Request::builder().method(method).uri(path).header(AUTHORIZATION, bearer)
}

fn posting(index: &Index) -> Builder {
    request(index, "POST", "/api/v1/targets").header(CONTENT_TYPE, "application/json")
}

/// Changes targets.
pub(crate) async fn post(index: &Index, body: impl Into<Body>) -> Answer {
    index.send(posting(index).body(body.into()).unwrap()).await
}

async fn post_with_key(index: &Index, key: &str, body: &str) -> Answer {
    let request = posting(index).header(KEY, key).body(body.to_owned().into()).unwrap();
    index.send(request).await
}

async fn get(index: &Index, path: &str) -> Answer {
    index.send(request(index, "GET", path).body(Body::empty()).unwrap()).await
}

/// Asks for publishing.
async fn publish(index: &Index, query: &str) -> Answer {
    let path = format!("/api/v1/publish{query}");
    index.send(request(index, "POST", &path).body(Body::empty()).unwrap()).await
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Checks that it is a problem of this status and type; answers what it says.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header(CONTENT_TYPE), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:waxseal:problem:{kind}"), "{problem}");
        assert_eq!(problem["status"], status);
        for field in ["title", "detail", "hint"] {
            assert!(problem[field].as_str().is_some_and(|text| text.len() > 10), "{problem}");
        }
        problem
    }

    /// Checks that it accepts changes under this serial.
    #[track_caller]
    pub(crate) fn accepted(&self, serial: u64, repeated: bool) {
        assert_eq!(self.status, 202, "{}", self.text());
        assert_eq!(self.json(), json!({"serial": serial, "repeated": repeated}));
        assert_eq!(self.header(LOCATION), format!("/api/v1/serials/{serial}"));
        assert_eq!(self.header(CACHE_CONTROL), "no-store");
    }
}

#[tokio::test]
async fn targets_are_accepted_and_then_published() {
    let index = Index::new();
    index.publish();
    let page = "simple/flask/vnd.pypi.simple.v1.json";
    let body = json!({
        "add": [target("packages/flask/flask-3.0.tar.gz", "x"), target(page, "x")],
        "remove": ["packages/flask/flask-0.1.tar.gz"],
    });
    post(&index, body.to_string()).await.accepted(1, false);
    let waiting = get(&index, "/api/v1/serials/1").await;
    assert_eq!(
        (waiting.status.as_u16(), waiting.json()),
        (200, json!({"serial": 1, "state": "waiting"}))
    );
    index.publish();
    let published = get(&index, "/api/v1/serials/1").await;
    assert_eq!(published.json(), json!({"serial": 1, "state": "published", "snapshot": 2}));
    let path = TargetPath::new(page).unwrap();
    assert_eq!(index.repository.target(&path).unwrap().unwrap().length, 1);
    // The file itself is where the other index has it.
    index.get(&format!("/files/{page}")).await.expect(404, "nothing here");

    post(&index, json!({"remove": [page]}).to_string()).await.accepted(2, false);
    index.publish();
    assert_eq!(index.repository.target(&path).unwrap(), None);
    for (serial, snapshot) in [(1, 2), (2, 3)] {
        let published = get(&index, &format!("/api/v1/serials/{serial}")).await;
        assert_eq!(published.json()["snapshot"], snapshot);
    }
}

#[tokio::test]
async fn tokens_come_as_bearer_or_as_password_and_have_a_scope() {
    let index = Index::new();
    let send = async |authorization: &str, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(AUTHORIZATION, authorization);
        let request = request.header(CONTENT_TYPE, "application/json");
        index.send(request.body(adding("a", "1").into()).unwrap()).await
    };
    let basic =
        |token: &str| format!("Basic {}", BASE64.encode(format!("__token__:{token}").as_bytes()));
    send(&basic(&index.api_token), "POST", "/api/v1/targets").await.accepted(1, false);

    let bearer = format!("Bearer {}", index.token);
    for upload in [bearer.clone(), basic(&index.token)] {
        let refused = send(&upload, "POST", "/api/v1/targets").await;
        let problem = refused.problem(403, "wrong-scope");
        assert!(problem["hint"].as_str().unwrap().contains("waxseal token add NAME --scope api"));
        assert!(refused.header(WWW_AUTHENTICATE).contains("insufficient_scope"));
    }
    // Also where something is to be removed.
    let remove = Request::post("/api/v1/targets").header(AUTHORIZATION, &bearer);
    let remove = remove.header(CONTENT_TYPE, "application/json");
    let removing = remove.body(r#"{"remove":["a"]}"#.into()).unwrap();
    index.send(removing).await.problem(403, "wrong-scope");
    assert_eq!(send(&bearer, "GET", "/api/v1/serials/1").await.status, 200);
    assert_eq!(send(&bearer, "POST", "/api/v1/publish").await.status, 202);

    let (changed, user) =
        (format!("{bearer}x"), format!("Basic {}", BASE64.encode(b"alice:secret")));
    for wrong in [&*changed, &user, "Bearer secret", "Bearer", "Basic secret", "Digest secret"] {
        for (method, path) in
            [("POST", "/api/v1/targets"), ("GET", "/api/v1/serials/1"), ("POST", "/api/v1/publish")]
        {
            let refused = send(wrong, method, path).await;
            let problem = refused.problem(401, "invalid-token");
            assert!(!problem.to_string().contains("secret"), "{problem}");
            let challenges: Vec<_> = refused.headers.get_all(WWW_AUTHENTICATE).iter().collect();
            assert_eq!(challenges[0], r#"Bearer realm="waxseal", error="invalid_token""#);
            assert!(challenges[1].to_str().unwrap().starts_with("Basic "));
        }
    }
    let nobody = Request::get("/api/v1/serials/1").body(Body::empty()).unwrap();
    index.send(nobody).await.problem(401, "no-token");
    let nobody = Request::post("/api/v1/targets").header(CONTENT_TYPE, "application/json");
    let removing = nobody.body(r#"{"remove":["a"]}"#.into()).unwrap();
    index.send(removing).await.problem(401, "no-token");
    assert_eq!(index.contents().last_serial(), 1);
}

#[tokio::test]
async fn a_token_for_the_api_uploads_nothing() {
    let index = Index::new();
    let form = crate::form::Form::wheel(&index.api_token, "foo", "1.0");
    index
        .upload(&form)
        .await
        .expect(403, "this token is for `api`, and this needs one for `upload`");
    let bearer = crate::form::Credentials::Header(format!("Bearer {}", index.token));
    let mut form = index.wheel("foo", "1.0");
    form.credentials = bearer;
    index.upload(&form).await.expect(200, "OK");
}

#[tokio::test]
async fn other_content_is_refused_by_name_unless_it_is_to_be_replaced() {
    let index = Index::new();
    post(&index, adding("a/b", "old")).await.accepted(1, false);
    for waiting in [true, false] {
        let refused = post(&index, adding("a/b", "new")).await.problem(409, "path-conflict");
        let sha256 = |content: &str| Sha256::of(content.as_bytes()).to_string();
        let error = &refused["errors"][0];
        assert_eq!((&error["pointer"], &error["path"]), (&json!("/add/0"), &json!("a/b")));
        assert_eq!(error["have"], json!({"length": 3, "sha256": sha256("old")}));
        assert_eq!(error["got"], json!({"length": 3, "sha256": sha256("new")}));
        assert_eq!(error["serial"], 1, "{waiting}");
        assert!(refused["hint"].as_str().unwrap().contains("`replace`"));
        index.publish();
    }
    post(&index, adding("a/b", "old")).await.accepted(2, false);
    let replacing = json!({"add": [target("a/b", "new")], "replace": true});
    post(&index, replacing.to_string()).await.accepted(3, false);
    index.publish();
    let target = index.repository.target(&TargetPath::new("a/b").unwrap()).unwrap().unwrap();
    assert_eq!(target.hashes.file_name_digest(), Some(&*Sha256::of(b"new").to_string()));
}

#[tokio::test]
async fn paths_of_uploads_are_refused_in_words() {
    let index = Index::new();
    index.upload(&index.wheel("foo", "1.0")).await.expect(200, "OK");
    let body = json!({
        "add": [target("simple/foo/vnd.pypi.simple.v1.json", "x")],
        "remove": ["packages/foo/foo-1.0-py3-none-any.whl", "simple/vnd.pypi.simple.v1.html"],
        "replace": true,
    });
    let refused = post(&index, body.to_string()).await.problem(409, "path-conflict");
    let errors = refused["errors"].as_array().unwrap();
    let pointers: Vec<_> = errors.iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/add/0", "/remove/0", "/remove/1"]);
    let details: Vec<_> = errors.iter().map(|error| error["detail"].as_str().unwrap()).collect();
    assert!(details[0].contains("belongs to the project foo, whose files are uploaded"));
    assert!(details[2].contains("the list of this index's projects"));
    assert!(refused["hint"].as_str().unwrap().contains("`replace` does not help"));
}

#[tokio::test]
async fn a_project_of_another_index_takes_no_uploads() {
    let index = Index::new();
    post(&index, adding("simple/foo/vnd.pypi.simple.v1.json", "x")).await.accepted(1, false);
    for _ in ["waiting", "published"] {
        let words =
            "this index takes no uploads of foo: simple/foo/vnd.pypi.simple.v1.json comes from";
        index.upload(&index.wheel("foo", "1.0")).await.expect(400, words);
        index.publish();
    }
    assert_eq!(index.contents().last_serial(), 1);
}

#[tokio::test]
async fn a_request_may_be_sent_again() {
    let index = Index::new();
    let body = adding("a", "1");
    post_with_key(&index, "8e03978e-40d5", &body).await.accepted(1, false);
    post_with_key(&index, "\"8e03978e-40d5\"", &body).await.accepted(1, true);
    let value: Value = serde_json::from_str(&body).unwrap();
    let spelled = serde_json::to_string_pretty(&value).unwrap();
    post_with_key(&index, "8e03978e-40d5", &spelled).await.accepted(1, true);
    let other = post_with_key(&index, "8e03978e-40d5", &adding("a", "2")).await;
    other.problem(422, "idempotency-key-used");
    for bad in ["", "\"", "two words", &"x".repeat(256)] {
        let refused = post_with_key(&index, bad, &body).await;
        refused.problem(400, "bad-idempotency-key");
    }
    // A refusal is not kept: the same request may succeed later.
    let replaced = adding("a", "3");
    post_with_key(&index, "later", &replaced).await.problem(409, "path-conflict");
    post(&index, json!({"remove": ["a"]}).to_string()).await.accepted(2, false);
    post_with_key(&index, "later", &replaced).await.accepted(3, false);
}

#[tokio::test]
async fn one_key_from_many_clients_at_once_is_one_request() {
    let index = Index::new();
    let body = adding("a", "1");
    let answers = (0..16).map(|_| post_with_key(&index, "k", &body));
    let answers = future::join_all(answers).await;
    let first = answers.iter().filter(|answer| answer.json()["repeated"] == false);
    assert_eq!(first.count(), 1);
    assert!(answers.iter().all(|answer| answer.json()["serial"] == 1));
    assert_eq!(index.contents().last_serial(), 1);
}

#[tokio::test]
async fn of_many_contents_for_one_path_at_once_one_is_accepted() {
    let index = Index::new();
    let bodies: Vec<_> = (0..16).map(|number| adding("a", &number.to_string())).collect();
    let answers = future::join_all(bodies.iter().map(|body| post(&index, body.clone()))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 1);
    for refused in answers.iter().filter(|answer| answer.status != 202) {
        refused.problem(409, "path-conflict");
    }
}

#[tokio::test]
async fn every_mistake_is_named_with_its_place() {
    let index = Index::new();
    let body =
        r#"{"add":[{"path":"../x","length":-1,"hashes":{"md5":"0"},"size":1}],"removed":[]}"#;
    let refused = post(&index, body).await.problem(422, "invalid-changes");
    let errors = refused["errors"].as_array().unwrap();
    let mut pointers: Vec<_> =
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/add/0/hashes/md5",
            "/add/0/hashes/sha256",
            "/add/0/length",
            "/add/0/path",
            "/add/0/size",
            "/removed",
        ]
    );
    let one = post(&index, r#"{"remove":["/etc/passwd"]}"#).await.problem(422, "invalid-changes");
    let words = "/remove/0 is no target path: it has an empty segment; nothing was recorded";
    assert_eq!(one["detail"], words);
    for text in ["", "{", "{}}", "\u{feff}{}", r#"{"add":[],"add":[]}"#, &"[".repeat(1 << 20)] {
        let refused = post(&index, text.to_owned()).await.problem(400, "malformed-json");
        assert!(refused["detail"].as_str().unwrap().contains("line 1"), "{refused}");
    }
    post(&index, vec![b'"', 0xff, b'"']).await.problem(400, "malformed-json");
    assert_eq!(index.contents().last_serial(), 0);
}

#[tokio::test]
async fn ten_thousand_changes_are_one_entry_and_more_are_refused() {
    let index = Index::new();
    let targets = |count: usize| {
        let targets: Vec<_> =
            (0..count).map(|number| target(&format!("p/{number}"), "x")).collect();
        json!({"add": targets}).to_string()
    };
    post(&index, targets(10_000)).await.accepted(1, false);
    index.publish();
    let refused = post(&index, targets(10_001)).await.problem(413, "too-many-changes");
    assert!(refused["detail"].as_str().unwrap().contains("10001 changes, more than 10000"));
    assert_eq!(index.contents().last_serial(), 1);
}

/// A body that goes on for ever, in pieces of 64 KiB; counts what is taken of it.
fn endless(taken: &Arc<std::sync::atomic::AtomicUsize>) -> Body {
    let taken = Arc::clone(taken);
    Body::from_stream(stream::repeat_with(move || {
        taken.fetch_add(1 << 16, std::sync::atomic::Ordering::Relaxed);
        Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1 << 16]))
    }))
}

#[tokio::test]
async fn a_large_body_is_refused_and_not_read() {
    let index = Index::new();
    let taken = Arc::default();
    let announced = posting(&index).header(CONTENT_LENGTH, "104857600");
    let refused = index.send(announced.body(endless(&taken)).unwrap()).await;
    refused.problem(413, "too-large");
    let chunked = post(&index, endless(&taken)).await;
    chunked.problem(413, "too-large");
    // Some is taken and dropped, so that a client that only writes gets to the answer.
    let taken = taken.load(std::sync::atomic::Ordering::Relaxed);
    assert!(taken < 40 << 20, "{taken}");
    let nobody = Request::post("/api/v1/targets").body(endless(&Arc::default())).unwrap();
    index.send(nobody).await.problem(401, "no-token");
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_given_up() {
    let index = Index::with(Settings { upload_idle: Duration::from_secs(10), ..settings() });
    let silent = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let refused = post(&index, silent).await.problem(408, "body-too-slow");
    assert!(refused["detail"].as_str().unwrap().contains("paused for 10 seconds, or took 50"));
    let trickle = stream::repeat(()).then(|()| async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        Ok::<_, std::io::Error>(Bytes::from_static(b" "))
    });
    let start = tokio::time::Instant::now();
    post(&index, Body::from_stream(trickle)).await.problem(408, "body-too-slow");
    assert_eq!(start.elapsed().as_secs(), 50);
    let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("reset"))]);
    post(&index, Body::from_stream(broken)).await.problem(400, "interrupted");
}

#[tokio::test(start_paused = true)]
async fn bodies_in_memory_are_bounded() {
    let index = Index::with(Settings { upload_idle: Duration::from_mins(10), ..settings() });
    let silent = || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let holding: Vec<_> = (0..3)
        .map(|_| {
            let request = posting(&index).body(silent()).unwrap();
            let router = index.router.clone();
            tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let whole = || posting(&index).header(CONTENT_LENGTH, "16777216").body(silent()).unwrap();
    let refused = index.send(whole()).await;
    refused.problem(503, "busy");
    assert_eq!(refused.header(RETRY_AFTER), "5");
    let body = adding("a", "1");
    let small = posting(&index).header(CONTENT_LENGTH, body.len()).body(body.into()).unwrap();
    index.send(small).await.accepted(1, false);
    for task in holding {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    post(&index, adding("b", "1")).await.accepted(2, false);
}

#[tokio::test]
async fn only_plain_json_is_read() {
    let index = Index::new();
    let send = async |headers: &[(HeaderName, &str)]| {
        let mut request = request(&index, "POST", "/api/v1/targets");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        index.send(request.body(adding("a", "1").into()).unwrap()).await
    };
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        send(&[(CONTENT_TYPE, media_type)]).await.problem(415, "unsupported-media-type");
    }
    send(&[]).await.problem(415, "unsupported-media-type");
    let json = (CONTENT_TYPE, "Application/JSON; charset=utf-8");
    let refused = send(&[json.clone(), (CONTENT_ENCODING, "gzip")]).await;
    refused.problem(415, "unsupported-media-type");
    assert_eq!(refused.header(ACCEPT_ENCODING), "identity");
    send(&[json]).await.accepted(1, false);
}

#[tokio::test]
async fn other_urls_and_methods_are_problems_too() {
    let index = Index::new();
    for path in
        ["/api/v1/", "/api/v1", "/api/v1/nothing", "/api", "/api/v2/targets", "/api/v1/targets/"]
    {
        get(&index, path).await.problem(404, "not-found");
    }
    for (method, path, allow) in [
        ("GET", "/api/v1/targets", "POST"),
        ("PUT", "/api/v1/targets", "POST"),
        ("DELETE", "/api/v1/serials/1", "GET, HEAD"),
        ("GET", "/api/v1/publish", "POST"),
        ("POST", "/api/v1/openapi.json", "GET, HEAD"),
    ] {
        let answer = index.send(request(&index, method, path).body(Body::empty()).unwrap()).await;
        answer.problem(405, "method-not-allowed");
        assert_eq!(answer.header(ALLOW), allow);
    }
}

#[tokio::test]
async fn a_serial_that_was_never_given_is_not_found() {
    let index = Index::new();
    let refused = get(&index, "/api/v1/serials/1").await.problem(404, "unknown-serial");
    assert_eq!(refused["detail"], "no serial was given yet");
    post(&index, adding("a", "1")).await.accepted(1, false);
    for serial in
        ["0", "2", "-1", "+1", "01", "1.0", "x", "18446744073709551616", "%31%30", "%FF", "%C3%28"]
    {
        let refused = get(&index, &format!("/api/v1/serials/{serial}")).await;
        let refused = refused.problem(404, "unknown-serial");
        assert_eq!(refused["detail"], "no such serial was given; those given are 1 to 1");
    }
    // Whoever has no token learns nothing else, and what is no path at all is a problem as well.
    let nobody = Request::get("/api/v1/serials/%FF").body(Body::empty()).unwrap();
    index.send(nobody).await.problem(401, "no-token");
    for path in ["/api/v1/%FF", "/api/v1/serials/%FF/x", "/api/%FF"] {
        get(&index, path).await.problem(404, "not-found");
    }
    for path in ["/api/v1/serials/1?%FF", "/api/v1/serials/1?wait=%FF"] {
        get(&index, path).await.problem(400, "bad-query");
    }
    let head =
        index.send(request(&index, "HEAD", "/api/v1/serials/1").body(Body::empty()).unwrap());
    let head = head.await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    for query in ["?wait=61", "?wait=-1", "?wait=1s", "?waits=1", "?wait=1&wait=2"] {
        get(&index, &format!("/api/v1/serials/1{query}")).await.problem(400, "bad-query");
        publish(&index, query).await.problem(400, "bad-query");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_in_time() {
    let index = Index::new();
    index.publish();
    post(&index, adding("a", "1")).await.accepted(1, false);
    let start = tokio::time::Instant::now();
    let waiting = get(&index, "/api/v1/serials/1?wait=7").await;
    assert_eq!(waiting.json()["state"], "waiting");
    assert_eq!(start.elapsed().as_secs(), 7);
    let refused = publish(&index, "?wait=60").await;
    let problem = refused.problem(503, "not-published-in-time");
    assert!(problem["detail"].as_str().unwrap().contains("up to serial 1"));
    assert_eq!((start.elapsed().as_secs(), refused.header(RETRY_AFTER)), (67, "5"));
    publish(&index, "?wait").await.problem(503, "not-published-in-time");
    assert_eq!(start.elapsed().as_secs(), 97);
    let told = publish(&index, "").await;
    assert_eq!(
        (told.status.as_u16(), told.json()),
        (202, json!({"serial": 1, "state": "waiting"}))
    );
    let told = publish(&index, "?wait=0").await;
    told.problem(503, "not-published-in-time");
}

#[tokio::test]
async fn waiting_ends_when_it_is_published() {
    let index = Index::new();
    let stop = Stop::new(Arc::clone(&index.repository));
    let (process, stops) = (Arc::clone(&index.process), stop.clone());
    let running = tokio::task::spawn_blocking(move || process.run(&stops));
    let nothing = publish(&index, "?wait=60").await;
    assert_eq!(
        (nothing.status.as_u16(), nothing.json()),
        (200, json!({"serial": 0, "state": "published", "snapshot": 1}))
    );
    post(&index, adding("a", "1")).await.accepted(1, false);
    let published = get(&index, "/api/v1/serials/1?wait=60").await.json();
    assert_eq!((&published["state"], &published["snapshot"]), (&json!("published"), &json!(2)));
    post(&index, adding("b", "1")).await.accepted(2, false);
    let published = publish(&index, "?wait=60").await;
    assert_eq!((published.status.as_u16(), published.json()["snapshot"].as_u64()), (200, Some(3)));
    stop.request();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn another_process_may_publish() {
    let index = Index::new();
    post(&index, adding("a", "1")).await.accepted(1, false);
    let asked = get(&index, "/api/v1/serials/1?wait=60");
    let elsewhere = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let database = index.database_path();
        let sql = "INSERT INTO snapshot (version, serial, published_at) VALUES (9, 1, 0)";
        rusqlite::Connection::open(database).unwrap().execute(sql, []).unwrap();
    };
    let (answer, ()) = future::join(asked, elsewhere).await;
    assert_eq!(answer.json()["snapshot"], 9);
}

/// Pages of another index, signed here and not put into this store.
#[tokio::test]
async fn pages_that_are_kept_elsewhere_are_not_found_and_say_so() {
    let index = Index::new();
    index.publish();
    let page = |path: &str| adding(path, "1");
    for path in ["simple/theirs/vnd.pypi.simple.v1.json", "simple/vnd.pypi.simple.v1.json"] {
        post(&index, page(path)).await;
    }
    index.publish();
    for path in ["/simple/theirs/", "/simple/"] {
        let answer = index.page(path, crate::index::JSON).await;
        answer.expect(404, "signed here and kept by another index");
    }
}

#[tokio::test]
async fn what_a_full_bin_has_no_room_for_is_refused_and_nothing_is_recorded() {
    let index = Index::new();
    index.publish();
    let database = rusqlite::Connection::open(index.database_path()).unwrap();
    database.execute("UPDATE bin SET length = 16 * 1024 * 1024", []).unwrap();

    let before = index.contents();
    let problem = post(&index, adding("a/b", "x")).await.problem(507, "bin-full");
    for (field, said) in [("detail", "bin-"), ("detail", "is full"), ("hint", "init --bins 128")] {
        assert!(problem[field].as_str().unwrap().contains(said), "{problem}");
    }
    assert_eq!(index.contents(), before);
    index.upload(&index.wheel("demo", "1.0")).await.expect(507, "of this index is full");
    assert_eq!(index.contents().last_serial(), 0);
    // What makes room is taken.
    post(&index, json!({"remove": ["a/b"]}).to_string()).await.accepted(1, false);
    index.publish();
}
