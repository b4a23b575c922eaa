//! What operators ask a load balancer (`protocol.md 9`): where it is, one request to it, and its
//! answers as tables.

pub mod operator;
pub mod tables;
pub mod target;
