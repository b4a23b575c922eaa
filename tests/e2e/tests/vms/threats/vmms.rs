//! What an operator sees of running VMMs: their descriptors, their memory, who they are.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, ensure};
use pe_e2e::lab::Lab;
use pe_e2e::procfs;

use crate::labs::Labs;

crate::scenarios![
    case_05_no_two_vms_share_memory_that_they_can_write_to,
    case_12_a_vmm_has_the_descriptors_it_needs_and_no_others,
    case_13_a_vmm_is_nobody_and_may_do_nothing,
    case_16_a_worker_starts_no_helpers,
];

/// All VMMs of the lab once every slot is ready.
fn ready_vms(lab: &Lab) -> anyhow::Result<Vec<u32>> {
    let worker = lab.worker()?;
    worker.wait_ready(2)?;
    let vms = worker.vms();
    ensure!(vms.len() == 2, "{vms:?}");
    Ok(vms)
}

/// Device and inode of what a process has mapped shared and writable.
fn shared_and_writable(pid: u32) -> anyhow::Result<BTreeSet<(String, String)>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let fields = maps.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let shared = fields.filter(|fields| fields.get(1).is_some_and(|mode| mode.starts_with("rw-s")));
    let files = shared
        .filter_map(|fields| Some(((*fields.get(3)?).to_owned(), (*fields.get(4)?).to_owned())));
    // Anonymous inodes (of KVM) have one inode for all; they hold no memory of guests.
    let anonymous = |path: &(String, String)| path.1 == "0";
    Ok(files.filter(|file| !anonymous(file)).collect())
}

fn case_05_no_two_vms_share_memory_that_they_can_write_to(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let vms = ready_vms(&lab)?;
    let mut seen = BTreeSet::new();
    for vm in &vms {
        let maps = fs::read_to_string(format!("/proc/{vm}/maps"))?;
        ensure!(maps.contains("memfd:pe-io"), "the io file is not mapped: {maps}");
        for file in shared_and_writable(*vm)? {
            let kvm =
                maps.lines().any(|line| line.contains(&file.1) && line.contains("anon_inode"));
            ensure!(kvm || seen.insert(file.clone()), "{file:?} is mapped by two: {maps}");
        }
        // Of a pack, no page is mapped both shared and writable.
        for line in maps.lines().filter(|line| line.contains(".erofs")) {
            ensure!(!line.contains(" rw-s "), "{line}");
        }
    }
    ensure!(!seen.is_empty());
    Ok(())
}

/// What a VMM may hold, by how its link in /proc begins.
const ALLOWED: [&str; 12] = [
    "/dev/null",
    "/dev/kvm",
    "/dev/pts/",
    "/dev/ptmx",
    "/memfd:pe-io",
    "/memfd:pe-ram",
    "/memfd:pe-state",
    "anon_inode:",
    "pipe:",
    "socket:",
    // Its API's error and wake-up channels, and the files of a zygote.
    "/dev/userfaultfd",
    "/dev/urandom",
];

fn case_12_a_vmm_has_the_descriptors_it_needs_and_no_others(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let vms = ready_vms(&lab)?;
    let mut io_files = BTreeSet::new();
    for vm in &vms {
        let mut own = BTreeSet::new();
        for entry in fs::read_dir(format!("/proc/{vm}/fd"))?.flatten() {
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let target = target.to_string_lossy().into_owned();
            let number = entry.file_name().to_string_lossy().into_owned();
            let info = fs::read_to_string(format!("/proc/{vm}/fdinfo/{number}"))?;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            let flags = u32::from_str_radix(flags.context("flags")?.trim(), 8)?;
            let read_only = flags & 3 == 0;
            let pack_or_zygote = [".erofs", "/vmlinuz", "/initramfs.cpio", "/packs"];
            if pack_or_zygote.iter().any(|end| target.ends_with(end)) || target.contains("/zygote")
            {
                ensure!(read_only, "{vm} can write to {target}");
                continue;
            }
            let known = ALLOWED.iter().any(|start| target.starts_with(start));
            ensure!(known, "{vm} has {number} -> {target}");
            if target.starts_with("/memfd:pe-io") {
                own.insert(fs::metadata(entry.path())?.ino());
            }
        }
        ensure!(own.len() == 1, "{vm} has {} io files", own.len());
        ensure!(io_files.is_disjoint(&own), "{vm} has the io file of another");
        io_files.extend(own);
    }
    Ok(())
}

fn case_13_a_vmm_is_nobody_and_may_do_nothing(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    for vm in ready_vms(&lab)? {
        let status = fs::read_to_string(format!("/proc/{vm}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
            ensure!(field(set) == ["0000000000000000"], "{set} {status}");
        }
        ensure!(field("NoNewPrivs:") == ["1"] && field("Seccomp:") == ["2"], "{status}");
        if fs::metadata("/proc/self")?.uid() == 0 {
            ensure!(!field("Uid:").contains(&"0".to_owned()), "{status}");
            ensure!(!field("Gid:").contains(&"0".to_owned()), "{status}");
            ensure!(field("CapBnd:") == ["0000000000000000"], "{status}");
        }
        // Nothing of the host's environment goes along (case 40).
        ensure!(fs::read(format!("/proc/{vm}/environ"))?.is_empty(), "{vm} has an environment");
        // Files are named by descriptor, never by a path (case 14); the kind is never guessed.
        let words = fs::read_to_string(format!("/proc/{vm}/cmdline"))?;
        for word in words.split('\0').skip(1) {
            let files = word.split([',', '=']).filter(|part| part.starts_with('/'));
            for path in files {
                let descriptor = path.starts_with("/proc/self/fd/") || path == "/dev/null";
                ensure!(descriptor || path.contains("/zygote"), "{vm} was given {path}");
            }
        }
    }
    Ok(())
}

fn case_16_a_worker_starts_no_helpers(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let vms: BTreeSet<u32> = ready_vms(&lab)?.into_iter().collect();
    let children = procfs::children(lab.worker()?.daemon.pid());
    let names: Vec<String> = children.difference(&vms).map(|pid| procfs::name(*pid)).collect();
    ensure!(names.is_empty(), "children that are no VMM: {names:?}");
    for vm in vms {
        ensure!(procfs::children(vm).is_empty(), "{vm} has children");
    }
    Ok(())
}
