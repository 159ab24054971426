#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod hostile;

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request as Asked, State};
use axum::response::{IntoResponse, Response};
use http::HeaderName;
use http::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_NONE_MATCH, LOCATION, RANGE,
};

use super::*;

/// A file long enough for more than one read, and without a run of equal bytes.
fn wheel() -> Vec<u8> {
    (0..200_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// An honest index on hyper, whose timestamp is another at each answer.
fn index() -> Url {
    static TIMESTAMP: AtomicU32 = AtomicU32::new(1);

    async fn answer(State(()): State<()>, asked: Asked) -> Response {
        if asked.headers().get(ACCEPT_ENCODING).is_none_or(|coding| coding != "identity") {
            return (StatusCode::NOT_ACCEPTABLE, "identity only").into_response();
        }
        let header = |name| asked.headers().get(name).map(|value| value.to_str().unwrap());
        match asked.uri().path() {
            "/base/timestamp.json" => {
                TIMESTAMP.fetch_add(1, Ordering::SeqCst).to_string().into_response()
            }
            "/base/page" if header(IF_NONE_MATCH) == Some("\"v1\"") => {
                (StatusCode::NOT_MODIFIED, [(ETAG, "\"v1\"")]).into_response()
            }
            "/base/page" => ([(ETAG, "\"v1\"")], "<a href=a.whl>").into_response(),
            "/base/a.whl" => match header(RANGE) {
                Some("bytes=-4") => {
                    let range = [(CONTENT_RANGE, "bytes 799996-799999/800000")];
                    (StatusCode::PARTIAL_CONTENT, range, wheel().split_off(799_996)).into_response()
                }
                Some("bytes=0-3") => {
                    let range = [(CONTENT_RANGE, "bytes 0-3/800000")];
                    (StatusCode::PARTIAL_CONTENT, range, wheel()[..4].to_vec()).into_response()
                }
                _ => wheel().into_response(),
            },
            "/base/query" => asked.uri().query().unwrap_or_default().to_owned().into_response(),
            _ => (StatusCode::NOT_FOUND, "no such file").into_response(),
        }
    }

    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/base/", listener.local_addr().unwrap()).parse().unwrap();
    thread::spawn(move || {
        runtime().block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let app = Router::new().fallback(answer).with_state(());
            axum::serve(listener, app).await.unwrap();
        });
    });
    url
}

fn mirror() -> Mirror {
    Mirror::start(&index())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What a plain client sees: status, headers, and the body or the error in it.
#[derive(Debug)]
struct Seen {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Result<Vec<u8>, reqwest::Error>,
}

impl Seen {
    fn body(self) -> Vec<u8> {
        self.body.unwrap()
    }
}

fn ask(
    mirror: &Mirror,
    method: Method,
    path: &str,
    headers: &[(HeaderName, &str)],
) -> reqwest::Result<Seen> {
    // A client of its own each time: what one request does to a connection is its own affair.
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .read_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let mut request = client.request(method, mirror.url().join(path).unwrap());
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    runtime().block_on(async {
        let answer = request.send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Seen { status, headers, body: answer.bytes().await.map(Vec::from) })
    })
}

fn fetch(mirror: &Mirror, path: &str) -> Seen {
    ask(mirror, Method::GET, path, &[]).unwrap()
}

fn tampered(path: &str, change: Change) -> Mirror {
    let mirror = mirror();
    mirror.set(Tamper { matches: PathPattern::exact(path), change });
    mirror
}

#[test]
fn an_honest_mirror_is_the_index() {
    let mirror = mirror();
    assert_eq!(fetch(&mirror, "a.whl").body(), wheel());
    assert_eq!(fetch(&mirror, "query?a=1&b=%20").body(), b"a=1&b=%20");
    assert_eq!(fetch(&mirror, "page").headers[ETAG], "\"v1\"");
    let missing = fetch(&mirror, "none");
    assert_eq!((missing.status, missing.body()), (StatusCode::NOT_FOUND, b"no such file".to_vec()));

    let head = ask(&mirror, Method::HEAD, "a.whl", &[]).unwrap();
    assert_eq!(
        (&head.headers[CONTENT_LENGTH], head.body.as_deref().unwrap()),
        (&"800000".parse().unwrap(), &b""[..])
    );
    let part = ask(&mirror, Method::GET, "a.whl", &[(RANGE, "bytes=-4")]).unwrap();
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.body(), wheel()[799_996..]);
    let same = ask(&mirror, Method::GET, "page", &[(IF_NONE_MATCH, "\"v1\"")]).unwrap();
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    let post = ask(&mirror, Method::POST, "legacy/", &[]).unwrap();
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn one_connection_carries_many_requests() {
    let mirror = mirror();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    runtime().block_on(async {
        for path in ["a.whl", "page", "none", "a.whl"] {
            let answer = client.get(mirror.url().join(path).unwrap()).send().await.unwrap();
            answer.bytes().await.unwrap();
        }
    });
    assert_eq!(mirror.shared.state().accepted, 1);
}

#[test]
fn requests_are_logged_with_what_was_answered() {
    let mirror = tampered("/a.whl", Change::DropConnection);
    fetch(&mirror, "page?x=1");
    fetch(&mirror, "none");
    ask(&mirror, Method::GET, "a.whl", &[]).unwrap_err();
    let log = mirror.requests();
    let log: Vec<_> = log
        .iter()
        .map(|one| (one.path.as_str(), one.status.map(|s| s.as_u16()), one.rules))
        .collect();
    // A client may try a dropped connection again.
    assert_eq!(
        log[..3],
        [("/page?x=1", Some(200), 0), ("/none", Some(404), 0), ("/a.whl", None, 1)]
    );
    mirror.forget_requests();
    assert_eq!(mirror.requests(), []);
}

#[test]
fn one_byte_is_flipped() {
    for (at, place) in [
        (Position::FromStart(0), 0),
        (Position::FromStart(799_999), 799_999),
        (Position::FromEnd(1), 799_999),
        (Position::FromEnd(800_000), 0),
    ] {
        let mirror = tampered("/a.whl", Change::FlipByte { at });
        let mut expected = wheel();
        expected[place] ^= 1;
        assert_eq!(fetch(&mirror, "a.whl").body(), expected, "{at:?}");
        mirror.honest();
        assert_eq!(fetch(&mirror, "a.whl").body(), wheel());
    }
}

#[test]
fn a_flipped_byte_is_the_files_in_a_range_too() {
    let mirror = tampered("/a.whl", Change::FlipByte { at: Position::FromEnd(2) });
    let range = |range| ask(&mirror, Method::GET, "a.whl", &[(RANGE, range)]).unwrap().body();
    let mut tail = wheel().split_off(799_996);
    tail[2] ^= 1;
    assert_eq!(range("bytes=-4"), tail);
    assert_eq!(range("bytes=0-3"), wheel()[..4]);
}

#[test]
fn a_rule_that_cannot_apply_is_no_honest_answer() {
    for at in [Position::FromStart(800_000), Position::FromEnd(0), Position::FromEnd(800_001)] {
        let seen = fetch(&tampered("/a.whl", Change::FlipByte { at }), "a.whl");
        assert_eq!(seen.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(String::from_utf8(seen.body()).unwrap().contains("does not fit"));
    }
}

#[test]
fn errors_of_the_index_are_left_alone() {
    let mirror = tampered("/none", Change::FlipByte { at: Position::FromEnd(1) });
    assert_eq!(fetch(&mirror, "none").body(), b"no such file");
}

#[test]
fn a_body_is_replaced_edited_or_cut() {
    let mirror = tampered("/none", Change::ReplaceBody(b"evil".to_vec()));
    let seen = fetch(&mirror, "none");
    assert_eq!((seen.status, seen.body()), (StatusCode::OK, b"evil".to_vec()));

    let mirror = tampered("/page", Change::edit(|body| body.to_ascii_uppercase()));
    // Were the condition passed on, nothing would come back to edit.
    let seen = ask(&mirror, Method::GET, "page", &[(IF_NONE_MATCH, "\"v1\"")]).unwrap();
    assert_eq!(
        (&seen.headers[ETAG], seen.body.as_deref().unwrap()),
        (&"\"v1\"".parse().unwrap(), &b"<A HREF=A.WHL>"[..])
    );

    let mirror = tampered("/a.whl", Change::Truncate(10));
    let seen = ask(&mirror, Method::GET, "a.whl", &[(RANGE, "bytes=-4")]).unwrap();
    assert_eq!((seen.status, seen.body()), (StatusCode::OK, wheel()[..10].to_vec()));
}

#[test]
fn an_old_answer_is_replayed_until_the_mirror_is_honest() {
    let mirror = mirror();
    let old = mirror.record(["/timestamp.json"]);
    let recorded = old.answer("/timestamp.json").unwrap().body.clone();
    assert_ne!(fetch(&mirror, "timestamp.json").body(), recorded);

    mirror.set(Tamper { matches: PathPattern::Any, change: Change::Replay(old) });
    assert_eq!(fetch(&mirror, "timestamp.json").body(), recorded);
    assert_eq!(fetch(&mirror, "timestamp.json").body(), recorded);
    assert_eq!(fetch(&mirror, "a.whl").body(), wheel(), "what was not recorded is the index's");
    mirror.honest();
    assert_ne!(fetch(&mirror, "timestamp.json").body(), recorded);
}

#[test]
#[should_panic(expected = "the index's answer to /none")]
fn only_what_exists_can_be_recorded() {
    mirror().record(["/none"]);
}

#[test]
fn a_status_or_another_place_is_answered() {
    let mirror = tampered("/a.whl", Change::Status(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(fetch(&mirror, "a.whl").status, StatusCode::SERVICE_UNAVAILABLE);
    let mirror = tampered("/a.whl", Change::Redirect("http://127.0.0.1:9/b.whl".parse().unwrap()));
    let seen = fetch(&mirror, "a.whl");
    assert_eq!(
        (seen.status, &seen.headers[LOCATION]),
        (StatusCode::FOUND, &"http://127.0.0.1:9/b.whl".parse().unwrap())
    );
}

#[test]
fn a_lie_about_the_length_cuts_the_body_short() {
    let seen = fetch(&tampered("/a.whl", Change::LieAboutLength(800_001)), "a.whl");
    assert_eq!(seen.headers[CONTENT_LENGTH], "800001");
    assert!(seen.body.is_err(), "the connection ends before the body does");
    let seen = fetch(&tampered("/a.whl", Change::LieAboutLength(3)), "a.whl");
    assert_eq!(seen.body(), wheel()[..3]);
}

#[test]
fn a_dropped_connection_answers_nothing() {
    let error =
        ask(&tampered("/a.whl", Change::DropConnection), Method::GET, "a.whl", &[]).unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
}

#[test]
fn a_stalled_answer_has_headers_and_no_body() {
    let seen = fetch(&tampered("/a.whl", Change::Stall), "a.whl");
    assert_eq!(
        (seen.status, &seen.headers[CONTENT_LENGTH]),
        (StatusCode::OK, &"800000".parse().unwrap())
    );
    assert!(seen.body.unwrap_err().is_timeout());
}

#[test]
fn a_trickle_arrives_in_drops() {
    let trickle = Change::Trickle { bytes: 5, every: Duration::from_millis(1) };
    let mirror = tampered("/page", trickle);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let drops = runtime().block_on(async {
        let mut answer = client.get(mirror.url().join("page").unwrap()).send().await.unwrap();
        let mut drops = Vec::new();
        while let Some(drop) = answer.chunk().await.unwrap() {
            drops.push(drop);
        }
        drops
    });
    assert_eq!(drops.concat(), b"<a href=a.whl>");
    assert!(drops.len() > 1, "{drops:?}");
}

#[test]
fn an_endless_body_goes_on_past_the_file() {
    let mirror = tampered("/a.whl", Change::Endless);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let read = runtime().block_on(async {
        let mut answer = client.get(mirror.url().join("a.whl").unwrap()).send().await.unwrap();
        let mut read = Vec::new();
        while read.len() < 10_000_000 {
            read.extend_from_slice(&answer.chunk().await.unwrap().expect("it never ends"));
        }
        read
    });
    assert!(read.starts_with(&wheel()), "the true body comes first");
}

#[test]
fn rules_add_up() {
    let mirror = mirror();
    let flip = |place| Change::FlipByte { at: Position::FromStart(place) };
    mirror.set(Tamper { matches: PathPattern::suffix(".whl"), change: flip(1) });
    mirror.set(Tamper { matches: PathPattern::contains("a.w"), change: flip(2) });
    mirror.set(Tamper { matches: PathPattern::prefix("/pag"), change: Change::Truncate(2) });
    let mut expected = wheel();
    expected[1] ^= 1;
    expected[2] ^= 1;
    assert_eq!(fetch(&mirror, "a.whl").body(), expected);
    assert_eq!(fetch(&mirror, "page").body(), b"<a");
    let rules: BTreeMap<_, _> =
        mirror.requests().into_iter().map(|one| (one.path, one.rules)).collect();
    assert_eq!((rules["/a.whl"], rules["/page"]), (2, 1));
}

#[test]
fn an_index_that_is_gone_is_a_bad_gateway() {
    let gone = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mirror = Mirror::start(&format!("http://{gone}/").parse().unwrap());
    assert_eq!(fetch(&mirror, "page").status, StatusCode::BAD_GATEWAY);
}

#[test]
fn dropping_the_mirror_ends_what_waits_on_it() {
    let mirror = tampered("/a.whl", Change::Stall);
    let mut waiting = TcpStream::connect(mirror.address).unwrap();
    std::io::Write::write_all(&mut waiting, b"GET /a.whl HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut idle = TcpStream::connect(mirror.address).unwrap();
    let mut first = [0];
    waiting.read_exact(&mut first).unwrap();

    let address = mirror.address;
    drop(mirror);
    // Without the end of the connection these would read for ever.
    let _ = waiting.read_to_end(&mut Vec::new());
    let _ = idle.read_to_end(&mut Vec::new());
    TcpStream::connect(address).unwrap_err();
}

#[tokio::test]
async fn a_mirror_lives_and_ends_inside_a_runtime_too() {
    let mirror = mirror();
    assert_eq!(mirror.record(["/a.whl"]).answer("/a.whl").unwrap().body, wheel());
    drop(mirror);
}
