//! The client API's JSON (`protocol.md 8`).
//!
//! The types only; parsing from JSON text, and the path to a wrong field, are the LB's.

mod answer;
mod content;
mod problem;
mod progress;
mod request;
mod state;
pub(crate) mod strict;

pub use answer::{Answer, AnswerFile, AnswerHead, CacheStatus, FileBytes, Phases};
pub use content::{BadBase64, Content, FileContent};
pub use problem::{Problem, ProblemKind};
pub use progress::Progress;
pub use request::{CachePolicy, LimitsRequest, Requires, RunConfig, RunRequest};
pub use state::{PageState, STATE_VERSION};

/// Media type of the binary form: `u32le` length · JSON · archive (`protocol.md 8.3`).
pub const BINARY: &str = "application/vnd.pe.v1";
/// Media type of errors (RFC 9457).
pub const PROBLEM: &str = "application/problem+json";
/// Where jobs are posted.
pub const RUN_PATH: &str = "/api/v1/run";
/// Where results are, by the digest of their job.
pub const RESULTS_PATH: &str = "/api/v1/results/";
/// Where it is told how far a job is, by its digest.
pub const PROGRESS_PATH: &str = "/api/v1/progress/";
/// Where states of the page are kept for others, each below by its name (`protocol.md 8.11`).
pub const SHARES_PATH: &str = "/api/v1/shares";
/// Where the catalogue is.
pub const IMAGES_PATH: &str = "/api/v1/images";
