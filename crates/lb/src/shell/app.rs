//! What all requests share.

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::access::AccessLog;
use super::admit::Admit;
use super::edge::{Edge, Patience};
use super::health::Readiness;
use super::link::door::Door;
use super::link::packs::Transfers;
use super::live::Live;
use super::memory::Memory;
use super::request_id::RequestIds;
use super::run::{Confirmations, Flights};
use crate::cache::Cache;
use crate::driver::Handle;
use crate::metrics::Metrics;
use crate::reload::Reload;
use crate::shares::Shares;

/// See the module.
#[derive(Debug)]
pub struct App {
    /// Settings that may be replaced at any time.
    pub live: Live,
    /// Reads the settings again.
    pub reload: Reload,
    /// A line for each request.
    pub access: AccessLog,
    /// Results that are known.
    pub cache: Cache,
    /// States of the page that others may see.
    pub shares: Shares,
    /// Runs that somebody waits for.
    pub flights: Flights,
    /// What untrusted workers said, and who says the same.
    pub confirmations: Confirmations,
    /// The way to the broker.
    pub driver: Handle,
    /// Who is let in.
    pub admit: Arc<Admit>,
    /// Counts.
    pub metrics: Metrics,
    /// Makes request ids.
    pub request_ids: RequestIds,
    /// Whether jobs go through.
    pub readiness: Readiness,
    /// Memory for bodies.
    pub memory: Memory,
    /// Cancelled when an operator asks for the drain.
    pub stop: CancellationToken,
    /// Cancelled when the process is to end.
    pub drain: CancellationToken,
    /// How long clients are waited for.
    pub patience: Patience,
    /// Who is let in as a worker.
    pub door: Door,
    /// Packs on their way to workers.
    pub transfers: Transfers,
    /// What connections share.
    pub edge: Edge,
}

/// Gathers pieces of a body without letting many small ones cost more than they hold: small ones
/// are copied together, large ones are kept as they are.
#[derive(Debug, Default)]
pub struct Gathered {
    pieces: Vec<Bytes>,
    tail: Vec<u8>,
    bytes: usize,
}

/// Pieces from this size on are not copied.
const LARGE: usize = 4 * 1024;

impl Gathered {
    /// Adds a piece.
    pub fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        if piece.len() >= LARGE {
            self.close_tail();
            self.pieces.push(piece);
        } else {
            self.tail.extend_from_slice(&piece);
            if self.tail.len() >= 4 * LARGE {
                self.close_tail();
            }
        }
    }

    /// Length of all.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// All pieces.
    pub fn into_pieces(mut self) -> Vec<Bytes> {
        self.close_tail();
        self.pieces
    }

    /// The pieces that are finished: small ones wait for others until all is [closed](Self::close).
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// Nothing more comes.
    pub fn close(&mut self) {
        self.close_tail();
    }

    /// All in one.
    pub fn into_vec(mut self) -> Vec<u8> {
        if self.pieces.is_empty() {
            return self.tail;
        }
        self.close_tail();
        self.pieces.concat()
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(std::mem::take(&mut self.tail).into());
        }
    }
}
