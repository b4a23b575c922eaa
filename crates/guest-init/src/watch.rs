//! From starting the runtime to the last process of the job being gone.
//!
//! ```text
//!  Starting ── runtime left, status 0 ──► Running ── program ended ────► killing the rest
//!     │ runtime failed: refused              │ wall clock ran out ──────► killing all
//!     │ too late: killed, refused            ▼ both
//!     ▼                                   Over: pipes drained, usage read
//! ```
//! Init sleeps in one `poll` on the process, both pipes and the deadline. The streams are served in
//! every state, so the job can never block on a full pipe that nobody reads.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use crate::bell::wait_until;
use crate::blame::{Doing, Refusal};
use crate::calls::{self, Ended};
use crate::cgroup::{Cgroup, Used};
use crate::child::reap;
use crate::limits::{KILL_TIME_MAX, START_TIME_MAX};
use crate::runtime::{self, Runtime, complaint};
use crate::streams::Streams;

/// A program that is running.
#[derive(Debug)]
pub struct Running {
    pid: Pid,
    since: Instant,
    used_before: Used,
}

/// A job that is over: nothing of it runs any more.
#[derive(Debug)]
pub struct Over {
    /// How the program ended; `None` if the kernel would not say.
    pub ended: Option<Ended>,
    /// Whether the wall clock ended it.
    pub out_of_time: bool,
    /// Whether its program was executed at all. If not, its end and its output are the runtime's.
    pub executed: bool,
    /// From start to end of the program.
    pub wall: Duration,
    /// What it used; of time, the runtime's share is not in it.
    pub used: Used,
}

/// Waits for the runtime to have started the program.
pub fn starting(
    runtime: Pid,
    streams: &mut Streams<'_>,
    cgroup: &Cgroup,
) -> Result<Running, NotStarted> {
    let served = calls::pidfd_open(runtime)
        .map_err(io::Error::from)
        .and_then(|pidfd| serve(streams, pidfd.as_fd(), Instant::now() + START_TIME_MAX));
    let status = match served {
        Ok(true) => reap(runtime).doing("waiting for the runtime"),
        Ok(false) => Err(Refusal::ours("the container took too long to start")),
        Err(error) => Err(Refusal::ours(format!("watching the runtime failed: {error}"))),
    };
    match status {
        Ok(WaitStatus::Exited(_, 0)) => {
            let since = Instant::now();
            let used_before = cgroup.used();
            let pid = Runtime::program_pid().map_err(|error| {
                NotStarted::Refused(Refusal::ours(format!("no program: {error}")))
            })?;
            Ok(Running { pid, since, used_before })
        }
        Ok(_) => Err(NotStarted::Complained(Runtime::log())),
        Err(refusal) => {
            stop(cgroup);
            Err(NotStarted::Refused(refusal))
        }
    }
}

/// Why nothing was started.
#[derive(Debug)]
pub enum NotStarted {
    /// Init saw to that.
    Refused(Refusal),
    /// The runtime said this.
    Complained(String),
}

impl NotStarted {
    /// For whom and why.
    pub fn refusal(self, program: &str, cwd: &str) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Complained(message) => complaint::explain(&message, program, cwd),
        }
    }
}

impl Running {
    /// Waits for the program to end or `wall` to be over, then ends everything.
    pub fn to_end(
        self,
        wall: Duration,
        streams: &mut Streams<'_>,
        cgroup: &Cgroup,
    ) -> Result<Over, Refusal> {
        let pidfd = calls::pidfd_open(self.pid).doing("watching the program")?;
        let in_time =
            serve(streams, pidfd.as_fd(), self.since + wall).doing("watching the program")?;
        let wall = self.since.elapsed();
        stop(cgroup);
        // Killed or not, it ends now; its output so far is in the pipes.
        let gone = serve(streams, pidfd.as_fd(), Instant::now() + KILL_TIME_MAX)
            .doing("waiting for the program")?;
        let ended = if gone { calls::wait_without_reaping(self.pid).ok() } else { None };
        let executed = runtime::has_executed(self.pid);
        drain(streams)?;
        let mut used = cgroup.used();
        used.user_us = used.user_us.saturating_sub(self.used_before.user_us);
        used.system_us = used.system_us.saturating_sub(self.used_before.system_us);
        Ok(Over { ended, out_of_time: !in_time, executed, wall, used })
    }
}

/// Serves the streams until `process` ends (true) or the deadline passes (false).
fn serve(
    streams: &mut Streams<'_>,
    process: BorrowedFd<'_>,
    deadline: Instant,
) -> io::Result<bool> {
    loop {
        let mut fds = vec![PollFd::new(process, PollFlags::POLLIN)];
        fds.extend(streams.pipes().map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)));
        let woken = wait_until(&mut fds, Some(deadline))?;
        let ended = fds.first().and_then(PollFd::any).unwrap_or_default();
        drop(fds);
        if ended {
            return Ok(true);
        }
        // Not only when nothing woke us: a program that never stops talking has a deadline too.
        if !woken || Instant::now() >= deadline {
            return Ok(false);
        }
        streams.take().map_err(io::Error::other)?;
    }
}

/// Kills all that is left of the job. That it did not all go in time is not worth a word: nothing
/// of it can reach the answer, and the VM ends soon.
fn stop(cgroup: &Cgroup) {
    let _gone = cgroup.kill(Instant::now() + KILL_TIME_MAX);
}

/// Takes what is left in the pipes. Their writers are dead, so this ends at the end of the pipes;
/// a writer that somehow lives cannot hold it up, since it stops when nothing is there.
fn drain(streams: &mut Streams<'_>) -> Result<(), Refusal> {
    let deadline = Instant::now() + KILL_TIME_MAX;
    while streams.take()? && Instant::now() < deadline {}
    Ok(())
}
