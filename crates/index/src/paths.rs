//! TUF target paths of what an index publishes, relative to the repository's base.
//!
//! Each is made of validated names, so that none can leave its folder.

use crate::filename::DistributionFilename;
use crate::name::NormalizedName;

/// The list of all projects as JSON.
pub const PROJECT_LIST_JSON: &str = "simple/vnd.pypi.simple.v1.json";
/// The list of all projects as HTML.
pub const PROJECT_LIST_HTML: &str = "simple/vnd.pypi.simple.v1.html";

/// The field of a target's `custom`, and its one value, that says of a project's page that it vouches
/// for the files on it, which then need not be targets themselves (layout `index`).
pub const LAYOUT_FIELD: (&str, &str) = ("x-waxseal-layout", "index");

/// The project whose page a target path is.
pub fn project_of_page(path: &str) -> Option<NormalizedName> {
    let (project, page) = path.strip_prefix("simple/")?.split_once('/')?;
    let known = matches!(page, "vnd.pypi.simple.v1.json" | "vnd.pypi.simple.v1.html");
    let name = NormalizedName::of(project).ok().filter(|name| name.as_str() == project)?;
    known.then_some(name)
}

/// Whether a target path is that of a project's page.
pub fn is_project_page(path: &str) -> bool {
    path.starts_with("simple/") && project_of_page(path).is_some()
}

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
        for path in [project_json(project), project_html(project)] {
            assert_eq!(project_of_page(&path).as_ref(), Some(project));
        }
        for path in [
            PROJECT_LIST_JSON,
            "simple/Foo/vnd.pypi.simple.v1.json",
            "simple/foo/bar/vnd.pypi.simple.v1.json",
            "simple/foo/vnd.pypi.simple.v1.json.metadata",
            "packages/foo/vnd.pypi.simple.v1.json",
        ] {
            assert!(!is_project_page(path), "{path}");
        }
        assert_eq!(distribution(&filename), "packages/foo-bar/Foo_Bar-1.0.tar.gz");
        assert_eq!(core_metadata(&filename), "packages/foo-bar/Foo_Bar-1.0.tar.gz.metadata");
    }
}
