//! From `--file` and `--stdin` to a job's archive.
//!
//! [`argument`] reads `local=remote`, [`walk`] lists what is on disk without reading it,
//! [`pack`] reads it and builds the archive. Limits are checked twice: on the listing, so that a
//! mistake costs nothing, and on the bytes read, because files may grow in between.

pub mod argument;
pub mod pack;
pub mod walk;

use std::io::Read;
use std::path::{Path, PathBuf};

use pe_proto::limits::{ARCHIVE_ENTRIES_MAX, INPUT_BYTES_MAX};
use pe_proto::path::BadPath;

use crate::units::show_bytes;
use crate::words::printable;

/// What is wrong with the input. All are found before anything is sent.
#[derive(Debug, thiserror::Error)]
pub enum BadInput {
    /// A file that cannot be read.
    #[error("cannot read `{}`: {error}", printable(&.path.to_string_lossy()))]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A remote path that cannot be.
    #[error(
        "--file `{}`: `{}` cannot be a path below /input: {problem}",
        printable(&.local.to_string_lossy()),
        printable(.remote)
    )]
    Remote {
        /// The local file.
        local: PathBuf,
        /// Where it was to go.
        remote: String,
        /// Why not.
        problem: BadPath,
    },
    /// A local name that is not text.
    #[error("`{}`: its name is not UTF-8; rename it first", printable(&.0.to_string_lossy()))]
    NotUtf8(PathBuf),
    /// A device, pipe or socket in a directory.
    #[error(
        "`{}` is neither a file nor a directory; only those can be sent",
        printable(&.0.to_string_lossy())
    )]
    Special(PathBuf),
    /// A link to nothing.
    #[error("`{}` is a symbolic link to nothing", printable(&.0.to_string_lossy()))]
    Dangling(PathBuf),
    /// A link that leaves the directory that is sent.
    #[error(
        "`{}` is a symbolic link to `{}`, outside of `{}`. Links are followed only inside the \
         directory that is sent; send its target with a --file of its own",
        printable(&.link.to_string_lossy()),
        printable(&.target.to_string_lossy()),
        printable(&.root.to_string_lossy())
    )]
    Outside {
        /// The link.
        link: PathBuf,
        /// What it leads to.
        target: PathBuf,
        /// What was to be sent.
        root: PathBuf,
    },
    /// A link to a directory that it is in.
    #[error(
        "`{}` is a symbolic link to a directory that it lies in; following it would never end",
        printable(&.0.to_string_lossy())
    )]
    Circle(PathBuf),
    /// Two files for one place.
    #[error(
        "both `{}` and `{}` would be /input/{}. Give one of them another name with \
         --file local=remote",
        printable(&.first.to_string_lossy()),
        printable(&.second.to_string_lossy()),
        printable(.remote)
    )]
    Twice {
        /// The place.
        remote: String,
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A file where a directory is needed.
    #[error(
        "/input/{} is a file, and something else is to go below it. Give one of them another \
         name with --file local=remote",
        printable(.0)
    )]
    BelowFile(String),
    /// Over the limit.
    #[error(
        "`{}` ({}) does not fit: all input of a job together may be {}",
        printable(&.path.to_string_lossy()),
        show_bytes(*.len),
        show_bytes(INPUT_BYTES_MAX)
    )]
    TooLarge {
        /// The file that went over.
        path: PathBuf,
        /// Its length, as far as it was read.
        len: u64,
    },
    /// Over the limit.
    #[error("more than {ARCHIVE_ENTRIES_MAX} files and directories; a job can have no more")]
    TooMany,
}

/// Lists, reads and packs everything.
///
/// # Errors
/// The first thing wrong.
pub fn archive(files: &[String], stdin: Option<Vec<u8>>) -> Result<Vec<u8>, BadInput> {
    let mut listing = walk::Listing::default();
    for text in files {
        let argument = argument::FileArgument::parse(text, |path| path.symlink_metadata().is_ok());
        walk::list(&argument, &mut listing)?;
    }
    pack::pack(listing, stdin.as_deref().unwrap_or_default())
}

/// Reads a stream or a file to its end, but no more than could ever be sent.
///
/// # Errors
/// Unreadable, or too large.
pub fn read_bounded(mut from: impl Read, path: &Path, most: u64) -> Result<Vec<u8>, BadInput> {
    let mut bytes = Vec::new();
    let unreadable = |error| BadInput::Unreadable { path: path.to_owned(), error };
    from.by_ref().take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if len > most {
        return Err(BadInput::TooLarge { path: path.to_owned(), len });
    }
    Ok(bytes)
}
