//! Flags.

use std::path::PathBuf;

use clap::Parser;

use crate::chores::Chore;
use crate::config::Overrides;
use crate::config::listen::{self, Listen};

/// The load balancer of Program Explorer: clients post jobs to it, workers dial in and take them.
#[derive(Debug, Parser)]
#[command(name = "pe-lb", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Listener for clients (HTTP/1.1 and HTTP/2): IP:PORT, unix:/PATH or systemd:NAME, with tls:
    /// and proxy: (PROXY protocol) before it; may be given several times [default: 127.0.0.1:8080]
    #[arg(long, value_name = "LISTENER")]
    listen: Vec<Listen>,

    /// Listener for workers (HTTP/2) [default: 127.0.0.1:8081]
    #[arg(long, value_name = "LISTENER")]
    listen_workers: Vec<Listen>,

    /// Listener for operators and Prometheus; `none` for none [default: 127.0.0.1:8082]
    #[arg(long, value_name = "LISTENER", value_parser = listen::flag)]
    listen_admin: Vec<AdminFlag>,

    /// Catalogue of images, as JSON
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,

    /// File with the token that workers must show; without it anybody who can connect is a worker
    #[arg(long, value_name = "FILE")]
    worker_token_file: Option<PathBuf>,

    /// Directory of the built page (`make web` makes web/dist); without it a plain page is served
    #[arg(long, value_name = "DIR")]
    web: Option<PathBuf>,

    /// Wall clock of a job that asks for none, in milliseconds [default: 10000]
    #[arg(long, value_name = "MS")]
    wall_ms_default: Option<u64>,

    /// Most wall clock that a job may ask for, in milliseconds [default: 60000]
    #[arg(long, value_name = "MS")]
    wall_ms_max: Option<u64>,

    /// Settings as TOML; flags go before them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check settings as if to start with them, say what is wrong, and do nothing else
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub check_config: Option<PathBuf>,

    /// What is logged: error, warn, info, debug, trace, or a filter such as pe_lb=debug
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// Log lines as JSON objects
    #[arg(long)]
    pub log_json: bool,

    /// What to do instead of serving
    #[command(subcommand)]
    pub chore: Option<Chore>,
}

/// What `--listen-admin` is read as; clap takes an `Option` by that name for a flag that may be
/// left out.
type AdminFlag = Option<Listen>;

impl Cli {
    /// What the flags set.
    pub fn overrides(self) -> Overrides {
        let Self {
            listen,
            listen_workers,
            listen_admin,
            catalogue,
            worker_token_file,
            web,
            wall_ms_default,
            wall_ms_max,
            ..
        } = self;
        Overrides {
            listen,
            listen_workers,
            listen_admin,
            catalogue,
            worker_token_file,
            web,
            wall_ms_default,
            wall_ms_max,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  On this machine only, workers need no token:
    pe-lb --catalogue build/images/catalogue.json --web web/dist

  For others, workers with a token, long jobs allowed:
    pe-lb --listen 0.0.0.0:8080 --listen-workers 0.0.0.0:8081 \\
          --catalogue catalogue.json --worker-token-file worker.token --wall-ms-max 120000

  A key for somebody who may do more than others:
    pe-lb key new ci --class gold

  A token for one worker, and its entry for the file of workers:
    pe-lb worker new cellar-1

  A first job:
    curl --json '{\"image\":\"busybox\",\"args\":[\"echo\",\"hello\"]}' 127.0.0.1:8080/api/v1/run

It ends on SIGTERM or SIGINT after the jobs in flight. Exit status: 0 after that, 64 for bad
settings, 1 if it cannot start.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_are_well_formed_and_the_help_has_examples() {
        Cli::command().debug_assert();
        let help = Cli::command().render_help().to_string();
        assert!(help.contains("Examples:") && help.contains("--listen-workers"), "{help}");
    }
}
