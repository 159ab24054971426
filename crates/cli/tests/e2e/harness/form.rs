//! The upload form, for uploads that twine and uv would not send.

use std::fs;
use std::path::Path;

use data_encoding::BASE64;
use waxseal_tuf::hash::Sha256;

use super::http::{Answer, request};

const BOUNDARY: &str = "0a1b2c3d-boundary";

/// An upload that is right until a test makes it wrong.
pub(crate) struct Form {
    pub(crate) token: String,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) filename: String,
    pub(crate) content: Vec<u8>,
}

impl Form {
    /// A file, as twine would upload it.
    pub(crate) fn file(token: &str, path: &Path) -> Self {
        let filename = path.file_name().unwrap().to_str().unwrap();
        Self::new(token, filename, fs::read(path).unwrap())
    }

    /// A wheel or sdist of these bytes.
    pub(crate) fn new(token: &str, filename: &str, content: Vec<u8>) -> Self {
        let sdist = filename.strip_suffix(".tar.gz");
        let filetype = if sdist.is_some() { "sdist" } else { "bdist_wheel" };
        let mut parts = sdist.unwrap_or(filename).split('-');
        let (name, version) = (parts.next().unwrap(), parts.next().unwrap());
        let fields = vec![
            (":action", "file_upload".to_owned()),
            ("protocol_version", "1".to_owned()),
            ("metadata_version", "2.1".to_owned()),
            ("filetype", filetype.to_owned()),
            ("name", name.to_owned()),
            ("version", version.to_owned()),
            ("sha256_digest", Sha256::of(&content).to_string()),
        ];
        Self { token: token.to_owned(), fields, filename: filename.to_owned(), content }
    }

    /// Gives a field another value.
    pub(crate) fn with(mut self, field: &'static str, value: &str) -> Self {
        let found = self.fields.iter_mut().find(|(name, _)| *name == field);
        value.clone_into(&mut found.unwrap().1);
        self
    }

    /// Uploads it to an index.
    pub(crate) fn post(&self, url: &str) -> std::io::Result<Answer> {
        let mut body = Vec::new();
        for (name, value) in &self.fields {
            let part = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
            body.extend_from_slice(part.as_bytes());
        }
        let part = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"content\"; \
             filename=\"{}\"\r\nContent-Type: application/octet-stream\r\n\r\n",
            self.filename
        );
        body.extend_from_slice(part.as_bytes());
        body.extend_from_slice(&self.content);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let user = BASE64.encode(format!("__token__:{}", self.token).as_bytes());
        let headers = [
            ("Authorization", format!("Basic {user}")),
            ("Content-Type", format!("multipart/form-data; boundary={BOUNDARY}")),
        ];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        request("POST", &format!("{url}/legacy/"), &headers, &body)
    }
}
