//! What a path in an archive may be, and the one order they come in (`protocol.md 2.2`).

use std::cmp::Ordering;

use crate::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX};

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Nothing there.
    #[error("path is empty")]
    Empty,
    /// Longer than [`PATH_BYTES_MAX`].
    #[error("path is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// A component longer than [`NAME_BYTES_MAX`].
    #[error("a name in the path is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    /// More components than [`PATH_DEPTH_MAX`].
    #[error("path is deeper than {PATH_DEPTH_MAX} names")]
    TooDeep,
    /// Starts with a slash.
    #[error("path is absolute")]
    Absolute,
    /// `a//b`, or a slash at the end.
    #[error("path has an empty name")]
    EmptyName,
    /// `.` or `..` as a component.
    #[error("path has a `.` or `..` name")]
    DotName,
    /// A NUL byte.
    #[error("path has a NUL byte")]
    Nul,
    /// Not UTF-8.
    #[error("path is not UTF-8")]
    NotUtf8,
}

/// Checks a path taken from bytes.
pub fn check(bytes: &[u8]) -> Result<&str, BadPath> {
    if bytes.len() > PATH_BYTES_MAX {
        return Err(BadPath::TooLong);
    }
    let path = std::str::from_utf8(bytes).map_err(|_| BadPath::NotUtf8)?;
    check_str(path)?;
    Ok(path)
}

/// Checks a path that is text already.
pub fn check_str(path: &str) -> Result<(), BadPath> {
    if path.is_empty() {
        return Err(BadPath::Empty);
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(BadPath::TooLong);
    }
    if path.starts_with('/') {
        return Err(BadPath::Absolute);
    }
    if path.bytes().any(|byte| byte == 0) {
        return Err(BadPath::Nul);
    }
    for (depth, name) in path.split('/').enumerate() {
        match name {
            "" => return Err(BadPath::EmptyName),
            "." | ".." => return Err(BadPath::DotName),
            _ if name.len() > NAME_BYTES_MAX => return Err(BadPath::NameTooLong),
            _ if depth >= PATH_DEPTH_MAX => return Err(BadPath::TooDeep),
            _ => {}
        }
    }
    Ok(())
}

/// The order of an archive: by components, so that everything below a directory comes right
/// after it. The same as comparing the bytes with `/` replaced by NUL, which no path contains.
pub fn compare(a: &str, b: &str) -> Ordering {
    let key = |byte: u8| if byte == b'/' { 0 } else { byte };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

/// Whether `path` lies below `directory`.
pub fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}
