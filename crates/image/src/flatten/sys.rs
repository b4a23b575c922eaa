//! System calls that nix does not have, each as a safe function.

#![expect(unsafe_code, reason = "extended attributes")]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

/// Sets an extended attribute.
pub(super) fn set_xattr(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> nix::Result<()> {
    let data = value.as_ptr().cast();
    // SAFETY: the name ends with a NUL, and `data` points to as many bytes as are said; both
    // outlive the call, which only reads them.
    let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), data, value.len(), 0) };
    Errno::result(result).map(drop)
}

/// Removes an extended attribute.
pub(super) fn remove_xattr(file: BorrowedFd<'_>, name: &CStr) -> nix::Result<()> {
    // SAFETY: the name ends with a NUL and outlives the call, which only reads it.
    let result = unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr()) };
    Errno::result(result).map(drop)
}

/// The value of an extended attribute, and how long it is.
pub(crate) fn get_xattr(file: BorrowedFd<'_>, name: &CStr, into: &mut [u8]) -> nix::Result<usize> {
    let data = into.as_mut_ptr().cast();
    // SAFETY: the name ends with a NUL, and `data` points to as many bytes as are said, which the
    // call may write.
    let result = unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), data, into.len()) };
    Ok(usize::try_from(Errno::result(result)?).unwrap_or(0))
}

/// Names of all extended attributes, each with its NUL.
pub(crate) fn list_xattrs(file: BorrowedFd<'_>, into: &mut [u8]) -> nix::Result<usize> {
    let data = into.as_mut_ptr().cast();
    // SAFETY: `data` points to as many bytes as are said, which the call may write.
    let result = unsafe { libc::flistxattr(file.as_raw_fd(), data, into.len()) };
    Ok(usize::try_from(Errno::result(result)?).unwrap_or(0))
}
