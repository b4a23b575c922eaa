//! One layer, from packed bytes to the tree: what the confined process does.
//!
//! ```text
//!  standard input ─► decompress, hash ─► 8 buffers ─► tar ─► tree
//!                    (a thread)                       (this one)
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use pe_proto::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::apply::{Applied, apply};
use super::caps::{Cap, Caps, ZSTD_WINDOW_LOG_MAX};
use super::error::LayerError;
use super::tar::Tar;
use super::tree::{Tree, count};

const PIECE_BYTES: usize = 128 * 1024;
const PIECES_WAITING_MAX: usize = 8;

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) packing: Packed,
    /// Digest of the tar, in hexadecimal.
    pub(crate) diff_id: String,
    pub(crate) caps: Caps,
    pub(crate) keeps_owners: bool,
    /// What the layers below cost.
    pub(crate) before: Cost,
}

/// How the layer is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Packed {
    Plain,
    Gzip,
    Zstd,
}

/// What flattening cost of what is capped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Files, directories and links that were made.
    pub inodes: u64,
    /// Their bytes, with holes.
    pub file_bytes: u64,
    /// Bytes of the layers' tars.
    pub tar_bytes: u64,
}

/// What was left out, and how much memory it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// Device nodes: they mean nothing in a guest, which mounts packs without.
    pub devices: u64,
    /// Attributes other than `user.*` and `security.capability`.
    pub xattrs: u64,
    /// The most memory that the confined process had, in bytes.
    pub memory_bytes: u64,
    /// This kernel has no Landlock; the process was confined by all the rest.
    pub no_landlock: bool,
}

impl Notes {
    /// With those of another layer, or of another image.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            devices: self.devices + other.devices,
            xattrs: self.xattrs + other.xattrs,
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            no_landlock: self.no_landlock || other.no_landlock,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) cost: Cost,
    pub(crate) notes: Notes,
}

/// Unpacks what comes on `input` into the directory that `root` is.
/// `status` is `/proc/self/status`, which cannot be opened from inside.
pub(crate) fn unpack(
    order: &Order,
    root: OwnedFd,
    status: File,
    input: impl Read + Send,
) -> Result<Report, LayerError> {
    let (pieces, waiting) = sync_channel(PIECES_WAITING_MAX);
    let (packing, tar_before) = (order.packing, order.before.tar_bytes);
    let limit = order.caps.unpacked_bytes;
    std::thread::scope(|scope| {
        let decompressor = scope.spawn(move || {
            let result = decompress(packing, input, &pieces, tar_before, limit);
            if let Err(error) = &result {
                // If nobody listens, the tar was at fault first.
                let _unheard = pieces.send(Err(error.clone()));
            }
            result
        });
        let mut tree = Tree::new(root, order.caps, order.keeps_owners);
        tree.inodes = order.before.inodes;
        tree.bytes = order.before.file_bytes;
        let mut notes = Notes::default();
        entries(&mut tree, Pieces { waiting, piece: Vec::new(), at: 0 }, order, &mut notes)?;
        let decompressed = decompressor.join();
        let (digest, tar_bytes) =
            decompressed.map_err(|_| LayerError::Host("a thread panicked".to_owned()))??;
        if digest.hex() != order.diff_id {
            return Err(LayerError::DiffId);
        }
        notes.memory_bytes = most_memory(status);
        let cost = Cost { inodes: tree.inodes, file_bytes: tree.bytes, tar_bytes };
        Ok(Report { cost, notes })
    })
}

/// The most that was resident. Not what getrusage says, which remembers who started us.
pub(crate) fn most_memory(mut status: File) -> u64 {
    let mut text = String::new();
    if status.read_to_string(&mut text).is_err() {
        return 0;
    }
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kibibytes.map_or(0, |kibibytes: u64| kibibytes * 1024)
}

fn entries(
    tree: &mut Tree,
    pieces: Pieces,
    order: &Order,
    notes: &mut Notes,
) -> Result<(), LayerError> {
    let mut tar = Tar::new(pieces, &order.caps);
    let mut buffer = vec![0; PIECE_BYTES];
    while let Some(entry) = tar.entry()? {
        match apply(tree, &entry, &mut buffer, &mut |into| tar.read(into))? {
            Applied::Done => {}
            Applied::DeviceLeftOut => notes.devices += 1,
        }
    }
    tree.leave()?;
    notes.xattrs = tar.xattrs_dropped;
    tar.finish()
}

fn decompress(
    packing: Packed,
    input: impl Read,
    pieces: &SyncSender<Result<Vec<u8>, LayerError>>,
    before: u64,
    limit: u64,
) -> Result<(Digest, u64), LayerError> {
    let input = io::BufReader::with_capacity(PIECE_BYTES, input);
    let packed = |error: io::Error| LayerError::Packing(error.to_string());
    let mut plain: Box<dyn Read + '_> = match packing {
        Packed::Plain => Box::new(input),
        Packed::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Packed::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(packed)?;
            Box::new(decoder)
        }
    };
    let mut hasher = Sha256::new();
    let mut total = before;
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let mut length = 0;
        // Whole pieces: a decompressor gives what it has, be it little.
        while length < PIECE_BYTES {
            match plain.read(piece.get_mut(length..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(got) => length += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(packed(error)),
            }
        }
        if length == 0 {
            return Ok((Digest(hasher.finalize().into()), total));
        }
        piece.truncate(length);
        total = total.saturating_add(count(length));
        Cap::UnpackedBytes.check(total, limit)?;
        hasher.update(&piece);
        if pieces.send(Ok(piece)).is_err() {
            return Err(LayerError::Host("nobody unpacks".to_owned()));
        }
    }
}

/// The pieces as one stream.
struct Pieces {
    waiting: Receiver<Result<Vec<u8>, LayerError>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            match self.waiting.recv() {
                Ok(Ok(piece)) => (self.piece, self.at) = (piece, 0),
                Ok(Err(error)) => return Err(io::Error::other(error)),
                Err(_) => return Ok(0),
            }
        }
        let rest = self.piece.get(self.at..).unwrap_or_default();
        let length = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        self.at += length;
        Ok(length)
    }
}
