//! One VM on offer: its ready request, its job, its result.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use hyper::body::Incoming;
use pe_proto::codec;
use pe_proto::link::{DoneHead, LeaseHead, LeaseId, Ready, SessionId, paths};
use pe_proto::outcome::RanOn;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::body::LinkBody;
use super::client::{Client, answer};
use super::lease::{LeaseLost, LeaseStream};
use super::{LinkError, Shared};
use crate::driver::Offer;
use crate::iofile::collect::ResultArchive;
use crate::job::{self, Finished};
use crate::limits::{DRAIN_WITHDRAW, LINK_NEWS, POLL_AGAIN, POLL_EARLY, REFUSALS_MAX, UPLOAD};
use crate::memory::Room;
use crate::metrics::{JobSeen, Killer, Refusal};

/// What all slots of a session use.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) shared: Arc<Shared>,
    pub(super) client: Client,
    pub(super) session: SessionId,
    /// A ready request without an answer for this long means that the connection is dead.
    pub(super) poll_within: Duration,
    pub(super) dead: CancellationToken,
}

/// What became of a ready request.
enum Polled {
    Lease(Incoming, Sign),
    Nothing,
    /// The LB cannot take it now. It may not have heard yet that another was withdrawn.
    Busy,
    Refused(StatusCode),
    Silent,
    Broken(LinkError),
}

/// Of life: ends the body of the ready request when it is dropped, which tells the LB that the
/// lease has arrived.
type Sign = oneshot::Sender<()>;

/// Offers a VM until it gets a job, dies, or cannot be offered any more.
pub(super) async fn serve(visit: &Visit, offer: Offer, room: Room) {
    let mut refusals = 0;
    loop {
        let exited = offer.vm().exited();
        let asked = Instant::now();
        let polled = tokio::select! {
            biased;
            // The connection is gone; the VM is as good as before.
            () = visit.dead.cancelled() => return offer.give_back(),
            // Dead VMs are not offered: dropping the request withdraws it.
            () = exited => {
                tracing::warn!(slot = %offer.slot(), pid = offer.vm().pid(), "offered vm died");
                visit.shared.metrics.ready_vm_died();
                return;
            }
            // Nobody wants it any more.
            () = withdrawn(&visit.shared.drain) => return offer.give_back(),
            // The LB's answer.
            polled = poll(visit, &offer) => polled,
            // The pool has another use for it. After the answer: a lease that came is run.
            () = offer.recalled() => return offer.give_back(),
        };
        match polled {
            Polled::Lease(body, sign) => return lease(visit, offer, room, body, sign).await,
            Polled::Nothing if visit.shared.drain.is_cancelled() => return offer.give_back(),
            Polled::Nothing => {
                refusals = 0;
                if asked.elapsed() < POLL_EARLY {
                    sleep(POLL_AGAIN).await;
                }
            }
            Polled::Busy => sleep(POLL_AGAIN).await,
            Polled::Refused(status) => {
                refusals += 1;
                tracing::warn!(%status, refusals, "ready request refused");
                if refusals >= REFUSALS_MAX {
                    visit.dead.cancel();
                }
                sleep(POLL_AGAIN * 10).await;
            }
            Polled::Silent => {
                tracing::warn!("ready request was not answered in time");
                visit.dead.cancel();
            }
            Polled::Broken(error) => {
                let error = crate::chain(&error);
                tracing::debug!(error, "ready request broke");
                sleep(POLL_AGAIN).await;
                refusals += 1;
                if refusals >= REFUSALS_MAX {
                    visit.dead.cancel();
                }
            }
        }
    }
}

/// Resolves a while after draining began: until then the LB answers by itself.
async fn withdrawn(drain: &CancellationToken) {
    drain.cancelled().await;
    sleep(DRAIN_WITHDRAW).await;
}

async fn poll(visit: &Visit, offer: &Offer) -> Polled {
    let ready = Ready { session: visit.session, slot: offer.slot().0 };
    let frame = match codec::to_vec(&ready) {
        Ok(frame) => frame,
        Err(bad) => return Polled::Broken(bad.into()),
    };
    let (body, sign) = LinkBody::open(frame);
    let answered = timeout(visit.poll_within, visit.client.post(paths::READY, body));
    match answered.await {
        Err(_) => Polled::Silent,
        Ok(Err(error)) => Polled::Broken(error),
        Ok(Ok(response)) => match response.status() {
            StatusCode::OK => Polled::Lease(response.into_body(), sign),
            StatusCode::NO_CONTENT => Polled::Nothing,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Polled::Busy,
            status => Polled::Refused(status),
        },
    }
}

/// Runs the job of a lease and sends its result.
async fn lease(visit: &Visit, offer: Offer, room: Room, body: Incoming, sign: Sign) {
    let mut stream = LeaseStream::new(body, visit.dead.clone());
    let head = match stream.head().await {
        Ok(head) => head,
        Err(lost) => {
            let lost = crate::chain(&lost);
            tracing::warn!(lost, "lease without a job");
            return offer.give_back();
        }
    };
    // It is here, whatever becomes of it: the LB need not give it to another.
    drop(sign);
    let (lease, pid) = (head.lease, offer.vm().pid());
    let span = tracing::info_span!("job", request_id = head.request_id, %lease,
        slot = %offer.slot(), pid);
    execute(visit, offer, room, head, stream).instrument(span).await;
}

async fn execute(
    visit: &Visit,
    offer: Offer,
    mut room: Room,
    head: LeaseHead,
    mut stream: LeaseStream,
) {
    let shared = &visit.shared;
    let (lease, image) = (head.lease, head.spec.image);
    tracing::debug!(%image, archive_bytes = head.archive_bytes, "job leased");
    shared.metrics.bytes_in(head.archive_bytes);
    let finished = if shared.pool.quarantine().borrow().contains(&image) {
        // Leased before the LB heard of it. That costs no VM.
        offer.give_back();
        job::refuse(Refusal::Quarantined, format!("image {image} does not run here for now"))
    } else {
        let deadline = Instant::now() + Duration::from_millis(head.deadline_ms);
        let (vm, slot) = offer.lease();
        let ran = job::run(vm, head, &mut stream, &shared.terms.jobs, || slot.vacate()).await;
        match ran {
            Ok(finished) => finished,
            Err(lost) => {
                shared.metrics.killed(killer(visit, &lost, deadline).await);
                let lost = crate::chain(&lost);
                tracing::info!(lost, "job given up");
                return;
            }
        }
    };
    if let Some(sound) = finished.is_sound() {
        shared.pool.report(image, sound);
    }
    count(visit, &finished);
    room.shrink(held_bytes(&finished.collected.archive));
    let sent = tokio::select! {
        biased;
        // The LB has it, or says why not.
        sent = timeout(UPLOAD, upload(visit, lease, finished)) => sent,
        // Nobody waits for it any more.
        lost = stream.reset() => {
            let lost = crate::chain(&lost);
            tracing::info!(lost, "result given up");
            shared.metrics.result_lost();
            return;
        }
    };
    match sent {
        Ok(Ok(())) => {}
        Ok(Err(LinkError::Status { status, said, .. })) => {
            tracing::warn!(%status, said, "result refused");
            shared.metrics.result_refused();
        }
        Ok(Err(error)) => {
            let error = crate::chain(&error);
            tracing::warn!(error, "result not sent");
            shared.metrics.result_lost();
        }
        Err(_) => {
            tracing::warn!("result not sent in time");
            shared.metrics.result_lost();
        }
    }
}

/// Who ended a job whose lease was lost; its VM is dead by now. An LB whose clock ran out resets
/// the lease as it does for a client that went away: only the time tells them apart. A connection
/// that breaks ends its streams a moment before it is known to be gone.
async fn killer(visit: &Visit, lost: &LeaseLost, deadline: Instant) -> Killer {
    let ended = Instant::now();
    match lost {
        LeaseLost::Link => Killer::Link,
        LeaseLost::Slow | LeaseLost::Head(_) => Killer::Worker,
        LeaseLost::Cancelled => match timeout(LINK_NEWS, visit.dead.cancelled()).await {
            Ok(()) => Killer::Link,
            Err(_) if ended >= deadline => Killer::Lb,
            Err(_) => Killer::Client,
        },
    }
}

fn count(visit: &Visit, finished: &Finished) {
    let Finished { collected, phases, ending, refused, took } = finished;
    let outcome = &collected.meta.outcome;
    let metrics = &visit.shared.metrics;
    metrics.job(JobSeen { outcome, ending: ending.as_ref(), phases, took: *took });
    if let Some(why) = refused {
        metrics.refused(*why);
    }
    tracing::info!(
        outcome = outcome.kind(),
        guest_us = phases.guest_us,
        stop_us = phases.stop_us,
        parse_us = phases.parse_us,
        "job done"
    );
}

/// What a result keeps of memory until it is sent. Of an io file the rest is given back.
fn held_bytes(archive: &ResultArchive) -> u64 {
    match archive {
        ResultArchive::InMemory(_) => archive.len(),
        ResultArchive::InIoFile(io, range) => match io.keep_only(range) {
            // At either end a page is kept whole.
            Ok(()) => archive.len() + 2 * PAGE_BYTES,
            Err(error) => {
                tracing::warn!(%error, "io file keeps all its memory");
                u64::MAX
            }
        },
    }
}

const PAGE_BYTES: u64 = 4096;

async fn upload(visit: &Visit, lease: LeaseId, finished: Finished) -> Result<(), LinkError> {
    let Finished { collected, phases, .. } = finished;
    let hello = &visit.shared.terms.hello;
    let kernel = match collected.meta.kernel.as_str() {
        "" => hello.kernel.clone(),
        guests => guests.to_owned(),
    };
    let head = DoneHead {
        session: visit.session,
        lease,
        meta: collected.meta,
        phases,
        ran_on: RanOn {
            arch: hello.arch,
            kernel,
            cpu: hello.cpu.clone(),
            worker: hello.worker.clone(),
            vmm: hello.vmm.clone(),
        },
        archive_bytes: collected.archive.len(),
    };
    visit.shared.metrics.bytes_out(head.archive_bytes);
    let body = LinkBody::result(codec::to_vec(&head)?, collected.archive);
    let path = format!("{}{lease}", paths::DONE);
    answer("done", visit.client.post(&path, body).await?).await?;
    Ok(())
}
