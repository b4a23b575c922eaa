//! Real VMs on this host's QEMU, emulated: what only a real VMM and a real guest can show.
//!
//! Needs what `make` builds: the guests' kernel and initramfs, and the busybox image. They are
//! looked for in `$PE_BUILD_DIR`, else in the workspace's `build`.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pe_proto::archive::{self, Bounds, Encoder, Kind, Role};
use pe_proto::io_file::JournalHeader;
use pe_proto::{Arch, JobLimits, JobSpec, Outcome};
use pe_worker::config::{AccelChoice, Config, RawConfig};
use pe_worker::core::ending::Ending;
use pe_worker::core::pool::How;
use pe_worker::images::Images;
use pe_worker::iofile::collect::{self, Collected, ResultArchive};
use pe_worker::iofile::job::{JobWriter, Written};
use pe_worker::vm::process::Census;
use pe_worker::vm::qemu::Qemu;
use pe_worker::vm::{Backend as _, Bell, ReadyVm};
use pe_worker::worker::Foundation;

struct Rig {
    qemu: Qemu,
    images: Arc<Images>,
    census: Census,
}

fn build_dir() -> PathBuf {
    match std::env::var_os("PE_BUILD_DIR") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build"),
    }
}

fn settings() -> RawConfig {
    let build = build_dir();
    let vm_assets = build.join("vm/x86_64");
    for needed in [vm_assets.join("initramfs.cpio"), build.join("images/catalogue.json")] {
        assert!(needed.exists(), "{} is missing: run `make assets` first", needed.display());
    }
    RawConfig {
        images: Some(build.join("images")),
        vm_assets: Some(vm_assets),
        accel: Some(AccelChoice::Tcg),
        ..RawConfig::default()
    }
}

async fn rig(coldplug: &[&str]) -> Rig {
    let coldplug = coldplug.iter().map(|name| (*name).to_owned()).collect();
    let settings = RawConfig { coldplug: Some(coldplug), ..settings() };
    let config = Config::load(None, settings, 2).expect("config");
    let foundation = Foundation::lay(&config).await.expect("foundation");
    assert!(foundation.has_zygote());
    let (images, census) = (Arc::clone(foundation.images()), foundation.census().clone());
    Rig { qemu: foundation.into_backend(), images, census }
}

impl Rig {
    /// Waits until no VMM lives but these.
    async fn until_alone(&self, pids: &[u32]) {
        let pids: HashSet<u32> = pids.iter().copied().collect();
        let alone = async {
            while self.census.pids() != pids {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(5), alone).await.is_err() {
            panic!("still there: {:?}, expected {pids:?}", self.census.pids());
        }
    }

    async fn restore(&self) -> ReadyVm {
        self.qemu.start(How::Restore).await.expect("ready")
    }

    /// Runs a shell script of busybox in a VM; `act` is done once the guest is woken.
    async fn run(&self, vm: ReadyVm, script: &str, act: impl AsyncFnOnce(Running)) -> Collected {
        let image = self.images.named("busybox").expect("busybox");
        let pack = self.images.pack(image).expect("pack");
        let spec = JobSpec {
            image,
            arch: Arch::X86_64,
            args: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: vec!["PATH=/bin:/usr/bin".to_owned()],
            cwd: "/input".to_owned(),
            user: String::new(),
            outputs: Vec::new(),
            limits: JobLimits { wall_ms: 60_000, ..JobLimits::default() },
        };
        let mut input = Encoder::new();
        input.push(Kind::File, "input/a", b"data").expect("fits");
        let input = input.finish();
        let len = u64::try_from(input.len()).expect("fits");
        let mut writer = JobWriter::new("test".to_owned(), spec, pack.uuid(), len).expect("fits");
        let mut vm = vm.lease();
        let pid = vm.pid();
        let (machine, io) = vm.parts();
        writer.write(io, &input).expect("archive");
        let written = writer.finish(io).expect("whole");
        machine.attach(pack).await.expect("attached");
        machine.wake().await.expect("woken");
        let file = File::from(io.as_fd().try_clone_to_owned().expect("clone"));
        act(Running { pid, file, written }).await;
        let bell = tokio::time::timeout(Duration::from_secs(90), machine.bell()).await;
        let ending = match bell {
            Ok(Bell::Done) => Ending::Done,
            Ok(Bell::Fault(reason)) => Ending::Fault(reason),
            Ok(Bell::Exited) => Ending::Exited,
            Err(_) => Ending::Clock,
        };
        let remains = vm.kill().await;
        collect::collect(remains.io, &written, &ending)
    }
}

/// A VM with a job.
struct Running {
    pid: u32,
    file: File,
    written: Written,
}

impl Running {
    /// Waits until the program has said so much.
    async fn until_said(&self, bytes: u64) {
        let plan = &self.written.plan;
        let mut page = [0; JournalHeader::BYTES];
        loop {
            self.file.read_exact_at(&mut page, plan.journal_header().start).expect("read");
            let journal = JournalHeader::decode(&page, &self.written.nonce, plan);
            if journal.expect("journal").is_some_and(|journal| journal.stdout_len >= bytes) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("pid"));
    kill(pid, signal).expect("signal");
}

fn stdout(collected: &Collected) -> String {
    let bytes = match &collected.archive {
        ResultArchive::InMemory(bytes) => bytes.clone(),
        ResultArchive::InIoFile(io, range) => {
            let file = File::from(io.as_fd().try_clone_to_owned().expect("clone"));
            let mut bytes = vec![0; usize::try_from(range.end - range.start).expect("fits")];
            file.read_exact_at(&mut bytes, range.start).expect("read");
            bytes
        }
    };
    let mut stdout = Vec::new();
    archive::for_each_entry(&bytes, Bounds::of(Role::Result), |_, path, data| {
        if path == archive::STDOUT {
            stdout = data.to_vec();
        }
    })
    .expect("archive");
    String::from_utf8(stdout).expect("text")
}

/// What this process has open, by name, without what comes and goes with the runtime.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc").count()
}

fn memfds_of(pid: &str) -> Vec<String> {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("proc");
    let names = links.flatten().filter_map(|link| std::fs::read_link(link.path()).ok());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.contains("memfd:")).collect()
}

fn process_exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[tokio::test]
async fn a_restored_vm_runs_a_job_and_its_sibling_knows_nothing_of_it() {
    let rig = rig(&["busybox"]).await;
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

#[tokio::test]
async fn a_pack_that_was_not_there_from_the_start_is_plugged_in() {
    let rig = rig(&[]).await;
    let collected = rig.run(rig.restore().await, "echo plugged", async |_| {}).await;
    assert_eq!(stdout(&collected), "plugged\n");
}

#[tokio::test]
async fn a_vmm_is_confined_and_has_only_its_own_files() {
    let rig = rig(&["busybox"]).await;
    let (one, two) = (rig.restore().await, rig.restore().await);
    let status = std::fs::read_to_string(format!("/proc/{}/status", one.pid())).expect("status");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("field");
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    assert_eq!(field("Seccomp:"), ["2"]);
    for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    if nix::unistd::geteuid().is_root() {
        assert!(!field("Uid:").contains(&"0".to_owned()));
        assert!(!field("Gid:").contains(&"0".to_owned()));
        assert_eq!(field("CapBnd:"), ["0000000000000000"]);
        assert_eq!(field("Groups:"), Vec::<String>::new());
    }
    // Each has its own io file, twice (handed over and opened), and the zygote's memory.
    for vm in [&one, &two] {
        let mut memfds = memfds_of(&vm.pid().to_string());
        memfds.sort();
        let io = "/memfd:pe-io (deleted)";
        let ram = "/memfd:pe-ram (deleted)";
        assert_eq!(memfds, [io, io, ram, ram]);
    }
    one.kill().await;
    two.kill().await;
}

#[tokio::test]
async fn a_vmm_that_is_killed_is_noticed_at_once_and_its_streams_are_kept() {
    let rig = rig(&["busybox"]).await;
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

#[tokio::test]
async fn a_stopped_vmm_is_killed_and_reaped() {
    let rig = rig(&["busybox"]).await;
    let vm = rig.restore().await;
    let pid = vm.pid();
    send(pid, Signal::SIGSTOP);
    let began = Instant::now();
    vm.kill().await;
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(!process_exists(pid));
}

#[tokio::test]
async fn a_vmm_that_hung_while_it_waited_is_found_out_when_a_job_comes() {
    let rig = rig(&["busybox"]).await;
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

#[tokio::test]
async fn vms_that_are_dropped_leave_nothing_behind() {
    let rig = rig(&["busybox"]).await;
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
        let start = rig.qemu.start(How::Restore);
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

#[tokio::test]
async fn a_vmm_that_cannot_start_says_why() {
    let dir = tempfile::tempdir().expect("tempdir");
    let qemu = dir.path().join("qemu");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && exec echo fake 1.0\n\
                  echo no such luck >&2\nexit 1\n";
    std::fs::write(&qemu, script).expect("write");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&qemu, mode).expect("mode");
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("mode");
    let settings = RawConfig { qemu: Some(qemu), ..settings() };
    let config = Config::load(None, settings, 2).expect("config");
    let foundation = Foundation::lay(&config).await.expect("foundation");
    assert!(!foundation.has_zygote());
    let error = foundation.into_backend().start(How::Boot).await.expect_err("no vm");
    assert!(error.to_string().contains("no such luck"), "{error}");
}

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

/// Threat case 17.
#[tokio::test]
async fn vms_of_one_zygote_have_no_identity_in_common() {
    let rig = rig(&["busybox"]).await;
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
        assert_eq!(own["boot_id"], own["again"], "a boot id stays what it is");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now");
        let told: u64 = own["time"].parse().expect("seconds");
        assert!(now.as_secs().abs_diff(told) < 30, "the clock is the zygote's");
        siblings.push(own);
    }
    for name in ["random", "boot_id", "uuid", "stack", "vdso", "heap"] {
        let values: HashSet<&String> = siblings.iter().map(|own| &own[name]).collect();
        assert_eq!(values.len(), siblings.len(), "{name}: {values:?}");
    }
}
