//! A result on its way in: from a worker's stream to a landing, every byte checked.

use std::sync::Arc;

use futures_util::StreamExt as _;
use pe_proto::JobLimits;
use pe_proto::archive::{BadArchive, Bounds, Decoder, Role};
use pe_proto::limits::{ARCHIVE_ENTRIES_MAX, RESULT_OVERHEAD_BYTES};
use tokio::sync::oneshot;

use super::landing::{Facts, Landing};
use crate::core::admission::memory::{Kind, NoRoom};
use crate::core::ids::{ClientKey, NOBODY};
use crate::driver::{PieceLost, Pieces, Receipt};
use crate::limits::{RELAY_HELD_BYTES, RESULT_ROOM_WAIT, RESULT_SHARE_WAIT};
use crate::shell::app::App;
use crate::shell::memory::{Patience, Room};

/// Why a result cannot be answered with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Lost(#[from] PieceLost),
    #[error(transparent)]
    Bad(#[from] BadArchive),
    #[error("archive is not of the length it was said to have")]
    Length,
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// Takes all of a result off its worker. `begun` is called when so much of it is here that it may
/// be answered with; smaller ones are checked whole before anybody sees them.
///
/// # Errors
/// It cannot be answered with. If it had begun, its landing is broken off.
pub(super) async fn receive(
    app: &App,
    facts: Facts,
    archive_bytes: u64,
    mut pieces: Pieces,
    receipt: oneshot::Sender<Receipt>,
    begun: impl Fn(&Arc<Landing>),
) -> Result<Arc<Landing>, Unusable> {
    let bounds = bounds(&facts.limits);
    if archive_bytes > bounds.bytes_max {
        app.metrics.results_bad.inc();
        let _ = receipt.send(Receipt::Bad);
        return Err(Unusable::Length);
    }
    let room = make_room(app, facts.client, archive_bytes).await?;
    let landing = Landing::new(facts, archive_bytes, Some(room));
    let landing = Unfinished(Some(Arc::new(landing)));
    let taken = take(app, landing, Decoder::new(bounds), &mut pieces, begun).await;
    let verdict = match &taken {
        Ok(_) => Some(Receipt::Taken),
        Err(Unusable::Bad(_) | Unusable::Length) => {
            app.metrics.results_bad.inc();
            Some(Receipt::Bad)
        }
        // There is nobody left to be told.
        Err(Unusable::Lost(_) | Unusable::NoRoom(_)) => None,
    };
    if let Some(verdict) = verdict {
        let _ = receipt.send(verdict);
    }
    taken
}

async fn take(
    app: &App,
    unfinished: Unfinished,
    mut decoder: Decoder,
    pieces: &mut Pieces,
    begun: impl Fn(&Arc<Landing>),
) -> Result<Arc<Landing>, Unusable> {
    let landing = unfinished.landing();
    let mut left = landing.bytes();
    let mut held = 0;
    loop {
        let Some(piece) = pieces.next().await.transpose()? else {
            // The end before the end: the decoder says what is missing.
            decoder.finish()?;
            return Err(Unusable::Length);
        };
        let length = piece.len() as u64;
        left = left.checked_sub(length).ok_or(Unusable::Length)?;
        decoder.check(&piece)?;
        if decoder.is_complete() != (left == 0) {
            return Err(Unusable::Length);
        }
        landing.push(piece);
        app.metrics.result_bytes.inc_by(length);
        if left == 0 {
            // All that was promised is here; the end of the stream is not waited for.
            landing.complete();
            return Ok(unfinished.finished());
        }
        let is_enough = held < RELAY_HELD_BYTES as u64 && held + length >= RELAY_HELD_BYTES as u64;
        held += length;
        if is_enough {
            begun(&landing);
        }
    }
}

/// Breaks a landing off unless it is finished: also when whoever writes it is dropped.
struct Unfinished(Option<Arc<Landing>>);

impl Unfinished {
    fn landing(&self) -> Arc<Landing> {
        self.0.clone().expect("taken by `finished` alone, which spends it")
    }

    fn finished(mut self) -> Arc<Landing> {
        self.0.take().expect("taken here alone, which spends it")
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(landing) = &self.0 {
            landing.break_off();
        }
    }
}

/// No result is larger than what its job was granted.
fn bounds(limits: &JobLimits) -> Bounds {
    let JobLimits { output_bytes, stdout_bytes, stderr_bytes, .. } = limits;
    let bytes_max = [stdout_bytes, stderr_bytes, &RESULT_OVERHEAD_BYTES]
        .into_iter()
        .fold(*output_bytes, |sum, part| sum.saturating_add(*part));
    let format = Bounds::of(Role::Result);
    Bounds {
        role: Role::Result,
        bytes_max: bytes_max.min(format.bytes_max),
        entries_max: ARCHIVE_ENTRIES_MAX,
    }
}

/// How long a result waits for room.
pub(super) const RESULT_PATIENCE: Patience =
    Patience { all: RESULT_ROOM_WAIT, share: RESULT_SHARE_WAIT };

/// A share of the memory for results.
pub(super) async fn make_room(app: &App, client: ClientKey, bytes: u64) -> Result<Room, NoRoom> {
    let mut room = app.memory.room(Kind::Result, client);
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if client == NOBODY {
        // What no client waits for does not wait for room that clients want.
        room.grow(bytes)?;
    } else {
        room.grow_in_time(bytes, RESULT_PATIENCE).await?;
    }
    Ok(room)
}
