//! Uploads that are refused: status and text, and nothing changed, not even in the spool.

use std::convert::Infallible;
use std::io;

use axum::body::{Body, Bytes};
use futures_util::stream::{self, StreamExt};
use tokio::sync::oneshot;
use tower::ServiceExt;
use waxseal_server::Settings;

use crate::archives;
use crate::form::{Credentials, Form};
use crate::index::{Answer, Index, settings};

/// Sends the upload and checks that it changes nothing.
async fn refused(index: &Index, form: &Form, status: u16, text: &str) -> Answer {
    let before = index.contents();
    let answer = index.upload(form).await.expect(status, text);
    assert_eq!(index.contents(), before, "{text}");
    answer
}

#[tokio::test]
async fn without_a_valid_token_nothing_is_read() {
    let index = Index::new();
    let form = index.wheel("foo", "1.0");
    let basic = |user: &str, password: &str| Credentials::Basic {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    let anonymous = form.clone().credentials(Credentials::None);
    let none = refused(&index, &anonymous, 401, "needs a token").await;
    let challenge = none.header(http::header::WWW_AUTHENTICATE);
    assert!(challenge.starts_with("Basic realm="), "{challenge}");
    let mut other = index.token.clone().into_bytes();
    let last = other.last_mut().unwrap();
    *last = if *last == b'A' { b'B' } else { b'A' };
    let other = String::from_utf8(other).unwrap();
    for (credentials, text) in [
        (basic("__token__", &other), "`waxseal token add NAME`"),
        (basic("__token__", ""), "mistyped, revoked or of another index"),
        (basic("__token__", "pypi-AgEIcHlwaS5vcmc"), "not valid here"),
        (basic("alice", &index.token), "user name has to be __token__"),
        (Credentials::Header(format!("Digest {}", index.token)), "cannot be read"),
        (Credentials::Header(format!("Bearer {other}")), "not valid here"),
        (Credentials::Header("Basic %%%".to_owned()), "cannot be read"),
    ] {
        let answer = refused(&index, &form.clone().credentials(credentials), 403, text).await;
        for secret in [&index.token, &other] {
            assert!(!answer.text().contains(secret) && !answer.reason.contains(secret));
        }
    }
    // The body is not even looked at: it is no form at all.
    let request = anonymous.request_with(Body::from("no form"));
    index.send(request).await.expect(401, "needs a token");
}

#[tokio::test]
async fn a_revoked_token_is_refused() {
    let index = Index::new();
    let form = index.wheel("foo", "1.0");
    index.repository.database().revoke_token("laptop").unwrap().unwrap();
    refused(&index, &form, 403, "revoked").await;
}

#[tokio::test]
async fn a_wrong_digest_is_named() {
    let index = Index::new();
    let form = index.wheel("foo", "1.0");
    let claimed = "0".repeat(64);
    let text = format!("the form says {claimed}");
    let wrong = form.clone().set("sha256_digest", &claimed);
    refused(&index, &wrong, 400, &text).await.expect(400, "SHA-256");
    for (field, name) in [("md5_digest", "MD5"), ("blake2_256_digest", "BLAKE2b-256")] {
        let mut wrong = form.clone();
        wrong.push(field, &claimed[..32]);
        refused(&index, &wrong, 400, name).await;
    }
    // A digest of another kind in its place, and markup.
    for claimed in ["d41d8cd98f00b204e9800998ecf8427e", "<b>\r\nX: y"] {
        let wrong = form.clone().set("sha256_digest", claimed);
        let answer = refused(&index, &wrong, 400, "SHA-256").await;
        assert!(!answer.reason.contains(['\r', '\n']), "{}", answer.reason);
    }
}

#[tokio::test]
async fn broken_archives_are_refused() {
    let index = Index::new();
    let wheel = archives::wheel("foo", "1.0", b"print()");
    let sdist = archives::sdist("foo", "1.0");
    let mut flipped = sdist.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    for (filename, bytes) in [
        ("foo-1.0-py3-none-any.whl", &wheel[..wheel.len() - 1]),
        ("foo-1.0-py3-none-any.whl", &wheel[1..]),
        ("foo-1.0-py3-none-any.whl", b"".as_slice()),
        ("foo-1.0-py3-none-any.whl", &sdist),
        ("foo-1.0.tar.gz", &sdist[..sdist.len() / 2]),
        ("foo-1.0.tar.gz", &flipped),
        ("foo-1.0.tar.gz", b"not an archive"),
        ("foo-1.0.tar.gz", &wheel),
    ] {
        refused(&index, &index.form(filename, bytes), 400, filename).await;
    }
}

#[tokio::test]
async fn names_and_versions_that_disagree_are_refused() {
    let index = Index::new();
    let form = index.wheel("foo", "1.0");
    let cases = [
        (form.clone().set("name", "bar"), "says that the name is 'bar', but foo-1.0"),
        (form.clone().set("name", "../foo"), "says that the name is '../foo'"),
        (form.clone().set("version", "1.1"), "says that the version is '1.1'"),
        (form.clone().set("version", "one"), "says that the version is 'one'"),
        (form.clone().set("filetype", "sdist"), "but it is 'bdist_wheel'"),
        (form.clone().filename("bar-1.0-py3-none-any.whl"), "bar"),
        (form.clone().filename("foo-1.1-py3-none-any.whl"), "1.1"),
    ];
    for (form, text) in cases {
        refused(&index, &form, 400, text).await;
    }
    let metadata = archives::metadata("bar", "1.0", "");
    let other = archives::wheel_with("foo", "1.0", &metadata, b"");
    refused(&index, &index.form("foo-1.0-py3-none-any.whl", &other), 400, "the Name in").await;
}

#[tokio::test]
async fn filenames_are_names_only() {
    let index = Index::new();
    let form = index.wheel("foo", "1.0");
    for filename in [
        "../foo-1.0-py3-none-any.whl",
        "a/foo-1.0-py3-none-any.whl",
        "/foo-1.0-py3-none-any.whl",
        "..\\foo-1.0-py3-none-any.whl",
        "foo-1.0-py3-none-any.whl/..",
        "foo-1.0%2f-py3-none-any.whl",
        "..",
        "",
        ".whl",
        "foo-1.0-py3-none-any.exe",
        "foo-1.0-py3-none-any.whl.metadata",
        "f\u{00f6}o-1.0-py3-none-any.whl",
        "foo-1.0-py3-none-any.whl\0",
        "<b>-1.0-py3-none-any.whl",
    ] {
        refused(&index, &form.clone().filename(filename), 400, "filename").await;
    }
    let long = format!("{}-1.0-py3-none-any.whl", "f".repeat(300));
    refused(&index, &form.clone().filename(&long), 400, "filename").await;
    let mut nameless = form;
    nameless.fields.last_mut().unwrap().filename = None;
    refused(&index, &nameless, 400, "has no filename").await;
}

#[tokio::test]
async fn missing_and_repeated_fields_are_named() {
    let index = Index::new();
    let form = index.wheel("foo", "1.0");
    for field in [":action", "name", "version", "filetype", "content", "sha256_digest"] {
        let text = format!("no field {field}");
        refused(&index, &form.clone().without(field), 400, &text).await;
    }
    for field in ["name", "sha256_digest", "content"] {
        let mut twice = form.clone();
        let again = twice.fields.iter().find(|other| other.name == field).unwrap().clone();
        twice.fields.push(again);
        refused(&index, &twice, 400, &format!("the field {field} more than once")).await;
    }
    let submit = form.clone().set(":action", "submit");
    refused(&index, &submit, 400, "is 'submit'; here it has to be 'file_upload'").await;
    refused(&index, &form.clone().set("protocol_version", "2"), 400, "protocol_version").await;
    refused(&index, &form.clone().set("name", &"f".repeat(2000)), 400, "more than 1024").await;
    let empty = Form { fields: Vec::new(), ..form };
    refused(&index, &empty, 400, "no field").await;
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let index = Index::with(Settings { max_upload: 4096, ..settings() });
    let junk: Vec<u8> = (0..2048_u32).flat_map(|n| Sha(n).bytes()).collect();
    let wheel = archives::wheel("foo", "1.0", &junk);
    let form = index.form("foo-1.0-py3-none-any.whl", &wheel);
    refused(&index, &form, 413, "the file has more than 4096 bytes").await;
    // One byte over, and just fitting, which only then is found to be no archive.
    refused(&index, &index.form("foo-1.0.tar.gz", &[0; 4097]), 413, "4096").await;
    refused(&index, &index.form("foo-1.0.tar.gz", &[0; 4096]), 400, "broken").await;
    let mut chatty = index.wheel("foo", "1.0");
    chatty.push("description", &"x".repeat(33 << 20));
    refused(&index, &chatty, 413, "more than").await;
    // Announced as too large, it is refused before any of it is read.
    let before = index.contents();
    let mut request = form.request_with(Body::empty());
    request.headers_mut().insert("content-length", "99999999999".parse().unwrap());
    index.send(request).await.expect(413, "4096");
    assert_eq!(index.contents(), before);
}

/// Bytes that do not compress.
struct Sha(u32);

impl Sha {
    fn bytes(&self) -> [u8; 32] {
        waxseal_tuf::hash::Sha256::of(&self.0.to_be_bytes()).0
    }
}

#[tokio::test]
async fn a_name_never_gets_other_bytes() {
    let index = Index::new();
    index.upload(&index.wheel("foo", "1.0")).await.expect(200, "OK");
    let other = archives::wheel("foo", "1.0", b"evil");
    let form = index.form("foo-1.0-py3-none-any.whl", &other);
    let text = "File already exists: foo-1.0-py3-none-any.whl was uploaded before with other";
    refused(&index, &form, 400, text).await;
    index.publish();
    let answer = refused(&index, &form, 400, text).await;
    // What `twine upload --skip-existing` looks for, and what uv must not take for success.
    assert!(answer.reason.contains("already exist"));
    assert!(!answer.text().contains("updating asset"));
    assert!(!answer.text().contains("already been taken"));
    // Another spelling is the same name.
    let spelled = archives::wheel("Foo", "1.0", b"");
    let form = index.form("Foo-1.0-py3-none-any.whl", &spelled);
    refused(&index, &form, 400, "uploaded before as foo-1.0-py3-none-any.whl").await;
}

#[tokio::test]
async fn what_is_no_form_is_refused() {
    let index = Index::new();
    let form = index.wheel("foo", "1.0");
    let before = index.contents();
    for body in ["", "hello", "--a-boundary", "--a-boundary\r\n\r\n\r\n", "--a-boundary--"] {
        let answer = index.send(form.request_with(Body::from(body))).await;
        assert_eq!(answer.status, 400, "{body}");
    }
    let mut request = form.request();
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    index.send(request).await.expect(400, "it is not multipart/form-data");
    let bytes = form.bytes();
    let cut = Body::from(bytes[..bytes.len() - 20].to_vec());
    index.send(form.request_with(cut)).await.expect(400, "ends before its last boundary");
    let mut many = form.clone();
    for _ in 0..10_001 {
        many.push("x", "");
    }
    index.upload(&many).await.expect(400, "more than 10000 fields");
    assert_eq!(index.contents(), before);
}

#[tokio::test]
async fn a_broken_connection_leaves_nothing() {
    let index = Index::new();
    let form = index.form("foo-1.0.tar.gz", &vec![7; 700_000]);
    let before = index.contents();
    let bytes = Bytes::from(form.bytes()).slice(..600_000);
    let gone = io::Error::from(io::ErrorKind::ConnectionReset);
    let body = Body::from_stream(stream::iter([Ok(bytes), Err(gone)]));
    index.send(form.request_with(body)).await.expect(400, "ended in the middle");
    assert_eq!(index.contents(), before);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_leaves_nothing() {
    let index = Index::new();
    let form = index.form("foo-1.0.tar.gz", &vec![7; 700_000]);
    let before = index.contents();
    let (read, all_read) = oneshot::channel();
    let start = Bytes::from(form.bytes()).slice(..600_000);
    let first = stream::iter([Ok::<_, Infallible>(start)]);
    // Asked for more, all that was sent has been taken: then the server drops the request.
    let rest = stream::once(async move {
        read.send(()).unwrap();
        futures_util::future::pending().await
    });
    let request = form.request_with(Body::from_stream(first.chain(rest)));
    let mut answering = Box::pin(index.router.clone().oneshot(request));
    tokio::select! {
        _ = &mut answering => panic!("there is more to come"),
        read = all_read => read.unwrap(),
    }
    assert_ne!(index.contents(), before, "the file is being received");
    drop(answering);
    assert_eq!(index.contents(), before);
}

#[tokio::test]
async fn only_post_uploads() {
    let index = Index::new();
    for method in ["GET", "PUT", "DELETE"] {
        let answer = index.ask(method, "/legacy/", &[]).await.expect(405, "does not take");
        assert_eq!(answer.headers["allow"], "POST");
    }
    for path in ["/", "/simple/", "/simple/foo/", "/files/a", "/tuf/metadata/timestamp.json"] {
        let answer = index.ask("POST", path, &[]).await.expect(405, "/legacy/");
        assert_eq!(answer.headers["allow"], "GET, HEAD");
    }
}
