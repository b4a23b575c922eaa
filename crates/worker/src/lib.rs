//! The host daemon: keeps VMs ready, offers them to a load balancer, runs one job in each, and
//! sends back what it left (`protocol.md 4` and `6`).
//!
//! Three rings: [`core`] decides and does no I/O; [`driver`] is the one task that owns the pool;
//! the rest is the shell: VMs, io files, the link. A guest is hostile, and so is a VMM that has
//! met one: their bytes are bounded, checked, and read only when they can no longer change.
//!
//! Suggested reading order: [`core::pool`], [`driver`], [`vm`], [`iofile`], [`job`], [`link`],
//! [`vm::qemu`], [`probe`], [`config`].

#![deny(unsafe_code)]

pub mod limits;

pub mod canary;
pub mod core;
pub mod driver;

pub mod fetch;
pub mod library;

pub mod images;
pub mod iofile;
pub mod jail;
pub mod job;
pub mod link;
pub mod memory;
pub mod vm;

pub mod bench;
pub mod cli;
pub mod config;
pub mod doctor;
mod drain;
pub mod host;
pub mod metrics;
pub mod probe;
pub mod signals;
pub mod verify;
pub mod worker;

mod pidfd;
mod sys;
#[cfg(test)]
mod testing;

/// An error with all of its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
