//! What confines VMMs: who they are, what they see, what they may use up.
//!
//! ```text
//!  Jail::prepare (once) --+--> Spawner::start(census, &jail, Needs): its thread goes in
//!                         |        and every VMM it starts is in
//!                         +--> confinement(bytes): one VM's uid, core and cgroup,
//!                         |        in its Order, given back when it was reaped
//!                         +--> zygote_dir(&confinement): a place to save a guest in
//! ```
//! What is the same for all VMMs (namespaces, root file system, Landlock) is entered once by the
//! thread that starts them, and inherited at no cost. What differs is a [`Confinement`]. As much
//! as the host allows is done; what is missing is in the [`Report`], never silently.
//! Decision 0008 has the reasons.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::geteuid;

use crate::config::Config;
use crate::host::{self, VmUser};
use crate::sys;

mod report;
mod uids;

pub use report::{Hold, Report};
pub use uids::{BadRange, UidRange};

/// What the VMMs of one spawner need of the host. They get nothing else.
#[derive(Debug, Clone)]
pub struct Needs {
    /// The VMM. What it needs in turn (its loader, libraries, firmware) is found out.
    pub program: PathBuf,
    /// Directories whose files are handed over as descriptors and opened anew by
    /// `/proc/self/fd/N`: packs, kernel and initramfs. They can be read, at the same path.
    pub dirs: Vec<PathBuf>,
    /// `/dev/kvm`.
    pub kvm: bool,
    /// `/dev/userfaultfd`, for restoring on demand.
    pub userfaultfd: bool,
}

/// Confines the VMMs of a worker.
#[derive(Debug, Clone)]
pub struct Jail(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    user: Option<VmUser>,
}

/// One VM's share of the host: its user, its core, its cgroup. They are another's only once the
/// VMM was reaped, which is why an [`Order`](crate::vm::process) takes it along.
#[derive(Debug)]
pub struct Confinement {
    user: Option<VmUser>,
}

impl Confinement {
    /// What the child has to do before it executes its program.
    pub(crate) fn becoming(&self) -> sys::Becoming {
        sys::Becoming { user: self.user }
    }
}

impl Jail {
    /// Finds out what this host allows and makes it ready. Sweeps what dead workers left.
    ///
    /// # Errors
    /// The config asks for what is not there, or `require_isolation` for what does not hold.
    pub fn prepare(config: &Config) -> io::Result<Self> {
        let user = host::vm_user(&config.vm_user)?;
        Ok(Self(Arc::new(Inner { user })))
    }

    /// Whether VMMs are other users than the worker, so that files must be readable for all.
    pub fn other_users(&self) -> bool {
        geteuid().is_root()
    }

    /// The share of a VM with so much memory.
    ///
    /// # Errors
    /// The host has nothing left.
    pub(crate) fn confinement(&self, _memory_bytes: u64) -> io::Result<Confinement> {
        Ok(Confinement { user: self.0.user.map(VmUser::with_kvm) })
    }

    /// An empty directory that VMMs see at the same path and that only the VMM with this
    /// confinement can write to, until [`ZygoteDir::seal`].
    ///
    /// # Errors
    /// The host has no room.
    pub fn zygote_dir(&self, _owner: &Confinement) -> io::Result<ZygoteDir> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A directory for a saved guest. Dropping it removes it with all that is in it.
#[derive(Debug)]
pub struct ZygoteDir {
    path: PathBuf,
}

impl ZygoteDir {
    /// Where it is, for the worker and for VMMs.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on every VMM can read what is in it and none can write. To be called once the
    /// VMM that wrote it is dead and reaped.
    ///
    /// # Errors
    /// There is something in it that is no plain file, or the host refuses.
    pub fn seal(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Drop for ZygoteDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
