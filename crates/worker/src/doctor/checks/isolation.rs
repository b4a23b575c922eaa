//! What keeps a VMM that was taken over in its place.

use crate::doctor::Finding;
use crate::doctor::facts::{CgroupFacts, Device, HostFacts, LandlockFacts};

/// Controllers that bound a VMM.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// Control groups, of the unified kind, with what bounds a VMM, and ours to divide.
pub fn cgroup(facts: &HostFacts) -> Finding {
    let unified = "# add systemd.unified_cgroup_hierarchy=1 to the kernel's command line, reboot";
    match &facts.cgroup {
        CgroupFacts::None => Finding::warn(
            "no cgroups are mounted: nothing bounds a VMM",
            "mount -t cgroup2 none /sys/fs/cgroup",
        ),
        CgroupFacts::Old => {
            Finding::warn("only cgroup v1: its limits are not used, nothing bounds a VMM", unified)
        }
        CgroupFacts::Unified { path, controllers, delegated } => {
            let has = |name: &&str| controllers.iter().any(|it| it == name);
            let missing: Vec<&str> = CONTROLLERS.into_iter().filter(|it| !has(it)).collect();
            let at = path.display();
            if !missing.is_empty() {
                let all = CONTROLLERS.map(|name| format!("+{name}")).join(" ");
                let above = path.parent().unwrap_or(path).display();
                return Finding::warn(
                    format!("{at} lacks {}", missing.join(", ")),
                    format!("echo '{all}' > {above}/cgroup.subtree_control"),
                );
            }
            if !delegated {
                return Finding::warn(
                    format!("{at} is not ours to divide"),
                    "systemd-run --user --scope -p Delegate=yes pe-worker ...   # or the unit",
                );
            }
            Finding::pass(format!("{at} with {}", CONTROLLERS.join(", ")))
        }
    }
}

/// Landlock, proven by what it refused.
pub fn landlock(facts: &HostFacts) -> Finding {
    let switch = "# add landlock to lsm= on the kernel's command line, reboot";
    let kernel = "# run a kernel with CONFIG_SECURITY_LANDLOCK (Debian 12 and newer have it)";
    match facts.landlock {
        LandlockFacts::On { abi, enforced: true } => {
            Finding::pass(format!("version {abi} of its interface, and it refuses what it should"))
        }
        LandlockFacts::On { abi, enforced: false } => Finding::fail(
            format!("version {abi} of its interface, but it did not refuse what it should"),
            kernel,
        ),
        LandlockFacts::Off => Finding::warn("the kernel has it, switched off", switch),
        LandlockFacts::NotBuilt => Finding::warn("the kernel was built without", kernel),
        LandlockFacts::Unknown => Finding::warn("it cannot be asked", kernel),
    }
}

/// Namespaces: root makes them if the kernel has them, others need user namespaces.
pub fn namespaces(facts: &HostFacts) -> Finding {
    if !facts.namespaces_missing.is_empty() {
        let missing = facts.namespaces_missing.join(", ");
        let first = facts.namespaces_missing.first().copied().unwrap_or("net");
        return Finding::warn(
            format!("cannot be made: {missing}"),
            format!("sysctl -w user.max_{first}_namespaces=10000   # and so on"),
        );
    }
    if facts.root {
        Finding::pass("net, mnt, ipc, uts, pid")
    } else if facts.user_namespaces {
        Finding::pass("net, mnt, ipc, uts, pid, by way of user namespaces")
    } else {
        Finding::warn(
            "only root can make them here, and the worker is not root",
            "sysctl -w kernel.unprivileged_userns_clone=1   # or start it as root",
        )
    }
}

/// userfaultfd, for restores on demand.
pub fn userfaultfd(facts: &HostFacts) -> Finding {
    match (facts.userfaultfd, facts.userfaultfd_for_all) {
        (Device::Opens, _) => Finding::pass("/dev/userfaultfd opens"),
        (_, Some(true)) => Finding::pass("vm.unprivileged_userfaultfd is 1"),
        (Device::Denied, _) => Finding::warn(
            "/dev/userfaultfd is not ours to open; VMs are restored by copying",
            "chgrp kvm /dev/userfaultfd && chmod g+rw /dev/userfaultfd",
        ),
        (Device::Missing, Some(false)) => Finding::warn(
            "no /dev/userfaultfd (Linux 6.1 has it); VMs are restored by copying",
            "sysctl -w vm.unprivileged_userfaultfd=1   # lets every user of this host use it",
        ),
        (Device::Missing, None) => Finding::warn(
            "the kernel was built without; VMs are restored by copying",
            "# run a kernel with CONFIG_USERFAULTFD (Debian's have it)",
        ),
    }
}

#[cfg(test)]
mod tests;
