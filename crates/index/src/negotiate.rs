//! Which format of a Simple page a client gets: content negotiation of PEP 691 and RFC 9110.

/// Longest `Accept` header that is read to its end, in ranges; what follows is not looked at.
const MAX_RANGES: usize = 64;

/// A format of the Simple API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSON (PEP 691).
    JsonV1,
    /// HTML under its own content type (PEP 691).
    HtmlV1,
    /// The same HTML as `text/html`, as PEP 503 has it.
    LegacyHtml,
}

impl Format {
    /// The value of the `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::JsonV1 => "application/vnd.pypi.simple.v1+json",
            Self::HtmlV1 => "application/vnd.pypi.simple.v1+html",
            Self::LegacyHtml => "text/html; charset=utf-8",
        }
    }

    /// Whether the bytes are those of the HTML page.
    pub fn is_html(self) -> bool {
        self != Self::JsonV1
    }

    /// How exactly a range names this format; none if it does not include it.
    fn exactness(self, range: &str) -> Option<u8> {
        let (names, group): (&[&str], _) = match self {
            Self::JsonV1 => (
                &["application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.latest+json"],
                "application/*",
            ),
            Self::HtmlV1 => (
                &["application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.latest+html"],
                "application/*",
            ),
            Self::LegacyHtml => (&["text/html"], "text/*"),
        };
        if names.iter().any(|name| name.eq_ignore_ascii_case(range)) {
            Some(2)
        } else if group.eq_ignore_ascii_case(range) {
            Some(1)
        } else {
            (range == "*/*").then_some(0)
        }
    }
}

/// Chooses the format for the value of an `Accept` header; none means that nothing we have is
/// acceptable (status 406).
///
/// The highest quality wins, then the range that names the format most exactly, then JSON. A
/// client that accepts anything, or sends no header, gets `text/html`, as before PEP 691.
pub fn negotiate(accept: Option<&str>) -> Option<Format> {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return Some(Format::LegacyHtml);
    };
    let ranges: Vec<Range> = accept.split(',').take(MAX_RANGES).filter_map(Range::parse).collect();
    // From least to most wanted: `max_by_key` takes the last of equals.
    [Format::HtmlV1, Format::JsonV1, Format::LegacyHtml]
        .into_iter()
        .filter_map(|format| {
            let best = ranges
                .iter()
                .filter_map(|range| Some((format.exactness(range.name)?, range.quality)))
                .max_by_key(|(exactness, _)| *exactness)?;
            let (exactness, quality) = best;
            let json_before_text = exactness > 0 && format == Format::JsonV1;
            (quality > 0).then_some(((quality, exactness, json_before_text), format))
        })
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, format)| format)
}

/// The same where there is no JSON.
pub fn negotiate_html(accept: Option<&str>) -> Option<Format> {
    let without_json = |accept: &str| {
        let ranges =
            accept.split(',').filter(|range| !range.to_ascii_lowercase().contains("+json"));
        ranges.collect::<Vec<_>>().join(",")
    };
    // Nothing that is left accepts nothing, where no header would accept anything.
    let accept = accept.map(without_json).filter(|accept| !accept.trim().is_empty())?;
    negotiate(Some(&accept)).map(|format| if format.is_html() { format } else { Format::HtmlV1 })
}

/// One media range of the header and its quality in thousandths.
struct Range<'a> {
    name: &'a str,
    quality: u16,
}

impl<'a> Range<'a> {
    /// None for a range that is malformed, which then counts as not sent.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';');
        let name = parts.next()?.trim();
        let mut quality = 1000;
        for parameter in parts {
            if let Some((key, value)) = parameter.split_once('=')
                && key.trim().eq_ignore_ascii_case("q")
            {
                quality = thousandths(value.trim())?;
            }
        }
        Some(Self { name, quality })
    }
}

/// `0`, `1`, and up to three digits after the point (RFC 9110 section 12.4.2).
fn thousandths(value: &str) -> Option<u16> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_real_clients_send_gets_what_they_prefer() {
        for (accept, format) in [
            (None, Format::LegacyHtml),
            (Some(""), Format::LegacyHtml),
            (Some("*/*"), Format::LegacyHtml),
            // pip
            (
                Some(
                    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; \
                     q=0.1, text/html; q=0.01",
                ),
                Format::JsonV1,
            ),
            // uv
            (
                Some(
                    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;\
                     q=0.2, text/html;q=0.01",
                ),
                Format::JsonV1,
            ),
            // a browser
            (
                Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
                Format::LegacyHtml,
            ),
            (Some("text/html, application/vnd.pypi.simple.v1+json"), Format::JsonV1),
            (Some("text/*, application/*"), Format::JsonV1),
            (Some("application/vnd.pypi.simple.latest+json"), Format::JsonV1),
            (Some("application/vnd.pypi.simple.latest+html"), Format::HtmlV1),
            (Some("APPLICATION/vnd.pypi.simple.V1+html;Q=1.000"), Format::HtmlV1),
            (Some("application/*"), Format::JsonV1),
            (Some("text/*"), Format::LegacyHtml),
            (Some("*/*, application/vnd.pypi.simple.v1+html;q=0.9"), Format::LegacyHtml),
            (Some("text/html;q=0, */*"), Format::JsonV1),
            (Some("text/html;level=1;q=0.5"), Format::LegacyHtml),
        ] {
            assert_eq!(negotiate(accept), Some(format), "{accept:?}");
        }
    }

    #[test]
    fn nothing_acceptable_is_none() {
        for accept in [
            "application/json",
            "application/vnd.pypi.simple.v2+json",
            "text/html;q=0",
            "text/html;q=0.000, application/vnd.pypi.simple.v1+json; q=0",
            "text/html;q=2",
            "text/html;q=-1",
            "text/html;q=0.1234",
            "text/html;q=é",
            ",,;,",
        ] {
            assert_eq!(negotiate(Some(accept)), None, "{accept}");
        }
        let far = format!("{}text/html", "a/b,".repeat(MAX_RANGES));
        assert_eq!(negotiate(Some(&far)), None);
    }

    proptest! {
        #[test]
        fn any_header_has_an_answer(accept in any::<String>(), likely in "(text/html|\\*/\\*|;|,|q=|[0-9.]){0,20}") {
            let _ = negotiate(Some(&accept));
            let _ = negotiate(Some(&likely));
        }
    }
}
