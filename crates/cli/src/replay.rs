//! Running again what a link shows, and telling what came out differently. Pure but for its files.
//!
//! A link is a stranger's: all of it is checked and bounded before anything is sent, and nothing
//! of it is ever a path here. What was stored and what came now are compared byte by byte.

pub mod compare;
pub mod job;
pub mod link;

pub use compare::{Difference, differences};
pub use job::{BadState, archive};
pub use link::{BadLink, Link, Place};
