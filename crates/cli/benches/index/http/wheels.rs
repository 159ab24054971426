//! Wheels of 5 to 100 KB, and the form that twine uploads them with.

use std::io::{Cursor, Write as _};

use aws_lc_rs::rand;
use blake2::Blake2b;
use blake2::digest::consts::U32;
use data_encoding::HEXLOWER;
use md5::{Digest as _, Md5};
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const BOUNDARY: &str = "a49da7e2f4a94cf19ff2e0d5ac2f3cbb";

/// How many releases each project gets.
const RELEASES: usize = 4;

/// An upload, ready to be sent.
pub(super) struct Upload {
    /// The target path of the file.
    pub(super) path: TargetPath,
    /// The whole body of the request.
    pub(super) body: Vec<u8>,
}

/// The value of the request's `Content-Type`.
pub(super) fn content_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

/// So many uploads of projects whose names begin so.
pub(super) fn make(start: &str, count: usize) -> Vec<Upload> {
    (0..count).map(|number| upload(start, number)).collect()
}

fn upload(start: &str, number: usize) -> Upload {
    let name = format!("{start}{}", number / RELEASES);
    let version = format!("1.{}.0", number % RELEASES);
    let filename = format!("{name}-{version}-py3-none-any.whl");
    let metadata = metadata(&name, &version);
    let wheel = wheel(&name, &version, &metadata, 5_000 + number * 7_919 % 95_000);
    let path = TargetPath::new(format!("packages/{name}/{filename}")).unwrap();
    Upload { path, body: form(&name, &version, &filename, &wheel) }
}

fn metadata(name: &str, version: &str) -> String {
    let head = format!(
        "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: Made for a benchmark\n\
         Home-page: https://example.org/{name}\nLicense: MIT\nRequires-Python: >=3.9\n\
         Description-Content-Type: text/markdown\n\n"
    );
    head + &"A paragraph that says what the project is good for.\n".repeat(40)
}

/// A wheel of about this many bytes, which do not compress.
fn wheel(name: &str, version: &str, metadata: &str, size: usize) -> Vec<u8> {
    let mut module = vec![0; size - metadata.len()];
    rand::fill(&mut module).unwrap();
    let info = format!("{name}-{version}.dist-info");
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in [
        (format!("{name}/data.bin"), module.as_slice()),
        (format!("{info}/METADATA"), metadata.as_bytes()),
        (
            format!("{info}/WHEEL"),
            b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        (format!("{info}/RECORD"), b""),
    ] {
        archive.start_file(path, SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// The fields that twine 7 sends, in its order.
fn form(name: &str, version: &str, filename: &str, wheel: &[u8]) -> Vec<u8> {
    let description = "A paragraph that says what the project is good for.\n".repeat(40);
    let fields = [
        ("name", name),
        ("version", version),
        ("filetype", "bdist_wheel"),
        ("pyversion", "py3"),
        ("metadata_version", "2.1"),
        ("summary", "Made for a benchmark"),
        ("home_page", "https://example.org/"),
        ("description", &description),
        ("license", "MIT"),
        ("requires_python", ">=3.9"),
        ("description_content_type", "text/markdown"),
        ("comment", ""),
        ("sha256_digest", &Sha256::of(wheel).to_string()),
        ("md5_digest", &HEXLOWER.encode(&Md5::digest(wheel))),
        ("blake2_256_digest", &HEXLOWER.encode(&Blake2b::<U32>::digest(wheel))),
        (":action", "file_upload"),
        ("protocol_version", "1"),
    ];
    let mut body = Vec::with_capacity(wheel.len() + 8192);
    for (name, value) in fields {
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend([head.as_bytes(), value.as_bytes(), b"\r\n"].concat());
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"content\"; \
         filename=\"{filename}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    body.extend([head.as_bytes(), wheel, b"\r\n"].concat());
    body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    body
}
