//! What confines VMMs: who they are, what they see, what they may use up.
//!
//! ```text
//!  Jail::prepare (once) --+--> Spawner::start(census, &jail, Needs): its thread goes in
//!                         |        and every VMM it starts is in
//!                         +--> confinement(bytes): one VM's uid, core and cgroup,
//!                         |        in its Order, given back when it was reaped
//!                         +--> zygote_dir(&confinement): a place to save a guest in
//! ```
//! What is the same for all VMMs (namespaces, root, Landlock, refused calls) is entered once by the
//! thread that starts them, and inherited at no cost. What differs is a [`Confinement`]. As much
//! as the host allows is done; what is missing is in the [`Report`], never silently.
//! Decision 0008 has the reasons.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

use crate::config::{Config, PinChoice};
use crate::host;

mod calls;
mod capabilities;
mod cgroup;
mod closure;
mod confinement;
mod cores;
mod report;
mod room;
mod root;
mod rules;
mod runtime;
pub(crate) mod sys;
mod uids;
mod users;
mod zygote;

pub use confinement::Confinement;
pub use cores::topology;
pub use report::{Hold, Report};
pub use uids::{BadRange, UidRange};
pub use zygote::ZygoteDir;

use capabilities::CapabilitySet;
use cgroup::Groups;
use cores::Cores;
use room::Room;
use runtime::Runtime;
use users::Users;

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
    users: Users,
    // Dropped in this order: groups, then the directory that says where they are.
    groups: Option<Groups>,
    cores: Option<Mutex<Cores>>,
    runtime: Runtime,
    report: Mutex<Report>,
    /// Whether the device nodes that VMMs see are for everybody.
    own_nodes: Mutex<bool>,
    required: bool,
    numbers: AtomicU64,
}

impl Jail {
    /// Finds out what this host allows and makes it ready. Sweeps what dead workers left.
    ///
    /// # Errors
    /// There is no place for the worker's directory, or nobody for VMMs to be.
    pub fn prepare(config: &Config) -> io::Result<Self> {
        let runtime = Runtime::make(config.runtime_dir.as_deref())?;
        let (users, own_uids) = Users::find(config)?;
        let (groups, [cgroup_memory, cgroup_pids, cgroup_cpu]) =
            match Groups::make(runtime.instance()) {
                Ok(groups) => {
                    runtime.note_groups(groups.dir())?;
                    let holds = groups.holds.clone();
                    (Some(groups), holds)
                }
                Err(error) => {
                    let missing = Hold::Missing(error.to_string());
                    (None, [missing.clone(), missing.clone(), missing])
                }
            };
        let cores = match config.pin {
            PinChoice::Auto => topology()
                .for_slots(config.slots + config.standby)
                .map_err(|error| error.to_string()),
            PinChoice::Off => Err("turned off (pin = \"off\")".to_owned()),
        };
        let not_yet = Hold::Missing("no vmm has been started".to_owned());
        let report = Report {
            namespaces: not_yet.clone(),
            landlock: not_yet,
            cgroup_memory,
            cgroup_pids,
            cgroup_cpu,
            own_uids,
            pinning: Hold::of(cores.as_ref()),
            seccomp: host::seccomp(),
        };
        Ok(Self(Arc::new(Inner {
            users,
            groups,
            cores: cores.ok().map(|cores| Mutex::new(Cores::new(cores))),
            runtime,
            report: Mutex::new(report),
            own_nodes: Mutex::new(false),
            required: config.require_isolation,
            numbers: AtomicU64::new(0),
        })))
    }

    /// Whether VMMs are other users than the worker, so that files must be readable for all.
    pub fn other_users(&self) -> bool {
        self.0.users.are_others()
    }

    /// What holds. Namespaces and Landlock are known once a spawner was started.
    pub fn report(&self) -> Report {
        lock(&self.0.report).clone()
    }

    /// Whether it is worth trying to make namespaces.
    pub(crate) fn may_have_namespaces(&self) -> Hold {
        if geteuid().is_root() {
            Hold::Held
        } else {
            Hold::Missing("the worker is not root".to_owned())
        }
    }

    /// What VMMs with these needs will see.
    pub(crate) fn room(&self, needs: &Needs) -> io::Result<Plan> {
        let zygotes = self.0.runtime.path("zygotes");
        Ok(Plan { room: Room::of(needs, &zygotes)?, staging: self.0.runtime.path("root") })
    }

    /// Takes note of how far a spawner's thread got.
    ///
    /// # Errors
    /// Not far enough for `require_isolation`.
    pub(crate) fn entered(&self, entered: Entered) -> io::Result<()> {
        *lock(&self.0.own_nodes) = entered.own_nodes;
        let mut report = lock(&self.0.report);
        report.namespaces = entered.namespaces;
        report.landlock = entered.landlock;
        if !entered.calls.is_held() {
            report.seccomp = entered.calls;
        }
        let lacks = report.lacks();
        if self.0.required && !lacks.is_empty() {
            report.log();
            let lacks = lacks.join(", ");
            return Err(io::Error::other(format!(
                "require_isolation is set and this is missing: {lacks}"
            )));
        }
        Ok(())
    }

    /// The share of a VM with so much guest memory.
    ///
    /// # Errors
    /// The host has nothing left.
    pub fn confinement(&self, memory_bytes: u64) -> io::Result<Confinement> {
        Confinement::take(&self.0, memory_bytes)
    }

    /// An empty directory that VMMs see at the same path and that only the VMM with this
    /// confinement can write to, until [`ZygoteDir::seal`].
    ///
    /// # Errors
    /// The host has no room.
    pub fn zygote_dir(&self, owner: &Confinement) -> io::Result<ZygoteDir> {
        let number = self.0.number();
        ZygoteDir::make(self.0.runtime.path("zygotes").join(number.to_string()), owner.user())
    }

    /// A directory of this worker's for sockets that have a name for a moment. No VMM sees it.
    pub(crate) fn sockets(&self) -> PathBuf {
        self.0.runtime.path(runtime::SOCKETS)
    }

    /// Waits, blocking, until every VM has given back its share, so that nothing is left behind
    /// when the process ends; or until so long has passed.
    pub fn settle(self, within: Duration) {
        let deadline = Instant::now() + within;
        while Arc::strong_count(&self.0) > 1 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Inner {
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

/// What a spawner's thread goes into.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    room: Room,
    staging: PathBuf,
}

/// How far it got.
#[derive(Debug)]
pub(crate) struct Entered {
    namespaces: Hold,
    landlock: Hold,
    calls: Hold,
    own_nodes: bool,
}

impl Plan {
    /// Takes the calling thread, and it alone, in; there is no way back. After an error the
    /// thread must end: it is neither here nor there. `namespaces` holds the reason for going
    /// without them.
    ///
    /// # Errors
    /// The host refuses namespaces or the root in them.
    pub(crate) fn enter(&self, namespaces: &Hold) -> io::Result<Entered> {
        let own_nodes = match namespaces {
            Hold::Held => root::enter(&self.room, &self.staging)?,
            Hold::Missing(_) => false,
        };
        let landlock = Hold::of(rules::restrict(&self.room));
        let calls = Hold::of(calls::refuse());
        capabilities::keep(STARTER_CAPABILITIES)?;
        Ok(Entered { namespaces: namespaces.clone(), landlock, calls, own_nodes })
    }
}

/// What it takes to become somebody else without a way back, and to end what nobody waits for
/// any more.
const STARTER_CAPABILITIES: CapabilitySet = CapabilitySet::KILL
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP);

/// Takes from root's worker what it never needs: raw network and devices, kernel modules, tracing,
/// the clock, and so on. To be called while the process has one thread; all others inherit it.
///
/// # Errors
/// The kernel refuses, and the process has what it had.
pub fn shed_capabilities() -> io::Result<()> {
    if geteuid().is_root() {
        capabilities::bound(WORKER_CAPABILITIES);
        capabilities::keep(WORKER_CAPABILITIES)?;
    }
    Ok(())
}

/// What is left to it: namespaces, mounts and nodes for the jail (only the spawner's threads use
/// them, and only before they start anything), files that belong to VMMs, becoming and ending
/// them, cgroups, and a metrics listener on a low port.
const WORKER_CAPABILITIES: CapabilitySet = STARTER_CAPABILITIES
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_ADMIN)
    .union(CapabilitySet::MKNOD);

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
