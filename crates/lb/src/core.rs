//! The pure core: decisions without tokio, I/O or a clock. Whoever calls says what time it is.

pub mod broker;
pub mod flights;
pub mod form;
pub mod ids;
pub mod moment;
pub mod range;
pub mod resolve;
pub mod trust;
