//! The packages of the demo: wheels of one module, made in memory.

use data_encoding::BASE64URL_NOPAD;
use waxseal_tuf::hash::Sha256;

/// A wheel that anybody can make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wheel {
    /// The project, and its one module.
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// What its filename says it is for.
    pub(super) tag: &'static str,
    /// What it says it needs.
    pub(super) requires: &'static [&'static str],
    /// The text of its module, by which it is known again when it is installed.
    pub(super) says: &'static str,
}

impl Wheel {
    /// For every Python 3.
    pub(super) const fn new(
        name: &'static str,
        version: &'static str,
        requires: &'static [&'static str],
        says: &'static str,
    ) -> Self {
        Self { name, version, tag: "py3-none-any", requires, says }
    }

    pub(super) fn filename(&self) -> String {
        format!("{}-{}-{}.whl", self.name, self.version, self.tag)
    }

    /// Its core metadata.
    pub(super) fn metadata(&self) -> String {
        let Self { name, version, .. } = self;
        let requires = self.requires.iter().map(|project| format!("Requires-Dist: {project}\n"));
        let requires = requires.collect::<Vec<_>>().concat();
        format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
    }

    /// The file; the same wheel is the same bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let info = format!("{}-{}.dist-info", self.name, self.version);
        let wheel = format!(
            "Wheel-Version: 1.0\nGenerator: waxseal-demo\nRoot-Is-Purelib: true\nTag: {}\n",
            self.tag
        );
        let mut files = vec![
            (format!("{}.py", self.name), format!("\"\"\"{}\"\"\"\n", self.says)),
            (format!("{info}/METADATA"), self.metadata()),
            (format!("{info}/WHEEL"), wheel),
        ];
        let row = |(path, text): &(String, String)| {
            let digest = BASE64URL_NOPAD.encode(&Sha256::of(text.as_bytes()).0);
            format!("{path},sha256={digest},{}\n", text.len())
        };
        let rows = files.iter().map(row).chain([format!("{info}/RECORD,,\n")]);
        let record = rows.collect::<Vec<_>>().concat();
        files.push((format!("{info}/RECORD"), record));
        zip(&files)
    }
}

/// The first day that a ZIP archive can name: 1 January 1980.
const DATE: u16 = (1 << 5) | 1;

/// An archive of files that are stored as they are (APPNOTE 4.3).
fn zip(files: &[(String, String)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (path, text) in files {
        let offset = length(archive.len());
        let size = length(text.len()).to_le_bytes();
        let name = u16::try_from(path.len()).unwrap_or(u16::MAX).to_le_bytes();
        // What local header and directory have in common: version 2.0, no flags, stored, the time.
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0];
        common.extend(DATE.to_le_bytes());
        common.extend(crc32(text.as_bytes()).to_le_bytes());
        common.extend([size, size].concat());
        common.extend(name);
        common.extend([0, 0]);
        archive.extend(b"PK\x03\x04");
        archive.extend(&common);
        archive.extend(path.as_bytes());
        archive.extend(text.as_bytes());
        // Made on Unix, where the file is a regular one that all may read.
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((0o100_644_u32 << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(path.as_bytes());
    }
    let (offset, size) = (length(archive.len()), length(directory.len()));
    let count = u16::try_from(files.len()).unwrap_or(u16::MAX).to_le_bytes();
    archive.append(&mut directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([count, count].concat());
    archive.extend(size.to_le_bytes());
    archive.extend(offset.to_le_bytes());
    archive.extend([0, 0]);
    archive
}

/// A demo's wheel has some hundred bytes.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// CRC-32 as ZIP has it (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::io::{Cursor, Read as _};

    use super::*;

    #[test]
    fn another_program_reads_the_wheel() {
        let wheel = Wheel::new("greet", "1.0", &["phrases"], "hello");
        let mut archive = zip::ZipArchive::new(Cursor::new(wheel.bytes())).unwrap();
        let names: Vec<_> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
        let info =
            ["METADATA", "WHEEL", "RECORD"].map(|file| format!("greet-1.0.dist-info/{file}"));
        assert_eq!(names, [&["greet.py".to_owned()], info.as_slice()].concat());
        let mut text = String::new();
        archive.by_name("greet.py").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "\"\"\"hello\"\"\"\n");
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // The check value that catalogues of CRCs give.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
