//! The whole fleet in one thread: the load balancer's pure core with a shell as thin as the real
//! one, scripted workers and clients, and a network that delays, cuts and resets. Time and chance
//! come from a seed; nothing sleeps, nothing is random, every run can be had again.
//!
//! After each step [`books`] holds what the core decided against what connections really own; at
//! the end everything that is gone must be forgotten. A run that breaks a rule is made smaller by
//! [`shrink`] until nothing can be taken out of it.
//!
//! Suggested reading order: [`plan`], [`world`], [`lb`], [`books`], [`shrink`].

#![forbid(unsafe_code)]
#![expect(
    clippy::indexing_slicing,
    reason = "a simulation that counts wrongly is broken, and a panic tells where"
)]

pub mod plan;

pub mod chance;

pub mod stage;

pub mod net;

pub mod world;

pub mod worker;

pub mod client;

pub mod lb;

pub mod books;

pub mod shrink;
