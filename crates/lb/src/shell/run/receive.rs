//! A result on its way in: all of it, or its beginning.

use std::sync::Arc;

use futures_util::StreamExt as _;
use pe_proto::JobLimits;
use pe_proto::archive::{BadArchive, Bounds, Decoder, Role};
use pe_proto::limits::{ARCHIVE_ENTRIES_MAX, RESULT_OVERHEAD_BYTES};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::execute::{Archive, Wanted};
use super::relay::{Arriving, Relay};
use crate::driver::{PieceLost, Pieces, Receipt};
use crate::limits::{RELAY_HELD_BYTES, RESULT_ROOM_WAIT};
use crate::shell::app::{App, Gathered};

/// Why a result cannot be answered with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Lost(#[from] PieceLost),
    #[error(transparent)]
    Bad(#[from] BadArchive),
    #[error("archive is not of the length it was said to have")]
    Length,
    #[error("no room to collect it")]
    NoRoom,
}

pub(super) async fn receive(
    app: &App,
    limits: &JobLimits,
    wanted: Wanted,
    archive_bytes: u64,
    mut pieces: Pieces,
    receipt: oneshot::Sender<Receipt>,
) -> Result<Archive, Unusable> {
    let mut decoder = Decoder::new(bounds(limits));
    if archive_bytes > bounds(limits).bytes_max {
        return Err(refuse(app, receipt, Unusable::Length));
    }
    let room = match wanted {
        Wanted::Whole => Some(make_room(app, archive_bytes).await?),
        Wanted::Begun => None,
    };
    let mut gathered = Gathered::default();
    loop {
        let is_enough = wanted == Wanted::Begun && gathered.len() >= RELAY_HELD_BYTES;
        let left = archive_bytes.saturating_sub(gathered.len() as u64);
        if is_enough && left > 0 {
            let held = gathered.into_pieces().into();
            let arriving = Arriving { pieces, decoder, left, receipt };
            let relay = Relay::new(held, arriving, &app.metrics);
            return Ok(Archive::Begun(Box::new(relay)));
        }
        let Some(piece) = pieces.next().await.transpose()? else {
            break;
        };
        if let Err(bad) = decoder.check(&piece) {
            return Err(refuse(app, receipt, bad.into()));
        }
        gathered.push(piece);
        if decoder.is_complete() && gathered.len() as u64 == archive_bytes {
            // All that was promised is here; the end of the stream is not waited for.
            break;
        }
    }
    if let Err(bad) = decoder.finish() {
        return Err(refuse(app, receipt, bad.into()));
    }
    if gathered.len() as u64 != archive_bytes {
        return Err(refuse(app, receipt, Unusable::Length));
    }
    app.metrics.result_bytes.inc_by(archive_bytes);
    // If the worker is gone by now, it does not matter.
    let _ = receipt.send(Receipt::Taken);
    Ok(Archive::Whole(gathered, room))
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

async fn make_room(app: &App, bytes: u64) -> Result<tokio::sync::OwnedSemaphorePermit, Unusable> {
    let permits = u32::try_from(bytes).map_err(|_| Unusable::NoRoom)?;
    let room = Arc::clone(&app.results).acquire_many_owned(permits);
    let room = timeout(RESULT_ROOM_WAIT, room).await.map_err(|_| Unusable::NoRoom)?;
    room.map_err(|_| Unusable::NoRoom)
}

fn refuse(app: &App, receipt: oneshot::Sender<Receipt>, unusable: Unusable) -> Unusable {
    app.metrics.results_bad.inc();
    let _ = receipt.send(Receipt::Bad);
    unusable
}
