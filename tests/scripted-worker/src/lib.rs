//! A worker without VMs. It speaks the real worker link, offers slots like a real one, and dials
//! again by the real one's policy; what it does with a job, the job itself says ([`script`]).
//!
//! It ends when its process does: there is no drain, tests kill it.

#![forbid(unsafe_code)]

pub mod script;

pub mod journal;

pub mod session;

pub mod worker;
