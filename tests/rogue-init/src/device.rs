//! The io device and the packs' devices, read and written past the page cache.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use anyhow::Context as _;
use pe_proto::limits::IO_FILE_BYTES;

const PAGE: usize = 4096;

/// Length of the io device.
pub(crate) const IO_BYTES: u64 = IO_FILE_BYTES;

/// A pmem device: the io file, or a pack.
pub(crate) struct Device(File);

impl Device {
    pub(crate) fn find() -> anyhow::Result<Self> {
        let io = devices()?.into_iter().find(|(_, bytes)| *bytes == IO_FILE_BYTES);
        Self::open(&io.context("no io device")?.0)
    }

    pub(crate) fn open(name: &str) -> anyhow::Result<Self> {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(nix::fcntl::OFlag::O_DIRECT.bits())
            .open(format!("/dev/{name}"))?;
        Ok(Self(device))
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

    /// Has the VMM flush it to its file.
    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        Ok(self.0.sync_all()?)
    }
}

/// Names and lengths of the pmem devices that are not the io device.
pub(crate) fn packs() -> anyhow::Result<Vec<(String, u64)>> {
    Ok(devices()?.into_iter().filter(|(_, bytes)| *bytes != IO_FILE_BYTES).collect())
}

fn devices() -> anyhow::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let sectors = fs::read_to_string(entry.path().join("size")).unwrap_or_default();
        if let Ok(sectors) = sectors.trim().parse::<u64>() {
            if name.starts_with("pmem") {
                found.push((name, sectors * 512));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn aligned(space: &mut [u8], len: usize) -> anyhow::Result<&mut [u8]> {
    let start = space.as_ptr().align_offset(PAGE);
    space.get_mut(start..start + len).context("aligning a buffer")
}
