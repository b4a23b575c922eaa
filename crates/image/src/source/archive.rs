//! Tars of images: where each file is, so that they can be read in any order and never as a whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::limits::{ARCHIVE_ENTRIES_MAX, ARCHIVE_HEADER_BYTES_MAX};

use super::SourceError;
use super::counted::within;
use super::document::printable;
use super::layout::Files;

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum BadArchive {
    /// Files in it could only be found by unpacking it.
    #[error("is packed with {0}: unpack it first, so that it can be read without a copy")]
    Packed(&'static str),
    /// Not a tar.
    #[error("cannot be read as a tar: {0}")]
    Tar(io::Error),
    /// Which is meant is anybody's guess.
    #[error("has `{0}` twice")]
    Twice(String),
    /// Not there.
    #[error("has no file `{0}`")]
    Missing(String),
}

/// The files of a tar.
#[derive(Debug)]
pub(super) struct Tar {
    path: PathBuf,
    file: File,
    files: BTreeMap<String, Place>,
    links: BTreeMap<String, String>,
}

/// Where a file is in the archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    at: u64,
    pub(super) bytes: u64,
}

impl Tar {
    /// Reads the headers.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let cannot = |error| SourceError::File { path: path.to_owned(), error };
        // A link that the person named is followed; a fifo cannot be read twice.
        let real = path.canonicalize().map_err(cannot)?;
        let file = super::layout::open_file(&real).map_err(cannot)?;
        let mut magic = [0; 4];
        let count = file.read_at(&mut magic, 0).map_err(cannot)?;
        let packed = match magic.get(..count) {
            Some([0x1f, 0x8b, ..]) => Some("gzip"),
            Some([0x28, 0xb5, 0x2f, 0xfd]) => Some("zstd"),
            _ => None,
        };
        let mut tar =
            Self { path: path.to_owned(), file, files: BTreeMap::new(), links: BTreeMap::new() };
        if let Some(packed) = packed {
            return Err(tar.bad(BadArchive::Packed(packed)));
        }
        let files = tar.read_headers()?;
        (tar.files, tar.links) = files;
        Ok(tar)
    }

    #[expect(clippy::type_complexity, reason = "files and links, told apart by what they hold")]
    fn read_headers(
        &self,
    ) -> Result<(BTreeMap<String, Place>, BTreeMap<String, String>), SourceError> {
        let not_tar = |error| self.bad(BadArchive::Tar(error));
        let headers = Headers { file: &self.file, at: 0, left: ARCHIVE_HEADER_BYTES_MAX };
        let mut archive = tar::Archive::new(headers);
        let (mut files, mut links, mut there) = (BTreeMap::new(), BTreeMap::new(), 0_usize);
        for entry in archive.entries_with_seek().map_err(not_tar)? {
            let entry = entry.map_err(not_tar)?;
            there += 1;
            within("entries of an archive", there, ARCHIVE_ENTRIES_MAX)?;
            let Some(path) = plain(&entry.path_bytes()) else { continue };
            let header = entry.header().entry_type();
            let place = Place { at: entry.raw_file_position(), bytes: entry.size() };
            let is_known = files.contains_key(&path) || links.contains_key(&path);
            if (header.is_file() || header.is_symlink()) && is_known {
                return Err(self.bad(BadArchive::Twice(printable(&path))));
            }
            if header.is_file() {
                files.insert(path, place);
            } else if let (true, Some(target)) = (header.is_symlink(), entry.link_name_bytes()) {
                let target = plain(&target).and_then(|target| beside(&path, &target));
                links.extend(target.map(|target| (path, target)));
            }
        }
        Ok((files, links))
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Where a file is. What `docker save` once wrote links equal layers to each other, once.
    pub(super) fn place(&self, path: &str) -> Result<Place, SourceError> {
        let path = path.strip_prefix("./").unwrap_or(path);
        let linked = || self.files.get(self.links.get(path)?);
        let place = self.files.get(path).or_else(linked).copied();
        place.ok_or_else(|| self.bad(BadArchive::Missing(printable(path))))
    }

    /// The bytes at a place.
    pub(super) fn read(&self, place: Place) -> impl Read + Send + '_ {
        Slice { file: &self.file, place }
    }

    fn bad(&self, why: BadArchive) -> SourceError {
        SourceError::Archive { path: self.path.clone(), why }
    }
}

impl Files for Tar {
    fn root(&self) -> &Path {
        &self.path
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send + '_>, SourceError> {
        Ok(Box::new(self.read(self.place(path)?)))
    }
}

/// A path without `./` before it. Others are not ours to look for.
fn plain(bytes: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(bytes).ok()?;
    Some(path.strip_prefix("./").unwrap_or(path).to_owned())
}

/// Where a link leads, if that is in the archive: the path less its last name, and the target.
fn beside(path: &str, target: &str) -> Option<String> {
    let mut names: Vec<&str> = path.split('/').collect();
    names.pop();
    for name in target.split('/') {
        match name {
            "" => return None,
            "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

/// Part of a file, read where it is: any number at a time.
#[derive(Debug)]
struct Slice<'a> {
    file: &'a File,
    place: Place,
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.place.bytes).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.place.at)?;
        let moved = u64::try_from(count).unwrap_or(u64::MAX);
        self.place.at = self.place.at.saturating_add(moved);
        self.place.bytes = self.place.bytes.saturating_sub(moved);
        Ok(count)
    }
}

/// A tar while its headers are read. Files are skipped; what is really read has a bound, as
/// headers may say that names are gigabytes long.
#[derive(Debug)]
struct Headers<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Headers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        let moved = u64::try_from(count).unwrap_or(u64::MAX);
        self.at = self.at.saturating_add(moved);
        self.left = self.left.checked_sub(moved).ok_or_else(|| {
            io::Error::other(format!(
                "its headers are longer than {ARCHIVE_HEADER_BYTES_MAX} bytes"
            ))
        })?;
        Ok(count)
    }
}

impl Seek for Headers<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
