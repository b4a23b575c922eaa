//! Which pmem device is what: the io device by its size and header, packs by their volume uuid.
//!
//! Devices are only looked at, never trusted to be what the last look said: a restored guest has
//! another io file behind the same device than its zygote had.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pe_proto::io_file::InHeader;
use pe_proto::limits::IO_FILE_BYTES;

use crate::pages::{Device, DeviceError, PAGE_BYTES, Pages};

const SECTOR_BYTES: u64 = 512;

/// A pmem device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pmem {
    /// Name, such as `pmem0`.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
}

impl Pmem {
    /// Its node below /dev.
    pub fn node(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }
}

/// All pmem devices that there are now, by name.
pub fn list() -> io::Result<Vec<Pmem>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if !name.starts_with("pmem") {
            continue;
        }
        // A device that goes away between the two reads is as good as never there.
        let size = fs::read_to_string(entry.path().join("size")).unwrap_or_default();
        if let Ok(sectors) = size.trim().parse::<u64>() {
            found.push(Pmem { name, bytes: sectors.saturating_mul(SECTOR_BYTES) });
        }
    }
    found.sort();
    Ok(found)
}

/// The devices that may be the io device. A pack of the very same size is told from it by the
/// header, which only an io device with a job has.
pub fn may_hold_jobs(devices: &[Pmem]) -> impl Iterator<Item = &Pmem> {
    devices.iter().filter(|device| device.bytes == IO_FILE_BYTES)
}

/// What a look at an io device found.
#[derive(Debug)]
pub enum Look {
    /// Nothing yet: the first page does not begin like a job.
    Blank,
    /// A job.
    Job(InHeader),
    /// A job that cannot be read; the reason.
    Bad(String),
}

/// Looks for a job.
pub fn look(device: &Device) -> Result<Look, DeviceError> {
    let mut page = Pages::new(PAGE_BYTES);
    device.read(0, page.bytes_mut())?;
    let begins_like_a_job = page.bytes().starts_with(b"PEIOIN");
    Ok(match InHeader::decode(page.bytes()) {
        Ok(header) => Look::Job(header),
        Err(bad) if begins_like_a_job => Look::Bad(bad.to_string()),
        Err(_) => Look::Blank,
    })
}

const EROFS_SUPERBLOCK: usize = 1024;
const EROFS_MAGIC: [u8; 4] = 0xE0F5_E1E2_u32.to_le_bytes();
const EROFS_UUID: usize = 48;

/// The volume uuid of the pack on a device; none if it holds no pack.
pub fn pack_uuid(device: &Device) -> Result<Option<[u8; 16]>, DeviceError> {
    let mut page = Pages::new(PAGE_BYTES);
    device.read(0, page.bytes_mut())?;
    Ok(uuid_in_first_page(page.bytes()))
}

fn uuid_in_first_page(page: &[u8]) -> Option<[u8; 16]> {
    let superblock = page.get(EROFS_SUPERBLOCK..)?;
    if !superblock.starts_with(&EROFS_MAGIC) {
        return None;
    }
    superblock.get(EROFS_UUID..EROFS_UUID + 16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_known_by_its_magic_and_named_by_its_uuid() {
        let mut page = vec![0; PAGE_BYTES];
        assert_eq!(uuid_in_first_page(&page), None);
        page[1024..1028].copy_from_slice(&[0xE2, 0xE1, 0xF5, 0xE0]);
        page[1072..1088].copy_from_slice(b"0123456789abcdef");
        assert_eq!(uuid_in_first_page(&page), Some(*b"0123456789abcdef"));
        assert_eq!(uuid_in_first_page(&page[..1080]), None);
    }

    #[test]
    fn only_devices_of_exactly_the_io_files_size_may_hold_jobs() {
        let device = |name: &str, bytes| Pmem { name: name.to_owned(), bytes };
        let devices =
            [device("pmem0", IO_FILE_BYTES), device("pmem1", 2 << 20), device("pmem2", 0)];
        let found: Vec<_> = may_hold_jobs(&devices).map(|device| device.name.as_str()).collect();
        assert_eq!(found, ["pmem0"]);
    }
}
