//! The web side as its clients see it: uploads as twine and uv send them, pages and files as pip and
//! uv fetch them, and what must not work.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod api;
mod archives;
mod bad_uploads;
mod compression;
mod files;
mod form;
mod index;
mod listener;
mod openapi;
mod pages;
mod paths;
mod ready;
mod schema;
mod uploads;
