//! Every bound of this crate, with its reason. All sizes are bytes unless the name says else.

use std::time::Duration;

/// A manifest, an index, or another document that names blobs. The distribution specification
/// asks registries to take 4 MiB, so no honest one is larger.
pub const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// An image's config: histories and labels of hundreds of layers are a tenth of it.
pub const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Entries of an index, or of a layout's `index.json`.
pub const INDEX_ENTRIES_MAX: usize = 1024;

/// Layers of an image. Docker itself stops at 127.
pub const LAYERS_MAX: usize = 256;

/// One layer as it is stored, mostly compressed.
pub const LAYER_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// All layers of an image as they are stored.
pub const IMAGE_BYTES_MAX: u64 = 32 * 1024 * 1024 * 1024;

/// Labels of an image.
pub const LABELS_MAX: usize = 1024;

const _: () = assert!(LAYER_BYTES_MAX <= IMAGE_BYTES_MAX);

/// A host's name, and one label of it, as DNS has them.
pub const HOST_BYTES_MAX: usize = 253;
/// See [`HOST_BYTES_MAX`].
pub const HOST_LABEL_BYTES_MAX: usize = 63;

/// A repository's path in a registry; the distribution specification says so of path and host
/// together.
pub const REPOSITORY_BYTES_MAX: usize = 255;

/// A tag, by the distribution specification.
pub const TAG_BYTES_MAX: usize = 128;

/// `oci-layout` of a layout: one short field.
pub const LAYOUT_MARK_BYTES_MAX: u64 = 4096;

/// Entries of an archive of images: a directory and three files for each layer, in Docker's old
/// form, of a few dozen images.
pub const ARCHIVE_ENTRIES_MAX: usize = 16 * 1024;

/// Headers of such an archive, long names included.
pub const ARCHIVE_HEADER_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// One read of a file that is hashed.
pub const READ_PIECE_BYTES: usize = 128 * 1024;

/// Until a connection to a registry stands, TLS included.
pub const CONNECT_WAIT_MAX: Duration = Duration::from_secs(15);

/// Until a registry begins to answer. Some fetch what they lack from another before they do.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);

/// Until the next bytes of a body come. A link that is silent for longer is asked anew.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);

/// All that is asked of a registry for one image: 4 GiB over 10 Mbit/s.
pub const REGISTRY_WAIT_MAX: Duration = Duration::from_secs(3600);

/// Before the first repetition of a request.
pub const AGAIN_WAIT: Duration = Duration::from_millis(500);

/// The longest that a registry's `Retry-After` is obeyed.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Repetitions of one request that failed for a reason that may pass.
pub const REPEATS_MAX: u32 = 4;

/// Times that the download of one layer may break and go on, if each time something came.
pub const BREAKS_MAX: u32 = 32;

/// Redirects of one request. Registries need one, to their storage.
pub const REDIRECTS_MAX: usize = 5;

/// Addresses of one name that are looked at. All of them must be good, so there is no need of more.
pub const ADDRESSES_MAX: usize = 16;

/// Threads that wait for resolvers; one source asks for one name at a time.
pub const RESOLVER_THREADS_MAX: usize = 4;

/// Head of an answer, and the buffer that a body is read through.
pub const HTTP_BUFFER_BYTES: usize = 128 * 1024;

/// The answer of a token service, and the token in it: one with long claims is 4 KiB.
pub const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// Pieces of a layer that wait for their reader: a few megabytes at most.
pub const PIECES_WAITING_MAX: usize = 16;

/// Docker's `config.json`.
pub const CREDENTIALS_BYTES_MAX: u64 = 1024 * 1024;

/// A file of registries' rules.
pub const RULES_BYTES_MAX: u64 = 256 * 1024;

/// Names of a directory and of those above it, with 16 bytes for each, while a pack is written:
/// 700,000 names of 8 bytes in one directory, or 60,000 of 255. With the two below it stays within
/// the 64 MiB of the process that writes.
pub const DIRECTORY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Files of which some names were met and others not, while a pack is written; 30 bytes each.
pub const LINKS_OPEN_MAX: u64 = 250_000;

/// Contents of files that a pack knows, in case another file has the same; 20 bytes each. Those
/// beyond are stored, but not looked for.
pub const CONTENTS_MAX: usize = 1_000_000;
