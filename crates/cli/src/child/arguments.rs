//! Which tool a command line runs, and options on it that would lead around the index.

use std::ffi::{OsStr, OsString};
use std::path::Path;

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
const PIP: [&str; 5] =
    ["--index-url", "--pypi-url", "--extra-index-url", "--find-links", "--isolated"];
const UV: [&str; 7] = [
    "--index",
    "--index-url",
    "--default-index",
    "--extra-index-url",
    "--find-links",
    "--config-file",
    "--torch-backend",
];

impl Tool {
    /// The tool that a command line runs, as far as that can be seen.
    pub(crate) fn of(program: &OsStr, arguments: &[OsString]) -> Option<Self> {
        let name = Path::new(program).file_name()?.to_str()?;
        let module = || match arguments {
            [flag, module, ..] if flag == "-m" => module.to_str(),
            _ => None,
        };
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
            Self::Pip if name.starts_with("--") && name.len() > 4 => {
                PIP.into_iter().find(|option| option.starts_with(name))
            }
            Self::Uv if name.starts_with("--") => exact(&UV),
            _ if argument.starts_with("--") => None,
            _ if argument.starts_with("-i") => Some("--index-url"),
            _ if argument.starts_with("-f") => Some("--find-links"),
            _ => None,
        }
    }
}

/// Refuses options and URLs that would make the tool install from elsewhere.
pub(super) fn check(tool: Tool, arguments: &[OsString]) -> anyhow::Result<()> {
    // What follows `--` is not an option.
    let options = arguments.iter().take_while(|argument| *argument != "--");
    for argument in options.filter_map(|argument| argument.to_str()) {
        if let Some(option) = tool.option(argument) {
            return Err(Failure::new(
                Exit::Usage,
                format!("{option} would let the tool install what the trusted index never signed"),
                "leave it out; to install from that source all the same, run the tool without \
                 waxseal",
            )
            .into());
        }
        match direct_url(argument) {
            Some(Direct::Web) => {
                return Err(Failure::new(
                    Exit::Usage,
                    format!(
                        "{} does not come from the trusted index",
                        without_credentials(argument)
                    ),
                    "name the project instead, or run the tool without waxseal",
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

/// A URL on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direct {
    /// Over HTTP, also as `git+https`: the proxy would refuse it, after the tool's retries.
    Web,
    /// A local file, or a way past the proxy such as SSH.
    Other,
}

fn direct_url(argument: &str) -> Option<Direct> {
    let url = argument.rsplit_once(" @ ").map_or(argument, |(_, url)| url);
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
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}{}", &url[..scheme + 3], &url[at + 1..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn refused(line: &str) -> bool {
        let words = words(line);
        let tool = Tool::of(&words[0], &words[1..]);
        tool.is_some_and(|tool| check(tool, &words[1..]).is_err())
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
        ] {
            assert!(refused(line), "{line}");
        }
    }

    #[test]
    fn everything_else_is_the_tools_business() {
        for line in [
            "pip install flask",
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
        assert_eq!(without_credentials("https://me:secret@host/x.whl"), "https://host/x.whl");
        assert_eq!(direct_url("git+https://host/x"), Some(Direct::Web));
        assert_eq!(direct_url("x @ https://host/x.whl"), Some(Direct::Web));
        assert_eq!(direct_url("git+ssh://git@host/x"), Some(Direct::Other));
        assert_eq!(direct_url("file:///tmp/x.whl"), Some(Direct::Other));
        assert_eq!(direct_url("--trusted-host=a://b"), None);
    }
}
