//! A VM on its way up, whatever its VMM: from its process being there to its guest waiting.

use std::time::Duration;

use pe_proto::Digest;
use pe_proto::serial::Signal;
use tokio::time::{Instant, timeout_at};

use crate::limits::RINGS_MAX;
use crate::vm::control::Control;
use crate::vm::machine::Running;
use crate::vm::process::Vmm;
use crate::vm::serial::Serial;
use crate::vm::{StartError, VmError};

/// When a start counts as failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    within: Duration,
}

impl Deadline {
    pub(super) fn after(within: Duration) -> Self {
        Self { at: Instant::now() + within, within }
    }

    /// When somebody who has not answered is asked once more.
    fn next_ring(self) -> Self {
        let within = self.within / RINGS_MAX;
        Self { at: self.at.min(Instant::now() + within), within }
    }
}

/// A VMM whose guest is not known to wait for a job. Dropping it kills it.
#[derive(Debug)]
pub(super) struct BootingVm<C: Control> {
    vmm: Vmm,
    pub(super) control: C,
    serial: Serial<C::Line>,
}

impl<C: Control> BootingVm<C> {
    pub(super) fn new(vmm: Vmm, control: C, serial: Serial<C::Line>) -> Self {
        Self { vmm, control, serial }
    }

    pub(super) fn pid(&self) -> u32 {
        self.vmm.pid()
    }

    /// Waits until the VMM can be controlled. One that refuses its command line says why.
    pub(super) async fn greet(&mut self) -> Result<(), StartError> {
        let exited = self.vmm.exited();
        let greeted = tokio::select! {
            biased;
            // Answered: it lives.
            greeted = self.control.greet() => greeted,
            // Gone before that.
            () = exited => return Err(self.gone()),
        };
        match greeted {
            Err(VmError::Closed(_)) => {
                // The socket closes a moment before the process has ended.
                self.vmm.exited().await;
                Err(self.gone())
            }
            other => Ok(other?),
        }
    }

    /// Waits until the guest says that it waits.
    pub(super) async fn wait_ready(&mut self, deadline: Deadline) -> Result<(), StartError> {
        let exited = self.vmm.exited();
        let ready = async {
            loop {
                match self.serial.signal().await {
                    Ok(Signal::Ready) => return Ok(()),
                    Ok(Signal::Fault(reason)) => return Err(StartError::Guest(reason)),
                    Ok(Signal::Done | Signal::Noise(_)) => {}
                    // The port is closed: the VMM is about to end, which the other arm sees.
                    Err(_) => std::future::pending().await,
                }
            }
        };
        let end = tokio::select! {
            biased;
            // A guest that said so is ready, whatever comes next.
            ready = ready => return ready,
            // Its VMM gave up.
            () = exited => End::Exited,
            // It hangs.
            () = tokio::time::sleep_until(deadline.at) => End::Late,
        };
        match end {
            End::Exited => Err(self.gone()),
            End::Late => Err(self.late(deadline)),
        }
    }

    /// Wakes the guest while there is no job: it looks, finds none, says that it is ready and
    /// goes on waiting. That proves that it lives, and an emulator has then translated the code
    /// that the job needs first. A bell that it does not answer is rung again: one that comes
    /// while the VMM still restores its devices may get lost, and one too many means nothing.
    pub(super) async fn look_around(&mut self, deadline: Deadline) -> Result<(), StartError> {
        loop {
            let ring = deadline.next_ring();
            match timeout_at(deadline.at, self.serial.wake()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(self.gone()),
                Err(_) => return Err(self.late(deadline)),
            }
            match self.wait_ready(ring).await {
                Err(StartError::Late { .. }) if ring.at < deadline.at => {
                    let waited_ms = ring.within.as_millis();
                    tracing::info!(pid = self.pid(), waited_ms, "guest is rung once more");
                }
                Err(StartError::Late { .. }) => return Err(self.late(deadline)),
                ready => return ready,
            }
        }
    }

    /// Ends it and waits until it was reaped.
    pub(super) async fn kill(self) {
        self.vmm.kill().await;
    }

    /// A VM that waits for its job, with these packs plugged in.
    pub(super) fn into_running(self, packs: Vec<Digest>, answers: Duration) -> Running<C> {
        Running::new(self.vmm, self.control, self.serial, packs, answers)
    }

    fn late(&self, deadline: Deadline) -> StartError {
        StartError::Late { within: deadline.within, said: self.serial.tail() }
    }

    fn gone(&self) -> StartError {
        let said = format!("{} {}", self.vmm.said(), self.serial.tail());
        StartError::Exited { said: said.trim().to_owned() }
    }
}

enum End {
    Exited,
    Late,
}

#[cfg(test)]
mod tests;
