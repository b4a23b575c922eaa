//! Any OCI image as a pack: where images come from, and what is made of them.
//!
//! An image is bytes of strangers until a digest says otherwise, and its layers stay so for ever:
//! every document, count, size and wait here has a bound in [`limits`], and nothing of an image is
//! run, mounted or written outside of a pack. The crate is synchronous at its border; the one
//! asynchronous part, the client of registries, is hidden in [`source`].
//!
//! Suggested reading order: [`oci`], [`reference`], [`source`], [`flatten`], [`confined`],
//! [`pack`], [`store`], [`labels`], [`lint`], [`fresh`].

#![forbid(unsafe_code)]

pub mod limits;

pub mod fresh;
pub mod labels;
pub mod lint;

pub mod oci;
pub mod reference;
pub mod source;

pub mod confined;
mod erofs;
pub mod flatten;
pub mod pack;
pub mod store;

pub use flatten::Caps;
pub use oci::{Descriptor, OciImage, Packing, Source};
pub use pack::{PackFile, Progress};
pub use source::{SourceError, SourceName};
pub use store::Store;
