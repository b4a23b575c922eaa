//! PID 1 of the guest VM.
//!
//! It boots by a plan, makes ready all that no job is needed for, and waits. Then it does exactly
//! one job and writes its answer into the io file. It is synchronous and has one thread; hostile
//! bytes are handled in forked children that have nothing. It never panics and never ends without
//! having said why.
//!
//! Suggested reading order: [`boot`], [`waiting`], [`job`]; then what they use.

#![deny(unsafe_code)]

pub mod boot;
pub mod waiting;

pub mod job;

// What is found and made ready.
pub mod bell;
pub mod cgroup;
pub mod devices;
pub mod ids;
pub mod layers;
pub mod namespaces;
pub mod packs;
pub mod pages;
pub mod port;
pub mod rehearsal;

// What a job goes through.
pub mod accounts;
pub mod child;
pub mod confined;
pub mod fresh;
pub mod input;
pub mod oci;
pub mod runtime;
pub mod streams;
pub mod watch;

// What comes of it.
pub mod answer;
pub mod blame;
pub mod collect;
pub mod verdict;

pub mod calls;
pub mod limits;
pub mod sys;
