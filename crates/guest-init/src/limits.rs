//! Every bound of the guest, with its reason. All sizes are bytes unless the name says else.

use std::time::Duration;

/// Memory that the job never gets: the kernel's own needs that no cgroup is charged for, init, and
/// the page cache of the runtime.
pub const MEMORY_RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// Also kept from the job: page tables and slabs grow with the machine.
pub const MEMORY_RESERVE_PERCENT: u64 = 10;
/// A job gets at least this much, or the VM was made too small to be of use.
pub const MEMORY_LEAST_BYTES: u64 = 32 * 1024 * 1024;

/// Processes and threads of the job. Enough for a parallel make; a fork bomb stops here.
pub const PIDS_MAX: u32 = 512;
/// Files, directories and names the job may create: a guard on kernel memory, not on usefulness.
pub const INODES_MAX: u64 = 65_536;
/// Open files of a process: what programs see by default, and the most they may ask for.
pub const NOFILE_SOFT: u64 = 1024;
/// See [`NOFILE_SOFT`].
pub const NOFILE_HARD: u64 = 4096;

/// Ids that exist in the container: 0 up to this, not included.
pub const IDS: u32 = 65_536;
/// Where those ids begin outside of it. Nothing else in the VM has ids of that range.
pub const FIRST_ID: u32 = 100_000;

/// `/etc/passwd` and `/etc/group`; larger ones are read up to here.
pub const ACCOUNT_FILE_BYTES_MAX: usize = 1024 * 1024;
/// Supplementary groups (Linux `NGROUPS_MAX` is 65536; a program that needs more than this many in
/// a throw-away VM is not known).
pub const GROUPS_MAX: usize = 256;

/// A pack that was hot-plugged just before the bell is there within this time, or never.
pub const PACK_WAIT_MAX: Duration = Duration::from_secs(5);
/// Unpacking 16 MiB of input in 10,000 files, under emulation.
pub const UNPACK_TIME_MAX: Duration = Duration::from_secs(15);
/// The runtime starting a container, under emulation.
pub const START_TIME_MAX: Duration = Duration::from_secs(10);
/// From killing the job's cgroup to its last process being gone.
pub const KILL_TIME_MAX: Duration = Duration::from_secs(3);
/// Walking and packing the returned files; after it, what was packed so far is the result.
pub const COLLECT_TIME_MAX: Duration = Duration::from_secs(8);
/// After [`COLLECT_TIME_MAX`] the collector is given this long to end by itself.
pub const COLLECT_GRACE: Duration = Duration::from_secs(3);

/// All that init may take beyond the program's wall clock. The worker's clock in emulation (45 s)
/// is above it, so init's answer, with every file, is there first; `protocol.md 4.4`.
const BEYOND_WALL_MAX: u64 = PACK_WAIT_MAX.as_secs()
    + UNPACK_TIME_MAX.as_secs()
    + START_TIME_MAX.as_secs()
    + KILL_TIME_MAX.as_secs()
    + COLLECT_TIME_MAX.as_secs()
    + COLLECT_GRACE.as_secs();
const _: () = assert!(BEYOND_WALL_MAX < 45);

/// What a confined child may say in its report: the metadata frame and a few numbers.
pub const REPORT_BYTES_MAX: usize = pe_proto::limits::RESULT_META_BYTES_MAX + 1024;
/// The runtime's log; one error is one line.
pub const RUNTIME_LOG_BYTES_MAX: usize = 16 * 1024;

/// Buffer for bulk copies to and from the io device: large enough that the cost of a system call
/// does not show, small enough for the smallest VM.
pub const COPY_BYTES: usize = 256 * 1024;
/// Buffer of a captured stream: what a pipe holds.
pub const STREAM_BUFFER_BYTES: usize = 64 * 1024;

/// Names looked at in one directory of the output; a directory of more is cut.
pub const NAMES_MAX: usize = 20_000;
/// Bytes that the heads and paths of a result's entries may take; the rest of the overhead that
/// the protocol grants is for the streams' heads and rounding.
pub const RESULT_PATHS_BYTES_MAX: u64 = pe_proto::limits::RESULT_OVERHEAD_BYTES - 64 * 1024;
/// Names quoted in one note.
pub const NAMES_QUOTED_MAX: usize = 3;

const _: () = assert!(NAMES_MAX > pe_proto::limits::ARCHIVE_ENTRIES_MAX as usize);
const _: () = assert!(COPY_BYTES as u64 % pe_proto::io_file::PAGE == 0);
const _: () = assert!(STREAM_BUFFER_BYTES as u64 % pe_proto::io_file::PAGE == 0);
const _: () = assert!(NOFILE_SOFT <= NOFILE_HARD);

/// What one VM's memory is divided into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// `memory.max` of the job's cgroup: processes, files it writes, pipes, page tables.
    pub memory: u64,
    /// Most that files may take of it, so that a full disk is an error and not an OOM kill.
    pub disk: u64,
    /// Most of that that shared memory may take.
    pub shm: u64,
}

impl Shares {
    /// Divides `total` bytes of memory.
    pub fn of(total: u64) -> Self {
        let reserve = MEMORY_RESERVE_BYTES + total / 100 * MEMORY_RESERVE_PERCENT;
        let memory = total.saturating_sub(reserve).max(MEMORY_LEAST_BYTES);
        Self { memory, disk: memory / 2, shm: memory / 4 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_job_gets_most_of_the_memory_and_files_half_of_that() {
        let shares = Shares::of(1000 * MIB);
        assert_eq!(shares.memory, 836 * MIB);
        assert_eq!(shares.disk, 418 * MIB);
        assert_eq!(shares.shm, 209 * MIB);
    }

    #[test]
    fn a_tiny_machine_still_gives_a_limit_and_never_an_underflow() {
        for total in [0, 1, 64 * MIB, 100 * MIB] {
            assert_eq!(Shares::of(total).memory, MEMORY_LEAST_BYTES);
        }
    }
}
