//! What each fuzz target does with its bytes.
//!
//! One function per decoder of `pe-proto`, named as its target and its golden vectors are. Each
//! takes any bytes, says whether they were accepted, and panics if the decoder breaks a promise:
//! what was accepted must encode to the same bytes again and keep within its bounds.
//!
//! This file is also compiled into the tests of `pe-proto`, which replay the corpus and damage the
//! golden vectors with it; so the ordinary test run exercises every target without libFuzzer.

mod archive;
mod frames;
pub mod headers;
mod json;
mod playground;
mod serial;

pub use archive::archive;
pub use frames::{
    done_head, fetches, guest_config, hello, lease_head, ready, result_meta, state, wanted, wants,
    welcome,
};
pub use headers::{in_header, journal_header, result_header};
pub use json::{answer_json, catalogue_json, page_state_json, run_config_json, run_request_json};
pub use playground::playground_expansion;
pub use serial::serial;

/// A target: whether these bytes were accepted.
pub type Target = fn(&[u8]) -> bool;

/// All targets by name.
pub const TARGETS: [(&str, Target); 22] = [
    ("answer_json", answer_json),
    ("archive", archive),
    ("catalogue_json", catalogue_json),
    ("done_head", done_head),
    ("fetches", fetches),
    ("guest_config", guest_config),
    ("hello", hello),
    ("in_header", in_header),
    ("journal_header", journal_header),
    ("lease_head", lease_head),
    ("page_state_json", page_state_json),
    ("playground_expansion", playground_expansion),
    ("ready", ready),
    ("result_header", result_header),
    ("result_meta", result_meta),
    ("run_config_json", run_config_json),
    ("run_request_json", run_request_json),
    ("serial", serial),
    ("state", state),
    ("wanted", wanted),
    ("wants", wants),
    ("welcome", welcome),
];
