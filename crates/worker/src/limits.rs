//! Every bound of the worker, with its reason. Formats have theirs in [`pe_proto::limits`].

use std::time::Duration;

/// VMs of one worker. The LB admits as many slots in a hello.
pub const SLOTS_MAX: u32 = 4096;

/// Guest memory, in MiB: below it the kernel and its initramfs do not fit with a job.
pub const MEMORY_MIB_MIN: u64 = 128;
/// See [`MEMORY_MIB_MIN`]: beyond it the address space for devices is laid out another way.
pub const MEMORY_MIB_MAX: u64 = 2048;

/// Packs plugged in before the zygote is saved. Each takes a PCI slot (the machine has 32) and,
/// in the guest, 16 bytes of page structure per KiB.
pub const COLDPLUG_MAX: usize = 8;

/// Bytes of a guest's console kept for the log. A guest may say as much as it likes.
pub const CONSOLE_TAIL_BYTES: usize = 4096;

/// Bytes of a VMM's standard error kept for the log: what a pipe holds.
pub const STDERR_BYTES: usize = 64 * 1024;

/// Longest line taken from a VMM's control socket. Its longest answer to what is asked of it is
/// some hundred bytes; a VMM that a guest broke out into may send anything.
pub const QMP_LINE_BYTES_MAX: usize = 64 * 1024;

/// One command on the control socket. They take milliseconds; emulation on a loaded machine may
/// take a hundred times as long.
pub const QMP_REPLY: Duration = Duration::from_secs(10);

/// Bytes of an answer taken from a VMM's HTTP socket: as for [`QMP_LINE_BYTES_MAX`].
pub const API_ANSWER_BYTES_MAX: usize = 64 * 1024;
/// One call on the HTTP socket, as for [`QMP_REPLY`].
pub const API_REPLY: Duration = Duration::from_secs(10);
/// Saving a guest: the machine, and for some ways of restoring all of its memory, to a file.
pub const API_SAVE: Duration = Duration::from_secs(60);
/// Bytes of what a VMM writes about a saved guest: 1 KiB when measured.
pub const SAVED_CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// A VMM whose guest waits is asked whether it is there when a job comes. It answers within a
/// millisecond; one that does not by now is hung, and the job is better off elsewhere.
pub const VMM_ANSWERS: Duration = Duration::from_secs(2);

/// From start to ready, emulated, when booted: 3 s when measured, on a machine shared with others.
pub const BOOT_TCG: Duration = Duration::from_secs(60);
/// The same with hardware virtualisation: under 1 s. A `/dev/kvm` that does not work never gets
/// there, and this is how long the probe waits to find out.
pub const BOOT_KVM: Duration = Duration::from_secs(8);
/// From start to ready, restored: 0.1 s when measured.
pub const RESTORE: Duration = Duration::from_secs(15);
/// How often a guest that waits and does not answer is rung within the time that it has. Each ring
/// may be answered late, so there are fewer of them than signals that are kept of a guest.
pub const RINGS_MAX: u32 = 8;

/// A guest that said it is ready goes to sleep within this; only then its state is saved.
pub const SETTLE: Duration = Duration::from_millis(250);

/// Reaping a killed VM. 3 ms when measured, but the kernel frees its memory first.
pub const REAP: Duration = Duration::from_secs(10);

/// What a VMM takes beyond its guest's memory and io file: its program, its threads' stacks, an
/// emulator's buffer of translated code (64 MiB), page tables. 60 to 130 MiB when measured.
pub const VMM_OVERHEAD_BYTES: u64 = 256 * 1024 * 1024;
/// Threads of a VMM. Either has about a dozen; QEMU's pool for disks may have 64 more.
pub const VMM_THREADS_MAX: u64 = 128;
/// Descriptors of a VMM. Either has about 60 with its event descriptors.
pub const VMM_FILES_MAX: u64 = 512;
/// `cpu.weight` of a VM, the kernel's default; all VMs are equal.
pub const VMM_CPU_WEIGHT: u32 = 100;
/// `cpu.max` of a VM: one core for its virtual processor and one for the VMM's own threads.
pub const VMM_CPU_MAX: &str = "200000 100000";
/// `cpu.weight` of the worker itself: it has to get its turn whatever VMs do.
pub const WORKER_CPU_WEIGHT: u32 = 1000;
/// A cgroup whose VMM was reaped is empty within this: at once when measured.
pub const CGROUP_EMPTY: Duration = Duration::from_secs(2);
/// A VMM that outlived its worker ends within this, once killed.
pub const LEFTOVER_END: Duration = Duration::from_secs(5);
/// Waiting for another worker that is sweeping.
pub const SWEEP_LOCK: Duration = Duration::from_secs(15);
/// At the end of the worker, for what its VMs had to be given back.
pub const SETTLE_DOWN: Duration = Duration::from_secs(2);
/// Between looks at killed VMMs that have not ended yet.
pub const REAP_EVERY: Duration = Duration::from_millis(5);

/// VMs starting at a time.
pub const STARTING_MAX: u32 = 2;
/// VM starts per second for each slot, in the long run. A restore takes 6 ms at best and a job
/// some more; a pool that starts VMs faster than this is losing them.
pub const STARTS_PER_SLOT_SECOND: u32 = 25;
/// Failed restores in a row after which the zygote is given up and VMs are booted.
pub const RESTORES_MAX: u32 = 3;
/// Failed trials in a row after which the same is done. Each uses another image.
pub const TRIALS_MAX: u32 = 3;
/// Wait before a zygote that was given up is built anew; doubles up to [`REBUILD_MAX`]. A build
/// is a boot: seconds of CPU that jobs need, too.
pub const REBUILD_MIN: Duration = Duration::from_secs(5);
/// See [`REBUILD_MIN`].
pub const REBUILD_MAX: Duration = Duration::from_secs(600);
/// Building a zygote: a boot, and saving what it made. Backends have shorter bounds of their own.
pub const REBUILD: Duration = Duration::from_secs(180);
/// How often the files that a zygote is made of are looked at, at most.
pub const INPUTS_EVERY: Duration = Duration::from_secs(1);
/// Jobs of an image lost in a row after which a job of our own is run in it.
pub const IMAGE_FAILURES_MAX: u32 = 3;
/// How long an image in which even that was lost is not offered; doubles up to
/// [`QUARANTINE_MAX`].
pub const QUARANTINE_MIN: Duration = Duration::from_secs(60);
/// See [`QUARANTINE_MIN`].
pub const QUARANTINE_MAX: Duration = Duration::from_secs(30 * 60);
/// Wall clock of a job of our own. `true` takes milliseconds, emulated on a busy host seconds.
pub const TRIAL_WALL: Duration = Duration::from_secs(20);
/// First wait after a failed start; doubles up to [`START_BACKOFF_MAX`].
pub const START_BACKOFF_MIN: Duration = Duration::from_millis(100);
/// See [`START_BACKOFF_MIN`].
pub const START_BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Requests to the pool's task that wait. Each comes from a task of the link, one per slot.
pub const POOL_QUEUE: usize = 64;

/// Memory of a VMM beside its guest's: 20 to 30 MiB resident when measured.
pub const VMM_MIB: u64 = 32;
/// The saved memory of a zygote: what a guest has touched when it is ready, about 100 MiB when
/// measured. While a new one is made beside it, the reserve of the host covers that.
pub const ZYGOTE_MIB: u64 = 192;
/// Of the memory that is available, left to the host: a part of all there is, and at least this.
pub const MEMORY_RESERVE_MIB: u64 = 128;
/// See [`MEMORY_RESERVE_MIB`]: one in so many.
pub const MEMORY_RESERVE_PART: u64 = 16;

/// Results on their way to the LB beyond one per slot: each holds its io file until it is sent,
/// while the slot already has its next VM.
pub const RESULTS_WAITING_PER_SLOT: u32 = 2;

/// Dialling the LB, and its answer to hello.
pub const DIAL: Duration = Duration::from_secs(10);
/// Workers that lost their LB dial again spread over this time: thousands of them are a few a
/// millisecond, and each is back soon. Later waits double.
pub const DIAL_AGAIN_FIRST: Duration = Duration::from_secs(1);
/// Longest wait while nobody answers: an LB that was restarted has its workers back within two
/// seconds, and the dial itself takes some of it.
pub const DIAL_AGAIN_GONE: Duration = Duration::from_millis(1500);
/// Longest wait for an LB that says no: somebody has to change something first.
pub const DIAL_AGAIN_MAX: Duration = Duration::from_secs(20);
/// A link that held this long was a good one.
pub const LINK_GOOD_AFTER: Duration = Duration::from_secs(30);
/// Ping on the link when nothing else was heard.
pub const PING_EVERY: Duration = Duration::from_secs(15);
/// No answer to a ping within this: the link is dead.
pub const PING_ANSWER: Duration = Duration::from_secs(10);
/// A connection that broke is known to be gone this soon after its streams have ended.
pub const LINK_NEWS: Duration = Duration::from_millis(20);
/// Beyond the LB's own poll time: then the link is taken for dead.
pub const POLL_MARGIN: Duration = Duration::from_secs(10);
/// Longest poll time a worker believes; middleboxes forget idle streams soon after.
pub const POLL_MAX: Duration = Duration::from_secs(120);
/// Between two ready requests of one slot, if the first was answered `204` within
/// [`POLL_EARLY`]: a confused LB is not asked ten thousand times a second.
pub const POLL_AGAIN: Duration = Duration::from_millis(50);
/// See [`POLL_AGAIN`].
pub const POLL_EARLY: Duration = Duration::from_secs(1);
/// Ready requests in a row refused with an error before the link is dialled anew.
pub const REFUSALS_MAX: u32 = 3;

/// A job's bytes, from its head to the end of its archive.
pub const TRANSFER: Duration = Duration::from_secs(30);
/// A result, from its head to the LB's answer. The LB allows 300 s for it, slow clients included,
/// and is to be the one who gives up.
pub const UPLOAD: Duration = Duration::from_secs(310);
/// Piece of a result read and sent at a time.
pub const UPLOAD_CHUNK_BYTES: usize = 64 * 1024;
/// A short answer of the LB (welcome, the end of a `done`).
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Flow control of the link: what may be on its way to one stream, and to all together. A job is
/// at most 16 MiB and goes to memory at once.
pub const STREAM_WINDOW: u32 = 1024 * 1024;
/// See [`STREAM_WINDOW`].
pub const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// The worker's clock: granted beyond a job's wall clock where guests run on hardware. Killing and
/// collecting in the guest may take 14 s; what comes before the program takes far less there.
pub const GRACE_KVM: Duration = Duration::from_secs(25);
/// The same in emulation, 10 to 50 times slower: all that guest init grants itself (44 s). The LB
/// grants 60 s, so that a partial result still gets back in time.
pub const GRACE_TCG: Duration = Duration::from_secs(45);
/// Kept of the LB's deadline for killing, checking and beginning to send.
pub const DEADLINE_RESERVE: Duration = Duration::from_millis(1000);

/// Jobs in flight may end for this long once draining.
pub const DRAIN: Duration = Duration::from_secs(60);
/// Parked ready requests are answered at once by an LB that knows of the drain; after this they
/// are withdrawn.
pub const DRAIN_WITHDRAW: Duration = Duration::from_secs(2);

/// Connections to the metrics listener at a time; scrapers are few.
pub const METRICS_CONNECTIONS_MAX: usize = 16;
/// One scrape.
pub const METRICS_REQUEST: Duration = Duration::from_secs(10);

/// The doctor boots a guest: with KVM first, if it looks usable, then emulated, then restores it.
pub const DOCTOR_BOOT: Duration = Duration::from_secs(120);
/// The doctor reads every pack: some hundred megabytes a second, so this is a lot of images.
pub const DOCTOR_FILES: Duration = Duration::from_secs(120);
/// The doctor asks for a version, an address, an LB; dialling has [`DIAL`], and so has the answer.
pub const DOCTOR_QUICK: Duration = Duration::from_secs(25);

/// Guest memory unless a config says otherwise: enough for a job of the default size.
pub const MEMORY_MIB_KVM: u64 = 1024;
/// The same where every page is emulated.
pub const MEMORY_MIB_TCG: u64 = 512;
/// Descriptors of the worker for one VM: sockets, memory, io file, pidfd, pipes, results.
pub const DESCRIPTORS_PER_VM: u64 = 16;
/// The numbers kept for VMMs, the packs, the link, the log.
pub const DESCRIPTORS_RESERVE: u64 = 512;

/// Config and token files.
pub const CONFIG_FILE_BYTES_MAX: u64 = 256 * 1024;
/// The catalogue: thousands of images.
pub const CATALOGUE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Read of a pack at a time while it is verified.
pub const VERIFY_PIECE_BYTES: usize = 1024 * 1024;

/// Disk that packs may take, unless a config says otherwise, in MiB.
pub const DISK_BUDGET_MIB: u64 = 10 * 1024;
/// As much as makes sense: a petabyte.
pub const DISK_BUDGET_MIB_MAX: u64 = 1 << 30;
/// The longest pack that a worker plugs into a VM that runs: address space is set aside for it in
/// each.
pub const FETCHED_PACK_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Wait after a transfer that came to nothing; doubles up to [`FETCH_AGAIN_MAX`].
pub const FETCH_AGAIN_MIN: Duration = Duration::from_secs(1);
/// See [`FETCH_AGAIN_MIN`].
pub const FETCH_AGAIN_MAX: Duration = Duration::from_secs(5 * 60);
/// Failures in a row, with nothing gained, after which a pack is not promised any more.
pub const FETCH_FAILURES_MAX: u32 = 4;
/// A transfer of which nothing comes for so long is dead. It may share a home's line with results.
pub const FETCH_STALL: Duration = Duration::from_secs(30);
/// Written to the disk at a time.
pub const FETCH_PIECE_BYTES: usize = 1024 * 1024;
/// Copied from another pack at a time; after each, a transfer can make way.
pub const FETCH_COPY_BYTES: u64 = 16 * 1024 * 1024;
/// Between looks at how far a transfer is, and between two words to the LB about it.
pub const FETCH_REPORT_EVERY: Duration = Duration::from_millis(500);
/// An LB takes word of what is no longer on offer within this, or there is no link.
pub const FETCH_UNTOLD: Duration = Duration::from_secs(15);
/// Leases that were on their way when the LB heard of it have come by then.
pub const FETCH_LAST_LEASES: Duration = Duration::from_secs(2);
/// Until a question that failed is asked again.
pub const FETCH_ASK_AGAIN: Duration = Duration::from_secs(5);

const _: () = assert!(DEADLINE_RESERVE.as_millis() < GRACE_KVM.as_millis());
const _: () = assert!(MEMORY_MIB_MIN < MEMORY_MIB_MAX);
const _: () = assert!(COLDPLUG_MAX + 8 < 32);
const _: () = assert!(VMM_ANSWERS.as_millis() < QMP_REPLY.as_millis());
