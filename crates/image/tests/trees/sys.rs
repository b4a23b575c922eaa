//! Extended attributes, read without following links.

#![expect(unsafe_code, reason = "nix has no extended attributes")]

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::libc;

/// All attributes of a file, in the order of their names.
pub(crate) fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
    let mut names = vec![0_u8; 64 * 1024];
    // SAFETY: the path ends with a NUL, and the buffer has as many bytes as are said.
    let length = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(usize::try_from(length).unwrap_or(0));
    let mut all: Vec<(Vec<u8>, Vec<u8>)> = names
        .split_inclusive(|&byte| byte == 0)
        .map(|name| {
            let name = CStr::from_bytes_with_nul(name).expect("a name");
            let mut value = vec![0_u8; 64 * 1024];
            let data = value.as_mut_ptr().cast();
            // SAFETY: both strings end with a NUL, and the buffer has as many bytes as are said.
            let got = unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), data, value.len()) };
            value.truncate(usize::try_from(got).expect("a value"));
            (name.to_bytes().to_vec(), value)
        })
        .collect();
    all.sort();
    all
}
