#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::convert::Infallible;

use futures_util::stream;

use super::*;

const FORM: &str = "preamble\r\n--b\r\n\
    Content-Disposition: form-data; name=\"name\"\r\n\r\n\
    flask\r\n--b \t\r\n\
    content-type: application/octet-stream\r\n\
    CONTENT-DISPOSITION: form-data; filename=\"a-1.0.tar.gz\"; name=\"content\"\r\n\r\n\
    \r\n--\r\n--bar\n--b--\r\n\r\n\r\n--b\r\n\
    content-disposition: form-data; name=empty\r\n\r\n\
    \r\n--b--\r\nepilogue";

type Parts = Vec<(Part, Vec<u8>)>;

fn multipart(content_type: &str, chunks: Vec<Vec<u8>>, limit: u64) -> Result<Multipart, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
    let chunks = chunks.into_iter().map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk)));
    let body = Body::from_stream(stream::iter(chunks));
    Multipart::new(&headers, body, limit, Duration::from_secs(5))
}

async fn read(body: &[u8], chunk: usize) -> Result<Parts, Error> {
    let chunks = body.chunks(chunk).map(<[u8]>::to_vec).collect();
    let mut form = multipart("multipart/form-data; boundary=b", chunks, 1 << 20)?;
    let mut parts = Vec::new();
    while let Some(part) = form.next_part().await? {
        let mut bytes = Vec::new();
        while let Some(chunk) = form.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        parts.push((part, bytes));
    }
    Ok(parts)
}

fn part(name: &str, filename: Option<&str>) -> Part {
    Part { name: name.to_owned(), filename: filename.map(str::to_owned) }
}

#[tokio::test]
async fn parts_are_the_same_however_they_arrive() {
    let expected = vec![
        (part("name", None), b"flask".to_vec()),
        (part("content", Some("a-1.0.tar.gz")), b"\r\n--".to_vec()),
        (part("empty", None), Vec::new()),
    ];
    // A boundary is a prefix of `--bar`: RFC 2046 says that a sender must not do this.
    let form = FORM.replace("\r\n--bar\n--b--\r\n\r\n", "");
    for chunk in 1..form.len() {
        assert_eq!(read(form.as_bytes(), chunk).await.unwrap(), expected, "chunks of {chunk}");
    }
    assert!(read(FORM.as_bytes(), 7).await.is_err());
}

#[tokio::test]
async fn a_form_cut_anywhere_is_refused() {
    let form = FORM.replace("\r\n--bar\n--b--\r\n\r\n", "");
    let end = form.find("--b--").unwrap() + 5;
    for length in 0..end {
        let cut = read(&form.as_bytes()[..length], 16).await;
        assert!(matches!(cut, Err(Error::Form { .. })), "{length}: {cut:?}");
    }
    assert_eq!(read(&form.as_bytes()[..end], 16).await.unwrap().len(), 3);
}

#[tokio::test]
async fn every_part_of_the_syntax_is_bounded() {
    let head = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n";
    for body in [
        format!("--b{}\r\n", " ".repeat(MAX_PADDING + 1)),
        format!("--b{}", " ".repeat(1 << 19)),
        format!("{head}X: {}\r\n\r\nv\r\n--b--", "x".repeat(MAX_HEADERS)),
        format!("{head}{}", "x".repeat(1 << 19)),
        format!("{head}{}\r\nv\r\n--b--", "X: y\r\n".repeat(MAX_HEADERS / 5)),
        format!("{}--b--", format!("{head}\r\nv\r\n").repeat(MAX_PARTS as usize + 1)),
        "x".repeat((1 << 20) + 1),
    ] {
        let refused = read(body.as_bytes(), 1 << 14).await;
        let refused = refused.err().map(|error| error.status().as_u16());
        assert!(matches!(refused, Some(400 | 413)), "{refused:?}");
    }
}

#[tokio::test]
async fn what_is_no_form_is_refused() {
    for body in [
        "--b\r\n\r\nv\r\n--b--",
        "--b\r\nContent-Disposition: form-data\r\n\r\nv\r\n--b--",
        "--b\r\nContent-Disposition: form-data; filename=\"x\"\r\n\r\nv\r\n--b--",
        "--b\r\nContent-Disposition: form-data; name=\"x\r\n\r\nv\r\n--b--",
        "--b x\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nv\r\n--b--",
        "",
        "--b",
        "name=flask&version=1",
    ] {
        let refused = read(body.as_bytes(), 1024).await;
        assert!(matches!(refused, Err(Error::Form { .. })), "{body}: {refused:?}");
    }
    let long = format!("multipart/form-data; boundary={}", "b".repeat(MAX_BOUNDARY + 1));
    for content_type in [
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/mixed; boundary=b",
        &long,
    ] {
        assert!(multipart(content_type, Vec::new(), 1).is_err(), "{content_type}");
    }
    for content_type in
        ["multipart/form-data; charset=\"a;b\"; boundary=\"b c\"", "Multipart/Form-Data;boundary=b"]
    {
        assert!(multipart(content_type, Vec::new(), 1).is_ok(), "{content_type}");
    }
}

#[tokio::test]
async fn a_client_that_stops_sending_is_given_up() {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, "multipart/form-data; boundary=b".parse().unwrap());
    let silent = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let mut form = Multipart::new(&headers, silent, 1, Duration::from_millis(1)).unwrap();
    assert!(matches!(form.next_part().await, Err(Error::Stalled { .. })));
}

#[test]
fn parameters_are_found_whatever_stands_beside_them() {
    for (header, name) in [
        ("form-data; name=\"a\"", Some("a")),
        ("form-data; name=a; filename=b", Some("a")),
        ("form-data; filename=\"x; name=evil\"; name=\"a\"", Some("a")),
        ("form-data; filename=\"x\\\"; name=evil\"; name=\"a\"", Some("a")),
        ("form-data; filename*=utf-8''x; Name=\"a\"", Some("a")),
        ("form-data; name=\"..\\\\x\\y\"", Some("..\\x\\y")),
        ("form-data; name=\"a", None),
        ("form-data", None),
    ] {
        assert_eq!(parameter(header, "name").as_deref(), name, "{header}");
    }
}
