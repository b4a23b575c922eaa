use super::*;
use crate::doctor::Verdict::{Fail, Pass, Warn};
use crate::doctor::facts::tests::plain_host;

fn report() -> Report {
    let held = || Hold::Held;
    Report {
        namespaces: held(),
        landlock: held(),
        cgroup_memory: held(),
        cgroup_pids: held(),
        cgroup_cpu: held(),
        own_uids: held(),
        pinning: held(),
        seccomp: held(),
    }
}

fn lacking(reason: &str) -> Hold {
    Hold::Missing(reason.to_owned())
}

/// A measure that does not hold is a warning, or a failure if it is required, with its reason.
fn check_missing(report: Report, judge: impl Fn(&Needs, &JailFacts) -> Finding) -> Finding {
    let jail = JailFacts::Report(report);
    let found = judge(&Needs::private(), &jail);
    assert_eq!(found.verdict, Warn, "{found:?}");
    assert!(found.seen.contains("not in force: because"), "{found:?}");
    let required = Needs { require_isolation: true, ..Needs::private() };
    assert_eq!(judge(&required, &jail).verdict, Fail);
    found
}

#[test]
fn what_the_jail_holds_passes_and_what_it_lacks_does_not() {
    let (facts, needs) = (plain_host(), Needs::private());
    let whole = JailFacts::Report(report());
    for found in [
        vm_user(&facts, &needs, &whole),
        seccomp(&needs, &whole),
        cgroup(&facts, &needs, &whole),
        landlock(&facts, &needs, &whole),
        namespaces(&facts, &needs, &whole),
    ] {
        assert_eq!((found.verdict, &found.mend), (Pass, &None), "{found:?}");
    }
    let because = || lacking("because");
    check_missing(Report { own_uids: because(), ..report() }, |needs, jail| {
        vm_user(&facts, needs, jail)
    });
    check_missing(Report { seccomp: because(), ..report() }, seccomp);
    check_missing(Report { cgroup_pids: because(), ..report() }, |needs, jail| {
        cgroup(&facts, needs, jail)
    });
    check_missing(Report { landlock: because(), ..report() }, |needs, jail| {
        landlock(&facts, needs, jail)
    });
    check_missing(Report { namespaces: because(), ..report() }, |needs, jail| {
        namespaces(&facts, needs, jail)
    });
}

#[test]
fn without_a_jail_everything_of_it_fails() {
    let none = JailFacts::None { reason: "/run/pe-worker: read-only".to_owned() };
    let found = cgroup(&plain_host(), &Needs::private(), &none);
    assert_eq!(found.verdict, Fail);
    assert!(found.seen.contains("/run/pe-worker"));
}

#[test]
fn an_ordinary_user_is_told_to_be_root_and_root_to_have_more_users() {
    let missing = || Report { own_uids: lacking("because"), ..report() };
    let mend = |root| {
        let facts = HostFacts { root, ..plain_host() };
        check_missing(missing(), |needs, jail| vm_user(&facts, needs, jail)).mend
    };
    assert!(mend(false).is_some_and(|it| it.contains("systemctl")));
    assert!(mend(true).is_some_and(|it| it.contains("vm_uids")));
}

fn check_cgroup(facts: CgroupFacts, mend: &str) {
    let facts = HostFacts { cgroup: facts, ..plain_host() };
    let missing = Report { cgroup_memory: lacking("because"), ..report() };
    let found = check_missing(missing, |needs, jail| cgroup(&facts, needs, jail));
    assert!(found.mend.unwrap_or_default().contains(mend));
}

#[test]
fn cgroups_must_be_unified_whole_and_ours() {
    let unified = |controllers: &[&str], delegated| CgroupFacts::Unified {
        path: "/sys/fs/cgroup/a/b".into(),
        controllers: controllers.iter().map(|&it| it.to_owned()).collect(),
        delegated,
    };
    check_cgroup(unified(&["memory", "pids", "cpu"], true), "systemctl");
    check_cgroup(unified(&["memory", "pids", "cpu"], false), "Delegate=yes");
    check_cgroup(unified(&["memory"], true), "> /sys/fs/cgroup/a/cgroup.subtree_control");
    check_cgroup(CgroupFacts::Old, "unified_cgroup_hierarchy=1");
    check_cgroup(CgroupFacts::None, "mount -t cgroup2");
}

#[test]
fn landlock_must_refuse_and_not_only_be_there() {
    let found = |facts| host_landlock(&HostFacts { landlock: facts, ..plain_host() }).verdict;
    assert_eq!(found(LandlockFacts::On { abi: 2, enforced: true }), Pass);
    assert_eq!(found(LandlockFacts::On { abi: 2, enforced: false }), Fail);
    for missing in [LandlockFacts::Off, LandlockFacts::NotBuilt, LandlockFacts::Unknown] {
        assert_eq!(found(missing), Warn);
    }
}

#[test]
fn a_landlock_that_refuses_nothing_fails_whatever_the_jail_believes() {
    let toothless = LandlockFacts::On { abi: 2, enforced: false };
    let facts = HostFacts { landlock: toothless, ..plain_host() };
    let found = landlock(&facts, &Needs::private(), &JailFacts::Report(report()));
    assert_eq!(found.verdict, Fail);
}

#[test]
fn namespaces_that_a_kernel_lacks_are_named() {
    let facts = HostFacts { namespaces_missing: vec!["net"], ..plain_host() };
    let missing = Report { namespaces: lacking("because"), ..report() };
    let found = check_missing(missing, |needs, jail| namespaces(&facts, needs, jail));
    assert!(found.seen.contains("net"), "{}", found.seen);
}

#[test]
fn userfaultfd_is_a_device_or_a_sysctl_and_needed_only_on_demand() {
    let check = |device, for_all, on_demand| {
        let facts = HostFacts { userfaultfd: device, userfaultfd_for_all: for_all, ..plain_host() };
        assert_eq!(userfaultfd(&facts, &Needs::private()).verdict, Pass);
        let needs = Needs { on_demand_only: true, ..Needs::private() };
        assert_eq!(userfaultfd(&facts, &needs).verdict, on_demand);
    };
    check(Device::Opens, Some(false), Pass);
    check(Device::Missing, Some(true), Pass);
    check(Device::Denied, Some(false), Fail);
    check(Device::Missing, Some(false), Fail);
    check(Device::Missing, None, Fail);
}
