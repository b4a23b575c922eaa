use super::*;
use crate::doctor::Verdict::{self, Fail, Pass, Warn};
use crate::doctor::facts::tests::plain_host;

fn check_cgroup(facts: CgroupFacts, verdict: Verdict, mend: &str) {
    let found = cgroup(&HostFacts { cgroup: facts, ..plain_host() });
    assert_eq!(found.verdict, verdict, "{found:?}");
    assert!(found.mend.unwrap_or_default().contains(mend));
}

#[test]
fn cgroups_must_be_unified_whole_and_ours() {
    let unified = |controllers: &[&str], delegated| CgroupFacts::Unified {
        path: "/sys/fs/cgroup/a/b".into(),
        controllers: controllers.iter().map(|&it| it.to_owned()).collect(),
        delegated,
    };
    check_cgroup(unified(&["memory", "pids", "cpu"], true), Pass, "");
    check_cgroup(unified(&["memory", "pids", "cpu"], false), Warn, "Delegate=yes");
    check_cgroup(unified(&["memory"], true), Warn, "> /sys/fs/cgroup/a/cgroup.subtree_control");
    check_cgroup(CgroupFacts::Old, Warn, "unified_cgroup_hierarchy=1");
    check_cgroup(CgroupFacts::None, Warn, "mount -t cgroup2");
}

#[test]
fn landlock_must_refuse_and_not_only_be_there() {
    let found = |facts| landlock(&HostFacts { landlock: facts, ..plain_host() }).verdict;
    assert_eq!(found(LandlockFacts::On { abi: 2, enforced: true }), Pass);
    assert_eq!(found(LandlockFacts::On { abi: 2, enforced: false }), Fail);
    for missing in [LandlockFacts::Off, LandlockFacts::NotBuilt, LandlockFacts::Unknown] {
        assert_eq!(found(missing), Warn);
    }
}

#[test]
fn namespaces_need_root_or_a_kernel_that_lets_others() {
    let found = |root, user_namespaces, missing: &[&'static str]| {
        let namespaces_missing = missing.to_vec();
        let facts = HostFacts { root, user_namespaces, namespaces_missing, ..plain_host() };
        namespaces(&facts).verdict
    };
    assert_eq!(found(true, false, &[]), Pass);
    assert_eq!(found(false, true, &[]), Pass);
    assert_eq!(found(false, false, &[]), Warn);
    assert_eq!(found(true, true, &["net"]), Warn);
}

#[test]
fn userfaultfd_is_a_device_or_a_sysctl() {
    let found = |device, for_all| {
        let facts = HostFacts { userfaultfd: device, userfaultfd_for_all: for_all, ..plain_host() };
        userfaultfd(&facts).verdict
    };
    assert_eq!(found(Device::Opens, Some(false)), Pass);
    assert_eq!(found(Device::Missing, Some(true)), Pass);
    assert_eq!(found(Device::Denied, Some(false)), Warn);
    assert_eq!(found(Device::Missing, Some(false)), Warn);
    assert_eq!(found(Device::Missing, None), Warn);
}
