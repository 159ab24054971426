//! tar files made byte by byte, so that any field can lie.

/// A ustar header for a member of this name, type and size.
pub(crate) fn header(name: &str, kind: u8, size: u64, target: &str) -> [u8; 512] {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[156] = kind;
    header[157..157 + target.len()].copy_from_slice(target.as_bytes());
    header[257..265].copy_from_slice(b"ustar\x0000");
    sealed(header)
}

/// With the right checksum.
pub(crate) fn sealed(mut header: [u8; 512]) -> [u8; 512] {
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().copied().map(u64::from).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// A member with its data and padding.
pub(crate) fn member(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, kind, data.len() as u64, "").to_vec();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(crate) fn file(name: &str, data: &[u8]) -> Vec<u8> {
    member(name, b'0', data)
}

pub(crate) fn link(name: &str, kind: u8, target: &str) -> Vec<u8> {
    header(name, kind, 0, target).to_vec()
}

/// An extended header of these records.
pub(crate) fn pax(kind: u8, records: &[(&str, &str)]) -> Vec<u8> {
    let record = |(key, value): &(&str, &str)| {
        let rest = format!(" {key}={value}\n");
        // The length counts its own digits.
        let digits = if rest.len() + 1 < 10 { 1 } else { 2 };
        format!("{}{rest}", rest.len() + digits)
    };
    let data: String = records.iter().map(record).collect();
    member("PaxHeader", kind, data.as_bytes())
}

/// The members and the end of the archive.
pub(crate) fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}
