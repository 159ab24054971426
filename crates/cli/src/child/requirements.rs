//! Requirements files can name other sources too: pip and uv obey options in them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::sources::Sources;
use super::{Surroundings, pip};
use crate::failure::{Exit, Failure};

/// Options in a file that name another source.
const OTHER_SOURCES: [&str; 6] =
    ["--index-url", "--extra-index-url", "--find-links", "-i", "-f", "--pypi-url"];

/// Options that name another requirements or constraints file.
const FILES: [&str; 14] = [
    "-r",
    "--requirement",
    "--requirements",
    "--with-requirements",
    "-c",
    "--constraint",
    "--constraints",
    "-b",
    "--build-constraint",
    "--build-constraints",
    "--override",
    "--overrides",
    "--exclude",
    "--excludes",
];

/// Variables that name such files, separated by spaces.
const VARIABLES: [&str; 7] = [
    "PIP_REQUIREMENT",
    "PIP_CONSTRAINT",
    "PIP_BUILD_CONSTRAINT",
    "UV_CONSTRAINT",
    "UV_BUILD_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_EXCLUDE",
];

/// Refuses requirements files that name another source: those of the command line, of the environment
/// and of pip's configuration, and those that these include.
pub(super) fn check(
    arguments: &[OsString],
    surroundings: &Surroundings<'_>,
    sources: &Sources,
) -> anyhow::Result<()> {
    let directory = surroundings.directory;
    let arguments: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let variables = VARIABLES.iter().filter_map(|name| surroundings.variable(name)?.to_str());
    let named = variables.flat_map(str::split_whitespace).map(PathBuf::from);
    let named = named.chain(pip::named_files(surroundings));
    let mut pending: Vec<PathBuf> = named.map(|file| directory.join(file)).collect();
    for (i, argument) in arguments.iter().enumerate() {
        pending.extend(named_file(argument, arguments.get(i + 1).copied(), directory));
    }
    let mut seen = BTreeSet::new();
    while let Some(file) = pending.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        // A file that cannot be read is the tool's to report, in its own words.
        let Ok(bytes) = fs::read(&file) else { continue };
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(refusal(&file, 1, "an encoding other than UTF-8").into());
        };
        let folder = file.parent().unwrap_or(directory);
        for (number, line) in (1..).zip(text.lines()) {
            // A line that goes on in the next one could name an option in two halves.
            if line.ends_with('\\') && line.trim_start().starts_with("--") {
                return Err(
                    refusal(&file, number, "an option that goes on in the next line").into()
                );
            }
            let words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
            let words: Vec<&str> = words.collect();
            if let Some(option) = other_source_in(&words, sources) {
                return Err(refusal(&file, number, option).into());
            }
            let Some(first) = words.first() else { continue };
            pending.extend(named_file(first, words.get(1).copied(), folder));
        }
    }
    Ok(())
}

/// The first option of a line that names a source which is not accepted.
fn other_source_in(words: &[&str], sources: &Sources) -> Option<&'static str> {
    let mut next = words.iter().copied().skip(1);
    words.iter().find_map(|word| {
        let following = next.next();
        let option = other_source(word)?;
        let value = match word.split_once('=') {
            Some((_, value)) if word.starts_with("--") => Some(value),
            _ if word.starts_with("--") => following,
            _ => word.get(2..).filter(|value| !value.is_empty()).or(following),
        };
        let named = OTHER_SOURCES.contains(&option);
        let accepted = named && value.is_some_and(|value| sources.accepts(value));
        (!accepted).then_some(option)
    })
}

/// The option that a word is: spelled out, abbreviated as pip allows it, or short. A name in quotes
/// could be any.
fn other_source(word: &str) -> Option<&'static str> {
    let name = word.split('=').next().unwrap_or(word);
    if name.starts_with('-') && name.contains(['"', '\'', '\\']) {
        return Some("an option in quotes");
    }
    OTHER_SOURCES.into_iter().find(|option| match option.starts_with("--") {
        true => name.len() > 2 && option.starts_with(name),
        false => word.starts_with(option),
    })
}

/// The file that an option names, in its own word or the next one.
fn named_file(word: &str, next: Option<&str>, folder: &Path) -> Option<PathBuf> {
    let (option, value) = match word.split_once('=') {
        Some((option, value)) if word.starts_with("--") => (option, Some(value)),
        _ if word.starts_with("--") => (word, None),
        // `-rfile`, and in a cluster: `-qr file`.
        _ => {
            let at = word.strip_prefix('-')?.find(['r', 'c', 'b'])? + 1;
            let value = word.get(at + 1..).filter(|value| !value.is_empty());
            (word.get(at..=at)?, value)
        }
    };
    let is_long = |long: &&str| option.len() >= 4 && long.starts_with(option);
    let known = !option.starts_with("--") || FILES.iter().any(is_long);
    let path = value.or(next).filter(|_| known)?;
    Some(folder.join(path))
}

fn refusal(file: &Path, number: usize, option: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!(
            "line {number} of {} has {option}, which would let the tool install what the trusted \
             index never signed",
            file.display()
        ),
        "take the line out; `--allow URL`, before the command, lets the tool have that source unverified",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn check_files(files: &[(&str, &str)], arguments: &[&str]) -> Result<(), String> {
        check_all(files, arguments, &[])
    }

    fn check_all(
        files: &[(&str, &str)],
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let variables: Vec<(OsString, OsString)> =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let surroundings =
            Surroundings { variables: &variables, directory: folder.path(), prefix: None };
        let allowed = ["https://allowed.example/".to_owned()];
        let sources = Sources::new(&"https://host.example/".parse().unwrap(), &allowed).unwrap();
        check(&arguments, &surroundings, &sources).map_err(|error| error.to_string())
    }

    #[test]
    fn files_that_the_environment_names_are_checked_too() {
        let files = [("a.txt", "flask\n"), ("b.txt", "--find-links dir\n")];
        for (variable, refused) in [
            (("PIP_CONSTRAINT", "a.txt b.txt"), true),
            (("UV_OVERRIDE", "b.txt"), true),
            (("PIP_CONSTRAINT", "a.txt"), false),
            (("PIP_LOG", "b.txt"), false),
        ] {
            let result = check_all(&files, &["install", "flask"], &[variable]);
            assert_eq!(result.is_err(), refused, "{variable:?} {result:?}");
        }
    }

    #[test]
    fn a_source_in_an_included_file_is_refused_with_its_line() {
        let files = [
            ("a.txt", "flask\n-r sub/b.txt\n"),
            ("sub/b.txt", "# x\n-c c.txt\n"),
            ("sub/c.txt", "\n\n  --extra-index-url=http://user:secret@a/\n"),
        ];
        let error = check_files(&files, &["install", "-ra.txt"]).unwrap_err();
        assert!(error.contains("line 3 of") && error.contains("c.txt"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_source_is_refused_in_every_spelling() {
        for line in [
            "-ihttp://a/",
            "--index http://a/",
            "--extra=http://a/",
            "--find-l dir",
            "--pre --extra-index-url http://a/",
            "--extra\\\n-index-url http://a/",
        ] {
            check_files(&[("a.txt", line)], &["install", "-r", "a.txt"]).unwrap_err();
        }
    }

    #[test]
    fn the_index_itself_and_what_is_allowed_may_be_named() {
        let text = "-i https://host.example/simple\n--extra-index-url=https://allowed.example/a\n\
                    --find-links https://allowed.example/b\nflask\n";
        check_files(&[("a.txt", text)], &["install", "-r", "a.txt"]).unwrap();
        for line in ["-i https://allowed.example.evil/", "--find-links", "-f"] {
            check_files(&[("a.txt", line)], &["install", "-r", "a.txt"]).unwrap_err();
        }
    }

    #[test]
    fn plain_files_and_loops_pass() {
        let text =
            "flask==3 \\\n  --hash=sha256:00\n-r a.txt\n-e .\nfoo-i\n--pre # --find-links x\n";
        let files = [("a.txt", text)];
        check_files(&files, &["install", "--requirement", "a.txt", "-r", "missing.txt"]).unwrap();
    }
}
