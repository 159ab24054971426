//! TUF target paths of what an index publishes, relative to the repository's base.
//!
//! Each is made of validated names, so that none can leave its folder.

use crate::filename::DistributionFilename;
use crate::name::NormalizedName;

/// The list of all projects as JSON.
pub const PROJECT_LIST_JSON: &str = "simple/vnd.pypi.simple.v1.json";
/// The list of all projects as HTML.
pub const PROJECT_LIST_HTML: &str = "simple/vnd.pypi.simple.v1.html";

/// A project's Simple page as JSON.
pub fn project_json(project: &NormalizedName) -> String {
    format!("simple/{project}/vnd.pypi.simple.v1.json")
}

/// A project's Simple page as HTML.
pub fn project_html(project: &NormalizedName) -> String {
    format!("simple/{project}/vnd.pypi.simple.v1.html")
}

/// A distribution file.
pub fn distribution(filename: &DistributionFilename) -> String {
    format!("packages/{}/{filename}", filename.project())
}

/// The core metadata of a distribution file, beside it (PEP 658).
pub fn core_metadata(filename: &DistributionFilename) -> String {
    format!("{}.metadata", distribution(filename))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn paths_are_those_of_the_public_layout() {
        let filename: DistributionFilename = "Foo_Bar-1.0.tar.gz".parse().unwrap();
        let project = filename.project();
        assert_eq!(project_json(project), "simple/foo-bar/vnd.pypi.simple.v1.json");
        assert_eq!(project_html(project), "simple/foo-bar/vnd.pypi.simple.v1.html");
        assert_eq!(distribution(&filename), "packages/foo-bar/Foo_Bar-1.0.tar.gz");
        assert_eq!(core_metadata(&filename), "packages/foo-bar/Foo_Bar-1.0.tar.gz.metadata");
    }
}
