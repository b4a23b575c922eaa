//! Packing what was selected into the result's archive, straight into the io device.
//!
//! The archive is written front to back through one buffer: a head, then the file's bytes read
//! into that very buffer. Each file is opened before its head is written, so a file that cannot be
//! opened is left out and not a hole.

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use nix::fcntl::{OFlag, open, readlinkat};
use nix::sys::stat::Mode;

use pe_proto::archive::{Encoder, EntryRefused, Kind, OUTPUT_PREFIX, STDERR, STDOUT};
use pe_proto::io_file::InHeader;

use super::files::Findings;
use super::select::{Candidate, Selection, select};
use super::tally::Tally;
use super::unchanged::{self, Input};
use super::walk::open_inside;
use super::{Captured, Collected, Sources, archive_area};
use crate::pages::{Device, DeviceError, PageReader, PageWriter};

/// Why packing ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum PackError {
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// What was selected was not fit for an archive: a fault of the selection.
    #[error(transparent)]
    Entry(#[from] EntryRefused),
    /// The layer is not there.
    #[error("the writable layer cannot be opened: {0}")]
    Layer(#[from] nix::errno::Errno),
}

/// An archive with both streams and no files.
pub(super) fn streams_only(
    device: &Device,
    header: &InHeader,
    captured: &Captured,
) -> Result<Range<u64>, DeviceError> {
    let mut packer = Packer::new(device, archive_area(header))?;
    match packer.streams(captured).and_then(|()| packer.finish()) {
        Ok(archive) => Ok(archive),
        Err(PackError::Device(error)) => Err(error),
        // Two names in order are fit for an archive.
        Err(PackError::Entry(_) | PackError::Layer(_)) => Err(DeviceError::Full),
    }
}

/// Walks, selects and packs what is in the writable layer at `layer`.
pub(super) fn everything(
    device: &Device,
    sources: &Sources<'_>,
    layer: &Path,
    deadline: Instant,
) -> Result<Collected, PackError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let layer = open(layer, flags, Mode::empty())?;
    let mut findings = Findings::default();
    findings.walk_output(&layer, deadline);
    if !sources.patterns.is_empty() {
        let wants = |path: &str| sources.patterns.match_path(path);
        findings.walk_cwd(&layer, sources.cwd, deadline, wants);
        let input = Input::index(device, sources.header.plan.archive())?;
        let candidates = std::mem::take(&mut findings.cwd);
        for candidate in candidates {
            if !is_unchanged(&candidate, &input, &layer, device)? {
                findings.cwd.push(candidate);
            }
        }
    }
    let bytes_max = sources.config.spec.limits.output_bytes;
    let output = std::mem::take(&mut findings.output);
    let selection = select(output, std::mem::take(&mut findings.cwd), bytes_max);
    let mut packer = Packer::new(device, archive_area(&sources.header))?;
    for candidate in &selection.chosen {
        if Instant::now() >= deadline {
            findings.cut = true;
            break;
        }
        match packer.file(&layer, candidate) {
            Ok(true) => {}
            Ok(false) => findings.missed.add_with(&candidate.path, "it cannot be opened"),
            // Names that are not UTF-8 are spelt with escapes, and so may come to be the same as
            // another's. The archive is as it was before.
            Err(PackError::Entry(_)) => {
                findings.missed.add_with(&candidate.path, "another file's name is spelt like it");
            }
            Err(error) => return Err(error),
        }
    }
    packer.streams(&sources.captured)?;
    let archive = packer.finish()?;
    let missing = findings.cut || !selection.too_large.is_empty() || !findings.missed.is_empty();
    Ok(Collected { archive, truncated: missing, notes: notes(&findings, &selection, bytes_max) })
}

fn is_unchanged(
    candidate: &Candidate,
    input: &Input,
    layer: &OwnedFd,
    device: &Device,
) -> Result<bool, DeviceError> {
    let Ok(path) = std::str::from_utf8(&candidate.source) else {
        return Ok(false);
    };
    let Some(range) = input.lookup(path, candidate.kind, candidate.len) else {
        return Ok(false);
    };
    match open_file(layer, candidate) {
        Some(file) => unchanged::holds(file, device, range),
        None => Ok(false),
    }
}

fn notes(findings: &Findings, selection: &Selection, bytes_max: u64) -> Vec<String> {
    fn short(path: &str) -> &str {
        path.strip_prefix(OUTPUT_PREFIX).unwrap_or(path)
    }
    let tally = |paths: &[String]| {
        let mut tally = Tally::default();
        paths.iter().for_each(|path| tally.add(short(path)));
        tally
    };
    let too_large = format!("left out, over the limit of {bytes_max} bytes or of entries");
    let cut = "some files are left out: there are too many, or there was no time for them";
    [
        tally(&selection.too_large).note(&too_large),
        findings.cut.then(|| cut.to_owned()),
        findings.missed.note("could not be read"),
        findings.special.note("left out, not files (fifos, sockets, devices)"),
        findings.unnameable.note("left out, no archive can hold these names"),
        findings.escaped.note("names that are not UTF-8 are escaped"),
        tally(&selection.covered).note("left out, /output has something else in their place"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn open_file(layer: &OwnedFd, candidate: &Candidate) -> Option<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let source = CString::new(candidate.source.as_slice()).ok()?;
    open_inside(layer, &source, flags).ok().map(File::from)
}

fn read_link(layer: &OwnedFd, source: &CStr) -> Option<OsString> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let link = open_inside(layer, source, flags).ok()?;
    readlinkat(&link, "").ok()
}

struct Packer<'device> {
    device: &'device Device,
    encoder: Encoder,
    writer: PageWriter<'device>,
    start: u64,
}

impl<'device> Packer<'device> {
    fn new(device: &'device Device, area: Range<u64>) -> Result<Self, DeviceError> {
        let start = area.start;
        let mut encoder = Encoder::new();
        let mut writer = PageWriter::new(device, area);
        writer.put(&encoder.drain())?;
        Ok(Self { device, encoder, writer, start })
    }

    /// Adds a candidate; false if it could not be opened.
    fn file(&mut self, layer: &OwnedFd, candidate: &Candidate) -> Result<bool, PackError> {
        match candidate.kind {
            Kind::Directory => self.head(candidate, 0)?,
            Kind::Symlink => {
                let source = CString::new(candidate.source.as_slice()).unwrap_or_default();
                let Some(target) = read_link(layer, &source) else {
                    return Ok(false);
                };
                let target = target.as_encoded_bytes();
                self.head(candidate, target.len() as u64)?;
                self.writer.put(target)?;
            }
            Kind::File | Kind::Executable => {
                let Some(file) = open_file(layer, candidate) else {
                    return Ok(false);
                };
                self.head(candidate, candidate.len)?;
                self.copy(file, candidate.len)?;
            }
        }
        Ok(true)
    }

    fn head(&mut self, candidate: &Candidate, len: u64) -> Result<(), PackError> {
        self.begin(candidate.kind, &candidate.path, len)
    }

    fn begin(&mut self, kind: Kind, path: &str, len: u64) -> Result<(), PackError> {
        self.encoder.begin(kind, path, usize::try_from(len).unwrap_or(usize::MAX))?;
        Ok(self.writer.put(&self.encoder.drain())?)
    }

    /// Exactly `len` bytes: should a file turn out to be shorter than it was, zeros follow.
    fn copy(&mut self, mut file: File, len: u64) -> Result<(), DeviceError> {
        let mut left = usize::try_from(len).unwrap_or(usize::MAX);
        while left > 0 {
            let space = self.writer.space(left)?;
            let got = match file.read(space) {
                Ok(got) if got > 0 => got,
                Ok(_) | Err(_) => {
                    space.fill(0);
                    space.len()
                }
            };
            left -= got;
            self.writer.advance(got)?;
        }
        Ok(())
    }

    fn streams(&mut self, captured: &Captured) -> Result<(), PackError> {
        for (name, range) in [(STDERR, &captured.stderr), (STDOUT, &captured.stdout)] {
            self.begin(Kind::File, name, range.end.saturating_sub(range.start))?;
            let mut reader = PageReader::new(self.device, range.clone());
            while let Some(piece) = reader.next_piece()? {
                self.writer.put(piece)?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Range<u64>, PackError> {
        self.writer.put(&self.encoder.finish())?;
        Ok(self.start..self.writer.finish()?)
    }
}

#[cfg(test)]
mod tests;
