//! The load balancer as it is started, with scripted workers as processes of their own: what a
//! kill, a restart or a flood does to clients is seen from outside.
//!
//! Everything ends with its value: processes are killed, files are removed.

#![forbid(unsafe_code)]

pub mod paths;

pub mod process;

pub mod lb;

pub mod workers;

pub mod client;

pub mod patient;

pub mod frames;

pub mod flood;

pub mod measure;
