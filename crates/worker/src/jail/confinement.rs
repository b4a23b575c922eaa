//! One VM's share of the host.

use std::io;
use std::sync::Arc;

use nix::sched::CpuSet;
use pe_proto::limits::IO_FILE_BYTES;

use crate::host::VmUser;
use crate::limits::{VMM_FILES_MAX, VMM_OVERHEAD_BYTES, VMM_THREADS_MAX};

use super::cgroup::Group;
use super::runtime::Note;
use super::sys::{Becoming, Rlimits};
use super::{Inner, lock};

/// One VM's share of the host: its user, its core, its cgroup. They are another's only once the
/// VMM was reaped, which is why an [`Order`](crate::vm::process) takes it along. It is dropped by
/// the thread that reaps, because the kernel may take its time over cgroups.
#[derive(Debug)]
pub struct Confinement {
    jail: Arc<Inner>,
    user: Option<VmUser>,
    /// A user that is this VM's alone.
    own: Option<u32>,
    core: Option<(usize, CpuSet)>,
    group: Option<Group>,
    note: Option<Note>,
    file_bytes: u64,
}

impl Confinement {
    pub(super) fn take(jail: &Arc<Inner>, memory_bytes: u64) -> io::Result<Self> {
        let all_bytes = memory_bytes + IO_FILE_BYTES + VMM_OVERHEAD_BYTES;
        let groups = jail.groups.as_ref();
        let group = groups.map(|groups| groups.group(jail.number(), all_bytes)).transpose()?;
        let own = jail.users.take()?;
        let own_nodes = *lock(&jail.own_nodes);
        let user = match own {
            Some(id) => Some(VmUser { uid: id, gid: id, kvm_gid: None }),
            None => jail.users.shared(),
        };
        // Where the nodes are the host's, it takes the host's group to open them.
        let user = if own_nodes { user } else { user.map(VmUser::with_kvm) };
        let core = jail.cores.as_ref().and_then(|cores| lock(cores).take());
        let jail = Arc::clone(jail);
        Ok(Self { jail, user, own, core, group, note: None, file_bytes: all_bytes })
    }

    /// Who the VMM is; `None` for the worker's own user.
    pub fn user(&self) -> Option<VmUser> {
        self.user
    }

    /// What the child has to do before it executes its program.
    pub(crate) fn becoming(&self) -> Becoming {
        Becoming {
            user: self.user,
            cgroup: self.group.as_ref().map(Group::procs),
            cpus: self.core.map(|(_, cpus)| cpus),
            limits: Rlimits {
                files: VMM_FILES_MAX,
                file_bytes: self.file_bytes,
                threads: self.own.map(|_| VMM_THREADS_MAX),
            },
        }
    }

    /// Notes which process has it, so that the next worker can find it if this one is killed.
    /// The process would end anyway; the note is for when the kernel fails to see to that.
    pub(crate) fn note(&mut self, pid: u32) {
        match self.jail.runtime.note_vmm(pid) {
            Ok(note) => self.note = Some(note),
            Err(error) => tracing::debug!(pid, %error, "vmm cannot be noted"),
        }
    }
}

impl Confinement {
    /// Whether nothing of the VM is left in its cgroup, which is then gone. Never waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.end().is_ok())
    }
}

impl Drop for Confinement {
    fn drop(&mut self) {
        // Whatever is left in the group ends before its user is another's.
        drop(self.group.take());
        if let Some(uid) = self.own {
            self.jail.users.give_back(uid);
        }
        if let (Some((place, _)), Some(cores)) = (self.core, &self.jail.cores) {
            lock(cores).give_back(place);
        }
    }
}
