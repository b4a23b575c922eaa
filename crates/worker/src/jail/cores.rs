//! Who has which core.

use std::collections::BTreeSet;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;

use crate::core::topology::{Core, Topology};

/// The cores that this process may use.
pub fn topology() -> Topology {
    let mask = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    let allowed: BTreeSet<u32> = (0..CpuSet::count())
        .filter(|cpu| mask.is_set(*cpu).unwrap_or(false))
        .filter_map(|cpu| u32::try_from(cpu).ok())
        .collect();
    Topology::read(&allowed, |path| {
        std::fs::read_to_string(format!("/sys/devices/system/cpu/{path}")).ok()
    })
}

/// Cores for VMs, each with the number of VMs on it.
#[derive(Debug)]
pub(super) struct Cores(Vec<(Core, usize)>);

impl Cores {
    pub(super) fn new(cores: Vec<Core>) -> Self {
        Self(cores.into_iter().map(|core| (core, 0)).collect())
    }

    /// A core with as few VMs as there are: none, but for the moment when one VM is being reaped
    /// while the next starts. Returns its place, for [`Self::give_back`].
    pub(super) fn take(&mut self) -> Option<(usize, CpuSet)> {
        let (place, (core, vms)) =
            self.0.iter_mut().enumerate().min_by_key(|(_, (_, vms))| *vms)?;
        *vms += 1;
        let mut set = CpuSet::new();
        for cpu in &core.cpus {
            // Beyond what such a set holds there are no processors in the mask.
            let _ = usize::try_from(*cpu).map(|cpu| set.set(cpu));
        }
        Some((place, set))
    }

    pub(super) fn give_back(&mut self, place: usize) {
        if let Some((_, vms)) = self.0.get_mut(place) {
            *vms = vms.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_taken_again_only_when_all_are() {
        let allowed = [0, 1, 2].into();
        let cores = Topology::read(&allowed, |_| None).for_slots(3).expect("enough");
        let mut cores = Cores::new(cores);
        let mut take = || cores.take().expect("a core").0;
        assert_eq!([take(), take(), take(), take()], [0, 1, 2, 0]);
        cores.give_back(1);
        assert_eq!(cores.take().expect("a core").0, 1);
    }
}
