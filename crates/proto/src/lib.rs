//! Bytes to types and back for every border of Program Explorer.
//!
//! This crate owns the formats of `docs/protocol.md` and nothing else: it does no I/O, has no
//! clock, and never trusts a length. Every decoder is bounded by [`limits`] and refuses what it
//! does not know. It is the only crate that knows bytes; all others speak in its types.
//!
//! Suggested reading order: [`limits`], [`digest`], [`path`], [`archive`], [`job`], [`outcome`],
//! [`codec`], [`guest_config`], [`io_file`], [`link`], [`catalogue`], [`playground`], [`api`], [`merge`],
//! [`admin`].

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod limits;

pub mod arch;
pub mod digest;
pub mod path;

pub mod archive;
pub mod job;
pub mod outcome;

pub mod codec;
pub mod guest_config;
pub mod io_file;
pub mod link;
pub mod serial;

pub mod admin;
pub mod api;
pub mod catalogue;
pub mod merge;
pub mod playground;

pub use arch::Arch;
pub use digest::Digest;
pub use job::{JobLimits, JobSpec};
pub use outcome::{Fault, Outcome, ResultMeta};
