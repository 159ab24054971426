//! Which tool a command line runs, and options on it that would lead around the index.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::sources::Sources;
use crate::failure::{Exit, Failure};
use crate::output;

/// A tool whose options are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// `pip`, also as `python -m pip`.
    Pip,
    /// `uv` and `uvx`.
    Uv,
}

/// Options that name another source, or make the tool ignore what names this one.
const PIP: [&str; 7] = [
    "--index-url",
    "--pypi-url",
    "--extra-index-url",
    "--find-links",
    "--isolated",
    "--proxy",
    "--no-proxy-env",
];
const UV: [&str; 7] = [
    "--index",
    "--index-url",
    "--default-index",
    "--extra-index-url",
    "--find-links",
    "--config-file",
    "--torch-backend",
];

/// Short options of pip and uv that take a value.
const WITH_VALUE: &str = "rctebdwopPC";

impl Tool {
    /// The tool that a command line runs, as far as that can be seen.
    pub(crate) fn of(program: &OsStr, arguments: &[OsString]) -> Option<Self> {
        let name = Path::new(program).file_name()?.to_str()?;
        let module = || python_module(arguments);
        let name = match name.starts_with("python") {
            true => module()?,
            false => name,
        };
        match name {
            "uv" | "uvx" => Some(Self::Uv),
            _ if name.starts_with("pip") && !name.starts_with("pipx") => Some(Self::Pip),
            _ => None,
        }
    }

    /// Whether `argument` is one of the options, spelled out, abbreviated as pip allows it, or in
    /// its short form with or without a value.
    fn option(self, argument: &str) -> Option<&'static str> {
        let name = argument.split('=').next().unwrap_or(argument);
        let exact = |options: &[&'static str]| options.iter().copied().find(|o| *o == name);
        match self {
            // optparse takes any unique beginning of a long option.
            Self::Pip if name.starts_with("--") && name.len() >= 4 => {
                PIP.into_iter().find(|option| option.starts_with(name))
            }
            Self::Uv if name.starts_with("--") => exact(&UV),
            _ if argument.starts_with("--") => None,
            _ => short_option(argument.strip_prefix('-')?),
        }
    }
}

/// One of the short options in a cluster such as `-Uf`, which goes on up to the first that takes a
/// value.
fn short_option(cluster: &str) -> Option<&'static str> {
    let mut letters = cluster.chars();
    letters.find_map(|letter| match letter {
        'i' => Some(Some("--index-url")),
        'f' => Some(Some("--find-links")),
        letter if WITH_VALUE.contains(letter) => Some(None),
        _ => None,
    })?
}

/// The module that an interpreter runs: `-m pip`, `-mpip`, `-u -m pip`.
fn python_module(arguments: &[OsString]) -> Option<&str> {
    let mut arguments = arguments.iter().filter_map(|argument| argument.to_str());
    while let Some(argument) = arguments.next() {
        let flags = argument.strip_prefix('-')?;
        match flags.split_once('m') {
            Some((_, "")) => return arguments.next(),
            Some((before, module)) if !before.contains(['X', 'W', 'c']) => return Some(module),
            _ if flags.starts_with('c') => return None,
            _ if matches!(flags, "X" | "W") => drop(arguments.next()),
            _ => {}
        }
    }
    None
}

/// Refuses options and URLs that would make the tool install from elsewhere than `sources`.
pub(super) fn check(tool: Tool, arguments: &[OsString], sources: &Sources) -> anyhow::Result<()> {
    // What follows `--` is not an option.
    let options = arguments.iter().take_while(|argument| *argument != "--");
    let options: Vec<&str> = options.filter_map(|argument| argument.to_str()).collect();
    let mut next = options.iter().copied().skip(1);
    for argument in options.iter().copied() {
        let following = next.next();
        if let Some(option) = tool.option(argument) {
            if NAMING_SOURCES.contains(&option)
                && value_of(argument, following).is_some_and(|value| sources.accepts(value))
            {
                continue;
            }
            return Err(Failure::new(
                Exit::Usage,
                format!("{option} would let the tool install what the trusted index never signed"),
                "leave it out; `--allow URL`, before the command, lets the tool have that source \
                 unverified",
            )
            .into());
        }
        match direct_url(argument) {
            Some(_) if sources.accepts(url_in(argument)) => {}
            Some(Direct::Web) => {
                return Err(Failure::new(
                    Exit::Usage,
                    format!(
                        "{} does not come from the trusted index",
                        without_credentials(argument)
                    ),
                    "name the project instead; `--allow URL`, before the command, lets the tool have \
                     it unverified",
                )
                .into());
            }
            Some(Direct::Other) => output::warning(&format!(
                "{} does not come from the trusted index, so nothing verifies it",
                without_credentials(argument)
            )),
            None => {}
        }
    }
    Ok(())
}

/// Options whose value is a source, which may be allowed.
const NAMING_SOURCES: [&str; 6] = [
    "--index-url",
    "--pypi-url",
    "--extra-index-url",
    "--find-links",
    "--index",
    "--default-index",
];

/// The value of an option: after a `=`, behind the letter of a short one, or the next word.
fn value_of<'a>(argument: &'a str, following: Option<&'a str>) -> Option<&'a str> {
    if let Some((_, value)) = argument.split_once('=').filter(|_| argument.starts_with("--")) {
        return Some(value);
    }
    // A cluster of short options is not looked into any further.
    let behind = argument.get(2..).filter(|value| !argument.starts_with("--") && !value.is_empty());
    behind.or(following)
}

/// The URL of an argument such as `flask @ https://…`.
fn url_in(argument: &str) -> &str {
    argument.rsplit_once(" @ ").map_or(argument, |(_, url)| url)
}

/// A URL on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direct {
    /// Over HTTP, also as `git+https`: the proxy would refuse it, after the tool's retries.
    Web,
    /// A local file, or a way past the proxy such as SSH.
    Other,
}

fn direct_url(argument: &str) -> Option<Direct> {
    let url = url_in(argument);
    let (scheme, _) = url.split_once("://")?;
    let is_scheme = !scheme.is_empty()
        && !scheme.starts_with('-')
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let transport = scheme.rsplit_once('+').map_or(scheme, |(_, transport)| transport);
    match (is_scheme, transport) {
        (false, _) => None,
        (true, "http" | "https") => Some(Direct::Web),
        (true, _) => Some(Direct::Other),
    }
}

fn without_credentials(url: &str) -> String {
    // A query may hold a secret as well.
    let url = url.split(['?', '#']).next().unwrap_or(url);
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}{}", &url[..scheme + 3], &url[at + 1..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn refused(line: &str) -> bool {
        let words = words(line);
        let tool = Tool::of(&words[0], &words[1..]);
        let allowed = ["https://allowed.example/".to_owned()];
        let sources = Sources::new(&"https://host.example/".parse().unwrap(), &allowed).unwrap();
        tool.is_some_and(|tool| check(tool, &words[1..], &sources).is_err())
    }

    #[test]
    fn the_index_itself_and_what_is_allowed_may_be_named() {
        for line in [
            "pip install -i https://host.example/simple x",
            "pip install --extra-index-url=https://allowed.example/a x",
            "pip install -fhttps://allowed.example/links x",
            "uv sync --default-index https://host.example/simple/",
            "uv add --index corp=https://host.example/simple x",
            "pip install https://host.example/files/packages/a/a-1-py3-none-any.whl",
            "pip install git+https://allowed.example/a.git",
        ] {
            assert!(!refused(line), "{line}");
        }
        for line in [
            "pip install --extra-index-url https://allowed.example.evil/ x",
            "pip install --extra-index-url https://evil.example/https://allowed.example/ x",
            "pip install -Uf https://allowed.example/ -f /tmp x",
            "pip install --proxy https://allowed.example/ x",
        ] {
            assert!(refused(line), "{line}");
        }
    }

    #[test]
    fn options_that_name_another_source_are_refused_in_every_spelling() {
        for line in [
            "pip install --extra-index-url http://a/ x",
            "pip install --extra=http://a/ x",
            "pip install --find-l /tmp x",
            "pip3.11 install -i http://a/ x",
            "pip install -f/tmp x",
            "pip --isolated install x",
            "python -m pip install --index-url=http://a/ x",
            "/venv/bin/python3 -m pip install --pypi http://a/ x",
            "uv pip install --index http://a/ x",
            "uv sync --default-index http://a/",
            "uv pip install -f /tmp x",
            "pip install https://host/x.whl",
            "pip install --fi /tmp x",
            "pip install -Uf /tmp x",
            "pip install -qUi http://a/ x",
            "pip install --proxy=http://a/ x",
            "pip --prox a:1 install x",
            "python -mpip install --find-links /tmp x",
            "python -u -m pip install --find-links /tmp x",
            "python -X dev -Im pip install --find-links /tmp x",
            "uv pip install -Uf /tmp x",
        ] {
            assert!(refused(line), "{line}");
        }
    }

    #[test]
    fn everything_else_is_the_tools_business() {
        for line in [
            "pip install flask",
            "pip install --pre --prefer-binary --progress-bar off --no-deps -Ur fi.txt -tdir -qq x",
            "python -c import\u{a0}pip --find-links /tmp",
            "python -m json.tool --find-links",
            "pip install --force-reinstall --ignore-installed -r requirements.txt -t dir x",
            "pip install -- --index-url",
            "python script.py --index-url http://a/",
            "uv pip install --index-strategy first-index x",
            "pipx install x --index-url http://a/",
            "make --extra-index-url",
        ] {
            assert!(!refused(line), "{line}");
        }
    }

    #[test]
    fn credentials_do_not_reach_the_warning() {
        let url = "https://me:secret@host/x.whl?token=secret#egg=x";
        assert_eq!(without_credentials(url), "https://host/x.whl");
        assert_eq!(direct_url("git+https://host/x"), Some(Direct::Web));
        assert_eq!(direct_url("x @ https://host/x.whl"), Some(Direct::Web));
        assert_eq!(direct_url("git+ssh://git@host/x"), Some(Direct::Other));
        assert_eq!(direct_url("file:///tmp/x.whl"), Some(Direct::Other));
        assert_eq!(direct_url("--trusted-host=a://b"), None);
    }
}
