//! Sockets: what speaks HTTP with clients and workers. Reading order: [`edge`], [`router`],
//! [`run`], [`link`].

pub mod admit;
pub mod app;
pub mod edge;

pub mod router;

pub mod access;
pub mod admin;

pub mod intake;
pub mod progress;
pub mod results;
pub mod run;
pub mod shares;

pub mod link;

pub mod health;
pub mod live;
pub mod pages;
pub mod site;

pub mod discard;
pub mod memory;
pub mod outbox;
pub mod outgoing;
pub mod request_id;
pub mod vitals;
