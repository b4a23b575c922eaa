//! How a job ended, what it used, and what is said about it (`protocol.md 5`).

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::Arch;
use crate::limits::{LABEL_BYTES_MAX, NOTE_BYTES_MAX, NOTES_MAX};

/// Who is to blame. Decides HTTP status, whether to retry, and who is woken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The request asks for something that cannot be.
    Client,
    /// The image is broken or lacks what the job names.
    Image,
    /// There is no room right now.
    Capacity,
    /// Something of ours failed.
    Us,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Client, Self::Image, Self::Capacity, Self::Us];

    /// Name as in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Image => "image",
            Self::Capacity => "capacity",
            Self::Us => "us",
        }
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The program exited by itself.
    Exited {
        /// Its exit status, 0 to 255.
        code: u8,
    },
    /// The program was ended by a signal that was not ours.
    Signaled {
        /// Signal number, as of Linux on that architecture.
        signal: u8,
    },
    /// Wall clock used up.
    TimedOut {
        /// Which clock ended it.
        clock: Clock,
    },
    /// The kernel killed a process of the job for its memory.
    OutOfMemory,
    /// It was never started.
    Refused {
        /// Whose fault.
        fault: Fault,
        /// Why, as a sentence for people.
        reason: String,
    },
    /// It was started (or may have been) and the VM was lost.
    Lost {
        /// Whose fault.
        fault: Fault,
        /// Why, as a sentence for people.
        reason: String,
    },
}

/// The three clocks that can end a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Guest init: the normal way; everything up to then is returned.
    Guest,
    /// The worker: the guest did not answer in time; the streams up to then are returned.
    Worker,
    /// The load balancer: the worker did not answer in time.
    Lb,
}

impl Outcome {
    /// Name as in JSON and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exited { .. } => "exited",
            Self::Signaled { .. } => "signaled",
            Self::TimedOut { .. } => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::Refused { .. } => "refused",
            Self::Lost { .. } => "lost",
        }
    }

    /// Whether the same job would end the same way: only such results may be cached.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::Exited { .. } | Self::Signaled { .. } => true,
            Self::TimedOut { .. }
            | Self::OutOfMemory
            | Self::Refused { .. }
            | Self::Lost { .. } => false,
        }
    }
}

/// What a job used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, Serialize, Deserialize)]
pub struct Usage {
    /// From start to end of the program, in microseconds.
    pub wall_us: u64,
    /// CPU time in user mode, all processes of the job, in microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, all processes of the job, in microseconds.
    pub system_us: u64,
    /// Most memory the job's cgroup ever held, in bytes: its processes, and what it wrote.
    pub max_rss_bytes: u64,
    /// Most processes and threads of the job killed by the kernel for memory.
    pub oom_kills: u64,
}

/// Which parts of a result were cut at their limit. What came before the limit is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncated {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Returned files: some are missing.
    Files,
}

/// Times inside the guest, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, Serialize, Deserialize)]
pub struct GuestPhases {
    /// From seeing the io file to the image and its overlay being mounted.
    pub mount_us: u64,
    /// Unpacking the input.
    pub unpack_us: u64,
    /// From asking the runtime to the program running.
    pub start_us: u64,
    /// The program itself.
    pub run_us: u64,
    /// Reading back files and packing the result.
    pub collect_us: u64,
}

/// All that a guest says about a job beside its archive.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ResultMeta {
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// What was cut.
    pub truncated: Vec<Truncated>,
    /// Sentences for people about what was left out or changed; bounded.
    pub notes: Vec<String>,
    /// Times inside the guest.
    pub phases: GuestPhases,
    /// Kernel release of the guest.
    pub kernel: String,
}

impl ResultMeta {
    /// A result without a program's doing: nothing used, nothing returned.
    pub fn without_run(outcome: Outcome) -> Self {
        Self {
            outcome,
            usage: Usage::default(),
            truncated: Vec::new(),
            notes: Vec::new(),
            phases: GuestPhases::default(),
            kernel: String::new(),
        }
    }

    /// Cuts every text and list to its bound. A guest's words are hostile; they are shortened,
    /// not refused, because the result they come with is still worth having.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let parts = [Truncated::Stdout, Truncated::Stderr, Truncated::Files];
        let said = std::mem::take(&mut self.truncated);
        self.truncated.extend(parts.into_iter().filter(|part| said.contains(part)));
        self.notes.truncate(NOTES_MAX);
        for note in &mut self.notes {
            cut(note, NOTE_BYTES_MAX);
        }
        cut(&mut self.kernel, LABEL_BYTES_MAX);
        match &mut self.outcome {
            Outcome::Refused { reason, .. } | Outcome::Lost { reason, .. } => {
                cut(reason, NOTE_BYTES_MAX);
            }
            Outcome::Exited { .. }
            | Outcome::Signaled { .. }
            | Outcome::TimedOut { .. }
            | Outcome::OutOfMemory => {}
        }
        self
    }
}

/// Times on the worker, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode, Serialize, Deserialize)]
pub struct WorkerPhases {
    /// Receiving the job into the io file.
    pub transfer_us: u64,
    /// Waiting for a ready VM; zero when the pool kept up.
    pub lease_us: u64,
    /// Attaching io file and image until the guest saw them.
    pub attach_us: u64,
    /// From attach to the guest's answer.
    pub guest_us: u64,
    /// Killing the VM until it was reaped.
    pub stop_us: u64,
    /// Checking the result.
    pub parse_us: u64,
}

/// Where a job ran.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct RanOn {
    /// Architecture.
    pub arch: Arch,
    /// Kernel release of the guest.
    pub kernel: String,
    /// CPU model of the host.
    pub cpu: String,
    /// Name of the worker.
    pub worker: String,
    /// VMM and accelerator, such as `qemu-tcg`.
    pub vmm: String,
}

fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let mut end = bytes_max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}

impl crate::codec::Message for ResultMeta {
    const MAGIC: [u8; 4] = *b"PERM";
    const VERSION: u16 = 1;
    const BYTES_MAX: usize = crate::limits::RESULT_META_BYTES_MAX;
}
