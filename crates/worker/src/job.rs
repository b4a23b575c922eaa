//! One job in one VM: from its lease to its result.
//!
//! The order of things is the point of this file. The job is written while it arrives; the guest
//! is woken once it is whole; when the wait ends, for whatever reason, the VM is killed and
//! reaped *first*, its slot is refilled, and only then is the io file read. If the lease ends
//! before that, the VM is killed and there is no result.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use pe_proto::link::LeaseHead;
use pe_proto::outcome::{Fault, WorkerPhases};
use pe_proto::{Arch, Outcome};
use tokio::time::{Instant, timeout};

use crate::core::clock::ClockTerms;
use crate::core::ending::Ending;
use crate::images::Place;
use crate::iofile::IoFile;
use crate::iofile::collect::{self, Collected};
use crate::iofile::job::{BadJob, JobWriter, Written};
use crate::library::Library;
use crate::limits::TRANSFER;
use crate::link::lease::LeaseLost;
use crate::metrics::Refusal;
use crate::vm::{Bell, LeasedVm, Machine, VmError};

/// What every job of a worker is run with.
#[derive(Debug)]
pub struct JobTerms {
    /// What can be run.
    pub images: Library,
    /// The architecture it runs on.
    pub arch: Arch,
    /// The worker's clock.
    pub clock: ClockTerms,
}

/// Where a job's archive comes from, and the news that nobody wants its result any more.
pub trait JobStream: Send {
    /// The next bytes of the archive, at most `most`; never none.
    ///
    /// # Cancel safety
    /// Bytes that were not returned are kept.
    fn piece(&mut self, most: u64) -> impl Future<Output = Result<Bytes, LeaseLost>> + Send;

    /// Resolves when nobody wants the job any more.
    ///
    /// # Cancel safety
    /// Nothing is lost by asking again.
    fn ended(&mut self) -> impl Future<Output = LeaseLost> + Send;
}

/// A job with its result.
#[derive(Debug)]
pub struct Finished {
    /// What it left.
    pub collected: Collected,
    /// Where the time went.
    pub phases: WorkerPhases,
    /// Why the wait for its guest ended, if its guest was reached.
    pub ending: Option<Ending>,
    /// Why it was refused before that.
    pub refused: Option<Refusal>,
    /// From its lease to now.
    pub took: Duration,
}

impl Finished {
    /// Whether the VM and the image did what they are for; `None` if it did not come to that.
    pub fn is_sound(&self) -> Option<bool> {
        if self.refused.is_some() {
            return None;
        }
        Some(self.collected.answered && !is_ours(&self.collected.meta.outcome))
    }
}

fn is_ours(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Lost { .. } => true,
        Outcome::Refused { fault, .. } => *fault == Fault::Us,
        Outcome::Exited { .. }
        | Outcome::Signaled { .. }
        | Outcome::TimedOut { .. }
        | Outcome::OutOfMemory => false,
    }
}

/// How far a job got when the wait for its guest ended.
#[derive(Debug)]
enum Waited {
    /// It was in the io file, whole.
    Ran(Written, Ending),
    /// Its VM was lost before.
    Unwritten(Ending),
    /// It is none that could be.
    Refused(Refusal, Outcome),
}

/// Runs a job in a VM. `vacate` is called when the VM is dead: from then on its slot's next one is
/// being made.
///
/// # Errors
/// Nobody wants it any more; the VM is dead.
pub async fn run(
    mut vm: LeasedVm,
    head: LeaseHead,
    stream: &mut impl JobStream,
    terms: &JobTerms,
    vacate: impl FnOnce(),
) -> Result<Finished, LeaseLost> {
    let began = Instant::now();
    let pid = vm.pid();
    let mut phases = WorkerPhases::default();
    let wall_ms = head.spec.limits.wall_ms;
    let accepted = accept(&head, terms);
    // As long as its VM may read it, the pack is not let go.
    let in_use = accepted.as_ref().ok().map(|place| place.pack.hold());
    let waited = match accepted {
        Err((why, outcome)) => Ok(Waited::Refused(why, outcome)),
        Ok(place) => wait(&mut vm, head, &place, stream, terms, began, &mut phases).await,
    };
    let remains = vm.kill().await;
    drop(in_use);
    vacate();
    phases.stop_us = us(remains.killed.took);
    let waited = waited?;
    let parse = Instant::now();
    let (collected, ending, refused) = match waited {
        Waited::Refused(why, outcome) => (collect::without_run(outcome), None, Some(why)),
        Waited::Unwritten(ending) => {
            let lost = collect::without_run(ending.without_answer(None));
            (lost, Some(ending), None)
        }
        Waited::Ran(written, ending) => {
            (collect::collect(remains.io, &written, &ending), Some(ending), None)
        }
    };
    if let Some(ending) = &ending {
        let (is_done, ending) = (matches!(ending, Ending::Done), ending.as_str());
        let console = remains.killed.console.as_str();
        if is_done {
            tracing::debug!(pid, console, "guest ended");
        } else {
            tracing::warn!(pid, ending, wall_ms, console, "guest ended badly");
        }
    }
    phases.parse_us = us(parse.elapsed());
    let took = began.elapsed();
    let mut finished = Finished { collected, phases, ending, refused, took };
    if !finished.collected.answered {
        // The guest kept no time; what the worker saw of it is the best there is.
        finished.collected.meta.usage.wall_us = phases.guest_us;
    }
    Ok(finished)
}

/// The result of a job that is not even tried.
pub fn refuse(why: Refusal, reason: String) -> Finished {
    let (why, outcome) = unfit(why, reason);
    Finished {
        collected: collect::without_run(outcome),
        phases: WorkerPhases::default(),
        ending: None,
        refused: Some(why),
        took: Duration::ZERO,
    }
}

/// Why a job is refused, for the worker and for its client.
type Unfit = (Refusal, Outcome);

/// Checks what came over the network; returns where the image is.
fn accept(head: &LeaseHead, terms: &JobTerms) -> Result<Place, Unfit> {
    head.spec.check().map_err(|bad| {
        let reason = bad.to_string();
        (Refusal::Spec, Outcome::Refused { fault: Fault::Client, reason })
    })?;
    if head.spec.arch != terms.arch {
        let reason = format!("this worker runs {}, not {}", terms.arch, head.spec.arch);
        return Err(unfit(Refusal::Arch, reason));
    }
    let place = terms.images.lend(head.spec.image);
    let reason = || format!("this worker does not have image {}", head.spec.image);
    place.ok_or_else(|| unfit(Refusal::Image, reason()))
}

/// Something is wrong that is no client's fault.
fn unfit(why: Refusal, reason: String) -> Unfit {
    (why, Outcome::Refused { fault: Fault::Us, reason })
}

/// Brings the job to the guest and waits for it to be done with it.
async fn wait(
    vm: &mut LeasedVm,
    head: LeaseHead,
    place: &Place,
    stream: &mut impl JobStream,
    terms: &JobTerms,
    began: Instant,
    phases: &mut WorkerPhases,
) -> Result<Waited, LeaseLost> {
    let (machine, io) = vm.parts();
    let exited = machine.exited();
    let limits = head.spec.limits;
    let deadline = Duration::from_millis(head.deadline_ms);
    let brought = tokio::select! {
        biased;
        // The guest has its job, or cannot have it, or nobody wants it any more.
        brought = bring(machine, io, head, place, stream, began) => brought?,
        // The VM died under it.
        () = exited => return Ok(Waited::Unwritten(Ending::Exited)),
    };
    let (written, transfer) = match brought {
        Brought::Whole(written, transfer) => (written, transfer),
        Brought::Bad(bad) => {
            let why = if matches!(bad, BadJob::Host(_)) { Refusal::Host } else { Refusal::Archive };
            let (why, outcome) = unfit(why, crate::chain(&bad));
            return Ok(Waited::Refused(why, outcome));
        }
        Brought::Broken(error) => return Ok(Waited::Unwritten(broken(&error))),
    };
    phases.transfer_us = us(transfer);
    phases.attach_us = us(began.elapsed().saturating_sub(transfer));
    let asked = Instant::now();
    let budget = terms.clock.budget(&limits, deadline, began.elapsed());
    let ending = listen(machine, stream, budget).await;
    phases.guest_us = us(asked.elapsed());
    Ok(Waited::Ran(written, ending?))
}

/// How far a job was brought.
enum Brought {
    /// The guest is awake and has all of it. The time is that of the transfer.
    Whole(Written, Duration),
    /// It is none that a guest could have.
    Bad(BadJob),
    /// The VM does not take it.
    Broken(VmError),
}

/// Writes the job while the pack is plugged in, then wakes the guest. The first thing that goes
/// wrong ends it: a lease that is over costs its VM no second more.
async fn bring(
    machine: &mut dyn Machine,
    io: &IoFile,
    head: LeaseHead,
    place: &Place,
    stream: &mut impl JobStream,
    began: Instant,
) -> Result<Brought, LeaseLost> {
    let mut attach = machine.attach(&place.pack).fuse();
    let received = {
        let mut receive = std::pin::pin!(receive(head, place, io, stream, began));
        loop {
            tokio::select! {
                biased;
                // All of it is there, or will never be.
                received = &mut receive => break received?,
                // The pack is there; a VM that cannot have it is of no use.
                attached = &mut attach, if !attach.is_terminated() => {
                    if let Err(error) = attached {
                        return Ok(Brought::Broken(error));
                    }
                }
            }
        }
    };
    let (written, transfer) = match received {
        Ok(received) => received,
        Err(bad) => return Ok(Brought::Bad(bad)),
    };
    if !attach.is_terminated() {
        tokio::select! {
            biased;
            // Nobody waits for it any more.
            lost = stream.ended() => return Err(lost),
            // The pack is there, too, or will never be.
            attached = &mut attach => if let Err(error) = attached {
                return Ok(Brought::Broken(error));
            },
        }
    }
    drop(attach);
    tokio::select! {
        biased;
        // Nobody waits for it any more.
        lost = stream.ended() => Err(lost),
        // The guest knows of its job.
        woken = machine.wake() => Ok(match woken {
            Ok(()) => Brought::Whole(written, transfer),
            Err(error) => Brought::Broken(error),
        }),
    }
}

/// Waits for the guest, the clock, or the end of the lease.
async fn listen(
    machine: &mut dyn Machine,
    stream: &mut impl JobStream,
    budget: Duration,
) -> Result<Ending, LeaseLost> {
    let said = async {
        tokio::select! {
            biased;
            // Nobody wants the result any more. First, so that no flood on the serial port keeps
            // it from being seen.
            lost = stream.ended() => Err(lost),
            // The guest, or its VMM, is done.
            bell = machine.bell() => Ok(match bell {
                Bell::Done => Ending::Done,
                Bell::Fault(reason) => Ending::Fault(reason),
                Bell::Exited => Ending::Exited,
            }),
        }
    };
    // A timeout, not an arm: its clock is looked at even when the arms have used up the budget
    // that the runtime gives a task.
    timeout(budget, said).await.unwrap_or(Ok(Ending::Clock))
}

/// Writes the job as it arrives. Returns how long that took.
async fn receive(
    head: LeaseHead,
    place: &Place,
    io: &IoFile,
    stream: &mut impl JobStream,
    began: Instant,
) -> Result<Result<(Written, Duration), BadJob>, LeaseLost> {
    let archive_bytes = head.archive_bytes;
    let writer =
        JobWriter::new(head.request_id, head.spec, place.pack.uuid(), &place.prefix, archive_bytes);
    let mut writer = match writer {
        Ok(writer) => writer,
        Err(bad) => return Ok(Err(bad)),
    };
    let arrive = async {
        while writer.missing() > 0 {
            let piece = stream.piece(writer.missing()).await?;
            if let Err(bad) = writer.write(io, &piece) {
                return Ok(Err(bad));
            }
        }
        Ok(Ok(()))
    };
    match timeout(TRANSFER, arrive).await {
        Err(_) => Err(LeaseLost::Slow),
        Ok(Err(lost)) => Err(lost),
        Ok(Ok(Err(bad))) => Ok(Err(bad)),
        Ok(Ok(Ok(()))) => Ok(writer.finish(io).map(|written| (written, began.elapsed()))),
    }
}

fn broken(error: &VmError) -> Ending {
    match error {
        // It is on its way out, which says more than that it does not listen.
        VmError::Closed(_) => Ending::Exited,
        VmError::Refused { .. } | VmError::Late(_) | VmError::Garbled => {
            Ending::Broken(crate::chain(error))
        }
    }
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
