//! The io file from the worker's side: a memfd, written while the job arrives, read once the VM
//! is dead (`protocol.md 4`).
//!
//! Owns the memfd and the bytes in it. It never hands a guest's number on unchecked, reads each
//! field once, and allocates no more than the bounds of a result. The file is sealed against
//! resizing before a VMM sees it, so no read can run into a hole that was cut later.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;

use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use pe_proto::limits::IO_FILE_BYTES;

pub mod collect;
pub mod job;

/// Memory comes in these; a larger page of another architecture is only kept for longer.
const PAGE: u64 = 4096;

/// One VM's io file.
#[derive(Debug)]
pub struct IoFile {
    file: File,
}

impl IoFile {
    /// A sparse file of zeros that can be neither grown nor shrunk.
    ///
    /// # Errors
    /// The host has no memory or descriptors left.
    pub fn create() -> io::Result<Self> {
        let file = memfd(c"pe-io", IO_FILE_BYTES)?;
        seal(&file, SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL)?;
        Ok(Self { file })
    }

    /// For the VMM.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Gives back the memory of all but a range. Only what is left of a dead VM is cut so.
    pub(crate) fn keep_only(&self, range: &std::ops::Range<u64>) -> io::Result<()> {
        let after = range.end.next_multiple_of(PAGE);
        let before = range.start - range.start % PAGE;
        for (from, to) in [(0, before), (after, IO_FILE_BYTES)] {
            let signed = |number: u64| i64::try_from(number).map_err(io::Error::other);
            if from < to {
                let hole =
                    FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
                fallocate(&self.file, hole, signed(from)?, signed(to - from)?)?;
            }
        }
        Ok(())
    }

    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}

/// A sealable memfd of a size.
pub(crate) fn memfd(name: &std::ffi::CStr, bytes: u64) -> io::Result<File> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let file = File::from(fd);
    file.set_len(bytes)?;
    Ok(file)
}

/// Adds seals; there is no way to take them off.
pub(crate) fn seal(file: &File, seals: SealFlag) -> io::Result<()> {
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}
