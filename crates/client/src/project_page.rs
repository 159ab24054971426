//! A project's page and the files on it, for showing to people.

use waxseal_index::NormalizedName;
use waxseal_index::paths::{project_html, project_json};
use waxseal_index::simple::Listing;
use waxseal_tuf::{TargetFile, TargetPath};

use crate::{Client, Error};

/// A project's page, which is a target.
#[derive(Debug, Clone)]
pub struct ProjectPage {
    /// Its target path.
    pub path: TargetPath,
    /// Length and digests of the page.
    pub file: TargetFile,
    /// What it lists.
    pub listing: Listing,
}

impl Client {
    /// The page of a project, verified; `None` where the index has none. JSON is preferred, which says
    /// lengths.
    pub async fn project_page(
        &self,
        project: &NormalizedName,
    ) -> Result<Option<ProjectPage>, Error> {
        for path in [project_json(project), project_html(project)] {
            let path = TargetPath::new(path)?;
            let Some((file, bytes)) = self.get(&path).await? else { continue };
            let read = match path.as_str().ends_with("json") {
                true => Listing::from_json(&bytes),
                false => Listing::from_html(&bytes),
            };
            let listing = read.map_err(|error| Error::Unverifiable {
                file: "what it lists".to_owned(),
                page: path.to_string(),
                problem: format!("cannot be read: {error}"),
            })?;
            return Ok(Some(ProjectPage { path, file, listing }));
        }
        Ok(None)
    }
}
