//! A VM's life, told as types that are used up, and the trait behind which backends differ.
//!
//! ```text
//!  Backend::start ----> ReadyVm ----lease----> LeasedVm ----kill----> Remains (io file, no VM)
//!                          |                      |
//!                          +------ drop kills ----+
//! ```
//! A VM that had a job cannot be given another: the value is spent. An io file can be read only
//! when it is part of [`Remains`], which exist only once the VM is dead and reaped.
//! A VM on its way there is a [`BootingVm`](boot) of its backend's; nobody else ever sees one that
//! is not ready. What the backends have in common is in [`boot`], [`machine`] and [`launch`]; they
//! differ in how a VMM is started, controlled ([`control`]) and saved.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::core::pool::How;
use crate::images::Pack;
use crate::iofile::IoFile;

pub mod accel;
mod boot;
pub mod ch;
pub mod console;
mod control;
#[cfg(test)]
pub(crate) mod fake;
pub mod launch;
mod machine;
mod maker;
pub mod process;
mod pty;
pub mod qemu;
mod serial;

/// Of the guests' kernel command line, what is the same under every VMM: it says nothing but what
/// is wrong, and looks for no devices that are not there.
/// No bounce buffers (64 MiB of the guest) for devices that reach all of its memory.
const KERNEL_WORDS: &str = "console=ttyS0 quiet loglevel=1 panic=-1 reboot=t random.trust_cpu=on \
                            swiotlb=noforce cryptomgr.notests \
                            8250.nr_uarts=1 i8042.noaux i8042.nokbd i8042.nopnp";

/// Makes VMs of one kind.
pub trait Backend: std::fmt::Debug + Send + Sync + 'static {
    /// VMM and accelerator, such as `qemu-tcg`.
    fn vmm(&self) -> &str;

    /// Makes a VM that waits for its job, with an io file of its own. Dropping the future kills
    /// what was started.
    fn start(&self, how: How) -> BoxFuture<'_, Result<ReadyVm, StartError>>;

    /// Whether there is a zygote to restore from. Without one VMs are booted, and the pool asks
    /// for one by [`Backend::rebuild`].
    fn has_zygote(&self) -> bool {
        true
    }

    /// Whether there is to be one: not where the config says that VMs are booted.
    fn wants_zygote(&self) -> bool {
        true
    }

    /// Opens kernel and initramfs anew and makes a zygote of them in place of the one there is.
    /// Until that has worked the old one stays in use; VMs that are being started meanwhile may
    /// be of either. Dropping the future kills what was started and leaves the old zygote. It is
    /// called by the pool only, once at a time.
    fn rebuild(&self) -> BoxFuture<'_, Result<(), StartError>> {
        let unsupported = StartError::Unsupported("this backend saves no zygote".to_owned());
        std::future::ready(Err(unsupported)).boxed()
    }
}

/// A running VM, as its backend sees it. Dropping it kills and reaps it.
pub trait Machine: std::fmt::Debug + Send + Sync {
    /// Process id of the VMM, for logs.
    fn pid(&self) -> u32;

    /// Resolves when the VMM has ended, for whatever reason.
    fn exited(&self) -> BoxFuture<'static, ()>;

    /// Makes sure that the VMM is there and plugs in a pack, if it is not there yet.
    fn attach<'a>(&'a mut self, pack: &'a Pack) -> BoxFuture<'a, Result<(), VmError>>;

    /// Tells the guest that its io file holds a whole job.
    fn wake(&mut self) -> BoxFuture<'_, Result<(), VmError>>;

    /// The guest's next signal.
    ///
    /// # Cancel safety
    /// A bell that was not returned is not lost.
    fn bell(&mut self) -> BoxFuture<'_, Bell>;

    /// Kills the VM and waits until it was reaped.
    fn kill(self: Box<Self>) -> BoxFuture<'static, Killed>;
}

/// What a guest can tell while it has a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bell {
    /// The answer is in the io file; so it says.
    Done,
    /// It cannot go on.
    Fault(String),
    /// The VMM has ended.
    Exited,
}

/// How a VM ended.
#[derive(Debug, Clone)]
pub struct Killed {
    /// From the signal to the process being reaped.
    pub took: Duration,
    /// The last of what the guest and the VMM said, for the log.
    pub console: String,
}

/// Why a VM did not become ready.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host did not give what is needed: memory, descriptors, a process.
    #[error("cannot {what}")]
    Host {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The VMM ended before its guest was ready.
    #[error("vmm ended before its guest was ready: {said}")]
    Exited {
        /// The last of what it and its guest said.
        said: String,
    },
    /// The guest was not ready in time.
    #[error("guest was not ready within {} ms: {said}", within.as_millis())]
    Late {
        /// The time it had.
        within: Duration,
        /// The last of what it said.
        said: String,
    },
    /// The guest says that it cannot go on.
    #[error("guest cannot go on: {0}")]
    Guest(String),
    /// The VMM refuses a command, or does not speak as expected.
    #[error("vmm cannot be controlled")]
    Vmm(#[from] VmError),
    /// There is no such way to start on this host.
    #[error("{0}")]
    Unsupported(String),
}

/// Why a running VMM did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// It said no.
    #[error("{command} was refused: {reason}")]
    Refused {
        /// What it was asked.
        command: String,
        /// What it said.
        reason: String,
    },
    /// It did not answer in time.
    #[error("no answer to {0} in time")]
    Late(String),
    /// What it sends is not its protocol.
    #[error("control socket does not speak its protocol")]
    Garbled,
    /// The socket to it broke: it is gone, or going.
    #[error("control socket is closed")]
    Closed(#[source] std::io::Error),
}

/// A VM that waits for its job.
#[derive(Debug)]
pub struct ReadyVm {
    machine: Box<dyn Machine>,
    io: IoFile,
}

impl ReadyVm {
    /// A VM whose guest has said that it waits, with the io file it was made with.
    pub fn new(machine: Box<dyn Machine>, io: IoFile) -> Self {
        Self { machine, io }
    }

    /// Process id of the VMM, for logs.
    pub fn pid(&self) -> u32 {
        self.machine.pid()
    }

    /// Resolves when the VMM has ended.
    pub fn exited(&self) -> BoxFuture<'static, ()> {
        self.machine.exited()
    }

    /// Binds it to a job. There is no way back.
    pub fn lease(self) -> LeasedVm {
        LeasedVm { machine: self.machine, io: self.io }
    }

    /// Ends it unused.
    pub async fn kill(self) -> Killed {
        self.machine.kill().await
    }
}

/// A VM that belongs to one job.
#[derive(Debug)]
pub struct LeasedVm {
    machine: Box<dyn Machine>,
    io: IoFile,
}

impl LeasedVm {
    /// Process id of the VMM, for logs.
    pub fn pid(&self) -> u32 {
        self.machine.pid()
    }

    /// The machine and the file its job is written into.
    pub fn parts(&mut self) -> (&mut dyn Machine, &mut IoFile) {
        (self.machine.as_mut(), &mut self.io)
    }

    /// Ends it. What it left can be read only now.
    pub async fn kill(self) -> Remains {
        let Self { machine, io } = self;
        let killed = machine.kill().await;
        Remains { io, killed }
    }
}

/// What is left of a VM that had a job.
#[derive(Debug)]
pub struct Remains {
    /// Its io file; nobody writes to it any more.
    pub io: IoFile,
    /// How it ended.
    pub killed: Killed,
}
