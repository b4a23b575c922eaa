//! Running `crun`, and knowing for certain whether the job's program ever ran.
//!
//! The runtime is started detached: it sets the container up, starts the program, writes down its
//! pid and leaves. The program then is a child of init, which therefore learns exactly how it
//! ended. Whether it *began* is known from the kernel too: a process that was forked and never
//! executed anything carries `PF_FORKNOEXEC` to its end.

pub mod complaint;

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, execve, write};

use crate::cgroup::Cgroup;
use crate::limits::RUNTIME_LOG_BYTES_MAX;
use crate::sys;

const PROGRAM: &str = "/usr/bin/crun";
const BUNDLE: &str = "/run/bundle";
const LOG: &str = "/run/crun.log";
const STATE: &str = "/run/crun/job";
const PID_FILE: &str = "/run/job.pid";

/// The runtime, ready to be started.
#[derive(Debug)]
pub struct Runtime {
    /// A sealed copy of the program. It recognises such a copy of itself as one that no container
    /// can overwrite, and does not make another on every start.
    program: OwnedFd,
}

/// The container's standard streams.
#[derive(Debug)]
pub struct Stdio<'a> {
    /// What it reads.
    pub stdin: BorrowedFd<'a>,
    /// Where its output goes.
    pub stdout: BorrowedFd<'a>,
    /// Where its errors go.
    pub stderr: BorrowedFd<'a>,
}

impl Runtime {
    /// Makes the copy. Depends on no job.
    pub fn prepare() -> io::Result<Self> {
        fs::create_dir_all(BUNDLE)?;
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let copy = memfd_create("crun", flags)?;
        let mut file = File::from(copy);
        io::copy(&mut File::open(PROGRAM)?, &mut file)?;
        let all = SealFlag::F_SEAL_SEAL
            | SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_WRITE;
        fcntl(&file, FcntlArg::F_ADD_SEALS(all))?;
        Ok(Self { program: file.into() })
    }

    /// Starts it with a container's configuration; returns the runtime's own pid.
    pub fn start(&self, config: &[u8], stdio: &Stdio<'_>, cgroup: &Cgroup) -> io::Result<Pid> {
        File::create(Path::new(BUNDLE).join("config.json"))?.write_all(config)?;
        let program = CString::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()))?;
        let arguments = ARGUMENTS.map(CString::from);
        let environment = [c"PATH=/usr/bin"];
        match sys::fork()? {
            ForkResult::Child => {
                let start = || -> nix::Result<()> {
                    write(cgroup.members(), b"0")?;
                    dup2_stdin(stdio.stdin)?;
                    dup2_stdout(stdio.stdout)?;
                    dup2_stderr(stdio.stderr)?;
                    execve(&program, &arguments, &environment).map(drop)
                };
                // Nothing was written to the log then, and that is how it is known.
                sys::exit_now(start().map_or(127, |()| 127))
            }
            ForkResult::Parent { child } => Ok(child),
        }
    }

    /// The pid of the program, once the runtime has left with success.
    pub fn program_pid() -> io::Result<Pid> {
        let text = fs::read_to_string(PID_FILE)?;
        let pid = text.trim().parse().map_err(io::Error::other)?;
        Ok(Pid::from_raw(pid))
    }

    /// The system call filter that the last container was given, as the kernel takes it. Makes
    /// the runtime forget that container.
    pub fn take_filter() -> io::Result<Vec<u8>> {
        let filter = fs::read(Path::new(STATE).join("seccomp.bpf"))?;
        fs::remove_dir_all(STATE)?;
        fs::remove_file(PID_FILE)?;
        if filter.is_empty() {
            return Err(io::Error::other("the runtime left no system call filter"));
        }
        Ok(filter)
    }

    /// What the runtime wrote to its log: its last error.
    pub fn log() -> String {
        let mut log = fs::read(LOG).unwrap_or_default();
        log.truncate(RUNTIME_LOG_BYTES_MAX);
        complaint::last_message(&String::from_utf8_lossy(&log))
    }
}

const ARGUMENTS: [&std::ffi::CStr; 11] = [
    c"crun",
    c"--root=/run/crun",
    c"--cgroup-manager=disabled",
    c"--log=/run/crun.log",
    c"--log-format=json",
    c"run",
    c"--detach",
    c"--no-new-keyring",
    c"--pid-file=/run/job.pid",
    c"--bundle=/run/bundle",
    c"job",
];

/// Whether a process, alive or a zombie, has executed a program since it was forked. When that
/// cannot be told it is taken to have: an answer is then never thrown away.
pub fn has_executed(pid: Pid) -> bool {
    const PF_FORKNOEXEC: u64 = 0x40;
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => flags_in(&stat).is_none_or(|flags| flags & PF_FORKNOEXEC == 0),
        Err(_) => true,
    }
}

/// The flags in a line of /proc/PID/stat. The name in parentheses may hold anything.
fn flags_in(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_found_behind_any_name() {
        let line = "42 (a) S 1 2) Z 1 2 3 4 5 4194368 0 0 0";
        assert_eq!(flags_in(line), Some(0x0040_0040));
        assert_eq!(flags_in("nonsense"), None);
    }

    #[test]
    fn a_program_that_runs_was_executed() {
        assert!(has_executed(nix::unistd::getpid()));
    }
}
