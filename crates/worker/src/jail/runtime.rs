//! The directory of a running worker, and what workers that were killed left in theirs.
//!
//! ```text
//!  /run/pe-worker/lock           held while a worker comes or sweeps
//!                /<instance>/lock      held as long as the worker lives
//!                           /cgroup    where its VMs' groups are
//!                           /vms/<pid> start time of each VMM
//!                           /zygotes/  saved guests; VMMs see it
//!                           /root/     where the VMMs' root is put together
//!                           /sockets/  control sockets, for the moment that they have a name
//! ```
//! A lock that can be taken is that of a dead worker. Its VMMs died with it, normally; any that
//! did not are ended, each only if it is the very process that was noted: its number and the time
//! it started, or its cgroup.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;

use crate::limits::{LEFTOVER_END, SWEEP_LOCK};
use crate::pidfd;

use super::cgroup;

/// This worker's directory. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Runtime {
    dir: PathBuf,
    instance: String,
    _lock: Flock<File>,
}

impl Runtime {
    /// Sweeps the directories of dead workers and makes one for this one.
    ///
    /// # Errors
    /// There is no place for it, or it belongs to somebody else.
    pub(super) fn make(base: Option<&Path>) -> io::Result<Self> {
        let base = base.map_or_else(default_base, Path::to_owned);
        let say =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", base.display()));
        make_dir(&base).map_err(say)?;
        let base = fs::canonicalize(&base)?;
        let owner = fs::metadata(&base)?.uid();
        if owner != geteuid().as_raw() {
            return Err(say(io::Error::other(format!("it belongs to user {owner}"))));
        }
        let _coming = wait_lock(&base.join("lock"), SWEEP_LOCK).map_err(say)?;
        sweep(&base);
        let instance = format!("{}-{:08x}", std::process::id(), random()?);
        let dir = base.join(&instance);
        make_dir(&dir)?;
        let lock = try_lock(&dir.join("lock"))?.ok_or(io::ErrorKind::AddrInUse)?;
        for name in ["vms", "zygotes", "root", SOCKETS] {
            make_dir(&dir.join(name))?;
        }
        Ok(Self { dir, instance, _lock: lock })
    }

    /// Name of this run of this worker; no other has it.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// A place below it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Notes where the groups of VMs are, so that another worker can end them.
    pub(super) fn note_groups(&self, dir: &Path) -> io::Result<()> {
        fs::write(self.path("cgroup"), dir.as_os_str().as_encoded_bytes())
    }

    /// Notes a VMM for the same reason.
    pub(super) fn note_vmm(&self, pid: u32) -> io::Result<Note> {
        let path = self.path("vms").join(pid.to_string());
        let began = start_time(pid).ok_or(io::ErrorKind::NotFound)?;
        fs::write(&path, began.to_string())?;
        Ok(Note(path))
    }
}

/// Where control sockets get their names.
pub(super) const SOCKETS: &str = "sockets";

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A VMM that is noted. Dropping it strikes it out.
#[derive(Debug)]
pub(super) struct Note(PathBuf);

impl Drop for Note {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A number that nobody expects.
pub(super) fn random() -> io::Result<u32> {
    getrandom::u32().map_err(|error| io::Error::other(error.to_string()))
}

/// Where such things are kept; of an ordinary user's places the first that is there.
pub(super) fn default_base() -> PathBuf {
    let uid = geteuid();
    if uid.is_root() {
        return "/run/pe-worker".into();
    }
    // What $XDG_RUNTIME_DIR is wherever there is one.
    let run = PathBuf::from(format!("/run/user/{uid}"));
    if run.is_dir() { run.join("pe-worker") } else { format!("/tmp/pe-worker-{uid}").into() }
}

/// Others may pass through, as VMMs of an ordinary root's worker must, but see no names.
fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o711).create(dir)?;
    // A link in the place of the directory leads to somebody else's.
    if fs::symlink_metadata(dir)?.is_dir() {
        Ok(())
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

/// `None` if somebody has it.
pub(super) fn try_lock(path: &Path) -> io::Result<Option<Flock<File>>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

fn wait_lock(path: &Path, within: Duration) -> io::Result<Flock<File>> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(lock) = try_lock(path)? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(io::Error::other("another worker holds its lock"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Clears away the directories whose workers are dead. A failure is only said: it must not keep
/// a healthy worker from starting.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let dir = entry.path();
        let lock = dir.join("lock");
        if !lock.is_file() {
            continue;
        }
        let Ok(Some(_dead)) = try_lock(&lock) else { continue };
        let vmms = sweep_vmms(&dir.join("vms"));
        let groups = fs::read_to_string(dir.join("cgroup")).ok().map(PathBuf::from);
        let grouped = groups.map_or(Ok(0), |groups| cgroup::sweep(&groups, LEFTOVER_END));
        let removed = fs::remove_dir_all(&dir);
        let dir = dir.display();
        match (grouped, removed) {
            (Ok(grouped), Ok(())) => {
                tracing::info!(%dir, vmms, grouped, "what a dead worker left is swept away");
            }
            (Err(error), _) | (Ok(_), Err(error)) => {
                tracing::warn!(%dir, %error, "what a dead worker left cannot be swept away");
            }
        }
    }
}

/// Ends the VMMs that are noted. Returns how many lived.
fn sweep_vmms(dir: &Path) -> usize {
    let mut ended = 0;
    for note in fs::read_dir(dir).into_iter().flatten().flatten() {
        let pid = note.file_name().to_string_lossy().parse::<u32>();
        let began = fs::read_to_string(note.path()).ok().and_then(|text| text.parse::<u64>().ok());
        if let (Ok(pid), Some(began)) = (pid, began) {
            ended += usize::from(end_vmm(pid, began));
        }
    }
    ended
}

/// Kills the process of this number if it is the one that started then. The descriptor comes
/// first: what is found out afterwards is about the process that it stands for.
fn end_vmm(pid: u32, began: u64) -> bool {
    let Ok(pidfd) = pidfd::open(pid) else { return false };
    if start_time(pid) != Some(began) || pidfd::kill(pidfd.as_fd()).is_err() {
        return false;
    }
    let deadline = Instant::now() + LEFTOVER_END;
    while start_time(pid) == Some(began) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    tracing::warn!(pid, "a vmm had outlived its worker");
    true
}

/// When a process started, in ticks since the host did (proc_pid_stat(5), field 22). A zombie
/// has ended: it counts for none.
pub(super) fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name may hold anything, but nothing after it holds a parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    let began = fields.nth(18)?.parse().ok()?;
    (state != "Z" && state != "X").then_some(began)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> Child {
        Command::new("/bin/sleep").arg("600").spawn().expect("sleep")
    }

    #[test]
    fn what_a_dead_worker_left_is_swept_and_nothing_else() {
        let base = tempfile::tempdir().expect("tempdir");
        let dead = base.path().join("1-dead");
        make_dir(&dead.join("vms")).expect("dir");
        fs::write(dead.join("lock"), "").expect("lock");
        let (mut left, mut stranger) = (sleeper(), sleeper());
        let note = |child: &Child, began: u64| {
            fs::write(dead.join("vms").join(child.id().to_string()), began.to_string())
        };
        note(&left, start_time(left.id()).expect("lives")).expect("note");
        // It has the number of a VMM that ended long ago.
        note(&stranger, 1).expect("note");
        let alive = Runtime::make(Some(base.path())).expect("runtime");
        assert!(!dead.exists());
        assert!(start_time(left.id()).is_none(), "killed");
        assert!(start_time(stranger.id()).is_some(), "not ours");
        // A worker that lives is left alone.
        let second = Runtime::make(Some(base.path())).expect("runtime");
        assert!(alive.path("zygotes").exists());
        drop((alive, second));
        assert_eq!(fs::read_dir(base.path()).expect("base").count(), 1, "only the lock is left");
        for child in [&mut left, &mut stranger] {
            let _ = child.kill();
            child.wait().expect("reaped");
        }
    }
}
