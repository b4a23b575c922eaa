//! `[connections]`: how many there may be, and how slow.

use serde::Deserialize;

use crate::core::seats;
use crate::limits;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConnections {
    pub(super) max: Option<usize>,
    pub(super) per_client_max: Option<usize>,
    pub(super) handshakes_max: Option<usize>,
    pub(super) read_rate_min: Option<u64>,
}

/// What connections may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Who may stay.
    pub seats: seats::Terms,
    /// TLS handshakes at a time.
    pub handshakes_max: usize,
    /// Bytes per second that a client must take of what it is owed.
    pub read_rate_min: u64,
}

impl RawConnections {
    pub(super) fn read(
        self,
        count: impl Fn(&'static str, Option<usize>, usize) -> Result<usize, super::BadConfig>,
    ) -> Result<Connections, super::BadConfig> {
        let seats = count("connections.max", self.max, limits::CONNECTIONS_MAX)?;
        Ok(Connections {
            seats: seats::Terms {
                seats,
                per_client: count(
                    "connections.per_client_max",
                    self.per_client_max,
                    limits::CONNECTIONS_PER_CLIENT_MAX,
                )?,
                leaving: limits::CONNECTIONS_LEAVING_MAX,
            },
            handshakes_max: count(
                "connections.handshakes_max",
                self.handshakes_max,
                limits::HANDSHAKES_MAX,
            )?,
            read_rate_min: self.read_rate_min.unwrap_or(limits::READ_RATE_MIN),
        })
    }
}
