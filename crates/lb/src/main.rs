//! `pe-lb`: settings, log, build, run, drain.

#![forbid(unsafe_code)]

mod terminal;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use pe_lb::cli::Cli;
use pe_lb::config::Config;
use pe_lb::limits::BLOCKING_THREADS_MAX;
use pe_lb::server::{Drained, Server};
use pe_lb::shell::edge::activation::Activated;
use pe_lb::shell::edge::descriptors;
use tikv_jemallocator::Jemalloc;
use tokio::signal::unix::{SignalKind, signal};

use tracing::{error, info};

use terminal::{EXIT_USAGE, answer, refuse, start_log};

/// A request is some dozens of small allocations, many of them freed by another task than made them, and
/// connections come and go by the thousand.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

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
        return refuse(&bad);
    }
    let file = cli.config.clone();
    let config = match Config::load(file.as_deref(), cli.overrides()) {
        Ok(config) => config,
        Err(bad) => return refuse(&bad.into()),
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

fn run(config: Config) -> anyhow::Result<()> {
    descriptors::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()?;
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
