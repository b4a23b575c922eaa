//! What keeps a VMM that was taken over in its place.
//!
//! The [jail](crate::jail) is asked for real, so its report decides; the facts of the host say how
//! to mend what it misses.

use crate::doctor::facts::{CgroupFacts, Device, HostFacts, LandlockFacts};
use crate::doctor::probes::isolation::JailFacts;
use crate::doctor::{Finding, Needs, Verdict};
use crate::jail::{Hold, Report};

/// How to mend something of one measure.
type Mend = &'static str;

const AS_ROOT: Mend = "systemctl enable --now pe-worker   # as root, see deploy/README.md";

/// One measure, by what the jail says of it. What the host has is told if the measure holds, and
/// else how to mend it.
fn measure(
    needs: &Needs,
    jail: &JailFacts,
    holds: impl Fn(&Report) -> Vec<&Hold>,
    host: Finding,
) -> Finding {
    let report = match jail {
        JailFacts::Report(report) => report,
        JailFacts::None { reason } => {
            let mend = host.mend.unwrap_or_else(|| AS_ROOT.to_owned());
            return Finding::fail(format!("the jail of VMMs cannot be made: {reason}"), mend);
        }
    };
    let mut reasons: Vec<&str> = Vec::new();
    for hold in holds(report) {
        match hold {
            Hold::Missing(reason) if !reasons.contains(&reason.as_str()) => reasons.push(reason),
            Hold::Missing(_) | Hold::Held => {}
        }
    }
    if reasons.is_empty() {
        let passes = host.verdict == Verdict::Pass;
        return Finding::pass(if passes { host.seen } else { "in force".to_owned() });
    }
    let mend = host.mend.unwrap_or_else(|| AS_ROOT.to_owned());
    let seen = match host.verdict {
        Verdict::Pass => format!("not in force: {}", reasons.join("; ")),
        Verdict::Warn | Verdict::Fail => {
            format!("not in force: {} ({})", reasons.join("; "), host.seen)
        }
    };
    if needs.require_isolation { Finding::fail(seen, mend) } else { Finding::warn(seen, mend) }
}

/// Users: root can make VMMs others, an ordinary user cannot.
pub fn vm_user(facts: &HostFacts, needs: &Needs, jail: &JailFacts) -> Finding {
    let mend = if facts.root {
        "# give the worker's container a larger range of users, or set vm_uids to one it has"
    } else {
        AS_ROOT
    };
    let host = Finding { mend: Some(mend.to_owned()), ..Finding::pass("each VM is another user") };
    measure(needs, jail, |report| vec![&report.own_uids], host)
}

/// The filter that VMMs put on themselves.
pub fn seccomp(needs: &Needs, jail: &JailFacts) -> Finding {
    let kernel = "# run a kernel with CONFIG_SECCOMP_FILTER (all distributions' have it)";
    let host = Finding { mend: Some(kernel.to_owned()), ..Finding::pass("the kernel has it") };
    measure(needs, jail, |report| vec![&report.seccomp], host)
}

/// Control groups, of the unified kind, with what bounds a VMM, and ours to divide.
pub fn cgroup(facts: &HostFacts, needs: &Needs, jail: &JailFacts) -> Finding {
    measure(
        needs,
        jail,
        |it| vec![&it.cgroup_memory, &it.cgroup_pids, &it.cgroup_cpu],
        host_cgroup(facts),
    )
}

/// Landlock, proven by what it refused.
pub fn landlock(facts: &HostFacts, needs: &Needs, jail: &JailFacts) -> Finding {
    let host = host_landlock(facts);
    // On, and not doing its work: whatever the jail believes.
    if host.verdict == Verdict::Fail {
        return host;
    }
    measure(needs, jail, |report| vec![&report.landlock], host)
}

/// Namespaces, without network.
pub fn namespaces(facts: &HostFacts, needs: &Needs, jail: &JailFacts) -> Finding {
    measure(needs, jail, |report| vec![&report.namespaces], host_namespaces(facts))
}

/// Controllers that bound a VMM.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

fn host_cgroup(facts: &HostFacts) -> Finding {
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

fn host_landlock(facts: &HostFacts) -> Finding {
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

fn host_namespaces(facts: &HostFacts) -> Finding {
    if !facts.namespaces_missing.is_empty() {
        let missing = facts.namespaces_missing.join(", ");
        let first = facts.namespaces_missing.first().copied().unwrap_or("net");
        return Finding::warn(
            format!("cannot be made: {missing}"),
            format!("sysctl -w user.max_{first}_namespaces=10000   # and so on"),
        );
    }
    Finding { mend: Some(AS_ROOT.to_owned()), ..Finding::pass("net, mnt, ipc, uts") }
}

/// userfaultfd, for restores on demand; nothing else needs it.
pub fn userfaultfd(facts: &HostFacts, needs: &Needs) -> Finding {
    let (seen, mend) = match (facts.userfaultfd, facts.userfaultfd_for_all) {
        (Device::Opens, _) => return Finding::pass("/dev/userfaultfd opens"),
        (_, Some(true)) => return Finding::pass("vm.unprivileged_userfaultfd is 1"),
        (Device::Denied, _) => (
            "/dev/userfaultfd is not ours to open",
            "chgrp kvm /dev/userfaultfd && chmod g+rw /dev/userfaultfd",
        ),
        (Device::Missing, Some(false)) => (
            "there is no /dev/userfaultfd (Linux 6.1 has it)",
            "sysctl -w vm.unprivileged_userfaultfd=1   # lets every user of this host use it",
        ),
        (Device::Missing, None) => (
            "the kernel was built without",
            "# run a kernel with CONFIG_USERFAULTFD (Debian's have it)",
        ),
    };
    if needs.on_demand_only {
        Finding::fail(format!("{seen}, and restore = \"ondemand\""), mend)
    } else {
        Finding::pass(format!("{seen}; only restore = \"ondemand\" needs it"))
    }
}

#[cfg(test)]
mod tests;
