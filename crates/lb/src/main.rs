//! `pe-lb`: settings, log, build, run, drain.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use pe_lb::cli::Cli;
use pe_lb::config::Config;
use pe_lb::server::{Drained, Server};
use pe_lb::shell::edge::activation::Activated;
use pe_lb::shell::edge::descriptors;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

/// Exit status for settings that are wrong (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            let code = if told.use_stderr() { EXIT_USAGE } else { 0 };
            // Without a terminal there is nobody to be told.
            let _ = told.print();
            return ExitCode::from(code);
        }
    };
    if let Some(chore) = cli.chore {
        return answer(chore.run().map_err(Into::into));
    }
    if let Some(file) = cli.check_config.clone() {
        return check_config(&file, cli);
    }
    if let Err(bad) = start_log(&cli) {
        complain(&bad);
        return ExitCode::from(EXIT_USAGE);
    }
    let file = cli.config.clone();
    let config = match Config::load(file.as_deref(), cli.overrides()) {
        Ok(config) => config,
        Err(bad) => {
            complain(&bad.into());
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            error!(error = format!("{failed:#}"), "failed");
            ExitCode::FAILURE
        }
    }
}

/// `--check-config`: everything that a start reads is read, and nothing else happens.
fn check_config(file: &std::path::Path, cli: Cli) -> ExitCode {
    let checked = Config::load(Some(file), cli.overrides());
    answer(checked.map(|_| format!("{}: good\n", file.display())).map_err(Into::into))
}

#[expect(clippy::print_stdout, reason = "the answer to whoever typed the command")]
fn answer(text: anyhow::Result<String>) -> ExitCode {
    match text {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(bad) => {
            complain(&bad);
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// Whole settings come before the log, so this goes to the terminal as it is.
#[expect(clippy::print_stderr, reason = "the message is for whoever typed the command")]
fn complain(bad: &anyhow::Error) {
    eprintln!("pe-lb: {bad:#}");
}

fn start_log(cli: &Cli) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&cli.log).context("--log")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if cli.log_json { log.json().try_init() } else { log.try_init() };
    started.map_err(|error| anyhow::anyhow!(error)).context("log")
}

fn run(config: Config) -> anyhow::Result<()> {
    descriptors::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Asked for first: a signal from here on is a drain, never a sudden end.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let activated = Activated::from_env().context("sockets that were passed")?;
        let server = Server::bind_with(config, activated)?;
        let [clients, workers, admin] = server.listening();
        info!(clients, workers, admin, "listening");
        let stop = async {
            tokio::select! {
                biased;
                // Either asks for the same.
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        match server.run(stop).await {
            Drained::Wholly => info!("drained"),
            Drained::AtDeadline => info!("drained in part"),
            Drained::Crashed => anyhow::bail!("a part of the load balancer crashed"),
        }
        Ok(())
    })
}
