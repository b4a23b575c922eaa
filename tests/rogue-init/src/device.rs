//! The io device, read and written past the page cache.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use anyhow::Context as _;
use pe_proto::limits::IO_FILE_BYTES;

pub(crate) const PAGE: usize = 4096;

/// The pmem device that is as long as an io file.
pub(crate) struct IoDevice(File);

impl IoDevice {
    pub(crate) fn find() -> anyhow::Result<Self> {
        for entry in fs::read_dir("/sys/block")?.flatten() {
            let sectors = fs::read_to_string(entry.path().join("size")).unwrap_or_default();
            if sectors.trim().parse::<u64>().is_ok_and(|sectors| sectors * 512 == IO_FILE_BYTES) {
                let device = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .custom_flags(nix::fcntl::OFlag::O_DIRECT.bits())
                    .open(format!("/dev/{}", entry.file_name().to_string_lossy()))?;
                return Ok(Self(device));
            }
        }
        anyhow::bail!("no io device")
    }

    pub(crate) fn read(&self, offset: u64, len: usize) -> anyhow::Result<Vec<u8>> {
        let mut space = vec![0; len + PAGE];
        let page = aligned(&mut space, len)?;
        self.0.read_exact_at(page, offset)?;
        Ok(page.to_vec())
    }

    /// Writes `bytes` at the start of the page at `offset`; the rest of the last page is zeroed.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
        let len = bytes.len().next_multiple_of(PAGE);
        let mut space = vec![0; len + PAGE];
        let pages = aligned(&mut space, len)?;
        pages.get_mut(..bytes.len()).context("room")?.copy_from_slice(bytes);
        self.0.write_all_at(pages, offset)?;
        Ok(())
    }
}

fn aligned(space: &mut [u8], len: usize) -> anyhow::Result<&mut [u8]> {
    let start = space.as_ptr().align_offset(PAGE);
    space.get_mut(start..start + len).context("aligning a buffer")
}
