//! Extended attributes, read without following links.

use std::ffi::CStr;
use std::path::Path;

use rustix::fs::{lgetxattr, llistxattr};

/// All attributes of a file, in the order of their names.
pub(crate) fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0_u8; 64 * 1024];
    let length = llistxattr(path, names.as_mut_slice()).unwrap_or(0);
    names.truncate(length);
    let mut all: Vec<(Vec<u8>, Vec<u8>)> = names
        .split_inclusive(|&byte| byte == 0)
        .map(|name| {
            let name = CStr::from_bytes_with_nul(name).expect("a name");
            let mut value = vec![0_u8; 64 * 1024];
            let length = lgetxattr(path, name, value.as_mut_slice()).expect("a value");
            value.truncate(length);
            (name.to_bytes().to_vec(), value)
        })
        .collect();
    all.sort();
    all
}
