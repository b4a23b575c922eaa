//! What whoever typed the command is told: answers of chores, complaints about settings, and the
//! log. Part of the program alone; it never decides anything and ends with the process.

use std::process::ExitCode;

use anyhow::Context as _;
use pe_lb::cli::Cli;
use tracing_subscriber::EnvFilter;

/// Exit status for settings that are wrong (`EX_USAGE` of sysexits.h).
pub(crate) const EXIT_USAGE: u8 = 64;

/// The answer to a command, or why there is none.
#[expect(clippy::print_stdout, reason = "the answer to whoever typed the command")]
pub(crate) fn answer(text: anyhow::Result<String>) -> ExitCode {
    match text {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(bad) => refuse(&bad),
    }
}

/// Settings come before the log, so this goes to the terminal as it is.
#[expect(clippy::print_stderr, reason = "the message is for whoever typed the command")]
pub(crate) fn refuse(bad: &anyhow::Error) -> ExitCode {
    eprintln!("pe-lb: {bad:#}");
    ExitCode::from(EXIT_USAGE)
}

/// Lets everything that is logged from now on be written.
pub(crate) fn start_log(cli: &Cli) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&cli.log).context("--log")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if cli.log_json { log.json().try_init() } else { log.try_init() };
    started.map_err(|error| anyhow::anyhow!(error)).context("log")
}
