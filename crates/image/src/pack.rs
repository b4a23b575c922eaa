//! A pack: one erofs file of one image, or of several under prefixes.
//!
//! ```text
//!  layers ─► tree (flatten) ─┐
//!  layers ─► tree (kept)    ─┴► mkfs.erofs ─► packs/SHA256.erofs (fsync, rename)
//! ```
//! mkfs.erofs reads each tree once. What it makes is padded to 2 MiB, as pmem demands. Its volume
//! uuid, by which a guest tells packs apart, is a hash of what the pack was made of; so is the
//! name of the note by which a pack that is there already is not made again. Decision 0014 has
//! the reasons for each flag.

mod mkfs;

use std::fs;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use pe_proto::Digest;
use pe_proto::limits::{IO_FILE_BYTES, PMEM_ALIGN};
use sha2::{Digest as _, Sha256};

use crate::confined::{ConfinedError, Owners};
use crate::flatten::{Caps, FlattenError, Notes, flatten};
use crate::oci::{OciImage, Source};
use mkfs::{Mkfs, Recipe};

use crate::store::{Lock, Store, StoreError, Work};

/// Most images in one pack: a prefix and a tree each.
pub const IMAGES_MAX: usize = 64;

/// A prefix.
pub const PREFIX_BYTES_MAX: usize = 256;

/// One time for what no image has, such as the directory that holds prefixes: Debian 12's
/// release. (Zero would upset zip, which starts in 1980.)
const TIME: u64 = 1_686_355_200;

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
    /// All trees are there, and mkfs.erofs works.
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
    /// mkfs.erofs is not installed.
    #[error("there is no mkfs.erofs (Debian: erofs-utils)")]
    NoMkfs,
    /// It failed.
    #[error("mkfs.erofs")]
    Mkfs(#[source] ConfinedError),
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

/// Makes a pack of images, each at its prefix; of one image at the prefix `""`, alone.
///
/// # Errors
/// See [`PackError`]. The store is then as it was.
pub fn build(
    images: &[(&str, &OciImage, &dyn Source)],
    into: &Store,
    caps: &Caps,
    progress: &mut dyn FnMut(Progress),
) -> Result<PackFile, PackError> {
    check(images)?;
    let owners = Owners::possible().map_err(PackError::Tree)?;
    let mkfs = Mkfs::find()?;
    let recipe = Recipe::new(images, &mkfs, owners);
    let lock = into.lock()?;
    let done = |digest, bytes, is_old, notes| PackFile {
        digest,
        bytes,
        uuid: recipe.uuid(),
        is_old,
        notes,
        keeps_owners: owners.are_kept(),
    };
    if let Some((digest, bytes)) = lock.made(&recipe.name()) {
        return Ok(done(digest, bytes, true, Notes::default()));
    }
    let work = lock.work(owners, caps)?;
    let (trees, notes) = gather(images, &lock, &work, progress)?;
    progress(Progress::Making);
    let made = mkfs.make(&work, &recipe, caps, owners);
    if recipe.is_shared {
        // Another image can be put beside them without their layers.
        for (place, tree) in &trees {
            lock.keep_tree(&work, place, tree)?;
        }
    }
    made?;
    progress(Progress::Finishing);
    let (digest, bytes) = finish(&work.path().join(mkfs::PACK))?;
    lock.keep_pack(&work.path().join(mkfs::PACK), digest, bytes, &recipe.name())?;
    Ok(done(digest, bytes, false, notes))
}

/// Puts all trees where mkfs.erofs finds them. Returns where each is, and its name in the store.
fn gather(
    images: &[(&str, &OciImage, &dyn Source)],
    lock: &Lock<'_>,
    work: &Work<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<(String, Digest)>, Notes), PackError> {
    let mut notes = Notes::default();
    let mut trees = Vec::new();
    for (index, (prefix, image, source)) in images.iter().enumerate() {
        let place = if prefix.is_empty() {
            mkfs::ROOT.to_owned()
        } else {
            let place = format!("{}/{prefix}", mkfs::ROOT);
            make_parents(work.path(), &place)?;
            place
        };
        if !lock.take_tree(image.manifest, work, &place)? {
            let layers = image.layers.len();
            let told = &mut |layer: usize, bytes: u64| {
                let bytes_total = image.layers.get(layer).map_or(0, |layer| layer.bytes);
                progress(Progress::Layer { image: index, layer, layers, bytes, bytes_total });
            };
            let tree = work.path().join(&place);
            fs::create_dir(&tree)?;
            let flattened = flatten(image, *source, &tree, &work.caps, work.owners, told)
                .map_err(|source| PackError::Flatten { image: index, source })?;
            notes = notes.and(flattened.notes);
        }
        trees.push((place, image.manifest));
    }
    // What has been put into them changed their time.
    for (place, _) in &trees {
        for above in Path::new(place).ancestors().skip(1).filter(|it| !it.as_os_str().is_empty()) {
            set_time(&work.path().join(above))?;
        }
    }
    Ok((trees, notes))
}

fn make_parents(work: &Path, place: &str) -> io::Result<()> {
    let parent = Path::new(place).parent().unwrap_or(Path::new(""));
    fs::create_dir_all(work.join(parent))?;
    for above in parent.ancestors().filter(|it| !it.as_os_str().is_empty()) {
        fs::set_permissions(work.join(above), fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
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

fn check(images: &[(&str, &OciImage, &dyn Source)]) -> Result<(), PackError> {
    if images.is_empty() || images.len() > IMAGES_MAX {
        return Err(PackError::Count(images.len()));
    }
    for (index, (prefix, ..)) in images.iter().enumerate() {
        let is_plain = |name: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
            !matches!(name, "" | "." | "..") && name.len() <= 128 && name.bytes().all(plain)
        };
        let is_good =
            if prefix.is_empty() { images.len() == 1 } else { prefix.split('/').all(is_plain) };
        let is_in_the_way = |(other, ..): &(&str, &OciImage, &dyn Source)| {
            Path::new(prefix).starts_with(other) || Path::new(other).starts_with(prefix)
        };
        let others = images.iter().take(index);
        if !is_good || prefix.len() > PREFIX_BYTES_MAX || others.clone().any(is_in_the_way) {
            return Err(PackError::Prefix((*prefix).to_owned()));
        }
    }
    Ok(())
}
