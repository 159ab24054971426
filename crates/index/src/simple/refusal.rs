//! The page that carries a refusal to the user's screen.
//!
//! pip shows a user nothing of an error on a project's page, but names the file that it could not
//! get. So a proxy that refuses a page answers with a page of one file whose name is the reason,
//! and refuses that file.

use super::{html, json};
use crate::name::NormalizedName;

/// Longest reason in a filename, in bytes.
const MAX_SLUG: usize = 60;

/// Above every version that a project has, so that `pip install --upgrade` picks the file over
/// what is installed instead of being content with it.
const VERSION: &str = "99999999";

/// A project's page that lists one file, whose name says why the real page was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalPage {
    /// The page as JSON.
    pub json: Vec<u8>,
    /// The page as HTML.
    pub html: Vec<u8>,
    /// The name of the file. Its URL is that of a real file with this name.
    pub filename: String,
}

/// Makes the page that refuses `project` for a reason such as `rollback detected`. What cannot
/// stand in a local version (PEP 440) becomes a `.`.
pub fn refusal_page(project: &NormalizedName, reason: &str) -> RefusalPage {
    let filename =
        format!("{}-{VERSION}+waxseal.{}-py3-none-any.whl", project.in_filename(), slug(reason));
    RefusalPage {
        json: json::single_file(project, &filename),
        html: html::single_file(project, &filename),
        filename,
    }
}

fn slug(reason: &str) -> String {
    let mut slug = String::new();
    for character in reason.chars() {
        if slug.len() >= MAX_SLUG {
            break;
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('.') {
            slug.push('.');
        }
    }
    let slug = slug.trim_end_matches('.');
    if slug.is_empty() { "refused".to_owned() } else { slug.to_owned() }
}
