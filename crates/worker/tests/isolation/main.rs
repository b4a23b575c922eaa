//! What confines a VMM, seen from outside on real ones, and from inside by a probe in the place
//! of one. `PE_TEST_VMM=cloud-hypervisor` runs the same with cloud-hypervisor, where it can run,
//! `PE_TEST_ACCEL=kvm` with QEMU on KVM.
//! Needs the assets of `make assets`. What this host cannot give is said, and not asserted.

mod looks;
mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pe_worker::core::pool::How;
use pe_worker::jail::{Hold, Jail, Report};
use pe_worker::worker::Foundation;
use serde_json::Value;

use looks::{field, memory_files, open_kinds, proc};
use rig::{Place, config, is_cloud_hypervisor, rig, until, uses_kvm};

#[tokio::test]
async fn a_vmm_has_exactly_the_descriptors_it_was_given() {
    let rig = rig().await;
    let vm = rig.vm().await;
    let mut found = open_kinds(vm.pid());
    let own = |kind: &str| {
        let kind = kind.strip_prefix("anon_inode:");
        kind.is_some_and(|kind| OWN_KINDS.iter().any(|own| kind.starts_with(own)))
    };
    found.retain(|kind, _| !own(kind));
    let expected: &[(&str, usize)] = if is_cloud_hypervisor() { &CH_FDS } else { &QEMU_FDS };
    let expected: BTreeMap<String, usize> =
        expected.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
    assert_eq!(found, expected);
    vm.kill().await;
}

/// Standard input and output; the io file, the memory and the pack, each handed over and opened
/// anew; standard error; control and serial sockets.
const QEMU_FDS: [(&str, usize); 6] = [
    ("/dev/null", 2),
    ("/memfd:pe-io (deleted)", 2),
    ("/memfd:pe-ram (deleted)", 2),
    ("a pack", 2),
    ("pipe", 1),
    ("socket", 2),
];

/// KVM; the terminal it was started with, as standard input and output and as serial port; its
/// own randomness; the io file, the memory and the pack, handed over, opened anew and kept with
/// their mappings; standard error; the control socket, listening and connected, and a pair that
/// its threads wake each other with.
const CH_FDS: [(&str, usize); 8] = [
    ("/dev/kvm", 1),
    ("/dev/urandom", 1),
    ("/memfd:pe-io (deleted)", 4),
    ("/memfd:pe-ram (deleted)", 2),
    ("a pack", 4),
    ("a terminal", 4),
    ("pipe", 1),
    ("socket", 4),
];

/// What a VMM makes for itself, as many as it likes: they lead nowhere.
const OWN_KINDS: [&str; 6] =
    ["[eventfd]", "[eventpoll]", "[signalfd]", "[timerfd]", "[userfaultfd]", "kvm-"];

#[tokio::test]
async fn no_vmm_has_a_memory_file_of_another() {
    let rig = rig().await;
    let (one, two) = (rig.vm().await, rig.vm().await);
    let (ones, twos) = (memory_files(one.pid()), memory_files(two.pid()));
    let io = |files: &BTreeSet<(String, u64)>| {
        files.iter().filter(|(name, _)| name.contains("pe-io")).count()
    };
    assert_eq!((io(&ones), io(&twos)), (1, 1));
    for (name, inode) in ones.intersection(&twos) {
        // The zygote's memory, which the kernel lets nobody write to any more.
        assert!(name.contains("pe-ram"), "{name} {inode} is in both");
    }
    for vm in [one, two] {
        vm.kill().await;
    }
}

#[tokio::test]
async fn a_vmm_is_a_user_of_its_own_without_any_power() {
    let rig = rig().await;
    let (one, two) = (rig.vm().await, rig.vm().await);
    let mut users = BTreeSet::new();
    for vm in [&one, &two] {
        let status = proc(vm.pid(), "status");
        assert_eq!(field(&status, "NoNewPrivs:"), ["1"]);
        // Two filters are ours; VMMs put theirs on top, but for cloud-hypervisor's first thread,
        // which only waits.
        let first = if is_cloud_hypervisor() { vm.pid().to_string() } else { String::new() };
        for task in fs::read_dir(format!("/proc/{}/task", vm.pid())).expect("tasks").flatten() {
            let status = fs::read_to_string(task.path().join("status")).expect("status");
            assert_eq!(field(&status, "Seccomp:"), ["2"], "{status}");
            let filters = field(&status, "Seccomp_filters:");
            let filters: u32 = filters.first().and_then(|count| count.parse().ok()).expect("count");
            let is_first = task.file_name().to_string_lossy() == first;
            assert!(filters >= if is_first { 2 } else { 3 }, "{status}");
        }
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(&status, set), ["0000000000000000"], "{set}");
        }
        if rig.jail.report().own_uids.is_held() {
            assert_eq!(field(&status, "CapBnd:"), ["0000000000000000"]);
            assert_eq!(field(&status, "Groups:"), Vec::<&str>::new());
            let (uids, gids) = (field(&status, "Uid:"), field(&status, "Gid:"));
            assert_eq!(uids, gids);
            let uid = uids.first().and_then(|uid| uid.parse::<u32>().ok()).expect("uid");
            assert!(uids.iter().all(|id| *id == uid.to_string()) && uid >= 1000);
            assert!(users.insert(uid), "two VMMs of one user");
        }
        // The leader of a session and a group of its own.
        let stat = proc(vm.pid(), "stat");
        let after_name = stat.rsplit_once(')').expect("stat").1;
        let ids: Vec<&str> = after_name.split_whitespace().skip(2).take(2).collect();
        assert_eq!(ids, [vm.pid().to_string(), vm.pid().to_string()]);
        let limits = proc(vm.pid(), "limits");
        let limit = |name: &str| {
            let line = limits.lines().find(|line| line.starts_with(name)).expect("limit");
            line[name.len()..].split_whitespace().next().map(str::to_owned)
        };
        assert_eq!(limit("Max core file size"), Some("0".to_owned()));
        assert_eq!(limit("Max open files"), Some("512".to_owned()));
    }
    for vm in [one, two] {
        vm.kill().await;
    }
}

#[tokio::test]
async fn a_vmm_is_in_namespaces_and_a_root_of_its_own() {
    let rig = rig().await;
    let vm = rig.vm().await;
    if skipped("namespaces", &rig.jail.report().namespaces) {
        return;
    }
    for space in ["net", "ipc", "uts", "mnt"] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{space}")).expect("ns");
        assert_ne!(of(&vm.pid().to_string()), of("self"), "{space}");
    }
    let root = fs::read_dir(format!("/proc/{}/root/", vm.pid())).expect("root");
    let names: BTreeSet<String> =
        root.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    for name in ["etc/passwd", "root", "home", "sys", "usr/bin/env", "tmp/worker.toml"] {
        let path = format!("/proc/{}/root/{name}", vm.pid());
        assert!(!Path::new(&path).exists(), "{name} of {names:?}");
    }
    vm.kill().await;
}

#[tokio::test]
async fn a_vmm_is_in_a_cgroup_with_limits_that_is_gone_after_it() {
    let rig = rig().await;
    let vm = rig.vm().await;
    let own = proc(vm.pid(), "cgroup");
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned();
    if own.is_empty() || !own.contains("vm-") {
        skipped("cgroups", &rig.jail.report().cgroup_memory);
        vm.kill().await;
        return;
    }
    let mounts = proc(std::process::id(), "mountinfo");
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("cgroup2");
    let group = PathBuf::from(format!("{}{own}", mount.split(' ').nth(4).expect("mount point")));
    let read = |name: &str| fs::read_to_string(group.join(name)).unwrap_or_default();
    // KVM may put a thread of the kernel beside it, which has no memory of its own.
    let is_user = |pid: &&str| !pid.parse().is_ok_and(|pid| proc(pid, "maps").is_empty());
    let members: Vec<String> =
        read("cgroup.procs").lines().filter(is_user).map(str::to_owned).collect();
    assert_eq!(members, [vm.pid().to_string()]);
    let report = rig.jail.report();
    if !skipped("memory limit", &report.cgroup_memory) {
        let most: u64 = read("memory.max").trim().parse().expect("a limit");
        assert!((128 << 20..4 << 30).contains(&most), "{most}");
        assert_eq!(read("memory.oom.group").trim(), "1");
    }
    if !skipped("pids limit", &report.cgroup_pids) {
        assert_eq!(read("pids.max").trim(), "128");
    }
    if !skipped("cpu limit", &report.cgroup_cpu) {
        assert_eq!(read("cpu.max").trim(), "200000 100000");
    }
    vm.kill().await;
    until("cgroup gone", Duration::from_secs(5), || !group.exists()).await;
}

#[tokio::test]
async fn a_vmm_stays_on_one_physical_core() {
    let rig = rig().await;
    let vm = rig.vm().await;
    if !skipped("pinning", &rig.jail.report().pinning) {
        let list = proc(vm.pid(), "status");
        let list = field(&list, "Cpus_allowed_list:").join("");
        let topology = pe_worker::jail::topology();
        let cores = topology.for_slots(1).expect("one");
        let core = cores.first().expect("one");
        let cpus: Vec<String> = core.cpus.iter().map(u32::to_string).collect();
        let range = [cpus.first(), cpus.last()].into_iter().flatten().cloned().collect::<Vec<_>>();
        assert!(list == cpus.join(",") || list == range.join("-"), "{list} is not {cpus:?}");
    }
    vm.kill().await;
}

fn skipped(what: &str, hold: &Hold) -> bool {
    if let Hold::Missing(reason) = hold {
        eprintln!("NOT SHOWN HERE: {what}: {reason}");
    }
    !hold.is_held()
}

/// The probe, in the place of a VMM of either kind.
fn probe(dir: &Path) -> PathBuf {
    let built = std::env::var_os("PE_JAIL_PROBE").map_or_else(
        || {
            let me = std::env::current_exe().expect("me");
            me.ancestors().nth(2).expect("target").join("examples/jail_probe")
        },
        PathBuf::from,
    );
    assert!(built.exists(), "{} is missing: cargo build --examples -p pe-worker", built.display());
    let name = if is_cloud_hypervisor() { "cloud-hypervisor" } else { "probe" };
    let here = dir.join(name);
    fs::copy(built, &here).expect("copy");
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("mode");
    here
}

fn probe_setting(probe: &Path) -> String {
    let key = if is_cloud_hypervisor() { "cloud_hypervisor" } else { "qemu" };
    format!("{key} = {probe:?}")
}

/// What the probe says, somewhere in a text.
fn said(text: &str) -> Value {
    let json = text.find('{').zip(text.rfind('}')).map(|(first, last)| &text[first..=last]);
    serde_json::from_str(json.unwrap_or_default()).unwrap_or_else(|_| panic!("no report: {text}"))
}

/// The probe where a VMM would be, while a real one runs beside it.
#[tokio::test]
async fn what_has_taken_over_a_vmm_gets_nowhere() {
    let neighbours = rig().await;
    let neighbour = neighbours.vm().await;
    let _listener = abstract_listener();
    let dir = neighbours.dir.path();
    let runtime = dir.join("run");
    let probe = probe(dir);
    let more = format!("runtime_dir = {runtime:?}\n{}", probe_setting(&probe));
    let report = neighbours.jail.report();
    // It is no VMM: found out by trying, or at the first start.
    let error = match Foundation::lay(&config(dir, &more)).await {
        Err(error) => pe_worker::chain(&error),
        Ok(foundation) => {
            let error = foundation.into_backend().start(How::Boot).await.expect_err("a probe");
            pe_worker::chain(&error)
        }
    };
    let said = said(&error);
    neighbour.kill().await;
    let root = nix::unistd::geteuid().is_root();
    let tried = said["tried"].as_object().expect("tried");
    // Listening where there is no network reaches nobody; Landlock refuses it from Linux 6.7 on.
    let may = ["open /dev/null", "run /lib64/ld-linux-x86-64.so.2", "listen"];
    for (what, result) in tried {
        // It is what runs the guest.
        let kvm = what == "open /dev/kvm" && uses_kvm();
        if kvm || may.contains(&what.as_str()) || !(root && report.landlock.is_held()) {
            continue;
        }
        assert_ne!(result, "ok", "{what}");
    }
    assert_eq!(tried["open /dev/null"], "ok");
    if !skipped("namespaces", &report.namespaces) {
        assert_eq!(said["processes"], serde_json::json!([]), "it sees others");
        let dev = ["null", "random", "urandom", "zero"];
        let listed = said["listed"]["/dev"].as_array().expect("names");
        let more: Vec<&str> =
            listed.iter().filter_map(Value::as_str).filter(|it| !dev.contains(it)).collect();
        let kvm = ["kvm", "userfaultfd"];
        assert!(more.iter().all(|it| uses_kvm() && kvm.contains(it)), "{more:?}");
        for (place, options) in said["mounts"].as_object().expect("mounts") {
            let options = options.as_str().expect("options");
            let writable = place.ends_with("/zygotes") || place == "/proc";
            assert!(writable || options.starts_with("ro,"), "{place} is {options}");
            assert!(options.contains("nosuid"), "{place} is {options}");
        }
    }
    // Of what it was given it can write to its io file, its memory and nothing else.
    for target in said["writable_fds"].as_object().expect("fds").values() {
        let target = target.as_str().expect("a name");
        let own =
            ["/memfd:pe-io", "/memfd:pe-ram", "/memfd:pe-state", "/dev/null", "pipe:", "/dev/pts/"];
        // cloud-hypervisor's zygote is saved in a file of its own directory.
        let saved = target.contains("/zygotes/");
        let own = saved || own.iter().any(|own| target.starts_with(own));
        assert!(own, "{target} can be written to");
    }
}

fn abstract_listener() -> UnixListener {
    let name = format!("pe-jail-probe-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).expect("short");
    UnixListener::bind_addr(&address).expect("listen")
}

/// As an ordinary user there is no root, no user and no cgroup of its own, but Landlock.
#[test]
fn an_ordinary_user_s_vmm_is_confined_by_landlock() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("NOT SHOWN HERE: not root, so there is no other user to become");
        return;
    }
    let dir = Place::new();
    let probe = probe(dir.path());
    let runtime = dir.path().join("run");
    fs::create_dir(&runtime).expect("dir");
    std::os::unix::fs::chown(&runtime, Some(NOBODY), Some(NOBODY)).expect("chown");
    let worker = dir.path().join("pe-worker");
    fs::copy(env!("CARGO_BIN_EXE_pe-worker"), &worker).expect("copy");
    config(dir.path(), &format!("runtime_dir = {runtime:?}\n{}", probe_setting(&probe)));
    let mut command = Command::new(&worker);
    command.arg("bench").arg("--config").arg(dir.path().join("worker.toml"));
    std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
    std::os::unix::process::CommandExt::gid(&mut command, NOBODY);
    let output = command.current_dir("/").output().expect("worker");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let plain = log.replace("\\\"", "\"").replace("\\\\", "\\");
    if is_cloud_hypervisor() && !plain.contains("\"tried\"") {
        eprintln!("NOT SHOWN HERE: this user can start no cloud-hypervisor: {log}");
        return;
    }
    let line = plain.lines().find(|line| line.contains("\"tried\"")).expect("its report");
    let said = said(line);
    // A worker that has no other VMM to go on with ends before it tells what holds.
    let landlock = if is_cloud_hypervisor() {
        fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|on| on.contains("landlock"))
    } else {
        assert!(log.contains("the worker is not root"), "{log}");
        log.contains("held=\"seccomp landlock")
    };
    if !landlock {
        eprintln!("NOT SHOWN HERE: landlock: {log}");
        return;
    }
    for what in ["open /etc/passwd", "open /tmp", "create /new", "run /bin/sh", "open /proc/1/mem"]
    {
        assert_ne!(said["tried"][what], "ok", "{what}");
    }
    assert_eq!(field(said["status"].as_str().expect("status"), "NoNewPrivs:"), ["1"]);
}

const NOBODY: u32 = 65_534;

#[test]
fn a_worker_that_must_isolate_does_not_start_where_it_cannot() {
    let dir = Place::new();
    let probe = probe(dir.path());
    let runtime = dir.path().join("run");
    let more =
        format!("runtime_dir = {runtime:?}\nrequire_isolation = true\n{}", probe_setting(&probe));
    config(dir.path(), &more);
    let mut command = Command::new(env!("CARGO_BIN_EXE_pe-worker"));
    command.arg("bench").arg("--config").arg(dir.path().join("worker.toml"));
    let output = command.output().expect("worker");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    if log.contains("require_isolation is set and this is missing") {
        assert!(!log.contains("tried"), "a vmm was started: {log}");
    } else {
        // Everything is there: it got as far as the probe.
        assert!(log.contains("tried"), "{log}");
    }
}

#[tokio::test]
async fn what_a_killed_worker_leaves_is_gone_after_the_next_start() {
    let dir = Place::new();
    let runtime = dir.path().join("run");
    config(dir.path(), &format!("runtime_dir = {runtime:?}"));
    let worker = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pe-worker"));
        command.arg("bench").args(["--vms", "500", "--config"]).arg(dir.path().join("worker.toml"));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("worker")
    };
    let entries = |dir: &Path| -> Vec<PathBuf> {
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let instances =
        || entries(&runtime).into_iter().filter(|path| path.is_dir()).collect::<Vec<_>>();
    let vmms = || -> Vec<u32> {
        let notes = instances().into_iter().flat_map(|dir| entries(&dir.join("vms")));
        notes.filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect()
    };
    let mut first = worker();
    until("a vmm", Duration::from_secs(60), || !vmms().is_empty()).await;
    let left = vmms();
    let instance = instances();
    let groups = instance.iter().filter_map(|dir| fs::read_to_string(dir.join("cgroup")).ok());
    let groups: Vec<PathBuf> = groups.map(PathBuf::from).collect();
    first.kill().expect("SIGKILL");
    first.wait().expect("reaped");
    for pid in left {
        let ended = || !Path::new(&format!("/proc/{pid}")).exists();
        until("a vmm without its worker ends", Duration::from_secs(10), ended).await;
    }
    assert_eq!(instances(), instance, "it could not tidy up");
    let mut second = worker();
    let swept = || instance.iter().all(|dir| !dir.exists());
    until("swept", Duration::from_secs(30), swept).await;
    for group in groups {
        assert!(!group.exists(), "{} is left", group.display());
    }
    second.kill().expect("SIGKILL");
    second.wait().expect("reaped");
}

/// It works outside, where its version is asked for; inside, what it needs is not there.
#[tokio::test]
async fn a_vmm_that_cannot_be_executed_leaves_no_cgroup() {
    let place = Place::new();
    let dir = place.path();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("mode");
    fs::copy("/bin/sh", dir.join("sh")).expect("copy");
    let kind = if is_cloud_hypervisor() { "cloud-hypervisor v54.0.0" } else { "QEMU 7.2" };
    let script = dir.join("vmm");
    fs::write(&script, format!("#!{}\necho {kind}\n", dir.join("sh").display())).expect("write");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("mode");
    let runtime = dir.join("run");
    let more = format!("runtime_dir = {runtime:?}\n{}", probe_setting(&script));
    // Held until the end: its groups are looked at while the worker lives.
    let foundation = Foundation::lay(&config(dir, &more)).await;
    let noted = fs::read_dir(&runtime).expect("run").flatten().find_map(|instance| {
        fs::read_to_string(instance.path().join("cgroup")).ok().map(PathBuf::from)
    });
    let Some(groups) = noted else {
        eprintln!("NOT SHOWN HERE: there are no cgroups, or the worker is gone with them");
        return;
    };
    let is_empty = || {
        let entries = fs::read_dir(&groups).into_iter().flatten().flatten();
        !entries.into_iter().any(|entry| entry.path().is_dir())
    };
    until("no group is left", Duration::from_secs(5), is_empty).await;
    drop(foundation);
}

/// A VMM that the kernel does not let go of: here because its (v1) freezer holds it.
#[tokio::test]
async fn a_vmm_that_cannot_be_reaped_holds_nobody_up_and_is_counted() {
    let freezer = PathBuf::from("/sys/fs/cgroup/freezer");
    if !freezer.join("cgroup.procs").exists() || !nix::unistd::geteuid().is_root() {
        eprintln!("NOT SHOWN HERE: there is no v1 freezer to hold a process with");
        return;
    }
    let rig = rig().await;
    let vm = rig.vm().await;
    let pid = vm.pid();
    let cage = freezer.join(format!("pe-test-{pid}"));
    fs::create_dir(&cage).expect("freezer");
    fs::write(cage.join("cgroup.procs"), pid.to_string()).expect("join");
    fs::write(cage.join("freezer.state"), "FROZEN").expect("freeze");
    let frozen = || fs::read_to_string(cage.join("freezer.state")).is_ok_and(|it| it == "FROZEN\n");
    until("frozen", Duration::from_secs(5), frozen).await;
    let began = Instant::now();
    drop(vm);
    assert!(began.elapsed() < Duration::from_millis(500), "dropping it waited");
    // The next one starts all the same.
    rig.vm().await.kill().await;
    until("counted", Duration::from_secs(30), || rig.census.unreaped().contains(&pid)).await;
    assert!(rig.census.pids().contains(&pid));
    fs::write(cage.join("freezer.state"), "THAWED").expect("thaw");
    until("gone", Duration::from_secs(5), || !rig.census.pids().contains(&pid)).await;
    assert!(rig.census.unreaped().is_empty());
    until("cage empty", Duration::from_secs(5), || fs::remove_dir(&cage).is_ok()).await;
}

#[test]
fn a_report_names_every_measure() {
    let dir = Place::new();
    let runtime = dir.path().join("run");
    let jail = Jail::prepare(&config(dir.path(), &format!("runtime_dir = {runtime:?}")));
    let report: Report = jail.expect("jail").report();
    assert_eq!(report.measures().len(), 8);
}
