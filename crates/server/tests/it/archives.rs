//! Tiny wheels and source distributions.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Core metadata of a release, and fields besides.
pub(crate) fn metadata(name: &str, version: &str, more: &str) -> String {
    format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}")
}

/// `<name>-<version>-py3-none-any.whl` with a module of these bytes.
pub(crate) fn wheel(name: &str, version: &str, module: &[u8]) -> Vec<u8> {
    wheel_with(name, version, &metadata(name, version, "Requires-Python: >=3.9\n"), module)
}

/// A wheel whose `METADATA` is as given.
pub(crate) fn wheel_with(name: &str, version: &str, metadata: &str, module: &[u8]) -> Vec<u8> {
    let folder = format!("{}-{version}.dist-info", name.replace(['-', '.'], "_"));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in [
        ("module.py".to_owned(), module),
        (format!("{folder}/METADATA"), metadata.as_bytes()),
        (format!("{folder}/WHEEL"), b"Wheel-Version: 1.0\nTag: py3-none-any\n"),
        (format!("{folder}/RECORD"), b""),
    ] {
        archive.start_file(path, SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// `<name>-<version>.tar.gz` with a `PKG-INFO`.
pub(crate) fn sdist(name: &str, version: &str) -> Vec<u8> {
    let encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut archive = tar::Builder::new(encoder);
    let metadata = metadata(name, version, "");
    for (file, text) in [("PKG-INFO", metadata.as_str()), ("module.py", "")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let path = format!("{name}-{version}/{file}");
        archive.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}
