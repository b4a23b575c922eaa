//! Connections of clients: how they end, what moves over them, and TLS.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

use super::Builder;
use crate::core::frames::Flood;
use crate::shell::edge::gate::Attendance;
use crate::shell::edge::tls::Shaken;

/// See the module.
#[derive(Debug, Clone)]
pub struct Edge {
    connections: IntGaugeVec,
    ended: IntCounterVec,
    rested: IntCounter,
    received: IntCounter,
    sent: IntCounter,
    handshakes: IntCounterVec,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By its client, or broken.
    Closed,
    /// We drain.
    Drained,
    /// Its seat was needed.
    Asked,
    /// There was no seat for it.
    TurnedAway,
    /// It was idle.
    Idle,
    /// It never said anything.
    Silent,
    /// An answer was not read at all.
    Stalled,
    /// Answers were read too slowly.
    Slow,
    /// Control frames.
    ControlFlood,
    /// Resets.
    ResetFlood,
    /// TLS failed.
    Handshake,
    /// A proxy did not say whom it speaks for.
    ProxyHeader,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Closed,
        Self::Drained,
        Self::Asked,
        Self::TurnedAway,
        Self::Idle,
        Self::Silent,
        Self::Stalled,
        Self::Slow,
        Self::ControlFlood,
        Self::ResetFlood,
        Self::Handshake,
        Self::ProxyHeader,
    ];

    /// Label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Drained => "drained",
            Self::Asked => "asked",
            Self::TurnedAway => "turned_away",
            Self::Idle => "idle",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Slow => "slow",
            Self::ControlFlood => "control_flood",
            Self::ResetFlood => "reset_flood",
            Self::Handshake => "handshake",
            Self::ProxyHeader => "proxy_header",
        }
    }
}

impl From<Flood> for Ending {
    fn from(flood: Flood) -> Self {
        match flood {
            Flood::Control => Self::ControlFlood,
            Flood::Resets => Self::ResetFlood,
        }
    }
}

impl Edge {
    pub(super) fn new(build: &Builder) -> prometheus::Result<Self> {
        let edge = Self {
            connections: build.gauges("connections", "Client connections by state.", &["state"])?,
            ended: build.counters(
                "connections_ended",
                "Client connections that ended, by how.",
                &["how"],
            )?,
            rested: build.counter(
                "connections_rested",
                "Idle HTTP/1 connections whose buffers were given back.",
            )?,
            received: build.counter("received_bytes", "Bytes from clients, inside of TLS.")?,
            sent: build.counter("sent_bytes", "Bytes to clients, inside of TLS.")?,
            handshakes: build.counters(
                "tls_handshakes",
                "TLS handshakes of clients and workers.",
                &["result"],
            )?,
        };
        for how in Ending::ALL {
            edge.ended.with_label_values(&[how.as_str()]);
        }
        for result in ["full", "resumed", "failed"] {
            edge.handshakes.with_label_values(&[result]);
        }
        edge.attended(Attendance::default());
        Ok(edge)
    }

    /// A connection ended.
    pub fn ended(&self, how: Ending) {
        self.ended.with_label_values(&[how.as_str()]).inc();
    }

    /// A connection keeps nothing but its socket until it is used again.
    pub fn rested(&self) {
        self.rested.inc();
    }

    /// Bytes moved.
    pub fn moved(&self, received: u64, sent: u64) {
        self.received.inc_by(received);
        self.sent.inc_by(sent);
    }

    /// A handshake succeeded.
    pub fn handshake(&self, shaken: &Shaken) {
        let (_, session) = shaken.stream.get_ref();
        let result = match session.handshake_kind() {
            Some(rustls::HandshakeKind::Resumed) => "resumed",
            _ => "full",
        };
        self.handshakes.with_label_values(&[result]).inc();
    }

    /// A handshake did not.
    pub fn handshake_failed(&self) {
        self.handshakes.with_label_values(&["failed"]).inc();
    }

    /// How many there are.
    pub fn attended(&self, attendance: Attendance) {
        let Attendance { seated, quiet, leaving, shaking } = attendance;
        for (state, many) in [
            ("busy", seated.saturating_sub(quiet)),
            ("quiet", quiet),
            ("leaving", leaving),
            ("handshake", shaking),
        ] {
            let many = i64::try_from(many).unwrap_or(i64::MAX);
            self.connections.with_label_values(&[state]).set(many);
        }
    }
}
