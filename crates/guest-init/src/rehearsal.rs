//! One container is run before there is a job: a rehearsal.
//!
//! It shows that the runtime works in this VM while there is still time to say `pe:fault`, and it
//! leaves the system call filter behind in the form that the kernel takes. Compiling that filter
//! from the profile is work that would otherwise be done again, to the same end, for every job.
//!
//! The program of the rehearsal is init's own binary, which does nothing unless it is PID 1.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nix::poll::{PollFd, PollFlags};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::wait::WaitStatus;
use nix::unistd::{Pid, chown};

use pe_proto::{Arch, Digest, JobLimits, JobSpec};

use crate::accounts::Account;
use crate::bell::wait_until;
use crate::boot::{REHEARSAL_CGROUP, ROOTFS};
use crate::calls;
use crate::cgroup::Cgroup;
use crate::child::reap;
use crate::ids::{outside_gid, outside_uid};
use crate::limits::{KILL_TIME_MAX, START_TIME_MAX, Shares};
use crate::oci::{Container, Filter, seccomp};
use crate::runtime::{Runtime, Stdio};

/// Runs it and returns the compiled filter.
pub fn rehearse(
    runtime: &Runtime,
    shares: Shares,
    namespaces: &[(&'static str, String)],
) -> io::Result<Filter> {
    let root = Path::new(ROOTFS).join("rehearsal");
    furnish(&root)?;
    let spec = JobSpec {
        image: Digest([0; 32]),
        arch: Arch::of_this_host().unwrap_or(Arch::X86_64),
        args: vec!["/init".to_owned()],
        env: Vec::new(),
        cwd: "/".to_owned(),
        user: String::new(),
        outputs: Vec::new(),
        limits: JobLimits::default(),
    };
    let container = Container {
        spec: &spec,
        root: &root,
        account: &Account::root(),
        cwd: "/",
        hostname: "rehearsal",
        shares,
        namespaces,
    };
    let profile = Filter::Profile(seccomp::profile(std::env::consts::ARCH));
    let config = container.config(&profile).to_string();
    let cgroup = Cgroup::prepare(Path::new(REHEARSAL_CGROUP), shares)?;
    let nothing = memfd_create("nothing", MFdFlags::MFD_CLOEXEC)?;
    let nothing = nothing.as_fd();
    let stdio = Stdio { stdin: nothing, stdout: nothing, stderr: nothing };
    let ended = end_of(runtime.start(config.as_bytes(), &stdio, &cgroup)?)?;
    if !matches!(ended, WaitStatus::Exited(_, 0)) {
        return Err(io::Error::other(format!("no container can be started: {}", Runtime::log())));
    }
    let program = end_of(Runtime::program_pid()?)?;
    if !matches!(program, WaitStatus::Exited(_, 0)) {
        return Err(io::Error::other(format!("a container ended as {program:?}")));
    }
    cgroup.kill(Instant::now() + KILL_TIME_MAX)?;
    let compiled = Runtime::take_filter()?;
    fs::remove_dir_all(&root)?;
    Ok(Filter::Compiled(BASE64_STANDARD.encode(compiled)))
}

/// A root with the mount points and the one program.
fn furnish(root: &Path) -> io::Result<()> {
    for directory in ["", "proc", "sys", "dev"] {
        let path = root.join(directory);
        fs::create_dir(&path)?;
        chown(&path, Some(outside_uid(0)), Some(outside_gid(0)))?;
    }
    let program = root.join("init");
    fs::copy("/init", &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
}

fn end_of(process: Pid) -> io::Result<WaitStatus> {
    let pidfd = calls::pidfd_open(process)?;
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    if wait_until(&mut fds, Some(Instant::now() + START_TIME_MAX))? {
        reap(process)
    } else {
        Err(io::Error::other("a container took too long to start"))
    }
}
