//! Layers, one after the other, become one tree below a private directory of this host.
//!
//! Each layer is unpacked by a confined process of its own ([`crate::confined`]): it decompresses,
//! checks the layer's diff_id, and writes below the one directory that it sees. This side only
//! passes bytes on and adds up what they cost. Nothing here depends on the size of an image; the
//! most that a layer keeps in memory is 9 bytes for each of its paths.
//!
//! On failure the tree is whatever it is, and the caller removes it.

mod apply;
mod caps;
mod error;
mod pax;
mod seen;
mod tar;
mod tree;
pub(crate) mod unpack;
mod xattrs;

use std::io::{self, Read as _, Write as _};
use std::path::Path;

pub use caps::{Cap, Caps};
pub use error::LayerError;
pub use unpack::{Cost, Notes};

pub(crate) use tree::DIRECTORY;
pub(crate) use unpack::most_memory;
pub(crate) use xattrs::{get_xattr, list_xattrs};

use crate::confined::{Confined, ConfinedError, Order, Owners, Report};
use crate::oci::{Descriptor, OciImage, Packing, Source};
use crate::source::SourceError;

const PIECE_BYTES: usize = 256 * 1024;
/// As large as Linux lets an ordinary user's pipe be.
const PIPE_BYTES: i32 = 1024 * 1024;

/// Why an image was not flattened.
#[derive(Debug, thiserror::Error)]
pub enum FlattenError {
    /// Its source failed.
    #[error("layer {layer} cannot be had")]
    Source {
        /// Which, the lowest is 0.
        layer: usize,
        /// Why not.
        source: SourceError,
    },
    /// Its source failed while it was read: most of all, the bytes are not those of its digest.
    #[error("layer {layer} cannot be read")]
    Read {
        /// Which.
        layer: usize,
        /// Why not.
        source: io::Error,
    },
    /// The layer is not taken.
    #[error("layer {layer} is not taken")]
    Layer {
        /// Which.
        layer: usize,
        /// Why not.
        source: LayerError,
    },
    /// The process that unpacks failed.
    #[error("layer {layer} was not unpacked")]
    Confined {
        /// Which.
        layer: usize,
        /// Why not.
        source: ConfinedError,
    },
    /// The image has another number of layers than its config has digests.
    #[error("{layers} layers, but {diff_ids} diff_ids")]
    Count {
        /// Layers.
        layers: usize,
        /// Digests.
        diff_ids: usize,
    },
}

/// A tree that was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flattened {
    /// What it cost.
    pub cost: Cost,
    /// What was left out.
    pub notes: Notes,
}

/// Flattens an image into an empty directory that nobody else can enter. `progress` is told the
/// layer and how many of its bytes were read.
///
/// # Errors
/// See [`FlattenError`].
pub fn flatten(
    image: &OciImage,
    source: &dyn Source,
    into: &Path,
    caps: &Caps,
    owners: Owners,
    progress: &mut dyn FnMut(usize, u64),
) -> Result<Flattened, FlattenError> {
    let (layers, diff_ids) = (image.layers.len(), image.diff_ids.len());
    if layers != diff_ids {
        return Err(FlattenError::Count { layers, diff_ids });
    }
    let mut whole = Flattened::default();
    for (index, (layer, diff_id)) in image.layers.iter().zip(&image.diff_ids).enumerate() {
        let order = unpack::Order {
            packing: match layer.packing {
                Packing::Plain => unpack::Packed::Plain,
                Packing::Gzip => unpack::Packed::Gzip,
                Packing::Zstd => unpack::Packed::Zstd,
            },
            diff_id: diff_id.hex(),
            caps: *caps,
            keeps_owners: owners.are_kept(),
            before: whole.cost,
        };
        let confined = |source| FlattenError::Confined { layer: index, source };
        let mut child = Confined::start(&Order::Unpack(order), into, owners).map_err(confined)?;
        if let Err(error) = feed(&mut child, layer, index, source, progress) {
            child.kill();
            return Err(error);
        }
        match child.end().map_err(confined)? {
            Report::Unpacked(Ok(report)) => {
                whole.cost = report.cost;
                whole.notes = whole.notes.and(report.notes);
            }
            Report::Unpacked(Err(source)) => {
                return Err(FlattenError::Layer { layer: index, source });
            }
            Report::Done(Err(why)) => return Err(confined(ConfinedError::Failed(why))),
            Report::Done(Ok(())) | Report::Appended(_) => {
                return Err(confined(ConfinedError::NoAnswer));
            }
        }
    }
    Ok(whole)
}

/// Passes a layer's bytes on. If the other end closes early, its report says why.
fn feed(
    child: &mut Confined,
    layer: &Descriptor,
    index: usize,
    source: &dyn Source,
    progress: &mut dyn FnMut(usize, u64),
) -> Result<(), FlattenError> {
    let mut bytes =
        source.open(layer).map_err(|source| FlattenError::Source { layer: index, source })?;
    let failed = |source| FlattenError::Read { layer: index, source };
    let Some(mut input) = child.input() else {
        return Err(failed(io::ErrorKind::BrokenPipe.into()));
    };
    // A small pipe works as well, only slower.
    let _size = nix::fcntl::fcntl(&input, nix::fcntl::FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    let mut piece = vec![0; PIECE_BYTES];
    let mut read = 0;
    loop {
        let got = match bytes.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        match input.write_all(piece.get(..got).unwrap_or_default()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        read += tree::count(got);
        progress(index, read);
    }
}
