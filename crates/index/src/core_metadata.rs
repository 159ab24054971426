//! Core metadata: the headers of `METADATA` in a wheel and `PKG-INFO` in a source distribution.

use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifier};

use crate::name::{NameError, ProjectName};
use crate::shown;

/// What Python's `email` package takes off a value; other Unicode spaces are part of it.
const SPACE: [char; 2] = [' ', '\t'];

/// What the index reads of core metadata. Fields not named here are left alone, and the long
/// description after the headers is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreMetadata {
    /// `Metadata-Version`, as written: `1.0` to any minor version of 2.
    pub metadata_version: String,
    /// `Name`, as the author writes it.
    pub name: ProjectName,
    /// `Version`.
    pub version: Version,
    /// `Summary`, its lines joined by a space.
    pub summary: Option<String>,
    /// `Requires-Python`: valid specifiers of PEP 440, as written; none if the field is empty.
    pub requires_python: Option<String>,
    /// Every `Requires-Dist`, as written.
    pub requires_dist: Vec<String>,
}

/// Core metadata that the index does not take, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The bytes are not UTF-8.
    #[error("it is not UTF-8 from byte {offset} on; rebuild the package with a current build tool")]
    Encoding {
        /// Where the first wrong byte is.
        offset: usize,
    },
    /// A line among the headers is neither a header nor the continuation of one.
    #[error("line {line} is not a header ('Name: value'): '{text}'")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// The line, escaped and cut for display.
        text: String,
    },
    /// A field that must be there is not.
    #[error("the field {field} is missing")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A field that may stand once stands twice, so that two readers may see two values.
    #[error("the field {field} stands there more than once")]
    Repeated {
        /// The field's name.
        field: &'static str,
    },
    /// The value of a field is wrong.
    #[error("the field {field} is '{value}', which {problem}")]
    Value {
        /// The field's name.
        field: &'static str,
        /// The value, escaped and cut for display.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl CoreMetadata {
    /// Reads core metadata. The size of `bytes` is the caller's to limit; time and memory are
    /// linear in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| MetadataError::Encoding { offset: error.valid_up_to() })?;
        Fields::read(text)?.typed()
    }
}

/// The fields of interest as they stand in the text, each at most once where one is allowed.
#[derive(Default)]
struct Fields {
    metadata_version: Option<String>,
    name: Option<String>,
    version: Option<String>,
    summary: Option<String>,
    requires_python: Option<String>,
    requires_dist: Vec<String>,
}

impl Fields {
    fn read(text: &str) -> Result<Self, MetadataError> {
        let mut fields = Self::default();
        let mut current: Option<(&str, String)> = None;
        for (index, line) in lines(text).enumerate() {
            if line.is_empty() {
                break;
            }
            let not_a_header = || MetadataError::Line { line: index + 1, text: shown(line) };
            if line.starts_with([' ', '\t']) {
                let (_, value) = current.as_mut().ok_or_else(not_a_header)?;
                let more = line.trim_matches(SPACE);
                if !value.is_empty() && !more.is_empty() {
                    value.push(' ');
                }
                value.push_str(more);
                continue;
            }
            let (field, value) = line.split_once(':').ok_or_else(not_a_header)?;
            if field.is_empty() || !field.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(not_a_header());
            }
            if let Some((field, value)) =
                current.replace((field, value.trim_matches(SPACE).to_owned()))
            {
                fields.set(field, value)?;
            }
        }
        if let Some((field, value)) = current {
            fields.set(field, value)?;
        }
        Ok(fields)
    }

    fn set(&mut self, field: &str, value: String) -> Result<(), MetadataError> {
        let single = [
            ("Metadata-Version", &mut self.metadata_version),
            ("Name", &mut self.name),
            ("Version", &mut self.version),
            ("Summary", &mut self.summary),
            ("Requires-Python", &mut self.requires_python),
        ];
        for (known, slot) in single {
            if known.eq_ignore_ascii_case(field) {
                if slot.is_some() {
                    return Err(MetadataError::Repeated { field: known });
                }
                *slot = Some(value);
                return Ok(());
            }
        }
        if field.eq_ignore_ascii_case("Requires-Dist") {
            self.requires_dist.push(value);
        }
        Ok(())
    }

    fn typed(self) -> Result<CoreMetadata, MetadataError> {
        let required = |field, value: Option<String>| value.ok_or(MetadataError::Missing { field });
        let metadata_version = required("Metadata-Version", self.metadata_version)?;
        check_metadata_version(&metadata_version)?;
        let name = required("Name", self.name)?;
        let name = ProjectName::from_str(&name).map_err(|NameError { name, problem }| {
            MetadataError::Value { field: "Name", value: name, problem: problem.to_owned() }
        })?;
        let version = required("Version", self.version)?;
        let version = parse_version(&version)?;
        let requires_python = self.requires_python.filter(|value| !value.is_empty());
        if let Some(specifiers) = &requires_python {
            check_requires_python(specifiers)?;
        }
        let summary = self.summary.filter(|value| !value.is_empty());
        let requires_dist = self.requires_dist;
        Ok(CoreMetadata {
            metadata_version,
            name,
            version,
            summary,
            requires_python,
            requires_dist,
        })
    }
}

/// Lines as Python's `email` package, which every installer uses, ends them: at `\r\n`, `\n` and
/// a lone `\r`. Seeing fewer ends than it would hide headers from us.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((line, after)) = rest.split_once(['\r', '\n']) else {
            return Some(std::mem::take(&mut rest));
        };
        let ended_by_cr = rest.as_bytes().get(line.len()) == Some(&b'\r');
        rest = if ended_by_cr { after.strip_prefix('\n').unwrap_or(after) } else { after };
        Some(line)
    })
}

/// Fails for an unknown major version and takes an unknown minor one, as the specification asks.
fn check_metadata_version(value: &str) -> Result<(), MetadataError> {
    let number = |part: &str| {
        let valid = !part.is_empty() && part.len() <= 4;
        (valid && part.bytes().all(|byte| byte.is_ascii_digit())).then_some(())
    };
    let problem = match value.split_once('.') {
        Some((major, minor)) if number(major).and(number(minor)).is_some() => match major {
            "1" | "2" => return Ok(()),
            _ => "is a major version that this index does not know",
        },
        _ => "is not a version such as 2.4",
    };
    Err(MetadataError::Value {
        field: "Metadata-Version",
        value: shown(value),
        problem: problem.to_owned(),
    })
}

fn parse_version(value: &str) -> Result<Version, MetadataError> {
    let invalid = || MetadataError::Value {
        field: "Version",
        value: shown(value),
        problem: "is not a version of PEP 440".to_owned(),
    };
    if !value.is_ascii() || value.len() > 255 {
        return Err(invalid());
    }
    value.parse().map_err(|_| invalid())
}

fn check_requires_python(value: &str) -> Result<(), MetadataError> {
    let invalid = || MetadataError::Value {
        field: "Requires-Python",
        value: shown(value),
        problem: "is not a list of version specifiers such as >=3.9 (PEP 440)".to_owned(),
    };
    if !value.is_ascii() || value.len() > 1000 || value.bytes().any(|b| b.is_ascii_control()) {
        return Err(invalid());
    }
    // A comma at the end is common in older packages, and every installer takes it.
    for specifier in value.split(',').map(str::trim).filter(|specifier| !specifier.is_empty()) {
        specifier.parse::<VersionSpecifier>().map_err(|_| invalid())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use proptest::prelude::*;

    use super::*;

    fn with(more: &str) -> Result<CoreMetadata, MetadataError> {
        let text = format!("Metadata-Version: 2.1\nName: Foo.Bar\nVersion: 1.0\n{more}");
        CoreMetadata::parse(text.as_bytes())
    }

    #[test]
    fn fields_are_read_and_the_description_is_not() {
        let metadata = with(
            "summary: one\n  two\n\tthree\nRequires-Python: >=3.9, !=3.10.*,\n\
             Requires-Dist: a>=1\nRequires-Dist: b; extra == 'x'\nLicense: MIT\nLicense: BSD\n\
             \nName: other\nno header here\n",
        )
        .unwrap();
        assert_eq!(metadata.name.as_str(), "Foo.Bar");
        assert_eq!(metadata.version.to_string(), "1.0");
        assert_eq!(metadata.summary.as_deref(), Some("one two three"));
        assert_eq!(metadata.requires_python.as_deref(), Some(">=3.9, !=3.10.*,"));
        assert_eq!(metadata.requires_dist, ["a>=1", "b; extra == 'x'"]);
    }

    #[test]
    fn line_ends_are_those_of_pythons_reader() {
        let metadata =
            CoreMetadata::parse(b"Metadata-Version: 2.1\r\nName: a\rVersion: 1\n\r\nName: b")
                .unwrap();
        assert_eq!(metadata.name.as_str(), "a");
        // Python's reader takes the second name here, so it must count as one.
        let hidden = with("Summary: x\rName: other\n");
        assert_eq!(hidden, Err(MetadataError::Repeated { field: "Name" }));
        // Only the three ends count: others would hide a header from installers.
        let vertical = with("Summary: x\u{b}Name: y\u{2028}Name: z\n").unwrap();
        assert_eq!(vertical.name.as_str(), "Foo.Bar");
    }

    #[test]
    fn missing_and_repeated_fields_are_refused() {
        for field in ["Metadata-Version", "Name", "Version", "SUMMARY", "requires-python"] {
            let more = format!("Summary: a\nRequires-Python: >=3\n{field}: >=3\n");
            assert!(matches!(with(&more), Err(MetadataError::Repeated { .. })), "{field}");
        }
        for (text, field) in [
            ("", "Metadata-Version"),
            ("Metadata-Version: 2.1\nVersion: 1\n", "Name"),
            ("Metadata-Version: 2.1\nName: a\n\nVersion: 1\n", "Version"),
        ] {
            assert_eq!(CoreMetadata::parse(text.as_bytes()), Err(MetadataError::Missing { field }));
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        for text in [
            "Metadata-Version: 3.0\nName: a\nVersion: 1\n",
            "Metadata-Version: 2\nName: a\nVersion: 1\n",
            "Metadata-Version: +2.1\nName: a\nVersion: 1\n",
            "Metadata-Version: 2.1\nName: a/b\nVersion: 1\n",
            "Metadata-Version: 2.1\nName: <b>\nVersion: 1\n",
            "Metadata-Version: 2.1\nName: a\nVersion: one\n",
            "Metadata-Version: 2.1\nName: a\nVersion: 1é\n",
            "Metadata-Version: 2.1\nName: a\nVersion: 1\nRequires-Python: three\n",
            "Metadata-Version: 2.1\nName: a\nVersion: 1\nRequires-Python: >=3 <script>\n",
        ] {
            let refused = CoreMetadata::parse(text.as_bytes());
            assert!(matches!(refused, Err(MetadataError::Value { .. })), "{text}: {refused:?}");
        }
        for version in ["1.0", "2.0", "2.5", "2.9"] {
            let text = format!("Metadata-Version: {version}\nName: a\nVersion: 1\n");
            CoreMetadata::parse(text.as_bytes()).unwrap();
        }
    }

    #[test]
    fn wrong_lines_and_bytes_are_refused() {
        for text in [
            " Name: a\n",
            "From me\n",
            ": a\n",
            "Na me: a\n",
            "Ñame: a\n",
            "x\n",
            "\u{feff}Name: a\n",
        ] {
            let refused = CoreMetadata::parse(text.as_bytes());
            assert!(matches!(refused, Err(MetadataError::Line { line: 1, .. })), "{text:?}");
        }
        assert_eq!(CoreMetadata::parse(b"Name: \xff"), Err(MetadataError::Encoding { offset: 6 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in any::<Vec<u8>>()) {
            let _ = CoreMetadata::parse(&bytes);
        }

        #[test]
        fn any_headers_are_taken_or_refused(more in "((Version|Summary|Requires-Python|X):? ?\\PC{0,9}[\r\n ]{1,2}){0,5}") {
            let _ = with(&more);
        }
    }
}
