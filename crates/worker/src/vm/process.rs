//! VMM processes: started by one thread, killed by pidfd, always reaped.
//!
//! Owns the child and what confines it. A child dies when the thread that started it does, so
//! that thread is one of its own and lives as long as the [`Spawner`]: if the worker is killed,
//! no VMM is left. It is in the [jail](crate::jail), and with it all that it starts. Dropping a
//! [`Vmm`] kills it and has it reaped, without blocking; [`Vmm::kill`] waits for that.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, pipe2};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use crate::jail::sys::{NumberBlock, confine};
use crate::jail::{Confinement, Entered, Hold, Jail, Needs, Plan};
use crate::limits::{REAP, STDERR_BYTES};
use crate::vm::console::printable;
use crate::{pidfd, sys};

mod reaper;

pub use reaper::Census;
use reaper::{Reaper, Watched};

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
    /// Starts the thread and takes it into the jail. It ends when the last handle is dropped.
    ///
    /// # Errors
    /// No thread can be made, something in `needs` is not there, or the jail is not what the
    /// config requires.
    pub fn start(census: Census, jail: &Jail, needs: &Needs) -> io::Result<Self> {
        numbers()?;
        let reaper = Reaper::start(census.clone())?;
        let plan = jail.room(needs)?;
        let mut namespaces = jail.may_have_namespaces();
        loop {
            match thread(&plan, namespaces.clone(), reaper.clone()) {
                Ok((orders, entered)) => {
                    jail.entered(entered)?;
                    return Ok(Self { orders, census });
                }
                // A thread that failed half-way is gone; the next one goes less far.
                Err(error) if namespaces.is_held() => {
                    namespaces = Hold::Missing(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
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

/// One thread, in the jail as far as it got.
fn thread(
    plan: &Plan,
    namespaces: Hold,
    reaper: Reaper,
) -> io::Result<(SyncSender<(Order, Reply)>, Entered)> {
    let (orders, incoming) = sync_channel(ORDERS_MAX);
    let (tell, told) = sync_channel(1);
    let plan = plan.clone();
    let enter = move || match plan.enter(&namespaces) {
        Ok(entered) => {
            let _ = tell.send(Ok(entered));
            serve(&incoming, &reaper);
        }
        Err(error) => {
            let _ = tell.send(Err(error));
        }
    };
    std::thread::Builder::new().name("vm-spawner".to_owned()).spawn(enter)?;
    let entered = told.recv().map_err(|_| io::Error::other("the spawner's thread died"))??;
    Ok((orders, entered))
}

fn serve(incoming: &Receiver<(Order, Reply)>, reaper: &Reaper) {
    while let Ok((order, reply)) = incoming.recv() {
        // If nobody waits any more, what was started is dropped here, which ends it.
        let _ = reply.send(start(order, reaper));
    }
}

fn start(order: Order, reaper: &Reaper) -> io::Result<Started> {
    match execute(&order) {
        Ok((child, stderr)) => {
            let pid = child.id();
            let child = reaper.watch(child, order.confinement);
            let pidfd = pidfd::open(pid)?;
            Ok(Started { child, pidfd, stderr })
        }
        Err(error) => {
            reaper.give_back(order.confinement);
            Err(error)
        }
    }
}

/// Returns the child with what it says on its standard error.
fn execute(order: &Order) -> io::Result<(Child, OwnedFd)> {
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
    confine(&mut command, numbers()?, &fds, order.confinement.becoming())?;
    Ok((command.spawn()?, stderr))
}

/// A child on its way from the spawner's thread.
#[derive(Debug)]
struct Started {
    child: Watched,
    pidfd: OwnedFd,
    stderr: OwnedFd,
}

/// A running VMM.
#[derive(Debug)]
pub(super) struct Vmm {
    child: Watched,
    pidfd: Arc<AsyncFd<OwnedFd>>,
    stderr: OwnedFd,
}

impl Vmm {
    fn adopt(started: Started) -> io::Result<Self> {
        let Started { mut child, pidfd, stderr } = started;
        child.note();
        let pidfd = sys::watch_readable(pidfd)?;
        Ok(Self { child, pidfd: Arc::new(pidfd), stderr })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
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
        if let Err(error) = pidfd::kill(self.pidfd.get_ref().as_fd()) {
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
