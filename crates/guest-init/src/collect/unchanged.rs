//! Telling files of the input that the job left as they were from those it changed.
//!
//! The job's archive is still in the io device: an index says where each file's bytes lie there,
//! and a candidate is compared with them. Times and inode numbers would be cheaper but are not
//! evidence: a mapped file changes without them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;

use pe_proto::archive::{Bounds, Decoder, Event, INPUT_PREFIX, Kind, Role};
use pe_proto::io_file::PAGE;

use crate::pages::{Device, DeviceError, PageReader};

/// Where the files of the input lie in the device.
#[derive(Debug, Default)]
pub(super) struct Input {
    files: BTreeMap<String, (Kind, Range<u64>)>,
}

impl Input {
    /// Reads the heads of the archive in `range`. The archive was unpacked before and so is a
    /// good one; if it is not, what could be read is the index, and more files count as changed.
    pub(super) fn index(device: &Device, range: Range<u64>) -> Result<Self, DeviceError> {
        let mut decoder = Decoder::new(Bounds::of(Role::Job));
        let mut reader = PageReader::new(device, range.clone());
        let mut files = BTreeMap::new();
        let mut at = range.start;
        while let Some(piece) = reader.next_piece()? {
            let mut rest = piece;
            while let Ok(Some(event)) = decoder.next(&mut rest) {
                let Event::Entry { kind, path, len } = event else {
                    continue;
                };
                let start = at + (piece.len() - rest.len()) as u64;
                if path.starts_with(INPUT_PREFIX) {
                    files.insert(path.to_owned(), (kind, start..start + u64::from(len)));
                }
            }
            at += piece.len() as u64;
        }
        Ok(Self { files })
    }

    /// Whether the file at `path` (`input/...`) came with the job with this kind and length.
    pub(super) fn lookup(&self, path: &str, kind: Kind, len: u64) -> Option<Range<u64>> {
        let (was, range) = self.files.get(path)?;
        (*was == kind && range.end - range.start == len).then(|| range.clone())
    }
}

/// Whether `file` holds exactly the bytes in `range` of the device.
pub(super) fn holds(
    mut file: File,
    device: &Device,
    range: Range<u64>,
) -> Result<bool, DeviceError> {
    let border = range.start / PAGE * PAGE;
    let mut skip = usize::try_from(range.start - border).unwrap_or_default();
    let mut reader = PageReader::new(device, border..range.end);
    let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let mut found = vec![0; len.clamp(1, 64 * 1024)];
    while let Some(piece) = reader.next_piece()? {
        let expected = piece.get(skip..).unwrap_or_default();
        skip = 0;
        for expected in expected.chunks(found.len()) {
            let found = found.get_mut(..expected.len()).unwrap_or_default();
            if file.read_exact(found).is_err() || found != expected {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use pe_proto::archive::Encoder;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn a_file_is_unchanged_only_with_its_kind_length_and_bytes() {
        let large: Vec<u8> = (0..600_000_u32).map(|n| (n % 253) as u8).collect();
        let mut encoder = Encoder::new();
        encoder.push(Kind::File, "input/a", b"one").unwrap();
        encoder.push(Kind::Executable, "input/large", &large).unwrap();
        encoder.push(Kind::File, "stdin", b"three").unwrap();
        let archive = encoder.finish();
        let io = tempfile::tempfile().unwrap();
        let device = Device::of(io);
        let range = 8192..8192 + archive.len() as u64;
        device.write_padded(&(8192..2 << 20), &archive).unwrap();

        let input = Input::index(&device, range).unwrap();
        let at = |path, kind, len| input.lookup(path, kind, len);
        let a = at("input/a", Kind::File, 3).unwrap();
        assert!(holds(file(b"one"), &device, a.clone()).unwrap());
        assert!(!holds(file(b"One"), &device, a.clone()).unwrap());
        assert!(!holds(file(b"on"), &device, a).unwrap());
        let range = at("input/large", Kind::Executable, 600_000).unwrap();
        assert!(holds(file(&large), &device, range.clone()).unwrap());
        let mut other = large;
        other[599_999] ^= 1;
        assert!(!holds(file(&other), &device, range).unwrap());
        assert_eq!(at("input/a", Kind::Executable, 3), None);
        assert_eq!(at("input/a", Kind::File, 4), None);
        assert_eq!(at("stdin", Kind::File, 5), None);
    }
}
