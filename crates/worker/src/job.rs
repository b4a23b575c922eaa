//! One job in one VM: from its lease to its result.
//!
//! The order of things is the point of this file. The job is written while it arrives; the guest
//! is woken once it is whole; when the wait ends, for whatever reason, the VM is killed and
//! reaped *first*, its slot is refilled, and only then is the io file read. If the lease ends
//! before that, the VM is killed and there is no result.

use std::sync::Arc;
use std::time::Duration;

use pe_proto::link::LeaseHead;
use pe_proto::outcome::{Fault, WorkerPhases};
use pe_proto::{Arch, Outcome};
use tokio::time::{Instant, timeout};

use crate::core::clock::ClockTerms;
use crate::core::ending::Ending;
use crate::driver::Offer;
use crate::images::{Images, Pack};
use crate::iofile::IoFile;
use crate::iofile::collect::{self, Collected};
use crate::iofile::job::{BadJob, JobWriter, Written};
use crate::limits::TRANSFER;
use crate::link::lease::{LeaseLost, LeaseStream};
use crate::metrics::Metrics;
use crate::vm::{Bell, LeasedVm, Machine, VmError};

/// What every job of a worker is run with.
#[derive(Debug)]
pub struct JobTerms {
    /// What can be run.
    pub images: Arc<Images>,
    /// The architecture it runs on.
    pub arch: Arch,
    /// The worker's clock.
    pub clock: ClockTerms,
}

/// A job with its result.
#[derive(Debug)]
pub struct Finished {
    /// What it left.
    pub collected: Collected,
    /// Where the time went.
    pub phases: WorkerPhases,
}

/// How far a job got when the wait for its guest ended.
#[derive(Debug)]
enum Waited {
    /// It was in the io file, whole.
    Ran(Written, Ending),
    /// It never was.
    Unwritten(Outcome),
}

/// Runs a job in the VM of an offer.
///
/// # Errors
/// The lease ended; the VM is dead.
pub async fn run(
    offer: Offer,
    head: LeaseHead,
    stream: &mut LeaseStream,
    terms: &JobTerms,
    metrics: &Metrics,
) -> Result<Finished, LeaseLost> {
    let began = Instant::now();
    let (mut vm, slot) = offer.lease();
    let pid = vm.pid();
    let mut phases = WorkerPhases::default();
    let wall_ms = head.spec.limits.wall_ms;
    let waited = match accept(&head, terms) {
        Err(outcome) => Ok(Waited::Unwritten(outcome)),
        Ok(pack) => wait(&mut vm, head, &pack, stream, terms, began, &mut phases).await,
    };
    let remains = vm.kill().await;
    // From here on the slot's next VM is being made.
    slot.vacate();
    phases.stop_us = us(remains.killed.took);
    let waited = waited.inspect_err(|_| metrics.job_cancelled())?;
    let parse = Instant::now();
    let (collected, ending) = match waited {
        Waited::Unwritten(outcome) => (collect::without_run(outcome), None),
        Waited::Ran(written, ending) => {
            if !matches!(ending, Ending::Done) {
                let console = remains.killed.console.as_str();
                tracing::warn!(
                    pid,
                    ending = ending.as_str(),
                    wall_ms,
                    console,
                    "guest ended badly"
                );
            }
            (collect::collect(remains.io, &written, &ending), Some(ending))
        }
    };
    phases.parse_us = us(parse.elapsed());
    let mut finished = Finished { collected, phases };
    if !finished.collected.answered {
        // The guest kept no time; what the worker saw of it is the best there is.
        finished.collected.meta.usage.wall_us = phases.guest_us;
    }
    metrics.job(&finished.collected.meta.outcome, ending.as_ref(), &phases);
    Ok(finished)
}

/// Checks what came over the network; returns the pack to run in.
fn accept(head: &LeaseHead, terms: &JobTerms) -> Result<Arc<Pack>, Outcome> {
    let refuse = |fault: Fault, reason: String| Outcome::Refused { fault, reason };
    head.spec.check().map_err(|bad| refuse(Fault::Client, bad.to_string()))?;
    if head.spec.arch != terms.arch {
        let reason = format!("this worker runs {}, not {}", terms.arch, head.spec.arch);
        return Err(refuse(Fault::Us, reason));
    }
    let pack = terms.images.pack(head.spec.image);
    let reason = || format!("this worker does not have image {}", head.spec.image);
    pack.cloned().ok_or_else(|| refuse(Fault::Us, reason()))
}

/// Brings the job to the guest and waits for it to be done with it.
async fn wait(
    vm: &mut LeasedVm,
    head: LeaseHead,
    pack: &Pack,
    stream: &mut LeaseStream,
    terms: &JobTerms,
    began: Instant,
    phases: &mut WorkerPhases,
) -> Result<Waited, LeaseLost> {
    let (machine, io) = vm.parts();
    let exited = machine.exited();
    let limits = head.spec.limits;
    let deadline = Duration::from_millis(head.deadline_ms);
    let bring =
        async { tokio::join!(receive(head, pack.uuid(), io, stream, began), machine.attach(pack)) };
    let (received, attached) = tokio::select! {
        biased;
        // The job is there and the pack is plugged in, or one of them failed.
        both = bring => both,
        // The VM died under it.
        () = exited => return Ok(Waited::Unwritten(Ending::Exited.without_answer(None))),
    };
    let (written, transfer) = match received? {
        Ok(received) => received,
        Err(bad) => {
            let reason = crate::chain(&bad);
            return Ok(Waited::Unwritten(Outcome::Refused { fault: Fault::Us, reason }));
        }
    };
    phases.transfer_us = us(transfer);
    let woken = match attached {
        Ok(()) => machine.wake().await,
        Err(error) => Err(error),
    };
    phases.attach_us = us(began.elapsed().saturating_sub(transfer));
    if let Err(error) = woken {
        return Ok(Waited::Ran(written, broken(&error)));
    }
    let asked = Instant::now();
    let budget = terms.clock.budget(&limits, deadline, began.elapsed());
    let ending = listen(machine, stream, budget).await;
    phases.guest_us = us(asked.elapsed());
    Ok(Waited::Ran(written, ending?))
}

/// Waits for the guest, the clock, or the end of the lease.
async fn listen(
    machine: &mut dyn Machine,
    stream: &mut LeaseStream,
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
    pack_uuid: [u8; 16],
    io: &IoFile,
    stream: &mut LeaseStream,
    began: Instant,
) -> Result<Result<(Written, Duration), BadJob>, LeaseLost> {
    let archive_bytes = head.archive_bytes;
    let writer = JobWriter::new(head.request_id, head.spec, pack_uuid, archive_bytes);
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
