//! What a request asks for.

use std::net::{IpAddr, SocketAddr};

use http::header::{ACCEPT, HOST, IF_NONE_MATCH, IF_RANGE, RANGE, USER_AGENT};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, Uri};

/// A request without its body, which the proxy has no use for.
pub(crate) use http::request::Parts as Head;

/// Whether the request names this machine as its host.
pub(crate) fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(authority) = text(headers, &HOST).and_then(|host| host.parse::<Authority>().ok())
    else {
        return false;
    };
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// The server that a request is for, if it is one that a forward proxy would pass on (RFC 9112, 3.2.2
/// and 3.2.3) and not the proxy itself at `own`. Without user and password.
pub(crate) fn names_elsewhere(
    method: &Method,
    uri: &Uri,
    own: Option<SocketAddr>,
) -> Option<String> {
    let authority = uri.authority()?;
    let (host, port) = (authority.host(), authority.port_u16());
    if *method == Method::CONNECT {
        return Some(format!("https://{host}:{}", port.unwrap_or(443)));
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let same_host = host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| match own {
            Some(own) => address == own.ip(),
            None => address.is_loopback(),
        });
    let same_port = own.is_none_or(|own| port.unwrap_or(80) == own.port());
    let scheme = uri.scheme_str().unwrap_or("http");
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    (!same_host || !same_port).then(|| format!("{scheme}://{host}{port}"))
}

/// Whether pip asks, which shows nothing of an error on a project's page.
pub(crate) fn is_pip(headers: &HeaderMap) -> bool {
    text(headers, &USER_AGENT).is_some_and(|agent| agent.starts_with("pip/"))
}

/// The `Accept` header; `None` where there is none that can be read.
pub(crate) fn accept(headers: &HeaderMap) -> Option<&str> {
    text(headers, &ACCEPT)
}

/// Whether the client has what this entity tag stands for (RFC 9110, 13.1.2).
pub(crate) fn has(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let mut values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|tag| tag.trim() == "*" || opaque(tag) == etag))
}

/// A range of bytes that a request wants (RFC 9110, 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Whole,
    /// From the first to before the last; not empty.
    Part(u64, u64),
    /// Nothing that the file has.
    Nothing,
}

/// The range that a request wants of a file. Several ranges, and what is no range, are answered by
/// the whole file, as is a range of what the client had in another version.
pub(crate) fn wanted(headers: &HeaderMap, etag: &str, length: u64) -> Wanted {
    if text(headers, &IF_RANGE).is_some_and(|tag| tag != etag) {
        return Wanted::Whole;
    }
    let range = text(headers, &RANGE).and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.trim().split_once('-')) else {
        return Wanted::Whole;
    };
    let (first, end) = match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => return Wanted::Whole,
        (Some(first), Some(last)) => (first, last.saturating_add(1).min(length)),
        (Some(first), None) if last.is_empty() => (first, length),
        (None, Some(suffix)) if first.is_empty() => (length.saturating_sub(suffix), length),
        _ => return Wanted::Whole,
    };
    if first < end { Wanted::Part(first, end) } else { Wanted::Nothing }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Digits only; more than fits is as much as fits.
fn number(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in ["127.0.0.1:8458", "127.9.9.9", "localhost:1", "LOCALHOST", "[::1]:80"] {
            assert!(names_loopback(&headers(&[(HOST, host)])), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "192.168.1.1",
            "user@",
            "",
        ] {
            assert!(!names_loopback(&headers(&[(HOST, host)])), "{host}");
        }
        assert!(!names_loopback(&HeaderMap::new()));
    }

    #[test]
    fn ranges_of_a_file_of_ten_bytes() {
        for (range, expected) in [
            ("bytes=0-3", Wanted::Part(0, 4)),
            ("bytes=4-", Wanted::Part(4, 10)),
            ("bytes=-3", Wanted::Part(7, 10)),
            ("bytes=-30", Wanted::Part(0, 10)),
            ("bytes=9-99999999999999999999", Wanted::Part(9, 10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
        ] {
            assert_eq!(wanted(&headers(&[(RANGE, range)]), "\"a\"", 10), expected, "{range}");
        }
        let resumed = |tag| headers(&[(RANGE, "bytes=4-"), (IF_RANGE, tag)]);
        assert_eq!(wanted(&resumed("\"a\""), "\"a\"", 10), Wanted::Part(4, 10));
        assert_eq!(wanted(&resumed("\"b\""), "\"a\"", 10), Wanted::Whole);
    }

    #[test]
    fn a_known_entity_tag_is_recognised() {
        for (sent, known) in
            [("\"a\"", true), ("\"b\", W/\"a\"", true), ("*", true), ("\"b\"", false), ("a", false)]
        {
            assert_eq!(has(&headers(&[(IF_NONE_MATCH, sent)]), "\"a\""), known, "{sent}");
        }
    }
}
