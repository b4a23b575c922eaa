//! Listing local files: names, kinds and lengths, within the limits of a job.
//!
//! Symbolic links below a directory are followed if they lead to something inside it, so a
//! project that links within itself works, and nothing that was not named is ever sent. A link
//! that is itself the argument is followed: it was named.

use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pe_proto::archive::{ENTRY_HEAD_BYTES, INPUT_PREFIX, Kind};
use pe_proto::limits::{ARCHIVE_ENTRIES_MAX, INPUT_BYTES_MAX};
use pe_proto::path;

use super::BadInput;
use super::argument::FileArgument;

/// One thing to send.
#[derive(Debug)]
pub struct Listed {
    /// Path in the archive, `input/` included.
    pub remote: String,
    /// Where it is.
    pub local: PathBuf,
    /// What it is.
    pub kind: Kind,
}

/// Everything to send.
#[derive(Debug, Default)]
pub struct Listing {
    /// In the order they were found.
    pub entries: Vec<Listed>,
    /// What they will take in the archive, as far as lengths are known.
    bytes: u64,
}

/// Lists one argument.
///
/// # Errors
/// The first thing that cannot be sent.
pub fn list(argument: &FileArgument, listing: &mut Listing) -> Result<(), BadInput> {
    let local = &argument.local;
    let metadata = fs::metadata(local).map_err(unreadable(local))?;
    let place = argument.place(metadata.is_dir());
    let place = place.ok_or_else(|| BadInput::NotUtf8(local.clone()))?;
    if !metadata.is_dir() {
        // Pipes and devices too: they were named, as in `--file <(command)=name`.
        return listing.add_file(local, &place, &metadata);
    }
    let root = fs::canonicalize(local).map_err(unreadable(local))?;
    let mut walk = Walk { shown_root: local, above: vec![root.clone()], root, listing };
    walk.directory(local, &place)
}

struct Walk<'a> {
    /// As the person named it, for messages.
    shown_root: &'a Path,
    /// What links must stay inside of; canonical.
    root: PathBuf,
    /// The directories being walked, canonical, from the root to the current one.
    above: Vec<PathBuf>,
    listing: &'a mut Listing,
}

impl Walk<'_> {
    /// Recursion is bounded: every level is a name in a path, and those are checked.
    fn directory(&mut self, local: &Path, place: &str) -> Result<(), BadInput> {
        if !place.is_empty() {
            check_place(local, place)?;
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(local).map_err(unreadable(local))? {
            let entry = entry.map_err(unreadable(local))?;
            let not_utf8 = |_| BadInput::NotUtf8(entry.path());
            names.push(entry.file_name().into_string().map_err(not_utf8)?);
            if names.len() > ARCHIVE_ENTRIES_MAX as usize {
                return Err(BadInput::TooMany);
            }
        }
        if names.is_empty() && !place.is_empty() {
            self.listing.add(local, place, Kind::Directory, 0)?;
        }
        names.sort();
        for name in names {
            let place = if place.is_empty() { name.clone() } else { format!("{place}/{name}") };
            self.entry(&local.join(&name), &place)?;
        }
        Ok(())
    }

    fn entry(&mut self, local: &Path, place: &str) -> Result<(), BadInput> {
        let metadata = fs::symlink_metadata(local).map_err(unreadable(local))?;
        let metadata = if metadata.is_symlink() { self.follow(local)? } else { metadata };
        if metadata.is_dir() {
            let canonical = fs::canonicalize(local).map_err(unreadable(local))?;
            if self.above.contains(&canonical) {
                return Err(BadInput::Circle(local.to_owned()));
            }
            self.above.push(canonical);
            self.directory(local, place)?;
            self.above.pop();
            return Ok(());
        }
        if metadata.is_file() {
            return self.listing.add_file(local, place, &metadata);
        }
        Err(BadInput::Special(local.to_owned()))
    }

    /// What a link leads to, if that is inside the root.
    fn follow(&self, link: &Path) -> Result<Metadata, BadInput> {
        let target = fs::canonicalize(link).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                BadInput::Dangling(link.to_owned())
            } else {
                unreadable(link)(error)
            }
        })?;
        if !target.starts_with(&self.root) {
            return Err(BadInput::Outside {
                link: link.to_owned(),
                target,
                root: self.shown_root.to_owned(),
            });
        }
        fs::metadata(&target).map_err(unreadable(link))
    }
}

impl Listing {
    fn add_file(&mut self, local: &Path, place: &str, file: &Metadata) -> Result<(), BadInput> {
        let executable = file.is_file() && file.permissions().mode() & 0o111 != 0;
        let kind = if executable { Kind::Executable } else { Kind::File };
        self.add(local, place, kind, file.len())
    }

    fn add(&mut self, local: &Path, place: &str, kind: Kind, len: u64) -> Result<(), BadInput> {
        check_place(local, place)?;
        if self.entries.len() >= ARCHIVE_ENTRIES_MAX as usize {
            return Err(BadInput::TooMany);
        }
        let remote = format!("{INPUT_PREFIX}{place}");
        let head = u64::try_from(ENTRY_HEAD_BYTES + remote.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(head).saturating_add(len);
        if self.bytes > INPUT_BYTES_MAX {
            return Err(BadInput::TooLarge { path: local.to_owned(), len });
        }
        self.entries.push(Listed { remote, local: local.to_owned(), kind });
        Ok(())
    }
}

/// Checks the path as the person gave it, and with its prefix, which makes it a little longer.
fn check_place(local: &Path, place: &str) -> Result<(), BadInput> {
    path::check_str(place)
        .and_then(|()| path::check_str(&format!("{INPUT_PREFIX}{place}")))
        .map_err(|problem| BadInput::Remote {
            local: local.to_owned(),
            remote: place.to_owned(),
            problem,
        })
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> BadInput + '_ {
    move |error| BadInput::Unreadable { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests;
