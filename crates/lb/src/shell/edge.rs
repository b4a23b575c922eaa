//! The edge: listeners and connections (`protocol.md 8.8`).
//!
//! A listener accepts; a connection is a task that begins with what is spoken before HTTP (the
//! PROXY protocol, TLS), and ends when its peer is gone, when it is idle, does not read or floods,
//! when its seat is needed for another, or when the process drains and its last request is
//! answered. Every task is in a tracker that the drain waits for. Reading order: [`listener`],
//! [`gate`], [`client`], [`worker`].

pub mod activation;
pub mod descriptors;
pub mod listener;

pub mod gate;
pub mod proxy_header;
pub mod tls;

pub mod metered;

pub mod admin;
pub mod client;
pub mod worker;

mod tasks;

use std::time::Duration;

use tracing::{info, warn};

use crate::config::Config;
use crate::config::http2::Http2;
use crate::core::proxies::Proxies;
use gate::Places;
use tls::Tls;

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the head of an HTTP/1 request.
    pub head: Duration,
    /// Between two pieces of a request's body.
    pub body_idle: Duration,
    /// Without a request, until its connection is closed.
    pub idle: Duration,
    /// Without reading its answer, until its connection is closed.
    pub stall: Duration,
    /// How often the two above are looked at.
    pub look: Duration,
}

/// What all connections share.
#[derive(Debug)]
pub struct Edge {
    /// Who is believed about where requests come from.
    pub proxies: Proxies,
    /// What a client's HTTP/2 connection may do.
    pub http2: Http2,
    /// Bytes per second that a client must take of what it is owed.
    pub read_rate_min: u64,
    /// How long requests that were on their way are served at the begin of a drain.
    pub settle: Duration,
    /// Who may be connected.
    pub places: Places,
    /// TLS of the clients' listeners.
    pub tls: Option<Tls>,
    /// TLS of the workers' listeners.
    pub workers_tls: Option<Tls>,
}

impl Edge {
    /// As it is set.
    ///
    /// # Errors
    /// A certificate that cannot be used.
    pub fn new(config: &Config) -> Result<Self, rustls::Error> {
        let new = |identity: &Option<_>, alpn: &[&[u8]]| {
            identity.as_ref().map(|identity| Tls::new(identity, alpn)).transpose()
        };
        Ok(Self {
            proxies: config.proxies.clone(),
            http2: config.http2,
            read_rate_min: config.connections.read_rate_min,
            settle: config.settle,
            places: Places::new(config.connections),
            tls: new(&config.tls, &[b"h2", b"http/1.1"])?,
            workers_tls: new(&config.workers_tls, &[b"h2"])?,
        })
    }

    /// Takes over the certificates of new settings. Connections that are open stay as they are.
    pub fn reload(&self, config: &Config) {
        for (name, tls, identity) in [
            ("clients", &self.tls, &config.tls),
            ("workers", &self.workers_tls, &config.workers_tls),
        ] {
            match (tls, identity) {
                (Some(tls), Some(identity)) => match tls.reload(identity) {
                    Ok(()) => info!(listener = name, "certificate reloaded"),
                    Err(error) => {
                        warn!(listener = name, %error, "new certificate refused, the old one stays");
                    }
                },
                (None, None) => {}
                (Some(_), None) | (None, Some(_)) => {
                    warn!(listener = name, "TLS comes and goes only with a restart");
                }
            }
        }
    }
}
