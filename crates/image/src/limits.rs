//! Every bound of this crate, with its reason. All sizes are bytes unless the name says else.

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
