//! VMM processes: started by one thread, killed by pidfd, always reaped.
//!
//! Owns the child and what confines it. A child dies when the thread that started it does, so
//! that thread is one of its own and lives as long as the [`Spawner`]: if the worker is killed,
//! no VMM is left. Dropping a [`Vmm`] kills and reaps it; [`Vmm::kill`] does so without blocking.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, pipe2};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use crate::jail::{Confinement, Jail, Needs};
use crate::limits::{REAP, STDERR_BYTES};
use crate::sys::{self, NumberBlock};
use crate::vm::console::printable;

/// What to start.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) program: OsString,
    pub(super) argv: Vec<String>,
    /// Descriptors to live through exec; the child knows the one at `index` as
    /// [`child_fd`]`(index)`. Others do not live on.
    pub(super) fds: Vec<OwnedFd>,
    /// Standard input and output, in place of `/dev/null`.
    pub(super) terminal: Option<OwnedFd>,
    /// Given back when the VMM was reaped.
    pub(super) confinement: Confinement,
}

/// Orders that wait; starts are few at a time.
const ORDERS_MAX: usize = 16;

/// Most descriptors that one VMM is started with.
const FDS_MAX: usize = 32;

/// The number under which a VMM knows the descriptor at `index` of its [`Order`]: the same for
/// all VMMs, because a saved state names its files by number.
pub(super) fn child_fd(index: usize) -> RawFd {
    FIRST_NUMBER + RawFd::try_from(index).unwrap_or(RawFd::MAX - FIRST_NUMBER)
}

/// High enough to be free when the first spawner starts, low enough for every limit.
const FIRST_NUMBER: RawFd = 200;

/// The numbers are taken in this process, too: what the standard library opens while it starts
/// a child can then not lie where the child's descriptors go.
fn numbers() -> io::Result<&'static NumberBlock> {
    static BLOCK: OnceLock<Result<NumberBlock, io::ErrorKind>> = OnceLock::new();
    let block = BLOCK
        .get_or_init(|| NumberBlock::take(FIRST_NUMBER, FDS_MAX).map_err(|error| error.kind()));
    block.as_ref().map_err(|kind| io::Error::from(*kind))
}

type Reply = oneshot::Sender<io::Result<Started>>;

/// Handle of the thread that starts VMMs.
#[derive(Debug, Clone)]
pub struct Spawner {
    orders: SyncSender<(Order, Reply)>,
    census: Census,
}

impl Spawner {
    /// Starts the thread, which goes into the jail. It ends when the last handle is dropped.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn start(census: Census, _jail: &Jail, _needs: Needs) -> io::Result<Self> {
        numbers()?;
        let (orders, incoming) = sync_channel(ORDERS_MAX);
        let inner = census.clone();
        std::thread::Builder::new()
            .name("vm-spawner".to_owned())
            .spawn(move || serve(&incoming, &inner))?;
        Ok(Self { orders, census })
    }

    /// Starts a VMM. Dropping the future kills it.
    pub(super) async fn spawn(&self, order: Order) -> io::Result<Vmm> {
        let (reply, started) = oneshot::channel();
        self.orders
            .try_send((order, reply))
            .map_err(|_| io::Error::other("too many VMs are being started"))?;
        let started = started.await.map_err(|_| io::Error::other("spawner ended"))??;
        Vmm::adopt(started)
    }

    /// The VMMs alive now.
    pub fn census(&self) -> &Census {
        &self.census
    }
}

fn serve(incoming: &Receiver<(Order, Reply)>, census: &Census) {
    while let Ok((order, reply)) = incoming.recv() {
        // If nobody waits any more, what was started is dropped here, which ends it.
        let _ = reply.send(start(order, census));
    }
}

fn start(order: Order, census: &Census) -> io::Result<Started> {
    let (stderr, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    // A VMM that says too much loses words; it does not wait for a reader that comes later.
    for end in [&stderr, &theirs] {
        fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    let fds: Vec<BorrowedFd<'_>> = order.fds.iter().map(|fd| fd.as_fd()).collect();
    let (stdin, stdout) = match &order.terminal {
        Some(fd) => (Stdio::from(fd.try_clone()?), Stdio::from(fd.try_clone()?)),
        None => (Stdio::null(), Stdio::null()),
    };
    let mut command = Command::new(&order.program);
    command
        .args(&order.argv)
        .env_clear()
        .current_dir("/")
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::from(theirs));
    sys::confine(&mut command, numbers()?, &fds, order.confinement.becoming())?;
    let child = command.spawn()?;
    let pid = child.id();
    census.enter(pid);
    let child = Reaped { child, census: census.clone(), _confinement: order.confinement };
    let pidfd = sys::pidfd_open(pid)?;
    Ok(Started { child, pidfd, stderr })
}

/// A child on its way from the spawner's thread.
#[derive(Debug)]
struct Started {
    child: Reaped,
    pidfd: OwnedFd,
    stderr: OwnedFd,
}

/// A child that does not outlive its value.
#[derive(Debug)]
struct Reaped {
    child: Child,
    census: Census,
    _confinement: Confinement,
}

impl Drop for Reaped {
    fn drop(&mut self) {
        let pid = self.child.id();
        // Both fail if it was reaped already, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.census.leave(pid);
    }
}

/// A running VMM.
#[derive(Debug)]
pub(super) struct Vmm {
    child: Reaped,
    pidfd: Arc<AsyncFd<OwnedFd>>,
    stderr: OwnedFd,
}

impl Vmm {
    fn adopt(started: Started) -> io::Result<Self> {
        let Started { child, pidfd, stderr } = started;
        let pidfd = sys::watch_readable(pidfd)?;
        Ok(Self { child, pidfd: Arc::new(pidfd), stderr })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.child.id()
    }

    /// Resolves when it has ended; it is a zombie until it is killed or dropped.
    pub(super) fn exited(&self) -> BoxFuture<'static, ()> {
        let pidfd = Arc::clone(&self.pidfd);
        async move {
            // A descriptor of a process that has ended stays readable.
            let _ = pidfd.readable().await;
        }
        .boxed()
    }

    /// Kills it, stopped or not, and waits until it was reaped. Returns how long that took and
    /// the last of what it said.
    pub(super) async fn kill(self) -> (Duration, String) {
        let began = Instant::now();
        let pid = self.pid();
        if let Err(error) = sys::pidfd_kill(self.pidfd.get_ref().as_fd()) {
            tracing::warn!(pid, %error, "vmm cannot be killed by its descriptor");
        }
        // Its session is its own; nothing should be in it, and nothing may stay. The number
        // cannot be another's before the child is reaped.
        if let Ok(raw) = i32::try_from(pid) {
            let _ = killpg(Pid::from_raw(raw), Signal::SIGKILL);
        }
        if tokio::time::timeout(REAP, self.exited()).await.is_err() {
            tracing::error!(pid, "killed vmm does not end");
        }
        let said = self.said();
        drop(self);
        (began.elapsed(), said)
    }

    /// What it said on its standard error, as far as a pipe holds it.
    pub(super) fn said(&self) -> String {
        let mut bytes = Vec::new();
        if let Ok(stderr) = self.stderr.try_clone() {
            // Ends with an error when the pipe is empty but not closed; what was read counts.
            let most = u64::try_from(STDERR_BYTES).unwrap_or(u64::MAX);
            let _ = std::fs::File::from(stderr).take(most).read_to_end(&mut bytes);
        }
        printable(&bytes)
    }
}

/// The VMMs that this worker knows of. A leaf lock, held for one insertion at a time.
#[derive(Debug, Clone, Default)]
pub struct Census(Arc<Mutex<HashSet<u32>>>);

impl Census {
    /// Process ids of the VMMs alive now.
    pub fn pids(&self) -> HashSet<u32> {
        self.with(|pids| pids.clone())
    }

    fn enter(&self, pid: u32) {
        self.with(|pids| pids.insert(pid));
    }

    fn leave(&self, pid: u32) {
        self.with(|pids| pids.remove(&pid));
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashSet<u32>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
