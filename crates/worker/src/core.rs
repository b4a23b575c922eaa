//! Decisions without I/O: what the pool does next, when to dial again, when a job's time is up.
//!
//! Nothing here reads a clock, a file or a socket. Time comes in as [`Moment`], randomness as a
//! number, and what comes out are values that the driver and the shell act on.

pub mod budget;
pub mod clock;
pub mod ending;
pub mod pool;
pub mod reconnect;
pub mod stock;
pub mod topology;

/// Time since the worker started.
pub type Moment = std::time::Duration;
