//! A cgroup (v2) for each VM: what it may use up, and a sure way to end all of it.
//!
//! ```text
//!  our cgroup (delegated by systemd)      the root cgroup
//!    worker          the worker itself      pe-worker-<instance>
//!    vms-<instance>                           vm-<n>
//!      vm-<n>        one VMM
//! ```
//! A group with processes cannot have groups with controllers below it, so the worker moves into
//! one of its own, unless it is in the root group, which is exempt. Where other processes are in
//! our group, it is not ours to divide, and there are no limits; the report says so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::limits::{VMM_CPU_MAX, VMM_CPU_WEIGHT, VMM_THREADS_MAX, WORKER_CPU_WEIGHT};

use super::report::Hold;

/// Where the groups of this worker's VMs are.
#[derive(Debug)]
pub(super) struct Groups {
    dir: PathBuf,
    /// Memory, pids, cpu.
    pub(super) holds: [Hold; 3],
}

const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// Why there are no cgroups for VMs.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoGroups {
    #[error("cgroup v2 is not mounted")]
    NotMounted,
    #[error("this process is outside of the cgroup tree that is mounted")]
    Outside,
    #[error("{} cannot be divided, run the worker as a service with Delegate=yes: {source}", dir.display())]
    NotOurs { dir: PathBuf, source: io::Error },
}

impl Groups {
    /// Makes a group for VMs, in the name of an instance, and turns on what controllers there are.
    pub(super) fn make(instance: &str) -> Result<Self, NoGroups> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let (mount, root) = mounted(&mounts).ok_or(NoGroups::NotMounted)?;
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).ok_or(NoGroups::Outside)?;
        let own = Path::new(own).strip_prefix(&root).map_err(|_| NoGroups::Outside)?;
        let own = mount.join(own);
        let not_ours = |source| NoGroups::NotOurs { dir: own.clone(), source };
        // Only the root of all groups has no type.
        let is_root = !own.join("cgroup.type").exists();
        let (above, dir) = if is_root {
            (own.clone(), own.join(format!("pe-worker-{instance}")))
        } else {
            let above = step_aside(&own).map_err(not_ours)?;
            let dir = above.join(format!("vms-{instance}"));
            (above, dir)
        };
        fs::create_dir(&dir).map_err(not_ours)?;
        let groups = Self { holds: CONTROLLERS.map(|name| turn_on(name, &above, &dir)), dir };
        Ok(groups)
    }

    /// Where they are, for whoever has to clean up after us.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A group for one VM.
    ///
    /// # Errors
    /// It cannot be made, or a controller that is on refuses its limit.
    pub(super) fn group(&self, number: u64, memory_bytes: u64) -> io::Result<Group> {
        let dir = self.dir.join(format!("vm-{number}"));
        fs::create_dir(&dir)?;
        let group = Group { procs: open_write(&dir.join("cgroup.procs"))?, dir };
        let [memory, pids, cpu] = &self.holds;
        if memory.is_held() {
            group.set("memory.max", &memory_bytes.to_string())?;
            group.set("memory.oom.group", "1")?;
            // Kernels without swap do not have this one.
            let _ = group.set("memory.swap.max", "0");
        }
        if pids.is_held() {
            group.set("pids.max", &VMM_THREADS_MAX.to_string())?;
        }
        if cpu.is_held() {
            group.set("cpu.weight", &VMM_CPU_WEIGHT.to_string())?;
            group.set("cpu.max", VMM_CPU_MAX)?;
        }
        Ok(group)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        // Groups of VMs that are still being reaped keep it; the next worker removes it.
        let _ = fs::remove_dir(&self.dir);
    }
}

/// One VM's group.
#[derive(Debug)]
pub(super) struct Group {
    dir: PathBuf,
    procs: File,
}

impl Group {
    /// What a child writes `0` to in order to join.
    pub(super) fn procs(&self) -> RawFd {
        self.procs.as_raw_fd()
    }

    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        let path = self.dir.join(name);
        let written = open_write(&path).and_then(|mut file| file.write_all(value.as_bytes()));
        written.map_err(|error| {
            io::Error::new(error.kind(), format!("{} = {value}: {error}", path.display()))
        })
    }
}

impl Group {
    /// Kills whatever is still in it, and removes it if nothing is.
    ///
    /// # Errors
    /// There is still something in it, such as a thread of KVM that ends a little later.
    pub(super) fn end(&self) -> io::Result<()> {
        match fs::remove_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                kill_all(&self.dir);
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(group = %self.dir.display(), %error, "cgroup of a vm is left behind");
        }
    }
}

/// Nothing but a VMM has ever been in such a group.
fn kill_all(dir: &Path) {
    if let Ok(mut kill) = open_write(&dir.join("cgroup.kill")) {
        let _ = kill.write_all(b"1");
    }
}

/// Kills whatever is in a group, waits until it is empty, and removes it.
///
/// # Errors
/// It does not become empty in time.
fn end(dir: &Path, within: Duration) -> io::Result<()> {
    let deadline = std::time::Instant::now() + within;
    loop {
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if std::time::Instant::now() >= deadline => return Err(error),
            Err(_) => {}
        }
        kill_all(dir);
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Ends the groups of a worker that is dead, and all that is in them. Returns how many processes
/// there were.
///
/// # Errors
/// They do not end in time.
pub(super) fn sweep(dir: &Path, within: Duration) -> io::Result<usize> {
    let mut found = 0;
    for group in fs::read_dir(dir).into_iter().flatten().flatten() {
        let group = group.path();
        if group.is_dir() {
            let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            found += procs.lines().count();
            end(&group, within)?;
        }
    }
    end(dir, within)?;
    Ok(found)
}

/// The mount point of the tree, and which group of it is there (proc_pid_mountinfo(5)).
fn mounted(mountinfo: &str) -> Option<(PathBuf, PathBuf)> {
    mountinfo.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, mount) = (place.next()?, place.next()?);
        kind.starts_with("cgroup2 ").then(|| (mount.into(), root.into()))
    })
}

/// Moves this process into a group below its own. Returns the group that it left: its own, or
/// the one above if it stands aside already (a second [`Groups`] in one process).
fn step_aside(own: &Path) -> io::Result<PathBuf> {
    if own.file_name().is_some_and(|name| name == ASIDE) {
        return own.parent().map(Path::to_owned).ok_or_else(|| io::ErrorKind::NotFound.into());
    }
    let me = std::process::id().to_string();
    let procs = fs::read_to_string(own.join("cgroup.procs"))?;
    if procs.lines().any(|pid| pid != me) {
        return Err(io::Error::other("other processes are in it"));
    }
    let aside = own.join(ASIDE);
    match fs::create_dir(&aside) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    open_write(&aside.join("cgroup.procs"))?.write_all(me.as_bytes())?;
    if let Ok(mut weight) = open_write(&aside.join("cpu.weight")) {
        let _ = weight.write_all(WORKER_CPU_WEIGHT.to_string().as_bytes());
    }
    Ok(own.to_owned())
}

/// Where the worker itself is, in a group that systemd gave us.
const ASIDE: &str = "worker";

const NO_CONTROLLER: &str =
    "cgroup v2 has no such controller here: it is off, held by cgroup v1, or not delegated";

/// Turns a controller on for the groups below `above` and below `dir`.
fn turn_on(controller: &str, above: &Path, dir: &Path) -> Hold {
    let there = fs::read_to_string(above.join("cgroup.controllers")).unwrap_or_default();
    if !there.split_whitespace().any(|name| name == controller) {
        return Hold::Missing(NO_CONTROLLER.to_owned());
    }
    for group in [above, dir] {
        let path = group.join("cgroup.subtree_control");
        let word = format!("+{controller}");
        let on = open_write(&path).and_then(|mut file| file.write_all(word.as_bytes()));
        if let Err(error) = on {
            return Hold::Missing(format!("{word} in {}: {error}", path.display()));
        }
    }
    Hold::Held
}

fn open_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_found_among_the_mounts() {
        let hybrid = "31 24 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:3 - cgroup2 cgroup2 rw\n";
        let unified = Path::new("/sys/fs/cgroup/unified").to_owned();
        assert_eq!(mounted(hybrid), Some((unified, "/".into())));
        let in_a_container = "9 8 0:38 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw";
        assert_eq!(mounted(in_a_container), Some(("/sys/fs/cgroup".into(), "/docker/ab".into())));
        assert_eq!(mounted("1 1 0:1 / / rw - ext4 /dev/sda rw"), None);
    }
}
