//! The daemons as people start them, for tests that run real jobs in real VMs.
//!
//! Nothing here knows the inside of a daemon: it starts the release binaries, speaks the public
//! API through curl (a real peer) or `pe`, and looks at processes through /proc as an operator
//! would. Everything started is ended by its process id when its value is dropped.

#![forbid(unsafe_code)]

pub mod circumstances;
pub mod client;
pub mod daemon;
pub mod guest;
pub mod lab;
pub mod paths;
pub mod procfs;
pub mod slow;
pub mod wait;
