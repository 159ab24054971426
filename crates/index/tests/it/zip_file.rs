//! ZIP files made byte by byte, so that any field can lie.

use crate::{crc, deflate};

/// One header's view of an entry.
#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    pub(crate) packed: u32,
    pub(crate) unpacked: u32,
    pub(crate) extra: Vec<u8>,
}

/// An entry; the headers agree until a test changes one.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) local: Header,
    pub(crate) central: Header,
    pub(crate) data: Vec<u8>,
    /// Between the data and the next entry.
    pub(crate) after: Vec<u8>,
    /// Stands in the directory instead of the real offset.
    pub(crate) offset: Option<u32>,
}

impl Entry {
    pub(crate) fn stored(name: &str, contents: &[u8]) -> Self {
        Self::new(name, contents, contents.to_vec(), 0)
    }

    pub(crate) fn deflated(name: &str, contents: &[u8]) -> Self {
        Self::new(name, contents, deflate(contents), 8)
    }

    fn new(name: &str, contents: &[u8], data: Vec<u8>, method: u16) -> Self {
        let header = Header {
            name: name.as_bytes().to_vec(),
            flags: if name.is_ascii() { 0 } else { 1 << 11 },
            method,
            crc: crc(contents),
            packed: data.len() as u32,
            unpacked: contents.len() as u32,
            extra: Vec::new(),
        };
        Self { local: header.clone(), central: header, data, after: Vec::new(), offset: None }
    }

    /// Both headers changed alike.
    pub(crate) fn both(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        change(&mut self.central);
        self
    }

    pub(crate) fn local(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        self
    }

    pub(crate) fn central(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.central);
        self
    }

    pub(crate) fn after(mut self, bytes: Vec<u8>) -> Self {
        self.after = bytes;
        self
    }

    /// As a writer does that cannot seek: sizes and checksum behind the data.
    pub(crate) fn streamed(self, marked: bool, wide: bool) -> Self {
        let mut after = if marked { b"PK\x07\x08".to_vec() } else { Vec::new() };
        after.extend(self.central.crc.to_le_bytes());
        for size in [self.central.packed, self.central.unpacked] {
            let bytes = u64::from(size).to_le_bytes();
            after.extend(&bytes[..if wide { 8 } else { 4 }]);
        }
        self.both(|header| header.flags |= 1 << 3)
            .local(|header| (header.crc, header.packed, header.unpacked) = (0, 0, 0))
            .after(after)
    }
}

/// The three parts of a ZIP file.
#[derive(Clone)]
pub(crate) struct ZipFile {
    pub(crate) locals: Vec<u8>,
    pub(crate) directory: Vec<u8>,
    pub(crate) entries: u16,
    pub(crate) comment: Vec<u8>,
}

impl ZipFile {
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let (mut locals, mut directory) = (Vec::new(), Vec::new());
        for entry in entries {
            let offset = entry.offset.unwrap_or(locals.len() as u32);
            locals.extend(b"PK\x03\x04\x14\x00");
            locals.extend(fields(&entry.local));
            locals.extend(&entry.local.name);
            locals.extend(&entry.local.extra);
            locals.extend(&entry.data);
            locals.extend(&entry.after);
            directory.extend(b"PK\x01\x02\x14\x03\x14\x00");
            directory.extend(fields(&entry.central));
            directory.extend([0; 10]);
            directory.extend(offset.to_le_bytes());
            directory.extend(&entry.central.name);
            directory.extend(&entry.central.extra);
        }
        Self { locals, directory, entries: entries.len() as u16, comment: Vec::new() }
    }

    pub(crate) fn end(&self) -> Vec<u8> {
        let entries = self.entries.to_le_bytes();
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend([entries, entries].concat());
        end.extend((self.directory.len() as u32).to_le_bytes());
        end.extend((self.locals.len() as u32).to_le_bytes());
        end.extend((self.comment.len() as u16).to_le_bytes());
        end.extend(&self.comment);
        end
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.locals.clone(), self.directory.clone(), self.end()].concat()
    }

    /// With a ZIP64 end record and locator, and the end record's own fields left open or not.
    pub(crate) fn zip64_bytes(&self, open: bool, entries: u64, locator: Option<u64>) -> Vec<u8> {
        let mut bytes = [self.locals.clone(), self.directory.clone()].concat();
        let position = bytes.len() as u64;
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44_u64.to_le_bytes());
        bytes.extend([45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for field in [entries, entries, self.directory.len() as u64, self.locals.len() as u64] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend(locator.unwrap_or(position).to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        let mut end = self.end();
        if open {
            end[8..20].fill(0xff);
        }
        bytes.extend(end);
        bytes
    }
}

fn fields(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(header.flags.to_le_bytes());
    bytes.extend(header.method.to_le_bytes());
    bytes.extend([0, 0, 0x21, 0]);
    bytes.extend(header.crc.to_le_bytes());
    bytes.extend(header.packed.to_le_bytes());
    bytes.extend(header.unpacked.to_le_bytes());
    bytes.extend((header.name.len() as u16).to_le_bytes());
    bytes.extend((header.extra.len() as u16).to_le_bytes());
    bytes
}
