//! A backend without VMs, for tests: its guests are functions that read and write the io file as
//! guest init would, and it counts what lives.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pe_proto::archive::{Encoder, Kind};
use pe_proto::codec;
use pe_proto::guest_config::GuestConfig;
use pe_proto::io_file::{InHeader, JournalHeader, ResultHeader};
use pe_proto::{Outcome, ResultMeta};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Backend, Bell, Killed, Machine, ReadyVm, StartError, VmError};
use crate::core::pool::How;
use crate::images::Pack;
use crate::iofile::IoFile;
use crate::limits::VMM_ANSWERS;

/// What a guest does when it is woken: writes, and rings or does not.
pub(crate) type Script = Arc<dyn Fn(&FakeGuest) -> Option<Bell> + Send + Sync>;

/// A host of fake VMs. Clones are the same host.
#[derive(Clone)]
pub(crate) struct FakeHost(Arc<State>);

struct State {
    script: Script,
    start_takes: Mutex<Duration>,
    failures_left: AtomicU32,
    no_zygote: AtomicBool,
    rebuilds: AtomicU32,
    rebuild_failures_left: AtomicU32,
    /// While set, VMMs do not do anything any more, as if they were stopped.
    frozen: AtomicBool,
    /// Plugging in a pack takes this long.
    attach_takes: Mutex<Duration>,
    starts: Mutex<Vec<How>>,
    starting: AtomicU32,
    starting_most: AtomicU32,
    living: Mutex<Vec<CancellationToken>>,
    alive: watch::Sender<u32>,
    pids: AtomicU32,
}

impl std::fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeHost")
    }
}

impl FakeHost {
    /// A host whose guests all do the same.
    pub(crate) fn new(script: impl Fn(&FakeGuest) -> Option<Bell> + Send + Sync + 'static) -> Self {
        Self(Arc::new(State {
            script: Arc::new(script),
            start_takes: Mutex::new(Duration::from_millis(10)),
            failures_left: AtomicU32::new(0),
            no_zygote: AtomicBool::new(false),
            rebuilds: AtomicU32::new(0),
            rebuild_failures_left: AtomicU32::new(0),
            frozen: AtomicBool::new(false),
            attach_takes: Mutex::default(),
            starts: Mutex::default(),
            starting: AtomicU32::new(0),
            starting_most: AtomicU32::new(0),
            living: Mutex::default(),
            alive: watch::Sender::new(0),
            pids: AtomicU32::new(1000),
        }))
    }

    /// A host whose guests exit with 0 and say `hello`.
    pub(crate) fn polite() -> Self {
        Self::new(|guest| {
            guest.answer(Outcome::Exited { code: 0 }, &[("stdout", b"hello")]);
            Some(Bell::Done)
        })
    }

    /// The next starts fail.
    pub(crate) fn fail(&self, starts: u32) {
        self.0.failures_left.store(starts, Ordering::SeqCst);
    }

    /// A VM is ready after this long.
    pub(crate) fn starting_in(self, time: Duration) -> Self {
        *self.0.start_takes.lock().expect("lock") = time;
        self
    }

    /// VMs that were being started at the same time, at most.
    pub(crate) fn starting_most(&self) -> u32 {
        self.0.starting_most.load(Ordering::SeqCst)
    }

    /// There is no zygote until one is built.
    pub(crate) fn without_zygote(self) -> Self {
        self.0.no_zygote.store(true, Ordering::SeqCst);
        self
    }

    /// The next builds of a zygote fail.
    pub(crate) fn fail_rebuilds(&self, builds: u32) {
        self.0.rebuild_failures_left.store(builds, Ordering::SeqCst);
    }

    /// Builds of a zygote so far.
    pub(crate) fn rebuilds(&self) -> u32 {
        self.0.rebuilds.load(Ordering::SeqCst)
    }

    /// Stops all VMMs, as SIGSTOP does, or lets them go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.0.frozen.store(frozen, Ordering::SeqCst);
    }

    /// Plugging in a pack takes this long from now on.
    pub(crate) fn attach_takes(&self, time: Duration) {
        *self.0.attach_takes.lock().expect("lock") = time;
    }

    /// How VMs were started so far.
    pub(crate) fn starts(&self) -> Vec<How> {
        self.0.starts.lock().expect("lock").clone()
    }

    /// VMs that live now.
    pub(crate) fn alive(&self) -> u32 {
        *self.0.alive.borrow()
    }

    /// Waits until so many live.
    pub(crate) async fn until_alive(&self, count: u32) {
        let mut alive = self.0.alive.subscribe();
        alive.wait_for(|alive| *alive == count).await.expect("host lives");
    }

    /// Ends all VMs, as if their VMMs had crashed.
    pub(crate) fn crash_all(&self) {
        for vm in self.0.living.lock().expect("lock").drain(..) {
            vm.cancel();
        }
    }
}

impl Backend for FakeHost {
    fn vmm(&self) -> &str {
        "fake"
    }

    fn has_zygote(&self) -> bool {
        !self.0.no_zygote.load(Ordering::SeqCst)
    }

    fn rebuild(&self) -> BoxFuture<'_, Result<(), StartError>> {
        async {
            // A boot, and saving it.
            let takes = *self.0.start_takes.lock().expect("lock") * 10;
            tokio::time::sleep(takes).await;
            self.0.rebuilds.fetch_add(1, Ordering::SeqCst);
            if take_one(&self.0.rebuild_failures_left) {
                return Err(StartError::Unsupported("told to fail".to_owned()));
            }
            self.0.no_zygote.store(false, Ordering::SeqCst);
            Ok(())
        }
        .boxed()
    }

    fn start(&self, how: How) -> BoxFuture<'_, Result<ReadyVm, StartError>> {
        let state = Arc::clone(&self.0);
        async move {
            state.starts.lock().expect("lock").push(how);
            let starting = state.starting.fetch_add(1, Ordering::SeqCst) + 1;
            state.starting_most.fetch_max(starting, Ordering::SeqCst);
            let takes = *state.start_takes.lock().expect("lock");
            tokio::time::sleep(takes).await;
            state.starting.fetch_sub(1, Ordering::SeqCst);
            if take_one(&state.failures_left) {
                return Err(StartError::Unsupported("told to fail".to_owned()));
            }
            let io = IoFile::create().expect("io file");
            let file = File::from(io.as_fd().try_clone_to_owned().expect("clone"));
            let exited = CancellationToken::new();
            state.living.lock().expect("lock").push(exited.clone());
            state.alive.send_modify(|alive| *alive += 1);
            let pid = state.pids.fetch_add(1, Ordering::SeqCst);
            let machine = FakeMachine { pid, exited, file, bell: None, state };
            Ok(ReadyVm::new(Box::new(machine), io))
        }
        .boxed()
    }
}

struct FakeMachine {
    pid: u32,
    exited: CancellationToken,
    file: File,
    bell: Option<Bell>,
    state: Arc<State>,
}

impl std::fmt::Debug for FakeMachine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FakeMachine({})", self.pid)
    }
}

impl Drop for FakeMachine {
    fn drop(&mut self) {
        self.exited.cancel();
        self.state.alive.send_modify(|alive| *alive -= 1);
    }
}

impl Machine for FakeMachine {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn exited(&self) -> BoxFuture<'static, ()> {
        let exited = self.exited.clone();
        async move { exited.cancelled().await }.boxed()
    }

    fn attach<'a>(&'a mut self, _: &'a Pack) -> BoxFuture<'a, Result<(), VmError>> {
        async {
            let takes = *self.state.attach_takes.lock().expect("lock");
            tokio::time::sleep(takes).await;
            if self.state.frozen.load(Ordering::SeqCst) {
                tokio::time::sleep(VMM_ANSWERS).await;
                return Err(VmError::Late("attach".to_owned()));
            }
            Ok(())
        }
        .boxed()
    }

    fn wake(&mut self) -> BoxFuture<'_, Result<(), VmError>> {
        async {
            let guest = FakeGuest::look(self.file.try_clone().expect("clone"));
            self.bell = (self.state.script)(&guest);
            if self.bell == Some(Bell::Exited) {
                self.exited.cancel();
            }
            Ok(())
        }
        .boxed()
    }

    fn bell(&mut self) -> BoxFuture<'_, Bell> {
        async {
            match self.bell.take() {
                Some(bell) => bell,
                None => {
                    self.exited.cancelled().await;
                    Bell::Exited
                }
            }
        }
        .boxed()
    }

    fn kill(self: Box<Self>) -> BoxFuture<'static, Killed> {
        async move {
            drop(self);
            Killed { took: Duration::from_millis(3), console: String::new() }
        }
        .boxed()
    }
}

/// Counts down; false once nothing is left.
fn take_one(left: &AtomicU32) -> bool {
    let less = |left: u32| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
}

/// A guest's view of its io file.
#[derive(Debug)]
pub(crate) struct FakeGuest {
    file: File,
    /// What the worker wrote first.
    pub(crate) header: InHeader,
    /// What the worker told it.
    pub(crate) config: GuestConfig,
}

impl FakeGuest {
    /// Reads the in region as guest init does.
    pub(crate) fn look(file: File) -> Self {
        let mut page = vec![0; InHeader::BYTES];
        file.read_exact_at(&mut page, 0).expect("read");
        let header = InHeader::decode(&page).expect("in header");
        let mut guest = Self { file, header, config: empty_config() };
        guest.config = codec::decode(&guest.read(header.plan.config())).expect("config");
        guest
    }

    /// The job's archive.
    pub(crate) fn archive(&self) -> Vec<u8> {
        self.read(self.header.plan.archive())
    }

    /// Answers as guest init does.
    pub(crate) fn answer(&self, outcome: Outcome, files: &[(&str, &[u8])]) {
        let mut encoder = Encoder::new();
        for (path, bytes) in files {
            encoder.push(Kind::File, path, bytes).expect("fits");
        }
        let meta = ResultMeta { kernel: "fake".to_owned(), ..ResultMeta::without_run(outcome) };
        self.answer_with(&codec::to_vec(&meta).expect("fits"), &encoder.finish());
    }

    /// Answers with any bytes.
    pub(crate) fn answer_with(&self, meta: &[u8], archive: &[u8]) {
        let start = self.header.plan.result_area().start;
        let meta_end = start + meta.len() as u64;
        let header = ResultHeader {
            meta: start..meta_end,
            archive: meta_end..meta_end + archive.len() as u64,
        };
        self.write(meta, header.meta.start);
        self.write(archive, header.archive.start);
        self.write_result_header(&header.encode(&self.header.nonce));
    }

    /// Writes any bytes where the result header belongs.
    pub(crate) fn write_result_header(&self, bytes: &[u8]) {
        self.write(bytes, self.header.plan.result_header().start);
    }

    /// Journals both streams.
    pub(crate) fn journal(&self, stdout: &[u8], stderr: &[u8]) {
        self.write(stdout, self.header.plan.stdout_journal().start);
        self.write(stderr, self.header.plan.stderr_journal().start);
        let header = JournalHeader {
            stdout_len: stdout.len() as u64,
            stderr_len: stderr.len() as u64,
            started: true,
        };
        self.write_journal_header(&header.encode(&self.header.nonce));
    }

    /// Writes any bytes where the journal header belongs.
    pub(crate) fn write_journal_header(&self, bytes: &[u8]) {
        self.write(bytes, self.header.plan.journal_header().start);
    }

    fn write(&self, bytes: &[u8], at: u64) {
        self.file.write_all_at(bytes, at).expect("write");
    }

    fn read(&self, range: std::ops::Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).expect("fits")];
        self.file.read_exact_at(&mut bytes, range.start).expect("read");
        bytes
    }
}

fn empty_config() -> GuestConfig {
    GuestConfig {
        request_id: String::new(),
        spec: crate::testing::spec(),
        entropy: [0; 64],
        time_unix_us: 0,
        hostname: String::new(),
        pack_uuid: [0; 16],
        pack_prefix: String::new(),
    }
}
