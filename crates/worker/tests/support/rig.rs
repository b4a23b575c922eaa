//! What tests with real VMs have in common, whatever the VMM.
//!
//! Needs what `make` builds: the guests' kernel and initramfs, and the busybox image. They are
//! looked for in `$PE_BUILD_DIR`, else in the workspace's `build`.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pe_proto::archive::{self, Bounds, Encoder, Kind, Role};
use pe_proto::io_file::JournalHeader;
use pe_proto::{Arch, JobLimits, JobSpec};
use pe_worker::config::{Config, RawConfig};
use pe_worker::core::ending::Ending;
use pe_worker::core::pool::How;
use pe_worker::images::Images;
use pe_worker::iofile::collect::{self, Collected, ResultArchive};
use pe_worker::iofile::job::{JobWriter, Written};
use pe_worker::vm::process::Census;
use pe_worker::vm::{Backend, Bell, ReadyVm};
use pe_worker::worker::Foundation;

/// A worker's lower half, and what tests ask of it.
pub(crate) struct Rig {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) images: Arc<Images>,
    pub(crate) census: Census,
}

pub(crate) fn build_dir() -> PathBuf {
    match std::env::var_os("PE_BUILD_DIR") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build"),
    }
}

/// What `make` built.
pub(crate) fn settings() -> RawConfig {
    let build = build_dir();
    let vm_assets = build.join("vm/x86_64");
    for needed in [vm_assets.join("initramfs.cpio"), build.join("images/catalogue.json")] {
        assert!(needed.exists(), "{} is missing: run `make assets` first", needed.display());
    }
    RawConfig {
        images: Some(build.join("images")),
        vm_assets: Some(vm_assets),
        ..RawConfig::default()
    }
}

pub(crate) async fn rig(coldplug: &[&str], settings: RawConfig) -> Rig {
    let coldplug = coldplug.iter().map(|name| (*name).to_owned()).collect();
    let settings = RawConfig { coldplug: Some(coldplug), ..settings };
    let config = Config::load(None, settings, 2).expect("config");
    let foundation = Foundation::lay(&config).await.expect("foundation");
    let (images, census) = (Arc::clone(foundation.images()), foundation.census().clone());
    Rig { backend: foundation.into_backend(), images, census }
}

impl Rig {
    /// Waits until no VMM lives but these.
    pub(crate) async fn until_alone(&self, pids: &[u32]) {
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

    pub(crate) async fn restore(&self) -> ReadyVm {
        self.backend.start(How::Restore).await.expect("ready")
    }

    /// Runs a shell script of busybox in a VM; `act` is done once the guest is woken.
    pub(crate) async fn run(
        &self,
        vm: ReadyVm,
        script: &str,
        act: impl AsyncFnOnce(Running),
    ) -> Collected {
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
        let mut writer =
            JobWriter::new("test".to_owned(), spec, pack.uuid(), "", len).expect("fits");
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
pub(crate) struct Running {
    pub(crate) pid: u32,
    file: File,
    written: Written,
}

impl Running {
    /// Waits until the program has said so much.
    pub(crate) async fn until_said(&self, bytes: u64) {
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

pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("pid"));
    kill(pid, signal).expect("signal");
}

pub(crate) fn stdout(collected: &Collected) -> String {
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
pub(crate) fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc").count()
}

pub(crate) fn memfds_of(pid: &str) -> Vec<String> {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("proc");
    let names = links.flatten().filter_map(|link| std::fs::read_link(link.path()).ok());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.contains("memfd:")).collect()
}

pub(crate) fn process_exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}
