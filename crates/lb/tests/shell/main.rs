//! The load balancer over real sockets, with scripted workers and clients. Nothing here sleeps:
//! each step waits for the event that the next one needs.

mod client;
mod lb;
mod worker;

mod access;
mod admin;
mod admission;
mod api;
mod cache;
mod confirm;
mod curl;
mod deploy;
mod disk;
mod drain;
mod edge;
mod expect;
mod flights;
mod floods;
mod health;
mod jobs;
mod limits;
mod link;
mod loss;
mod multipart;
mod packs;
mod requests;
mod results;
mod shares;
mod site;
mod tls;
mod trust;
