//! Finding candidates: all of `/output`, and what matches in the working directory.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use nix::sys::stat::{Mode, SFlag};

use pe_proto::archive::{Kind, OUTPUT_PREFIX};
use pe_proto::limits::ARCHIVE_ENTRIES_MAX;
use pe_proto::path;

use super::select::Candidate;
use super::tally::Tally;
use super::walk::{DIRECTORY, Found, Go, Visitor, is_absent, open_inside, walk};
use crate::confined::kind_of;

/// What two walks found and passed over.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// From `/output`.
    pub output: Vec<Candidate>,
    /// From the working directory.
    pub cwd: Vec<Candidate>,
    /// Fifos, sockets, devices.
    pub special: Tally,
    /// Names that were changed.
    pub escaped: Tally,
    /// Names that no archive may hold.
    pub unnameable: Tally,
    /// What could not be looked into, and why.
    pub missed: Tally,
    /// Whether a walk ended before its end.
    pub cut: bool,
}

impl Findings {
    /// Walks `/output` in the writable layer.
    pub(super) fn walk_output(&mut self, layer: &OwnedFd, deadline: Instant) {
        let mut candidates = Vec::new();
        let picker = |_: &str| true;
        self.walk(layer, Path::new("output"), deadline, picker, true, &mut candidates);
        self.output = candidates;
    }

    /// Walks the working directory for what `wants` picks by its path there. What lies in
    /// `/output` is returned anyway and is passed over.
    pub(super) fn walk_cwd(
        &mut self,
        layer: &OwnedFd,
        cwd: &Path,
        deadline: Instant,
        wants: impl Fn(&str) -> bool,
    ) {
        if cwd.starts_with("output") {
            return;
        }
        let mut candidates = Vec::new();
        self.walk(layer, cwd, deadline, wants, false, &mut candidates);
        self.cwd = candidates;
    }

    fn walk(
        &mut self,
        layer: &OwnedFd,
        at: &Path,
        deadline: Instant,
        wants: impl Fn(&str) -> bool,
        directories: bool,
        candidates: &mut Vec<Candidate>,
    ) {
        let at_bytes = at.as_os_str().as_encoded_bytes();
        let name = if at_bytes.is_empty() { &b"."[..] } else { at_bytes };
        let Ok(name) = std::ffi::CString::new(name) else {
            return;
        };
        match open_inside(layer, &name, DIRECTORY) {
            Ok(root) => {
                let is_root = at_bytes.is_empty();
                let mut picking = Picking {
                    at: at_bytes,
                    is_root,
                    wants,
                    directories,
                    candidates,
                    findings: self,
                    real: Vec::new(),
                };
                let whole = walk(root, deadline, &mut picking);
                self.cut |= !whole;
            }
            Err(errno) if is_absent(errno) => {}
            Err(errno) => self.missed.add_with(&at.to_string_lossy(), errno.desc()),
        }
    }
}

struct Picking<'a, W> {
    /// Where the walk began, in the layer.
    at: &'a [u8],
    /// Whether that is the root, whose `/output` is walked on its own.
    is_root: bool,
    wants: W,
    /// Whether empty directories are returned.
    directories: bool,
    candidates: &'a mut Vec<Candidate>,
    findings: &'a mut Findings,
    /// Real names of the directories gone into.
    real: Vec<Vec<u8>>,
}

impl<W: Fn(&str) -> bool> Picking<'_, W> {
    fn add(&mut self, found: &Found<'_>, kind: Kind) -> Go {
        let path = format!("{OUTPUT_PREFIX}{}", found.path);
        if path::check_str(&path).is_err() {
            self.findings.unnameable.add(found.path);
            return Go::Past;
        }
        if self.candidates.last().is_some_and(|last| last.path == path) {
            // Two names that are the same once escaped.
            self.findings.unnameable.add(found.path);
            return Go::Past;
        }
        if found.escaped {
            self.findings.escaped.add(found.path);
        }
        let len = match kind {
            Kind::Directory => 0,
            Kind::File | Kind::Executable | Kind::Symlink => {
                u64::try_from(found.stat.st_size).unwrap_or(u64::MAX)
            }
        };
        let mut source = self.at.to_vec();
        for name in self.real.iter().map(Vec::as_slice).chain([found.name.to_bytes()]) {
            if !source.is_empty() {
                source.push(b'/');
            }
            source.extend_from_slice(name);
        }
        self.candidates.push(Candidate { path, kind, len, source });
        let most = usize::try_from(ARCHIVE_ENTRIES_MAX).unwrap_or(usize::MAX);
        // One more than can be returned, so that it is known that something is missing.
        if self.candidates.len() > most { Go::Stop } else { Go::Past }
    }
}

impl<W: Fn(&str) -> bool> Visitor for Picking<'_, W> {
    fn meet(&mut self, found: &Found<'_>) -> Go {
        let kind = kind_of(found.stat.st_mode);
        if kind == SFlag::S_IFDIR {
            if self.is_root && found.path == "output" {
                return Go::Past;
            }
            self.real.push(found.name.to_bytes().to_vec());
            return Go::On;
        }
        if !(self.wants)(found.path) {
            return Go::Past;
        }
        match kind {
            SFlag::S_IFREG if found.stat.st_mode & Mode::S_IXUSR.bits() != 0 => {
                self.add(found, Kind::Executable)
            }
            SFlag::S_IFREG => self.add(found, Kind::File),
            SFlag::S_IFLNK => self.add(found, Kind::Symlink),
            // How the overlay remembers that something of the image was removed.
            SFlag::S_IFCHR if found.stat.st_rdev == 0 => Go::Past,
            _ => {
                self.findings.special.add(found.path);
                Go::Past
            }
        }
    }

    fn leave(&mut self, found: &Found<'_>) {
        self.real.pop();
        let path = format!("{OUTPUT_PREFIX}{}", found.path);
        let last = self.candidates.last();
        let is_empty = !last.is_some_and(|last| path::is_below(&last.path, &path));
        if self.directories && is_empty {
            self.add(found, Kind::Directory);
        }
    }

    fn miss(&mut self, path: &str, why: &str) {
        self.findings.missed.add_with(path, why);
    }
}
