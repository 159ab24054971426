//! Why a file is trusted, for people: as a tree on the terminal, as JSON, and as a picture.

mod explanation;
mod subject;
mod svg;
mod tree;
mod words;

pub(crate) use explanation::{Explanation, Local};
pub(crate) use subject::Subject;
pub(crate) use svg::svg;
pub(crate) use tree::show;
