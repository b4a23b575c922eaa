//! The job's cgroup: its limits, its end, and what it used.
//!
//! One cgroup holds everything that runs or writes for the job: the child that unpacks the input,
//! the runtime, the container. Init stays outside, at the root: it is neither limited, nor charged,
//! nor killed with the job.
//!
//! `memory.oom.group` stays 0: the kernel kills the largest process, not all of them, so that a
//! program that runs others (a make, a test runner) lives to report which of them died.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};

use crate::bell::wait_until;
use crate::limits::{PIDS_MAX, Shares};

/// The job's cgroup.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    /// Open for joining: a child that has nothing else left can still write itself in.
    members: File,
}

/// What was used up to some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// CPU time in user mode, microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, microseconds.
    pub system_us: u64,
    /// Most memory ever charged, bytes.
    pub memory_peak: u64,
    /// Processes killed for memory.
    pub oom_kills: u64,
}

impl Cgroup {
    /// Sets the limits of a cgroup that the boot plan made.
    pub fn prepare(path: &Path, shares: Shares) -> io::Result<Self> {
        let path = path.to_owned();
        set(&path, "memory.max", &shares.memory.to_string())?;
        set(&path, "pids.max", &PIDS_MAX.to_string())?;
        // No kernel of ours has swap; should one have it, a job must not reach it.
        let _absent = set(&path, "memory.swap.max", "0");
        let members = File::options().write(true).open(path.join("cgroup.procs"))?;
        Ok(Self { path, members })
    }

    /// Open on the list of members: writing `0` moves the writer in.
    pub fn members(&self) -> &File {
        &self.members
    }

    /// Kills everything in it and waits until it is empty or the deadline passed; true if empty.
    pub fn kill(&self, deadline: Instant) -> io::Result<bool> {
        set(&self.path, "cgroup.kill", "1")?;
        let events = File::open(self.path.join("cgroup.events"))?;
        loop {
            if value_of(&fs::read_to_string(self.path.join("cgroup.events"))?, "populated") == 0 {
                return Ok(true);
            }
            let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
            if !wait_until(&mut fds, Some(deadline))? {
                return Ok(false);
            }
            // Reading is what arms the next notification.
            io::read_to_string(&mut &events)?;
            io::Seek::rewind(&mut &events)?;
        }
    }

    /// What was used until now. What cannot be read counts as zero.
    pub fn used(&self) -> Used {
        let read = |name: &str| fs::read_to_string(self.path.join(name)).unwrap_or_default();
        let cpu = read("cpu.stat");
        Used {
            user_us: value_of(&cpu, "user_usec"),
            system_us: value_of(&cpu, "system_usec"),
            memory_peak: read("memory.peak").trim().parse().unwrap_or_default(),
            oom_kills: value_of(&read("memory.events"), "oom_kill"),
        }
    }
}

fn set(path: &Path, name: &str, value: &str) -> io::Result<()> {
    fs::write(path.join(name), value)
}

/// The number after a name in a file of `name number` lines; zero if it is not there.
fn value_of(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(found, _)| *found == name)
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_whole_name() {
        let text = "low 0\noom 2\noom_kill 3\noom_group_kill 4\n";
        assert_eq!(value_of(text, "oom_kill"), 3);
        assert_eq!(value_of(text, "oom"), 2);
        assert_eq!(value_of(text, "kill"), 0);
        assert_eq!(value_of("garbage", "oom"), 0);
    }
}
