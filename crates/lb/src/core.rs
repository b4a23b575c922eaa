//! The pure core: decisions without tokio, I/O or a clock. Whoever calls says what time it is.

pub mod admission;
pub mod broker;
pub mod client;
pub mod flights;
pub mod form;
pub mod frames;
pub mod ids;
pub mod moment;
pub mod proxies;
pub mod range;
pub mod reading;
pub mod resolve;
pub mod seats;
pub mod share;
pub mod trust;
