//! A pack: one erofs file of one image, or of several under prefixes.
//!
//! ```text
//!  layers ─► tree (flatten) ─► one section more (append) ─► packs/SHA256.erofs (fsync, rename)
//!              └ for each image, one after the other ┘
//! ```
//! Both steps are the work of confined processes. A pack of several images begins as a copy of the
//! longest that the store has of the first of them: these need no layers, their bytes stay what
//! and where they are, and whoever has that pack needs only the rest of this one. What comes of it
//! is the same, byte by byte, as if all were packed at once.
//!
//! A pack is padded to 2 MiB, as pmem demands. Its volume uuid, by which a guest tells packs apart,
//! is a hash of what the pack was made of; so is the name of the note by which a pack that is there
//! already is not made again. Decision 0016 has the reasons.

pub(crate) mod append;
mod recipe;
pub(crate) mod sparse;

use std::fs;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use pe_proto::Digest;
use pe_proto::catalogue::Basis;
use pe_proto::limits::{IO_FILE_BYTES, PMEM_ALIGN};
use sha2::{Digest as _, Sha256};

use crate::confined::{Confined, ConfinedError, Order, Owners, Report};
use crate::erofs::prefixes::{HEAD_BYTES, Prefixes};
use crate::flatten::{Caps, FlattenError, Notes, flatten};
use crate::oci::{OciImage, Source};
use crate::store::{Lock, Made, Store, StoreError, Work};
pub use append::AppendError;
use recipe::Recipe;

/// Most images in one pack: a prefix and a tree each.
pub const IMAGES_MAX: usize = 64;

/// A prefix.
pub const PREFIX_BYTES_MAX: usize = 256;

/// One time for what no image has, such as the directory that holds prefixes: Debian 12's
/// release. (Zero would upset zip, which starts in 1980.)
const TIME: u64 = 1_686_355_200;

/// An image, where in the pack it goes, and where its layers are.
pub type Wanted<'a> = (&'a str, &'a OciImage, &'a dyn Source);

/// Told while a pack is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A layer is read.
    Layer {
        /// Of which image, in the order given.
        image: usize,
        /// Which layer, the lowest is 0.
        layer: usize,
        /// Of how many.
        layers: usize,
        /// How much of it.
        bytes: u64,
        /// Its length, as it is stored.
        bytes_total: u64,
    },
    /// An image's tree is there, and is written into the pack.
    Making,
    /// The pack is hashed and written to the disk for good.
    Finishing,
}

/// A pack that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackFile {
    /// Of its bytes.
    pub digest: Digest,
    /// Its length.
    pub bytes: u64,
    /// Its volume's uuid.
    pub uuid: [u8; 16],
    /// It was there already.
    pub is_old: bool,
    /// What was left out of images that were flattened for it.
    pub notes: Notes,
    /// Whether files have the owners that the image says.
    pub keeps_owners: bool,
    /// The pack that it continues, and what both have in common.
    pub based_on: Option<Basis>,
    /// Bytes of files that were in the pack already when another file had the same, this time.
    pub saved_bytes: u64,
}

/// Why there is no pack.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// An image was not flattened.
    #[error("image {image} cannot be flattened")]
    Flatten {
        /// Which, in the order given.
        image: usize,
        /// Why not.
        source: FlattenError,
    },
    /// An image's tree was not written into the pack.
    #[error("image {image} cannot be written into the pack")]
    Append {
        /// Which, in the order given.
        image: usize,
        /// Why not.
        source: AppendError,
    },
    /// The process that writes failed.
    #[error("image {image} was not written into the pack")]
    Confined {
        /// Which, in the order given.
        image: usize,
        /// Why not.
        source: ConfinedError,
    },
    /// The store.
    #[error("the store of images")]
    Store(#[from] StoreError),
    /// A process that looks after trees.
    #[error("a tree of files")]
    Tree(#[source] ConfinedError),
    /// Files of this host.
    #[error("while making a pack")]
    Host(#[from] io::Error),
    /// A prefix is no relative path of plain names, is there twice, or one is within another.
    #[error("not a prefix beside the others: `{0}`")]
    Prefix(String),
    /// None, or more than [`IMAGES_MAX`].
    #[error("{0} images for one pack: 1 to {IMAGES_MAX} are possible")]
    Count(usize),
}

/// Makes a pack of images, each at its prefix; of one image at the prefix `""`, alone. An image
/// that is added to those of another pack should come after them: that pack is then continued.
///
/// # Errors
/// See [`PackError`]. The store is then as it was.
pub fn build(
    images: &[Wanted<'_>],
    into: &Store,
    caps: &Caps,
    progress: &mut dyn FnMut(Progress),
) -> Result<PackFile, PackError> {
    check(images)?;
    let owners = Owners::possible().map_err(PackError::Tree)?;
    let recipe = Recipe::new(images, owners);
    let lock = into.lock()?;
    let done = |made: Made, is_old, notes, saved_bytes| PackFile {
        digest: made.digest,
        bytes: made.bytes,
        uuid: recipe.uuid(),
        is_old,
        notes,
        keeps_owners: owners.are_kept(),
        based_on: made.based_on,
        saved_bytes,
    };
    if let Some(made) = lock.made(&recipe.name()) {
        return Ok(done(made, true, Notes::default(), 0));
    }
    let work = lock.work(owners, caps)?;
    let base = base(images, &lock, &work)?;
    let (mut notes, mut saved_bytes, mut end) = (Notes::default(), 0, 0);
    let first = base.as_ref().map_or(0, |(count, _)| *count);
    for (index, image) in images.iter().enumerate().skip(first) {
        notes = notes.and(stage(image, index, &work, progress)?);
        progress(Progress::Making);
        let report = write(image.0, index, recipe.uuid(), &work)?;
        notes.memory_bytes = notes.memory_bytes.max(report.memory_bytes);
        saved_bytes += report.saved_bytes;
        end = report.end;
        work.remove(append::TREE)?;
    }
    progress(Progress::Finishing);
    let pack = work.path().join(append::PACK);
    let (digest, bytes) = finish(&pack)?;
    let based_on =
        base.map(|(_, base)| Basis { pack: base.digest, from: HEAD_BYTES, to: base.end });
    let made =
        lock.keep_pack(&work, Made { digest, bytes, end, based_on, index: None }, &recipe.name())?;
    Ok(done(made, false, notes, saved_bytes))
}

/// The longest pack that the store has of the first of these images, copied to where it is
/// continued.
fn base(
    images: &[Wanted<'_>],
    lock: &Lock<'_>,
    work: &Work<'_>,
) -> Result<Option<(usize, Made)>, PackError> {
    for count in (1..images.len()).rev() {
        let some = Recipe::new(images.get(..count).unwrap_or_default(), work.owners);
        if let Some(made) = lock.made(&some.name()) {
            if lock.copy_pack(&made, work)? {
                return Ok(Some((count, made)));
            }
        }
    }
    Ok(None)
}

/// Makes the tree of an image.
fn stage(
    (_, image, source): &Wanted<'_>,
    index: usize,
    work: &Work<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Notes, PackError> {
    let layers = image.layers.len();
    let told = &mut |layer: usize, bytes: u64| {
        let bytes_total = image.layers.get(layer).map_or(0, |layer| layer.bytes);
        progress(Progress::Layer { image: index, layer, layers, bytes, bytes_total });
    };
    let tree = work.path().join(append::TREE);
    fs::create_dir(&tree)?;
    // What it is if no layer says.
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o755))?;
    set_time(&tree)?;
    let flattened = flatten(image, *source, &tree, &work.caps, work.owners, told);
    Ok(flattened.map_err(|source| PackError::Flatten { image: index, source })?.notes)
}

/// Writes it into the pack.
fn write(
    prefix: &str,
    image: usize,
    uuid: [u8; 16],
    work: &Work<'_>,
) -> Result<append::Report, PackError> {
    let prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
    let order = append::Order { prefix, uuid, time: TIME, caps: work.caps };
    let said = Confined::start(&Order::Append(order), work.path(), work.owners)
        .and_then(Confined::end)
        .map_err(|source| PackError::Confined { image, source })?;
    match said {
        Report::Appended(Ok(report)) => Ok(report),
        Report::Appended(Err(source)) => Err(PackError::Append { image, source }),
        Report::Unpacked(_) | Report::Done(_) => {
            Err(PackError::Confined { image, source: ConfinedError::NoAnswer })
        }
    }
}

fn set_time(path: &Path) -> io::Result<()> {
    let time = UNIX_EPOCH + Duration::from_secs(TIME);
    fs::File::open(path)?.set_times(fs::FileTimes::new().set_modified(time).set_accessed(time))
}

/// Pads the pack and puts it on the disk for good. Returns what it is and how long.
fn finish(path: &Path) -> io::Result<(Digest, u64)> {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut bytes = file.metadata()?.len().next_multiple_of(PMEM_ALIGN);
    // A guest tells its io file by its length (protocol.md 4.1).
    if bytes == IO_FILE_BYTES {
        bytes += PMEM_ALIGN;
    }
    file.set_len(bytes)?;
    // Workers' VMMs are other users.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.rewind()?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 256 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            got => hasher.update(piece.get(..got).unwrap_or_default()),
        }
    }
    file.sync_all()?;
    Ok((Digest(hasher.finalize().into()), bytes))
}

fn check(images: &[Wanted<'_>]) -> Result<(), PackError> {
    if images.is_empty() || images.len() > IMAGES_MAX {
        return Err(PackError::Count(images.len()));
    }
    let mut places = Prefixes::default();
    for (index, (prefix, ..)) in images.iter().enumerate() {
        let is_plain = |name: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
            !matches!(name, "" | "." | "..") && name.len() <= 128 && name.bytes().all(plain)
        };
        let is_good =
            if prefix.is_empty() { images.len() == 1 } else { prefix.split('/').all(is_plain) };
        let is_in_the_way = |(other, ..): &Wanted<'_>| {
            Path::new(prefix).starts_with(other) || Path::new(other).starts_with(prefix)
        };
        let others = images.iter().take(index);
        let is_in_the_way = prefix.len() > PREFIX_BYTES_MAX || others.clone().any(is_in_the_way);
        if !is_good || is_in_the_way || places.make(prefix).is_err() {
            return Err(PackError::Prefix((*prefix).to_owned()));
        }
    }
    Ok(())
}
