//! A VM whose guest waits for a job, or has one, whatever its VMM.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pe_proto::Digest;
use pe_proto::serial::Signal;
use tokio::time::timeout;

use crate::images::Pack;
use crate::vm::control::Control;
use crate::vm::process::Vmm;
use crate::vm::serial::Serial;
use crate::vm::{Bell, Killed, Machine, VmError};

#[derive(Debug)]
pub(super) struct Running<C: Control> {
    vmm: Vmm,
    control: C,
    serial: Serial<C::Line>,
    /// Packs that are plugged in.
    packs: Vec<Digest>,
    /// When a VMM that was asked whether it lives counts as hung.
    answers: Duration,
}

impl<C: Control> Running<C> {
    pub(super) fn new(
        vmm: Vmm,
        control: C,
        serial: Serial<C::Line>,
        packs: Vec<Digest>,
        answers: Duration,
    ) -> Self {
        Self { vmm, control, serial, packs, answers }
    }

    /// A VMM that hung while it waited is found out here, while the job is still arriving, and
    /// not by the job's clock.
    async fn prepare(&mut self, pack: &Pack) -> Result<(), VmError> {
        match timeout(self.answers, self.control.ping()).await {
            Ok(alive) => alive?,
            Err(_) => return Err(VmError::Late("whether it lives".to_owned())),
        }
        if !self.packs.contains(&pack.digest()) {
            self.control.plug(format!("late{}", self.packs.len()), pack).await?;
            self.packs.push(pack.digest());
        }
        Ok(())
    }
}

impl<C: Control> Machine for Running<C> {
    fn pid(&self) -> u32 {
        self.vmm.pid()
    }

    fn exited(&self) -> BoxFuture<'static, ()> {
        self.vmm.exited()
    }

    fn attach<'a>(&'a mut self, pack: &'a Pack) -> BoxFuture<'a, Result<(), VmError>> {
        self.prepare(pack).boxed()
    }

    fn wake(&mut self) -> BoxFuture<'_, Result<(), VmError>> {
        async { self.serial.wake().await.map_err(VmError::Closed) }.boxed()
    }

    fn bell(&mut self) -> BoxFuture<'_, Bell> {
        let exited = self.vmm.exited();
        async move {
            let rung = async {
                loop {
                    match self.serial.signal().await {
                        Ok(Signal::Done) => return Bell::Done,
                        Ok(Signal::Fault(reason)) => return Bell::Fault(reason),
                        Ok(Signal::Ready | Signal::Noise(_)) => {}
                        // The port is closed: the VMM is about to end, or is not one any more.
                        Err(_) => std::future::pending().await,
                    }
                }
            };
            tokio::select! {
                biased;
                // What was said counts before the end of the one who said it.
                bell = rung => bell,
                // Killed, crashed, or powered off by its guest.
                () = exited => Bell::Exited,
            }
        }
        .boxed()
    }

    fn kill(self: Box<Self>) -> BoxFuture<'static, Killed> {
        async move {
            let Self { vmm, serial, .. } = *self;
            let (took, said) = vmm.kill().await;
            let console = format!("{said} {}", serial.tail()).trim().to_owned();
            Killed { took, console }
        }
        .boxed()
    }
}
