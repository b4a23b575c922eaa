//! What a client gets back (`protocol.md 8.2`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::archive::Kind;
use crate::outcome::{Outcome, RanOn, Truncated, Usage};
use crate::{Digest, JobLimits};

use super::Content;

/// A whole result as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// All but the bytes.
    #[serde(flatten)]
    pub head: AnswerHead,
    /// Standard output.
    pub stdout: Content,
    /// Standard error.
    pub stderr: Content,
    /// Returned files by path: those below `/output`, and matches of `outputs`.
    pub files: BTreeMap<String, AnswerFile>,
}

/// A result without its bytes: the JSON at the head of the binary form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerHead {
    /// The job's digest, 64 hexadecimal digits, as the LB computed it.
    pub job: String,
    /// Request id, as in logs.
    pub request_id: String,
    /// Where the result came from.
    pub cache: CacheStatus,
    /// How it ended.
    pub outcome: Outcome,
    /// What was cut at a limit.
    pub truncated: Vec<Truncated>,
    /// Sentences about what was left out or changed.
    pub notes: Vec<String>,
    /// What it used.
    pub usage: Usage,
    /// Where the time went.
    pub phases: Phases,
    /// The limits that held.
    pub limits: JobLimits,
    /// Image digest.
    pub image: Digest,
    /// Where it ran.
    pub ran_on: Option<RanOn>,
}

/// A returned file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerFile {
    /// Its bytes; for a symbolic link, the target.
    #[serde(flatten)]
    pub content: FileBytes,
    /// Media type guessed from the name; a hint only.
    pub mime: String,
    /// Whether it may be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// It is an empty directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub directory: bool,
    /// It is a symbolic link.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub symlink: bool,
}

/// Guesses of lists of media types that are as old as the web, and what is meant by now (RFC 8081).
const OUTDATED: [(&str, &str); 2] =
    [("application/vnd.ms-pki.stl", "model/stl"), ("application/x-tgif", "model/obj")];

impl AnswerFile {
    /// Of an entry of an archive, with what its name lets one guess.
    pub fn new(kind: Kind, content: Content, guess: Option<&str>) -> Self {
        let mime = match kind {
            Kind::File | Kind::Executable => guess,
            Kind::Directory => Some("inode/directory"),
            Kind::Symlink => Some("inode/symlink"),
        };
        let mime = mime.unwrap_or("application/octet-stream");
        let meant = OUTDATED.iter().find(|(old, _)| *old == mime).map_or(mime, |(_, new)| new);
        Self {
            content: content.into(),
            mime: meant.to_owned(),
            executable: kind == Kind::Executable,
            directory: kind == Kind::Directory,
            symlink: kind == Kind::Symlink,
        }
    }
}

/// Bytes as a field of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileBytes {
    /// UTF-8, as it is.
    Text(String),
    /// Anything.
    Base64(String),
}

impl From<Content> for FileBytes {
    fn from(content: Content) -> Self {
        match content {
            Content::Text(text) => Self::Text(text),
            Content::Base64 { base64 } => Self::Base64(base64),
        }
    }
}

impl From<FileBytes> for Content {
    fn from(bytes: FileBytes) -> Self {
        match bytes {
            FileBytes::Text(text) => Self::Text(text),
            FileBytes::Base64(base64) => Self::Base64 { base64 },
        }
    }
}

/// Where a result came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheStatus {
    /// It was run.
    Miss,
    /// It was known.
    Hit,
    /// An identical job was already running.
    Joined,
}

/// Where the time went, in microseconds. Sums to the LB's view of the request, less the network
/// to the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// Waiting in the LB for a slot.
    pub queue_us: u64,
    /// From lease to the worker having the whole job.
    pub transfer_us: u64,
    /// Attaching io file and image until the guest saw them.
    pub attach_us: u64,
    /// Mounting the image in the guest.
    pub mount_us: u64,
    /// Unpacking the input.
    pub unpack_us: u64,
    /// From asking the runtime to the program running.
    pub start_us: u64,
    /// The program.
    pub run_us: u64,
    /// Packing the result in the guest.
    pub collect_us: u64,
    /// Killing the VM and checking the result.
    pub stop_us: u64,
    /// From the request's last byte to the result's first.
    pub total_us: u64,
}
