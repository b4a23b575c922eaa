//! What a confined process gives up, and in which order.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_no_new_privs;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{alarm, chdir, chroot};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::calls;
use crate::flatten::Caps;

/// The newest interface of Landlock that is asked for; what an older kernel lacks is left out.
const NEWEST: ABI = ABI::V6;

/// Descriptors: one for each name of a path, and some.
const FILES: u64 = 512;

/// Change of owner, access to what its owner made unreadable, and the like; of the user
/// namespace's own files, where there is one.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETFCAP);

/// Why a process is not confined, and so does not work.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotConfined {
    #[error("a confined process cannot {0}: {1}")]
    Call(&'static str, Errno),
    #[error("no filter of system calls: {0}")]
    Calls(#[from] calls::NoFilter),
    #[error("landlock: {0}")]
    Landlock(#[from] RulesetError),
}

/// Whether the kernel holds a process to rules for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landlock {
    On,
    /// It is not in this kernel, or switched off.
    Absent,
}

fn call<T>(what: &'static str, result: nix::Result<T>) -> Result<T, NotConfined> {
    result.map_err(|errno| NotConfined::Call(what, errno))
}

/// For our own work on a tree: the current directory becomes the root, and all there is.
pub(super) fn enter_below_here(caps: &Caps) -> Result<Landlock, NotConfined> {
    limits(caps)?;
    apart();
    call("change its root", chroot("."))?;
    call("go to its root", chdir("/"))?;
    let kept =
        CapabilitySets { effective: KEPT, permitted: KEPT, inheritable: CapabilitySet::empty() };
    let dropped = set_capabilities(None, kept);
    call("drop capabilities", dropped.map_err(|error| Errno::from_raw(error.raw_os_error())))?;
    call("give up privileges", set_no_new_privs())?;
    let landlock = landlock(&[], &[Path::new("/")])?;
    calls::allow_work_on_files()?;
    Ok(landlock)
}

fn limits(caps: &Caps) -> Result<(), NotConfined> {
    for (resource, soft, hard) in [
        // One second more until the end that cannot be put off.
        (Resource::RLIMIT_CPU, caps.cpu_seconds, caps.cpu_seconds + 1),
        (Resource::RLIMIT_DATA, caps.memory_bytes, caps.memory_bytes),
        // A pack has all files and their padding.
        (Resource::RLIMIT_FSIZE, caps.unpacked_bytes * 2, caps.unpacked_bytes * 2),
        (Resource::RLIMIT_NOFILE, FILES, FILES),
        (Resource::RLIMIT_CORE, 0, 0),
    ] {
        call("limit itself", setrlimit(resource, soft, hard))?;
    }
    alarm::set(u32::try_from(caps.wall_seconds).unwrap_or(u32::MAX));
    umask(Mode::empty());
    Ok(())
}

/// Leaves the host's network, mounts and IPC, where that is allowed.
fn apart() {
    let spaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    // Without the right to, it has no right to the rest of them either: files are below its root,
    // and calls that talk to anybody are not allowed.
    let _is_apart = unshare(spaces)
        .and_then(|()| mount(None::<&str>, "/", None::<&str>, private, None::<&str>));
}

/// Where the kernel has it. The rest holds without.
fn landlock(read: &[&Path], write: &[&Path]) -> Result<Landlock, RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(read, AccessFs::from_read(NEWEST)))?
        .add_rules(path_beneath_rules(write, AccessFs::from_all(NEWEST) & !AccessFs::Execute))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Landlock::On,
        RulesetStatus::NotEnforced => Landlock::Absent,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{ErrorKind, Write as _};

    use super::*;

    /// On a thread of its own, whose restrictions end with it.
    #[test]
    fn rules_for_files_hold_where_the_kernel_has_them() {
        let [room, outside] = [tempfile::tempdir(), tempfile::tempdir()].map(|it| it.expect("dir"));
        let (own, other) = (room.path().join("own"), outside.path().join("other"));
        fs::write(&other, "x").expect("a file");
        let here = room.path().to_owned();
        let tried = std::thread::spawn(move || {
            set_no_new_privs().expect("no privileges");
            let status = landlock(&[Path::new("/usr")], &[&here]).expect("landlock");
            fs::write(&own, "x").expect("its own place");
            fs::read_dir("/usr").expect("what it may read");
            let tries = [
                fs::read(&other).map(drop),
                fs::write(&other, "y"),
                fs::write(here.join("../pe-test-outside"), "y"),
                fs::read_dir("/etc").map(drop),
            ];
            (status, tries.map(|it| it.map_err(|error| error.kind())))
        });
        let (status, tries) = tried.join().expect("a thread");
        if status == Landlock::Absent {
            let _ = writeln!(std::io::stderr(), "SKIPPED: this kernel has no Landlock");
            return;
        }
        assert_eq!(tries, [Err(ErrorKind::PermissionDenied); 4]);
    }
}
