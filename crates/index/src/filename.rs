//! The name of a distribution file: what it says about project, version and kind.

use std::fmt;
use std::str::FromStr;

use pep440_rs::Version;

use crate::name::{NameError, NormalizedName};
use crate::shown;

/// Longest filename, in bytes. A file system allows 255 for one name, and a consistent snapshot
/// stores `<64 hexadecimal digits>.<filename>.provenance`.
const MAX_LENGTH: usize = 255 - 65 - 11;

/// A filename that the index does not take, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filename '{filename}' {problem}")]
pub struct FilenameError {
    /// The filename, escaped and cut for display.
    pub filename: String,
    /// What is wrong with it, and what a valid one looks like.
    pub problem: String,
}

/// The words of the upload form for the kinds of file (`filetype`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// `bdist_wheel`
    Wheel,
    /// `sdist`
    SourceDistribution,
}

impl FileKind {
    /// The word that twine and uv send.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wheel => "bdist_wheel",
            Self::SourceDistribution => "sdist",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The validated name of a wheel or source distribution. It holds ASCII letters, digits and
/// `. _ - + !` only, and starts with a letter or digit, so it is safe as one segment of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DistributionFilename {
    /// A `.whl`.
    Wheel(WheelFilename),
    /// A `.tar.gz` or `.zip`.
    SourceDistribution(SourceDistributionFilename),
}

impl DistributionFilename {
    /// The filename as uploaded.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Wheel(wheel) => &wheel.filename,
            Self::SourceDistribution(sdist) => &sdist.filename,
        }
    }

    /// The project that the file belongs to.
    pub fn project(&self) -> &NormalizedName {
        match self {
            Self::Wheel(wheel) => &wheel.project,
            Self::SourceDistribution(sdist) => &sdist.project,
        }
    }

    /// The release that the file belongs to.
    pub fn version(&self) -> &Version {
        match self {
            Self::Wheel(wheel) => &wheel.version,
            Self::SourceDistribution(sdist) => &sdist.version,
        }
    }

    /// Wheel or source distribution.
    pub fn kind(&self) -> FileKind {
        match self {
            Self::Wheel(_) => FileKind::Wheel,
            Self::SourceDistribution(_) => FileKind::SourceDistribution,
        }
    }

    /// A text that is equal for filenames that claim the same thing in another spelling: the
    /// project's name and the version normalized, everything in lower case, tag sets sorted.
    /// It keeps the suffix, so a `.zip` and a `.tar.gz` of one release are two claims.
    pub fn identity(&self) -> String {
        let start = format!("{}-{}", self.project().in_filename(), without_zeros(self.version()));
        match self {
            Self::Wheel(wheel) => {
                let build = wheel.build.iter().map(|build| format!("-{build}"));
                let tags = wheel.tags.iter().map(|tag| format!("-{}", sorted(tag)));
                let rest: String = build.chain(tags).collect();
                format!("{start}{rest}.whl").to_ascii_lowercase()
            }
            Self::SourceDistribution(sdist) => format!("{start}{}", sdist.suffix),
        }
    }
}

impl FromStr for DistributionFilename {
    type Err = FilenameError;

    fn from_str(filename: &str) -> Result<Self, FilenameError> {
        let parsed = check_text(filename).and_then(|()| {
            if let Some(stem) = filename.strip_suffix(".whl") {
                WheelFilename::parse(filename, stem).map(Self::Wheel)
            } else if let Some((stem, suffix)) = sdist_suffix(filename) {
                SourceDistributionFilename::parse(filename, stem, suffix)
                    .map(Self::SourceDistribution)
            } else {
                Err(unknown_suffix(filename))
            }
        });
        parsed.map_err(|problem| FilenameError { filename: shown(filename), problem })
    }
}

impl fmt::Display for DistributionFilename {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// `{project}-{version}(-{build})?-{python}-{abi}-{platform}.whl` (PEP 427).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WheelFilename {
    project: NormalizedName,
    version: Version,
    filename: String,
    build: Option<String>,
    tags: [String; 3],
}

impl WheelFilename {
    /// The filename as uploaded.
    pub fn as_str(&self) -> &str {
        &self.filename
    }

    /// The python, abi and platform tags, each a set joined by `.` (PEP 425).
    pub fn tags(&self) -> [&str; 3] {
        self.tags.each_ref().map(String::as_str)
    }

    fn parse(filename: &str, stem: &str) -> Result<Self, String> {
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, build, tags) = match *parts.as_slice() {
            [name, version, python, abi, platform] => {
                (name, version, None, [python, abi, platform])
            }
            [name, version, build, python, abi, platform] => {
                (name, version, Some(build), [python, abi, platform])
            }
            _ => {
                return Err(format!(
                    "has {} parts between '-'; a wheel has name-version-python-abi-platform.whl, \
                     with a build tag after the version if any (PEP 427)",
                    parts.len()
                ));
            }
        };
        let tag_set =
            |tag: &str| tag.split('.').all(|tag| !tag.is_empty() && tag.bytes().all(in_a_tag));
        if let Some(tag) = tags.into_iter().find(|tag| !tag_set(tag)) {
            return Err(format!("has an invalid tag '{tag}' (PEP 425)"));
        }
        if let Some(build) = build
            && !(build.starts_with(|c: char| c.is_ascii_digit())
                && build.bytes().all(|byte| byte == b'.' || in_a_tag(byte)))
        {
            return Err(format!("has an invalid build tag '{build}'; it starts with a digit"));
        }
        Ok(Self {
            project: parse_project(name)?,
            version: parse_version(version)?,
            filename: filename.to_owned(),
            build: build.map(str::to_owned),
            tags: tags.map(str::to_owned),
        })
    }
}

/// `{project}-{version}.tar.gz` or `.zip` (PEP 625), or a name from before that PEP, in which the
/// project may hold `-` and `.`; the version then stands after the last `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceDistributionFilename {
    project: NormalizedName,
    version: Version,
    filename: String,
    suffix: &'static str,
}

impl SourceDistributionFilename {
    /// The filename as uploaded.
    pub fn as_str(&self) -> &str {
        &self.filename
    }

    /// `.tar.gz` or `.zip`.
    pub fn suffix(&self) -> &'static str {
        self.suffix
    }

    fn parse(filename: &str, stem: &str, suffix: &'static str) -> Result<Self, String> {
        let (project, version) = split_name_and_version(stem)?;
        Ok(Self { project, version, filename: filename.to_owned(), suffix })
    }
}

/// Splits `name-version` as sdists, their top folder and `.dist-info` folders are named.
pub(crate) fn split_name_and_version(stem: &str) -> Result<(NormalizedName, Version), String> {
    let (name, version) = stem
        .rsplit_once('-')
        .ok_or("has no '-' between name and version; write name-version (PEP 625)")?;
    Ok((parse_project(name)?, parse_version(version)?))
}

fn parse_project(name: &str) -> Result<NormalizedName, String> {
    NormalizedName::of(name).map_err(|NameError { name, problem }| {
        format!("is not for a project: the name '{name}' {problem}")
    })
}

fn parse_version(version: &str) -> Result<Version, String> {
    let invalid = || format!("has an invalid version '{}' (PEP 440)", shown(version));
    // The parser is lenient about spaces, and what is not ASCII is no version.
    if !version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+!".contains(&byte)) {
        return Err(invalid());
    }
    version.parse().map_err(|_| invalid())
}

/// Refuses what must never be part of a path, before anything else looks at it.
fn check_text(filename: &str) -> Result<(), String> {
    if filename.is_empty() {
        return Err("is empty".into());
    }
    if filename.len() > MAX_LENGTH {
        return Err(format!("has {} bytes; the limit is {MAX_LENGTH}", filename.len()));
    }
    if filename.contains(['/', '\\']) {
        return Err("has a '/' or '\\'; send the name of the file without its folder".into());
    }
    if filename.contains("..") {
        return Err("has '..' in it, which no distribution file has".into());
    }
    let allowed = |byte: u8| in_a_tag(byte) || b".-+!".contains(&byte);
    if !filename.bytes().all(allowed) {
        return Err(
            "has characters that are not allowed; use ASCII letters, digits and '._-+!'".into()
        );
    }
    Ok(())
}

fn in_a_tag(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn sdist_suffix(filename: &str) -> Option<(&str, &'static str)> {
    [".tar.gz", ".zip"]
        .into_iter()
        .find_map(|suffix| filename.strip_suffix(suffix).map(|stem| (stem, suffix)))
}

fn unknown_suffix(filename: &str) -> String {
    let lower = filename.to_ascii_lowercase();
    let old = [".egg", ".exe", ".msi", ".rpm", ".deb", ".dmg", ".tar.bz2", ".tar.xz", ".tar.z"];
    let what = match old.into_iter().find(|suffix| lower.ends_with(suffix)) {
        Some(suffix) => format!("is of a kind that is no longer taken ({suffix})"),
        None => "has an unknown suffix".to_owned(),
    };
    format!("{what}; upload a wheel (.whl) or a source distribution (.tar.gz, .zip)")
}

/// Versions that differ only in zeros at the end of the release are one version (PEP 440).
fn without_zeros(version: &Version) -> Version {
    let release = version.release();
    let kept = release.iter().rposition(|number| *number != 0).map_or(1, |last| last + 1);
    let release: Vec<u64> = release.iter().copied().take(kept).collect();
    if release.is_empty() {
        return version.clone();
    }
    version.clone().with_release(release)
}

fn sorted(tag_set: &str) -> String {
    let mut tags: Vec<String> = tag_set.split('.').map(str::to_ascii_lowercase).collect();
    tags.sort_unstable();
    tags.dedup();
    tags.join(".")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use proptest::prelude::*;

    use super::*;

    fn parse(filename: &str) -> DistributionFilename {
        filename.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn refusal(filename: &str) -> String {
        filename.parse::<DistributionFilename>().unwrap_err().to_string()
    }

    #[test]
    fn real_filenames_are_understood() {
        for (filename, project, version, kind) in [
            ("flask-3.1.3-py3-none-any.whl", "flask", "3.1.3", "bdist_wheel"),
            (
                "numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
                "numpy",
                "2.4.6",
                "bdist_wheel",
            ),
            (
                "torch-2.0.0+cu118-cp311-cp311-linux_x86_64.whl",
                "torch",
                "2.0.0+cu118",
                "bdist_wheel",
            ),
            ("Foo.Bar-1!1.0rc1-1build-py2.py3-none-any.whl", "foo-bar", "1!1.0rc1", "bdist_wheel"),
            ("ruamel.yaml-0.18.6.tar.gz", "ruamel-yaml", "0.18.6", "sdist"),
            ("zope.interface-5.0.tar.gz", "zope-interface", "5.0", "sdist"),
            ("backports.zoneinfo-0.2.1.tar.gz", "backports-zoneinfo", "0.2.1", "sdist"),
            ("python-dateutil-2.8.2.tar.gz", "python-dateutil", "2.8.2", "sdist"),
            ("Foo_Bar-1.0.zip", "foo-bar", "1.0", "sdist"),
        ] {
            let parsed = parse(filename);
            assert_eq!(parsed.project().as_str(), project, "{filename}");
            assert_eq!(parsed.version().to_string(), version, "{filename}");
            assert_eq!(parsed.kind().as_str(), kind, "{filename}");
            assert_eq!(parsed.as_str(), filename);
        }
    }

    #[test]
    fn one_claim_in_two_spellings_has_one_identity() {
        for (one, other) in [
            ("Foo_Bar-1.0.tar.gz", "foo_bar-1.0.tar.gz"),
            ("foo.bar-1.0.tar.gz", "foo-bar-1.0.0.tar.gz"),
            ("foo-0.0.0.tar.gz", "foo-0.tar.gz"),
            ("foo-1.0.RC1.zip", "foo-1.0rc1.zip"),
            ("Foo_Bar-1.0-py3-none-any.whl", "foo.bar-1.0-PY3-none-any.whl"),
            ("foo-1.0-py2.py3-none-any.whl", "foo-1.0-py3.py2-none-any.whl"),
        ] {
            assert_eq!(parse(one).identity(), parse(other).identity(), "{one} {other}");
        }
    }

    #[test]
    fn different_claims_have_different_identities() {
        for (one, other) in [
            ("foo-1.0.tar.gz", "foo-1.0.zip"),
            ("foo-1.0.tar.gz", "foo-1.1.tar.gz"),
            ("foo-1.0.tar.gz", "foo-1!1.0.tar.gz"),
            ("foo-1.0-py3-none-any.whl", "foo-1.0-1-py3-none-any.whl"),
            ("foo-1.0-py3-none-any.whl", "foo-1.0-py3-abi3-any.whl"),
            ("foo-1.0+a-py3-none-any.whl", "foo-1.0-py3-none-any.whl"),
        ] {
            assert_ne!(parse(one).identity(), parse(other).identity(), "{one} {other}");
        }
    }

    #[test]
    fn paths_and_strange_characters_are_refused() {
        for (filename, said) in [
            ("", "is empty"),
            ("../foo-1.0.tar.gz", "folder"),
            ("a/foo-1.0.tar.gz", "folder"),
            ("a\\foo-1.0.tar.gz", "folder"),
            ("foo-1..0.tar.gz", "'..'"),
            ("..", "'..'"),
            ("foo-1.0\0.tar.gz", "not allowed"),
            ("foo-1.0\n.tar.gz", "not allowed"),
            ("foo-1.0%2e.tar.gz", "not allowed"),
            ("foo-1.0?.tar.gz", "not allowed"),
            ("föö-1.0.tar.gz", "not allowed"),
            ("foo-1.0 .tar.gz", "not allowed"),
            ("\"><b>-1.0.tar.gz", "not allowed"),
            (&format!("foo-1.0-py3-none-{}.whl", "a".repeat(255)), "limit"),
        ] {
            assert!(refusal(filename).contains(said), "{filename:?}: {}", refusal(filename));
        }
    }

    #[test]
    fn other_kinds_are_refused_with_what_to_upload() {
        for filename in [
            "foo-1.0-py2.7.egg",
            "foo-1.0.win32.exe",
            "foo-1.0.tar.bz2",
            "foo-1.0.tar.xz",
            "foo",
            "foo-1.0.whl.asc",
            "foo-1.0-py3-none-any.WHL",
            "foo-1.0.tgz",
            ".whl.metadata",
        ] {
            assert!(refusal(filename).contains("upload a wheel"), "{}", refusal(filename));
        }
    }

    #[test]
    fn wrong_shapes_are_refused() {
        for filename in [
            ".whl",
            "-.tar.gz",
            "foo.tar.gz",
            "foo-.tar.gz",
            "-1.0.tar.gz",
            "foo-abc.tar.gz",
            "foo-1.0.whl",
            "foo-1.0-py3-none.whl",
            "foo-bar-1.0-py3-none-any.whl",
            "foo-1.0-x1-py3-none-any.whl",
            "foo-1.0--none-any.whl",
            "foo-1.0-py3-none-any.whl.whl!",
            "foo-1.0-py3.-none-any.whl",
            "foo-1.0-py3-no+ne-any.whl",
            "_foo-1.0-py3-none-any.whl",
            "foo-99999999999999999999999999.tar.gz",
            "foo-1.0-1-2-py3-none-any.whl",
        ] {
            refusal(filename);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_or_refused(
            filename in prop_oneof![
                any::<String>(),
                "[a-zA-Z0-9._+!-]{0,40}(\\.whl|\\.tar\\.gz|\\.zip)",
                "[a-z]{1,4}-[0-9a-z.+!_]{1,30}(-py3-none-any\\.whl|\\.tar\\.gz)",
            ],
        ) {
            if let Ok(parsed) = filename.parse::<DistributionFilename>() {
                prop_assert_eq!(parsed.as_str(), &filename);
                prop_assert!(!filename.contains(['/', '\\', '\0']) && !filename.starts_with('.'));
                let identity: DistributionFilename = parsed.identity().parse().unwrap();
                prop_assert_eq!(identity.identity(), parsed.identity());
            }
        }
    }
}
