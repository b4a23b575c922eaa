//! What must hold of a VM, whatever its VMM. Each is a test in the file of every backend.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pe_proto::Outcome;
use pe_worker::core::pool::How;

use super::rig::*;

/// One `name value` a line. Of each mapping only where it begins; names as the kernel gives them.
const WHO_AM_I: &str = r#"
    echo "random $(head -c 32 /dev/urandom | md5sum)"
    for id in boot_id uuid; do echo "$id $(cat /proc/sys/kernel/random/$id)"; done
    for of in stack vdso heap; do
        echo "$of $(grep "\[$of\]" /proc/self/maps | cut -d- -f1)"
    done
    echo "again $(cat /proc/sys/kernel/random/boot_id)"
    echo "time $(date +%s)"
"#;

pub(crate) async fn siblings_know_nothing_of_each_other(rig: &Rig) {
    let script = "cat a; echo $RANDOM > /tmp/marker; head -c 16 /dev/urandom | md5sum; \
                  cat /proc/sys/kernel/random/boot_id; ls /tmp";
    let mut seen = HashSet::new();
    for _ in 0..2 {
        let collected = rig.run(rig.restore().await, script, async |_| {}).await;
        assert_eq!(collected.meta.outcome, Outcome::Exited { code: 0 });
        let stdout = stdout(&collected);
        let said = stdout.strip_prefix("data").expect("the input");
        assert!(said.ends_with("marker\n"), "{said}");
        let random = said.lines().next().unwrap_or_default().to_owned();
        assert!(seen.insert(random), "siblings share their randomness");
    }
}

pub(crate) async fn a_late_pack_is_plugged_in(rig: &Rig) {
    let collected = rig.run(rig.restore().await, "echo plugged", async |_| {}).await;
    assert_eq!(stdout(&collected), "plugged\n");
}

/// Names of a process's threads that may make any system call.
fn threads_without_filter(pid: u32) -> Vec<String> {
    let mut names = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).expect("proc").flatten() {
        let status = std::fs::read_to_string(thread.path().join("status")).expect("status");
        if !status.lines().any(|line| line == "Seccomp:\t2") {
            names.push(status.lines().next().unwrap_or_default().replace("Name:\t", ""));
        }
    }
    names
}

/// `idle` names threads that need no filter: they wait for the others and touch nothing.
pub(crate) async fn a_vmm_is_confined(rig: &Rig, idle: &[&str]) {
    let (one, two) = (rig.restore().await, rig.restore().await);
    let status = std::fs::read_to_string(format!("/proc/{}/status", one.pid())).expect("status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("field");
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    let free = threads_without_filter(one.pid());
    assert!(free.iter().all(|thread| idle.contains(&thread.as_str())), "{free:?}");
    for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    if nix::unistd::geteuid().is_root() {
        assert!(!field("Uid:").contains(&"0".to_owned()));
        assert!(!field("Gid:").contains(&"0".to_owned()));
        assert_eq!(field("CapBnd:"), ["0000000000000000"]);
        assert_eq!(field("Groups:"), Vec::<String>::new());
    }
    // Its own io file and the zygote's memory, under as many numbers as it likes.
    for vm in [&one, &two] {
        let memfds: HashSet<String> = memfds_of(&vm.pid().to_string()).into_iter().collect();
        let expected = ["/memfd:pe-io (deleted)", "/memfd:pe-ram (deleted)"];
        assert_eq!(memfds, expected.map(str::to_owned).into());
    }
    one.kill().await;
    two.kill().await;
}

pub(crate) async fn a_killed_vmm_is_noticed(rig: &Rig) {
    let vm = rig.restore().await;
    let mut killed = None;
    let script = "echo before; sleep 60; echo after";
    let collected = rig
        .run(vm, script, async |running: Running| {
            running.until_said(7).await;
            send(running.pid, Signal::SIGKILL);
            killed = Some(Instant::now());
        })
        .await;
    assert!(killed.expect("killed").elapsed() < Duration::from_secs(1));
    assert!(matches!(collected.meta.outcome, Outcome::Lost { .. }));
    assert_eq!(stdout(&collected), "before\n");
}

pub(crate) async fn a_stopped_vmm_is_killed(rig: &Rig) {
    let vm = rig.restore().await;
    let pid = vm.pid();
    send(pid, Signal::SIGSTOP);
    let began = Instant::now();
    vm.kill().await;
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(!process_exists(pid));
}

pub(crate) async fn a_hung_vmm_is_found_out(rig: &Rig) {
    let vm = rig.restore().await;
    send(vm.pid(), Signal::SIGSTOP);
    let image = rig.images.named("busybox").expect("busybox");
    let pack = rig.images.pack(image).expect("pack");
    let mut vm = vm.lease();
    let began = Instant::now();
    vm.parts().0.attach(pack).await.expect_err("hung");
    vm.kill().await;
    assert!(began.elapsed() < Duration::from_secs(5));
}

pub(crate) async fn dropped_vms_leave_nothing(rig: &Rig) {
    drop(rig.restore().await);
    rig.until_alone(&[]).await;
    let (files, memfds) = (open_files(), memfds_of("self").len());
    for _ in 0..10 {
        let vm = rig.restore().await;
        let pid = vm.pid();
        assert!(rig.census.pids().contains(&pid));
        drop(vm);
        // Whoever drops it does not wait; it ends all the same.
        rig.until_alone(&[]).await;
        assert!(!process_exists(pid));
    }
    // A start that is given up half-way ends its VMM, too.
    for _ in 0..5 {
        let start = rig.backend.start(How::Restore);
        let _ = tokio::time::timeout(Duration::from_millis(30), start).await;
    }
    let vm = rig.restore().await;
    rig.until_alone(&[vm.pid()]).await;
    vm.kill().await;
    // Its share of the host is given back a moment later.
    let given_back = async {
        while open_files() > files {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), given_back).await.expect("closed");
    assert_eq!(memfds_of("self").len(), memfds);
}

pub(crate) async fn siblings_have_no_identity_in_common(rig: &Rig) {
    let mut siblings = Vec::new();
    for _ in 0..3 {
        let collected = rig.run(rig.restore().await, WHO_AM_I, async |_| {}).await;
        assert_eq!(collected.meta.outcome, Outcome::Exited { code: 0 });
        let said = stdout(&collected);
        let pairs = said.lines().filter_map(|line| line.split_once(' '));
        let own: HashMap<String, String> =
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(own.len(), 8, "{said}");
        assert!(own.values().all(|value| !value.is_empty()), "{said}");
        assert_eq!(own.get("boot_id"), own.get("again"), "a boot id stays what it is");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now");
        let told: u64 = own.get("time").and_then(|time| time.parse().ok()).expect("seconds");
        assert!(now.as_secs().abs_diff(told) < 30, "the clock is the zygote's");
        siblings.push(own);
    }
    for name in ["random", "boot_id", "uuid", "stack", "vdso", "heap"] {
        let values: HashSet<&String> = siblings.iter().filter_map(|own| own.get(name)).collect();
        assert_eq!(values.len(), siblings.len(), "{name}: {values:?}");
    }
}
