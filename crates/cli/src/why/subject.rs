//! What is asked about.

use std::path::{Path, PathBuf};

use waxseal_index::{DistributionFilename, NormalizedName, paths};
use waxseal_tuf::TargetPath;

use crate::failure::{Exit, Failure};

/// What a person wants to know the reasons of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A project, by its page.
    Project(NormalizedName),
    /// A target, or a file that a page lists, by what is or would be its target path.
    File(TargetPath),
    /// The same of a file on this machine, which is compared with it.
    Local(PathBuf, TargetPath),
}

impl Subject {
    /// Reads an argument: a file that is here, the name of a wheel or sdist, a target path, or a project.
    pub(crate) fn read(argument: &str) -> Result<Self, Failure> {
        let path = Path::new(argument);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let distribution = target_of(name);
        // A folder of a project's name says nothing about the project.
        let means_a_file = distribution.is_some() || argument.contains('/');
        if means_a_file && path.is_file() {
            return match distribution.or_else(|| TargetPath::new(argument).ok()) {
                Some(target) => Ok(Self::Local(path.to_owned(), target)),
                None => Err(no_name(argument)),
            };
        }
        if argument.contains('/') {
            let target = TargetPath::new(argument).map_err(|error| {
                let problem = format!("{error}, and no file {argument} is here");
                Failure::new(Exit::Usage, problem, HINT)
            })?;
            return Ok(Self::File(target));
        }
        match (distribution, NormalizedName::of(argument)) {
            (Some(target), _) => Ok(Self::File(target)),
            (None, Ok(project)) => Ok(Self::Project(project)),
            (None, Err(error)) => Err(Failure::new(Exit::Usage, error.to_string(), HINT)),
        }
    }
}

const HINT: &str = "name a project, a wheel or sdist, a target path such as \
                    packages/flask/flask-3.1.2-py3-none-any.whl, or a file on this machine";

fn no_name(argument: &str) -> Failure {
    let problem = format!("{argument} is here, and its name is not that of a wheel or an sdist");
    Failure::new(Exit::Usage, problem, "give the file the name that it has in the index")
}

/// The target path of a wheel or sdist, or of the core metadata beside it, by its name.
fn target_of(name: &str) -> Option<TargetPath> {
    let file = name.strip_suffix(".metadata").unwrap_or(name);
    let filename = file.parse::<DistributionFilename>().ok()?;
    let path = match file == name {
        true => paths::distribution(&filename),
        false => paths::core_metadata(&filename),
    };
    TargetPath::new(path).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn an_argument_is_taken_for_what_it_looks_like() {
        let file = |path: &str| Subject::File(TargetPath::new(path).unwrap());
        for (argument, subject) in [
            ("Flask", Subject::Project(NormalizedName::of("flask").unwrap())),
            ("zope.interface", Subject::Project(NormalizedName::of("zope-interface").unwrap())),
            ("Foo_Bar-1.0.tar.gz", file("packages/foo-bar/Foo_Bar-1.0.tar.gz")),
            ("a-1.0-py3-none-any.whl.metadata", file("packages/a/a-1.0-py3-none-any.whl.metadata")),
            ("simple/a/vnd.pypi.simple.v1.json", file("simple/a/vnd.pypi.simple.v1.json")),
        ] {
            assert_eq!(Subject::read(argument).unwrap(), subject, "{argument}");
        }
        for argument in ["", "a b", "../a", "/nowhere/a-1.0.tar.gz", "-"] {
            assert!(Subject::read(argument).is_err(), "{argument}");
        }
    }

    #[test]
    fn a_file_that_is_here_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            path
        };
        let wheel = at("a-1.0-py3-none-any.whl");
        let target = TargetPath::new("packages/a/a-1.0-py3-none-any.whl").unwrap();
        let read = Subject::read(wheel.to_str().unwrap()).unwrap();
        assert_eq!(read, Subject::Local(wheel, target));
        let error = Subject::read(at("notes.txt").to_str().unwrap()).unwrap_err();
        assert!(error.to_string().contains("not that of a wheel"), "{error}");
    }
}
