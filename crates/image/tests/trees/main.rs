//! Layers that real tools make, that only a fuzzer or an attacker would make, and whole images:
//! the tree is what `umoci unpack` makes of them, entry by entry, or what is said here.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by a panic, and clippy knows tests by an attribute that these do not have"
)]

mod attacks;
mod cases;
mod erofs;
mod growing;
mod image;
mod listing;
mod ordinary;
mod packs;
mod real;
mod umoci;
mod written;
mod xattrs;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(code) = pe_image::confined::run_if_asked() {
        return code;
    }
    let mut trials = Vec::new();
    let groups = [
        cases::all(),
        attacks::all(),
        packs::all(),
        growing::all(),
        written::all(),
        real::all(),
        ordinary::all(),
    ];
    for (name, run) in groups.concat() {
        trials.push(Trial::test(name, move || {
            run();
            Ok(())
        }));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test and its name.
type Case = (&'static str, fn());
