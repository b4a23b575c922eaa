//! Which logical processors share a physical core, and which core a VM gets.
//!
//! Two threads of one core share its caches and predictors, so a VM that has one has both: its
//! virtual processor on one, its VMM's other threads beside it, no other VM on either. Reads no
//! file itself: the texts of `/sys/devices/system/cpu` come in through a function.

use std::collections::BTreeSet;

/// A physical core, by those of its logical processors that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Core {
    /// Logical processors, ascending; never none.
    pub cpus: Vec<u32>,
    /// How fast it is beside others of this host; they are all equal where the kernel says
    /// nothing.
    capacity: u32,
}

/// The physical cores that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// By their first processor, ascending.
    cores: Vec<Core>,
}

/// Why VMs are not bound to cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{cores} physical cores can be used, and there are {slots} slots and standby VMs")]
pub struct TooFew {
    /// Physical cores.
    pub cores: usize,
    /// Slots.
    pub slots: u32,
}

/// What a core is taken for where the kernel does not rate them.
const CAPACITY_ALIKE: u32 = 1024;

impl Topology {
    /// The cores of the processors in `allowed`. `text` gives the content of a file below
    /// `/sys/devices/system/cpu`. A processor of which nothing is known is a core of its own.
    pub fn read(allowed: &BTreeSet<u32>, text: impl Fn(&str) -> Option<String>) -> Self {
        let online = text("online").and_then(|list| parse_list(&list));
        let usable: BTreeSet<u32> = match &online {
            Some(online) => allowed.intersection(online).copied().collect(),
            None => allowed.clone(),
        };
        let mut cores: Vec<Core> = Vec::new();
        for &cpu in &usable {
            if cores.iter().any(|core| core.cpus.contains(&cpu)) {
                continue;
            }
            let file = |name: &str| text(&format!("cpu{cpu}/{name}"));
            // The second is the name of the first before Linux 5.3.
            let siblings = file("topology/core_cpus_list")
                .or_else(|| file("topology/thread_siblings_list"))
                .and_then(|list| parse_list(&list))
                .unwrap_or_default();
            let mut cpus: BTreeSet<u32> = siblings.intersection(&usable).copied().collect();
            cpus.insert(cpu);
            let capacity = file("cpu_capacity").and_then(|text| text.trim().parse().ok());
            let capacity = capacity.unwrap_or(CAPACITY_ALIKE);
            cores.push(Core { cpus: cpus.into_iter().collect(), capacity });
        }
        Self { cores }
    }

    /// All cores.
    pub fn cores(&self) -> &[Core] {
        &self.cores
    }

    /// Whether a core has two processors that may be used.
    pub fn has_smt(&self) -> bool {
        self.cores.iter().any(|core| core.cpus.len() > 1)
    }

    /// One core for each slot (and each VM on standby): the fastest ones, and of equal ones the last, because the first is
    /// where most hosts take their interrupts.
    ///
    /// # Errors
    /// There are fewer cores than slots.
    pub fn for_slots(&self, slots: u32) -> Result<Vec<Core>, TooFew> {
        let too_few = TooFew { cores: self.cores.len(), slots };
        let count = usize::try_from(slots).map_err(|_| too_few)?;
        let mut cores = self.cores.clone();
        cores.reverse();
        cores.sort_by_key(|core| std::cmp::Reverse(core.capacity));
        if cores.len() < count {
            return Err(too_few);
        }
        cores.truncate(count);
        Ok(cores)
    }
}

/// A list of processors as the kernel writes it, such as `0-3,8`.
fn parse_list(text: &str) -> Option<BTreeSet<u32>> {
    let mut cpus = BTreeSet::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last > CPU_MOST {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// More than any Linux is built for.
const CPU_MOST: u32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    /// `path: text` lines.
    fn topology(allowed: &str, fixture: &'static str) -> Topology {
        let text = |path: &str| {
            let line = |line: &str| {
                let (name, text) = line.trim().split_once(": ")?;
                (name == path).then(|| text.to_owned())
            };
            fixture.lines().find_map(line)
        };
        Topology::read(&parse_list(allowed).expect("list"), text)
    }

    fn cpus(cores: &[Core]) -> Vec<Vec<u32>> {
        cores.iter().map(|core| core.cpus.clone()).collect()
    }

    const SMT: &str = "online: 0-7
        cpu0/topology/core_cpus_list: 0,4
        cpu1/topology/core_cpus_list: 1,5
        cpu2/topology/core_cpus_list: 2,6
        cpu3/topology/core_cpus_list: 3,7
        cpu4/topology/core_cpus_list: 0,4
        cpu5/topology/core_cpus_list: 1,5
        cpu6/topology/core_cpus_list: 2,6
        cpu7/topology/core_cpus_list: 3,7";

    #[test]
    fn a_sibling_is_taken_with_its_core() {
        let smt = topology("0-7", SMT);
        assert_eq!(cpus(smt.cores()), [[0, 4], [1, 5], [2, 6], [3, 7]]);
        assert!(smt.has_smt());
        assert_eq!(cpus(&smt.for_slots(3).expect("enough")), [[3, 7], [2, 6], [1, 5]]);
        assert_eq!(smt.for_slots(5), Err(TooFew { cores: 4, slots: 5 }));
    }

    #[test]
    fn an_affinity_mask_is_respected() {
        let half = topology("1-2,5", SMT);
        assert_eq!(cpus(half.cores()), [vec![1, 5], vec![2]]);
        let one_thread_each = topology("0-3", SMT);
        assert_eq!(cpus(one_thread_each.cores()), [[0], [1], [2], [3]]);
        assert!(!one_thread_each.has_smt());
    }

    #[test]
    fn processors_without_siblings_are_cores() {
        let old = "online: 0-1
            cpu0/topology/thread_siblings_list: 0
            cpu1/topology/thread_siblings_list: 1";
        assert_eq!(cpus(topology("0-1", old).cores()), [[0], [1]]);
        let nothing_known = topology("0-1", "");
        assert_eq!(cpus(&nothing_known.for_slots(1).expect("enough")), [[1]]);
    }

    #[test]
    fn processors_that_are_offline_are_not_counted() {
        let offline = "online: 0-1,3
            cpu0/topology/core_cpus_list: 0-1
            cpu1/topology/core_cpus_list: 0-1
            cpu3/topology/core_cpus_list: 3";
        assert_eq!(cpus(topology("0-3", offline).cores()), [vec![0, 1], vec![3]]);
    }

    #[test]
    fn fast_cores_are_for_vms() {
        let big_little = "online: 0-5
            cpu0/cpu_capacity: 446
            cpu1/cpu_capacity: 446
            cpu2/cpu_capacity: 1024
            cpu3/cpu_capacity: 1024
            cpu4/cpu_capacity: 446
            cpu5/cpu_capacity: 446";
        let cores = topology("0-5", big_little).for_slots(3).expect("enough");
        assert_eq!(cpus(&cores), [[3], [2], [5]]);
    }

    #[test]
    fn a_list_is_read_as_the_kernel_writes_it() {
        assert_eq!(parse_list("0-2,5\n"), Some([0, 1, 2, 5].into()));
        assert_eq!(parse_list("\n"), Some(BTreeSet::new()));
        assert_eq!(parse_list("a"), None);
        assert_eq!(parse_list("0-4294967295"), None);
    }
}
