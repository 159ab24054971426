//! The names of an archive's members.

/// The segments of a member's name, without `.` and empty ones.
///
/// Refused is what some system reads as a place outside the folder that is unpacked to, or
/// splits into other segments than we do.
pub(super) fn segments(name: &str) -> Result<Vec<&str>, &'static str> {
    if name.is_empty() {
        return Err("it has no name");
    }
    if name.contains('\0') {
        return Err("its name has a NUL");
    }
    if name.contains('\\') {
        return Err("its name has a backslash, which Windows reads as a separator");
    }
    if name.starts_with('/') {
        return Err("its name is absolute");
    }
    if let [letter, b':', ..] = name.as_bytes()
        && letter.is_ascii_alphabetic()
    {
        return Err("its name starts with a drive letter");
    }
    if name.split('/').any(|segment| segment == "..") {
        return Err("its name goes up with '..'");
    }
    Ok(name.split('/').filter(|segment| !matches!(*segment, "" | ".")).collect())
}
