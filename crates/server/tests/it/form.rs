//! The upload form, as twine fills it in or with one thing wrong.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use data_encoding::BASE64;
use futures_util::stream;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use waxseal_tuf::hash::Sha256;

use crate::archives;

const BOUNDARY: &str = "a-boundary";

/// What the password is, beside the user name.
#[derive(Debug, Clone)]
pub(crate) enum Credentials {
    Basic { user: String, password: String },
    Header(String),
    None,
}

/// A field of the form.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) filename: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

/// An upload; `fields` are sent in their order.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) credentials: Credentials,
    pub(crate) fields: Vec<Field>,
}

impl Form {
    /// What twine sends for a file, but for the metadata that the index does not read.
    pub(crate) fn new(token: &str, filename: &str, file: &[u8]) -> Self {
        let credentials =
            Credentials::Basic { user: "__token__".to_owned(), password: token.to_owned() };
        let (stem, filetype) = match filename.strip_suffix(".whl") {
            Some(stem) => (stem, "bdist_wheel"),
            None => (filename.trim_end_matches(".tar.gz"), "sdist"),
        };
        let mut words = stem.split('-');
        let (name, version) = (words.next().unwrap(), words.next().unwrap_or("0"));
        let mut form = Self { credentials, fields: Vec::new() };
        form.push("name", name);
        form.push("version", version);
        form.push("filetype", filetype);
        form.push("metadata_version", "2.1");
        form.push("classifiers", "Programming Language :: Python");
        form.push("classifiers", "Programming Language :: Rust");
        form.push("sha256_digest", &Sha256::of(file).to_string());
        form.push(":action", "file_upload");
        form.push("protocol_version", "1");
        form.fields.push(Field {
            name: "content".to_owned(),
            filename: Some(filename.to_owned()),
            bytes: file.to_vec(),
        });
        form
    }

    /// The upload of a tiny wheel.
    pub(crate) fn wheel(token: &str, name: &str, version: &str) -> Self {
        let file = archives::wheel(name, version, b"");
        Self::new(token, &format!("{name}-{version}-py3-none-any.whl"), &file)
    }

    pub(crate) fn push(&mut self, name: &str, value: &str) {
        let (name, bytes) = (name.to_owned(), value.as_bytes().to_vec());
        self.fields.push(Field { name, filename: None, bytes });
    }

    /// Gives a field another value.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.field(name).bytes = value.as_bytes().to_vec();
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|field| field.name != name);
        self
    }

    pub(crate) fn filename(mut self, filename: &str) -> Self {
        self.field("content").filename = Some(filename.to_owned());
        self
    }

    pub(crate) fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    fn field(&mut self, name: &str) -> &mut Field {
        self.fields.iter_mut().find(|field| field.name == name).unwrap()
    }

    /// The body.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for Field { name, filename, bytes } in &self.fields {
            body.extend(format!("--{BOUNDARY}\r\n").bytes());
            body.extend(format!("Content-Disposition: form-data; name=\"{name}\"").bytes());
            if let Some(filename) = filename {
                body.extend(format!("; filename=\"{filename}\"").bytes());
            }
            body.extend(b"\r\n\r\n");
            body.extend(bytes);
            body.extend(b"\r\n");
        }
        body.extend(format!("--{BOUNDARY}--\r\n").bytes());
        body
    }

    /// The request with a body of its own.
    pub(crate) fn request_with(&self, body: Body) -> Request<Body> {
        let mut request = Request::post("/legacy/")
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"));
        if let Some(value) = self.authorization() {
            request = request.header(AUTHORIZATION, value);
        }
        request.body(body).unwrap()
    }

    /// The request, its body in many pieces.
    pub(crate) fn request(&self) -> Request<Body> {
        let bytes = self.bytes();
        let pieces: Vec<_> = bytes.chunks(4096).map(Bytes::copy_from_slice).collect();
        let pieces = pieces.into_iter().map(Ok::<_, Infallible>);
        self.request_with(Body::from_stream(stream::iter(pieces)))
    }

    /// The `Authorization` header.
    pub(crate) fn authorization(&self) -> Option<String> {
        match &self.credentials {
            Credentials::Basic { user, password } => {
                Some(format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes())))
            }
            Credentials::Header(value) => Some(value.clone()),
            Credentials::None => None,
        }
    }
}
