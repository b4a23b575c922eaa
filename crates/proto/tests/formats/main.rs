//! The formats of `docs/protocol.md`, one topic a module.
//!
//! Golden vectors pin the bytes; properties show that every value survives them; damage shows that
//! nothing else is taken for them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, which clippy does not see as such"
)]

mod samples;
mod strategies;
mod vectors;

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "the file is the library of the fuzz crate too")]
mod targets;

mod golden;

mod archive_refusals;
mod archive_trees;
mod damage;
mod io_file;
mod job;
mod json;
mod messages;
mod names;
mod path_order;
mod playground;
mod protocol_page;
mod result_bounds;
mod serial;
