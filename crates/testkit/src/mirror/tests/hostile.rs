//! What no honest server sends, as it goes over the wire.

use std::io::Write as _;
use std::time::Instant;

use http::header::CONTENT_ENCODING;

use super::*;

/// More than the kernel holds for a connection, so that a server that is not read has to wait.
const PLENTY: usize = 16 << 20;

/// A connection on which a path was asked for.
fn asked(mirror: &Mirror, path: &str) -> TcpStream {
    let mut client = TcpStream::connect(mirror.address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
    client
}

/// The first bytes of the answer to a request, head included.
fn wire(path: &str, change: Change, bytes: usize) -> (Vec<u8>, Mirror) {
    let mirror = tampered(path, change);
    let mut read = vec![0; bytes];
    asked(&mirror, path).read_exact(&mut read).unwrap();
    (read, mirror)
}

/// The whole answer, of a mirror that closes the connection after it.
fn whole(path: &str, change: Change) -> String {
    let mut read = Vec::new();
    asked(&tampered(path, change), path).read_to_end(&mut read).unwrap();
    String::from_utf8(read).unwrap()
}

fn count(text: &[u8], part: &[u8]) -> usize {
    text.windows(part.len()).filter(|window| window == &part).count()
}

#[test]
fn a_head_has_no_end() {
    for (flood, unit, at_least) in [
        (Flood::Header, &b"x-endless: aaaa"[..], 1),
        (Flood::Headers, b"x-endless: a\r\n", 1000),
        (Flood::Interim, b"a\r\n\r\nHTTP/1.1 103 Early Hints\r\nx-hints: a", 20),
    ] {
        let (read, _mirror) = wire("/page", Change::Flood(flood), 100_000);
        assert!(count(&read, unit) >= at_least, "{flood:?}");
        let ends = count(&read, b"\r\n\r\n") > 0;
        assert_eq!(ends, flood == Flood::Interim, "{flood:?}: only interim heads end");
        assert_eq!(count(&read, b"a.whl"), 0, "{flood:?}: no body");
    }
}

#[test]
fn a_body_has_no_end() {
    let tiny = "1\r\n<\r\n1\r\na\r\n1\r\n \r\n";
    for (flood, framing, start) in [
        (Flood::TinyChunks, "transfer-encoding: chunked\r\n", tiny),
        (Flood::ChunkExtension, "transfer-encoding: chunked\r\n", "1;a=aaaaa"),
        (
            Flood::Trailers,
            "transfer-encoding: chunked\r\n",
            "e\r\n<a href=a.whl>\r\n0\r\nx-endless: a\r\nx-endless: a\r\n",
        ),
        (Flood::Unframed, "connection: close\r\n", "<a href=a.whl>\0\0"),
    ] {
        let (read, _mirror) = wire("/page", Change::Flood(flood), 100_000);
        let read = String::from_utf8(read).unwrap();
        let (head, body) = read.split_once("\r\n\r\n").unwrap();
        assert!(format!("{head}\r\n").contains(framing), "{flood:?}: {head}");
        assert!(!head.contains("content-length"), "{flood:?}: {head}");
        assert!(body.starts_with(start), "{flood:?}: {:?}", &body[..80]);
        assert_eq!(count(body.as_bytes(), b"0\r\n\r\n"), 0, "{flood:?}: no last chunk");
    }
}

#[test]
fn an_endless_body_decodes_to_nothing() {
    for (flood, coding, magic, unit) in [
        (Flood::EmptyGzip, "gzip", &b"a\r\n\x1f\x8b\x08"[..], &b"\x00\x00\x00\xff\xff"[..]),
        (Flood::EmptyZstd, "zstd", b"10000\r\n\x50\x2a\x4d\x18", b"\x50\x2a\x4d\x18\x08\x00"),
    ] {
        let (read, _mirror) = wire("/page", Change::Flood(flood), 100_000);
        let body = read.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&read[..body]);
        assert!(head.contains(&format!("content-encoding: {coding}\r\n")), "{head}");
        assert!(read[body..].starts_with(magic), "{flood:?}: {:?}", &read[body..body + 20]);
        assert!(count(&read, unit) > 1000, "{flood:?}");
    }
}

#[test]
fn a_bomb_is_labelled_as_told() {
    let mirror = tampered("/a.whl", Change::bomb(Bomb::Zstd, "br"));
    let seen = fetch(&mirror, "a.whl");
    assert_eq!(seen.headers[CONTENT_ENCODING], "br");
    assert_eq!(seen.body(), Bomb::Zstd.bytes());
}

#[test]
fn a_head_arrives_byte_by_byte() {
    let every = Duration::from_millis(2);
    let mirror = tampered("/page", Change::TrickleHead { every });
    let mut client = asked(&mirror, "/page");
    let started = Instant::now();
    let mut read = vec![0; 50];
    client.read_exact(&mut read).unwrap();
    assert!(started.elapsed() >= every * 49, "{:?}", started.elapsed());
    assert!(read.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[test]
fn silence_is_not_even_a_status_line() {
    let mirror = tampered("/page", Change::Silence);
    let mut client = asked(&mirror, "/page");
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock), "{error:?}");
    let log = mirror.requests();
    assert_eq!((log[0].status, log[0].sent), (None, 0));
}

#[test]
fn a_body_stalls_where_it_is_told_to() {
    let mirror = tampered("/a.whl", Change::StallAt { percent: 99 });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let read = runtime().block_on(async {
        let mut answer = client.get(mirror.url().join("a.whl").unwrap()).send().await.unwrap();
        assert_eq!(answer.content_length(), Some(800_000));
        let mut read = 0;
        let more = Duration::from_millis(300);
        while let Ok(chunk) = tokio::time::timeout(more, answer.chunk()).await {
            read += chunk.unwrap().unwrap().len();
        }
        read
    });
    assert_eq!(read, 792_000);
}

#[test]
fn lengths_are_sent_as_they_are_told() {
    let lengths = vec!["-1".to_owned(), "14".to_owned(), "14".to_owned()];
    let answer = whole("/page", Change::Framing { lengths, chunked: true });
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "e\r\n<a href=a.whl>\r\n0\r\n\r\n");
    let lines: Vec<_> = head.lines().filter(|line| line.starts_with("content-length")).collect();
    assert_eq!(lines, ["content-length: -1", "content-length: 14", "content-length: 14"]);
    assert!(head.contains("\r\ntransfer-encoding: chunked"));

    let answer = whole("/page", Change::Framing { lengths: vec!["5".to_owned()], chunked: false });
    assert!(answer.contains("\r\ncontent-length: 5\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n<a href=a.whl>"), "{answer}");
}

#[test]
fn a_location_is_sent_as_it_is_told() {
    let long = format!("../{}", "a".repeat(1 << 20));
    let mirror = tampered("/page", Change::Location(long.clone()));
    let mut head = vec![0; long.len() + 100];
    asked(&mirror, "/page").read_exact(&mut head).unwrap();
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 302 Found\r\n"));
    assert!(head.contains(&format!("\r\nlocation: {long}\r\n")));

    let mirror = tampered("/page", Change::Location("two\r\nlines".to_owned()));
    assert_eq!(fetch(&mirror, "page").status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn a_status_or_a_header_is_changed_alone() {
    let mirror = tampered("/page", Change::Relabel(StatusCode::PARTIAL_CONTENT));
    let range = "bytes 0-13/14".parse().unwrap();
    mirror.set(Tamper { matches: PathPattern::Any, change: Change::Header(CONTENT_RANGE, range) });
    let seen = fetch(&mirror, "page");
    assert_eq!(seen.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        (&seen.headers[CONTENT_RANGE], &seen.headers[ETAG]),
        (&"bytes 0-13/14".parse().unwrap(), &"\"v1\"".parse().unwrap())
    );
    assert_eq!(seen.body(), b"<a href=a.whl>");
}

#[test]
fn a_change_is_made_so_many_times_or_after_so_many() {
    let busy = Change::Status(StatusCode::SERVICE_UNAVAILABLE);
    let mirror = tampered("/page", Change::times(2, busy));
    let statuses: Vec<_> = (0..3).map(|_| fetch(&mirror, "page").status.as_u16()).collect();
    assert_eq!(statuses, [503, 503, 200]);

    let gone = Change::Status(StatusCode::GONE);
    let mirror = tampered("/page", Change::after(1, gone));
    let statuses: Vec<_> = (0..3).map(|_| fetch(&mirror, "page").status.as_u16()).collect();
    assert_eq!(statuses, [200, 410, 410]);
}

#[test]
fn a_recording_is_served_under_another_name() {
    let mirror = mirror();
    let old = mirror.record(["/timestamp.json"]);
    let moved = old.moved("/timestamp.json", "/none");
    mirror.set(Tamper { matches: PathPattern::Any, change: Change::Replay(moved) });
    assert_eq!(fetch(&mirror, "none").body(), old.answer("/timestamp.json").unwrap().body);
}

#[test]
#[should_panic(expected = "/a.whl is not in")]
fn what_was_not_recorded_cannot_be_moved() {
    let _ = mirror().record(["/page"]).moved("/a.whl", "/b.whl");
}

#[test]
fn the_log_counts_what_was_sent() {
    let mirror = mirror();
    fetch(&mirror, "a.whl");
    let sent = mirror.requests()[0].sent;
    assert!((800_000..801_000).contains(&sent), "{sent}");

    mirror.set(Tamper { matches: PathPattern::Any, change: Change::Endless });
    mirror.forget_requests();
    let mut client = asked(&mirror, "/page");
    client.read_exact(&mut vec![0; PLENTY]).unwrap();
    // More can come only as the client makes room, and then nothing can.
    let sent = |mirror: &Mirror| mirror.requests()[0].sent;
    assert!(sent(&mirror) >= PLENTY as u64);
    drop(client);
    thread::sleep(Duration::from_millis(300));
    let at_the_end = sent(&mirror);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(sent(&mirror), at_the_end);
    assert!(at_the_end < 3 * PLENTY as u64, "{at_the_end}");
}
