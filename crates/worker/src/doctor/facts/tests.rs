use super::*;

/// A host on which nothing is wrong.
pub(crate) fn plain_host() -> HostFacts {
    let memory = [("MemTotal", 16_000_000), ("MemAvailable", 15_000_000)];
    let mitigated = ("spectre_v2".to_owned(), "Mitigation: Retpolines".to_owned());
    HostFacts {
        root: true,
        kvm: Device::Opens,
        virtualisation: true,
        cgroup: CgroupFacts::Unified {
            path: "/sys/fs/cgroup/system.slice/pe-worker.service".into(),
            controllers: ["cpu", "memory", "pids"].map(str::to_owned).to_vec(),
            delegated: true,
        },
        landlock: LandlockFacts::On { abi: 4, enforced: true },
        namespaces_missing: Vec::new(),
        userfaultfd: Device::Opens,
        userfaultfd_for_all: Some(false),
        memory: memory.map(|(name, kib)| (name.to_owned(), kib)).into(),
        memory_budget_mib: 13_500,
        huge_pages: Some("madvise".to_owned()),
        ksm: Some(0),
        ksm_pages: 0,
        swaps: Vec::new(),
        smt_active: Some(false),
        smt_control: Some("off".to_owned()),
        vulnerabilities: [mitigated].into(),
        clock_synchronised: Some(true),
        descriptors_max: Some(1_048_576),
        uptime: Duration::from_secs(3600),
        entropy: Some(256),
    }
}

/// A host laid out as files.
fn host(files: &[(&str, &str)]) -> HostFacts {
    let dir = tempfile::tempdir().expect("tempdir");
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
        fs::write(path, text).expect("write");
    }
    HostFacts::read(dir.path())
}

#[test]
fn a_host_that_tells_nothing_is_all_unknown() {
    let facts = host(&[]);
    assert_eq!(facts.cgroup, CgroupFacts::None);
    assert_eq!((facts.ksm, facts.smt_active, facts.entropy), (None, None, None));
    assert_eq!(facts.namespaces_missing, NAMESPACES);
    assert_eq!(facts.memory_kib("MemAvailable"), 0);
    assert!(facts.swaps.is_empty() && facts.vulnerabilities.is_empty() && !facts.virtualisation);
}

#[test]
fn memory_swap_and_merging_are_read() {
    let facts = host(&[
        (
            "proc/meminfo",
            "MemTotal:       24684096 kB\nMemAvailable:   23768032 kB\nHugePages_Free:       12\n",
        ),
        (
            "proc/swaps",
            "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
             /dev/zram0                              partition\t4194300\t\t0\t\t100\n",
        ),
        ("sys/kernel/mm/ksm/run", "1\n"),
        ("sys/kernel/mm/ksm/pages_sharing", "4711\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
        (
            "proc/self/limits",
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max open files            1024                 20000                files     \n",
        ),
        ("proc/uptime", "13151.43 13460.62\n"),
    ]);
    assert_eq!(facts.memory_kib("MemAvailable"), 23_768_032);
    assert_eq!(facts.memory_kib("HugePages_Free"), 12);
    assert_eq!(facts.swaps, [Swap { name: "/dev/zram0".to_owned(), kib: 4_194_300 }]);
    assert_eq!((facts.ksm, facts.ksm_pages), (Some(1), 4711));
    assert_eq!(facts.huge_pages.as_deref(), Some("madvise"));
    assert_eq!(facts.descriptors_max, Some(20_000));
    assert_eq!(facts.uptime, Duration::from_secs(13_151));
}

#[test]
fn the_processor_is_read() {
    let facts = host(&[
        ("proc/cpuinfo", "model name\t: AMD EPYC\nflags\t\t: fpu vme svm de\n"),
        ("sys/devices/system/cpu/smt/active", "1\n"),
        ("sys/devices/system/cpu/smt/control", "on\n"),
        ("sys/devices/system/cpu/vulnerabilities/mds", "Not affected\n"),
        ("sys/devices/system/cpu/vulnerabilities/l1tf", "Vulnerable\n"),
    ]);
    assert!(facts.virtualisation);
    assert_eq!((facts.smt_active, facts.smt_control.as_deref()), (Some(true), Some("on")));
    assert_eq!(facts.vulnerabilities.get("l1tf").map(String::as_str), Some("Vulnerable"));
    // A word within a word is none.
    assert!(!host(&[("proc/cpuinfo", "flags : nosvm vmxnet\n")]).virtualisation);
}

#[test]
fn the_unified_hierarchy_is_found_with_our_own_group() {
    let facts = host(&[
        ("proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"),
        ("proc/self/cgroup", "0::/system.slice/pe-worker.service\n"),
        (
            "sys/fs/cgroup/system.slice/pe-worker.service/cgroup.controllers",
            "cpuset cpu io memory pids\n",
        ),
    ]);
    let CgroupFacts::Unified { path, controllers, delegated } = facts.cgroup else {
        panic!("unified");
    };
    assert_eq!(path, Path::new("/sys/fs/cgroup/system.slice/pe-worker.service"));
    assert_eq!(controllers, ["cpuset", "cpu", "io", "memory", "pids"]);
    assert!(delegated);
}

#[test]
fn a_hierarchy_of_both_kinds_is_of_the_old_kind() {
    let facts = host(&[
        (
            "proc/self/mounts",
            "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
             cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
        ),
        ("proc/self/cgroup", "4:memory:/x\n0::/\n"),
        ("sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n"),
    ]);
    assert_eq!(facts.cgroup, CgroupFacts::Old);
}

#[test]
fn what_only_calls_tell_can_be_asked_of_this_host() {
    let facts = HostFacts::of_this_host();
    assert_ne!(facts.landlock, LandlockFacts::Unknown);
    assert!(facts.memory_kib("MemTotal") > 0);
    // A restriction of the thread that tried Landlock is not one of ours.
    assert!(fs::File::open("/proc/self/status").is_ok());
}
