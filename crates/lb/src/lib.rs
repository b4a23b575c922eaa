//! The load balancer: takes jobs from clients, pulls slots from workers, relays results.
//!
//! Three rings. The *core* decides and does nothing else: [`core::broker`] binds jobs to slots,
//! [`core::resolve`] turns a request into a job. The [`driver`] is the one task that owns the
//! broker. The [`shell`] is sockets and HTTP. What a connection owns (a place in the queue, a
//! parked slot, a lease) is a value that it holds; when the connection ends, the value is dropped
//! and the broker hears of it. Nothing is counted that no connection owns.
//!
//! Suggested reading order: [`core`], [`driver`], [`cache`], [`shell`], [`respond`], [`server`].

#![forbid(unsafe_code)]

pub mod limits;

pub mod core;

pub mod driver;

pub mod cache;
pub mod shares;

pub mod shell;

pub mod respond;

pub mod metrics;

pub mod chores;
pub mod cli;
pub mod config;
pub mod reload;
pub mod server;

pub use config::{Config, Overrides};
pub use server::Server;
