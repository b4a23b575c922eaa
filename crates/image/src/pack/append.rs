//! One more image in a pack: what the confined process does, in a directory of its own.
//!
//! ```text
//!  tree   ─┐                     ┌► pack    the same, with one section more and another head
//!  pack   ─┼► walk, once, in order ┤
//!  index  ─┘                     └► index   what the next one has to know
//! ```
//! The first image of a pack finds neither pack nor index. If anything fails, both are worth
//! nothing, and whoever asked throws them away.

mod contents;
mod index;
mod names;
mod output;
mod walk;

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::open;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use crate::erofs::BLOCK_BYTES;
use crate::erofs::prefixes::{HEAD_BLOCKS, Prefixes};
use crate::erofs::space::Full;
use crate::erofs::superblock::Superblock;
use crate::flatten::{Cap, Caps, DIRECTORY, most_memory};
use index::State;
use output::Output;
use walk::Walk;

/// The tree of the image, the pack, and its index, in a working directory.
pub(crate) const TREE: &str = "root";
pub(crate) const PACK: &str = "pack";
pub(crate) const INDEX: &str = "index";

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Where the image goes; none for an image that has the pack to itself.
    pub(crate) prefix: Option<String>,
    /// The volume's uuid.
    pub(crate) uuid: [u8; 16],
    /// Of the volume and of the directories above images.
    pub(crate) time: u64,
    pub(crate) caps: Caps,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Where the last section ends.
    pub(crate) end: u64,
    /// Bytes of files that were there already.
    pub(crate) saved_bytes: u64,
    /// The most memory that it had.
    pub(crate) memory_bytes: u64,
}

/// Why a tree was not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AppendError {
    /// A cap was reached.
    #[error("more than {limit} {cap}")]
    Cap {
        /// Which.
        cap: Cap,
        /// Its value.
        limit: u64,
    },
    /// A file is not what it was a moment ago.
    #[error("a file changed while it was read: `{0}`")]
    Changed(String),
    /// A device node, or something newer.
    #[error("a file that packs cannot have: `{0}`")]
    Kind(String),
    /// The prefix is taken, or there is no place for what is above it.
    #[error("no place for the prefix `{0}`")]
    Prefix(String),
    /// The index is not one.
    #[error("the index of a pack: {0}")]
    Index(Cow<'static, str>),
    /// The disk, or something else of this host.
    #[error("while writing a pack: {0}")]
    Host(String),
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> Self {
        Self::Host(error.to_string())
    }
}

impl From<Errno> for AppendError {
    fn from(errno: Errno) -> Self {
        Self::Host(errno.desc().to_owned())
    }
}

impl From<Full> for AppendError {
    fn from(_: Full) -> Self {
        Self::Cap { cap: Cap::PackBytes, limit: BLOCK_BYTES << 32 }
    }
}

/// Appends the tree in a directory to the pack in it.
/// `status` is `/proc/self/status`, which cannot be opened from inside.
pub(crate) fn append(dir: &Path, order: &Order, status: File) -> Result<Report, AppendError> {
    let mut state = match File::open(dir.join(INDEX)) {
        Ok(file) => State::read(file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            State::new(order.prefix.is_some().then(Prefixes::default))
        }
        Err(error) => return Err(error.into()),
    };
    let mut open_pack = OpenOptions::new();
    open_pack.read(true).write(true).create(true).truncate(false).mode(0o600);
    let pack = open_pack.open(dir.join(PACK))?;
    let contents = std::mem::take(&mut state.contents);
    let mut output = Output::new(pack, state.end, contents, order.caps.unpacked_bytes * 2)?;
    let root = open(&dir.join(TREE), DIRECTORY, Mode::empty())?;
    let root_nid = match (&order.prefix, &mut state.prefixes) {
        (Some(prefix), Some(prefixes)) => {
            let none = |_| AppendError::Prefix(prefix.clone());
            let above = prefixes.make(prefix).map_err(none)?;
            let (nid, inodes) =
                Walk::new(&mut output, &order.caps).tree(&root, Some(Prefixes::nid(above)))?;
            state.inodes += inodes;
            for dir in prefixes.enter(prefix, above, nid).map_err(none)? {
                let block = output.data(&prefixes.bytes(dir))?;
                prefixes.lies(dir, block);
            }
            output.put(BLOCK_BYTES, &prefixes.inodes(order.time))?;
            Prefixes::nid(0)
        }
        (None, None) => {
            let (nid, inodes) = Walk::new(&mut output, &order.caps).tree(&root, None)?;
            state.inodes += inodes;
            nid
        }
        (Some(_), None) | (None, Some(_)) => {
            return Err(AppendError::Index("it is that of another kind of pack".into()));
        }
    };
    state.end = output.end_section()?;
    let superblock = Superblock {
        // The first slot of all, or the head's.
        root_nid: u16::try_from(root_nid).map_err(|_| AppendError::Host("no root".to_owned()))?,
        inodes: state.inodes + state.prefixes.as_ref().map_or(0, Prefixes::count),
        blocks: state.end,
        uuid: order.uuid,
        time: order.time,
    };
    output.put(0, &superblock.encode())?;
    let saved_bytes = output.saved_bytes();
    state.contents = output.into_contents();
    if state.prefixes.is_some() {
        let new = dir.join("index.new");
        let mut open_new = OpenOptions::new();
        open_new.write(true).create_new(true).mode(0o600);
        state.write(open_new.open(&new)?)?;
        std::fs::rename(new, dir.join(INDEX))?;
    }
    let end = u64::from(state.end) * BLOCK_BYTES;
    Ok(Report { end, saved_bytes, memory_bytes: most_memory(status) })
}

impl State {
    fn new(prefixes: Option<Prefixes>) -> Self {
        let end = if prefixes.is_some() { HEAD_BLOCKS } else { 1 };
        Self { prefixes, inodes: 0, end, contents: contents::Contents::default() }
    }
}

/// An inode's number for programs of 32 bits.
fn number(nid: u64) -> u32 {
    u32::try_from(nid & u64::from(u32::MAX)).unwrap_or(0)
}

/// A path for people.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests;
