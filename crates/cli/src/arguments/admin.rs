//! Arguments of `pe admin`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::admin::target::Target;
use crate::help;
use crate::limits::BAN_MAX;
use crate::units::{BadUnit, parse_duration};

/// Arguments of `pe admin`.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// Where the load balancer listens for operators: a URL, or `unix:` and the path of a socket
    #[arg(long, global = true, value_name = "WHERE", env = "PE_ADMIN")]
    #[arg(default_value = "http://127.0.0.1:8082")]
    pub admin: Target,

    /// File with the operators' token, if the load balancer wants one
    #[arg(long, global = true, value_name = "FILE", env = "PE_ADMIN_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,

    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,

    /// What to do.
    #[command(subcommand)]
    pub what: AdminCommand,
}

/// What operators do.
#[derive(Debug, Clone, Subcommand)]
pub enum AdminCommand {
    /// Version, counts, and the settings that are not at their default
    #[command(after_help = help::ADMIN_STATUS)]
    Status,
    /// Workers: slots, strikes, who is draining or quarantined
    #[command(after_help = help::ADMIN_WORKERS)]
    Workers,
    /// Jobs that wait for a slot
    #[command(after_help = help::ADMIN_QUEUE)]
    Queue,
    /// Jobs that workers have
    #[command(after_help = help::ADMIN_LEASES)]
    Leases,
    /// Runs that several requests may wait for
    #[command(after_help = help::ADMIN_FLIGHTS)]
    Flights,
    /// Clients that are banned
    #[command(after_help = help::ADMIN_BANS)]
    Bans,
    /// Give a worker no more jobs, or end the load balancer when its jobs are answered
    #[command(after_help = help::ADMIN_DRAIN)]
    Drain(DrainArgs),
    /// Give a worker no more jobs because it is not believed
    #[command(after_help = help::ADMIN_QUARANTINE)]
    Quarantine(QuarantineArgs),
    /// Forget the result of a job
    #[command(after_help = help::ADMIN_PURGE)]
    Purge(PurgeArgs),
    /// Refuse all that a client asks, for a while
    #[command(after_help = help::ADMIN_BAN)]
    Ban(BanArgs),
    /// Take a ban back
    #[command(after_help = help::ADMIN_UNBAN)]
    Unban(UnbanArgs),
    /// Read the settings again
    #[command(after_help = help::ADMIN_RELOAD)]
    Reload,
}

/// Arguments of `pe admin drain`.
#[derive(Debug, Clone, Args)]
pub struct DrainArgs {
    /// Name of the worker, as `pe admin workers` shows it
    #[arg(required_unless_present = "lb")]
    pub worker: Option<String>,

    /// The load balancer itself: it ends
    #[arg(long, conflicts_with_all = ["worker", "undo"])]
    pub lb: bool,

    /// Give the worker jobs again
    #[arg(long)]
    pub undo: bool,
}

/// Arguments of `pe admin quarantine`.
#[derive(Debug, Clone, Args)]
pub struct QuarantineArgs {
    /// Name of the worker, as `pe admin workers` shows it
    pub worker: String,

    /// Take it back, and forgive what it did
    #[arg(long)]
    pub undo: bool,
}

/// Arguments of `pe admin purge`.
#[derive(Debug, Clone, Args)]
pub struct PurgeArgs {
    /// Digest of the job: the field `job` of its answer
    pub job: String,
}

/// Arguments of `pe admin ban`.
#[derive(Debug, Clone, Args)]
pub struct BanArgs {
    /// An address, a network such as 192.0.2.0/24, or `key:` and the name of an API key
    pub client: String,

    /// For how long
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = ban)]
    pub time: Duration,

    /// Why: for the log, and for whoever lists bans
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

/// Arguments of `pe admin unban`.
#[derive(Debug, Clone, Args)]
pub struct UnbanArgs {
    /// As `pe admin bans` shows it
    pub client: String,
}

fn ban(text: &str) -> Result<Duration, BadUnit> {
    parse_duration(text, Duration::from_secs(1), BAN_MAX)
}
