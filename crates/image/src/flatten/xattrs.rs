//! Extended attributes of open files, with nix's errors.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};

/// Sets an extended attribute.
pub(super) fn set_xattr(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> nix::Result<()> {
    fsetxattr(file, name, value, XattrFlags::empty()).map_err(errno)
}

/// Removes an extended attribute.
pub(super) fn remove_xattr(file: BorrowedFd<'_>, name: &CStr) -> nix::Result<()> {
    fremovexattr(file, name).map_err(errno)
}

/// The value of an extended attribute, and how long it is.
pub(crate) fn get_xattr(file: BorrowedFd<'_>, name: &CStr, into: &mut [u8]) -> nix::Result<usize> {
    fgetxattr(file, name, into).map_err(errno)
}

/// Names of all extended attributes, each with its NUL.
pub(crate) fn list_xattrs(file: BorrowedFd<'_>, into: &mut [u8]) -> nix::Result<usize> {
    flistxattr(file, into).map_err(errno)
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}
