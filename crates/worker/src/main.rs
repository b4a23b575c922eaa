//! The program: flags, config, log, signals, run.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use pe_worker::cli::{Cli, Command, Flags};
use pe_worker::config::{Config, ConfigError};
use pe_worker::doctor::{self, Verdict, public};
use pe_worker::signals::Signals;
use pe_worker::{bench, fetch, host, jail, worker};
use tracing_subscriber::EnvFilter;

/// `EX_USAGE` of sysexits.h: a bad flag or config.
const BAD_CONFIG: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(BAD_CONFIG) } else { ExitCode::SUCCESS };
        }
    };
    let has_log = !cli.is_doctor();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            // Without a log, say it plainly.
            if error.is::<BadFlag>() || !has_log {
                eprintln!("pe-worker: {error:#}");
            }
            tracing::error!("{error:#}");
            let bad_config = error.is::<ConfigError>() || error.is::<BadFlag>();
            if bad_config { ExitCode::from(BAD_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("--log: {0}")]
struct BadFlag(String);

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let flags = match &cli.command {
        Some(Command::Bench(bench)) => &bench.flags,
        Some(Command::Doctor(doctor)) => &doctor.flags,
        Some(Command::Fetch(fetch)) => &fetch.flags,
        None => &cli.flags,
    };
    // The doctor's findings say it better than the log of a guest that does not boot.
    start_log(flags, if cli.is_doctor() { "off" } else { "info" })?;
    let config = Config::load(flags.config.as_deref(), flags.settings(), host::cores())?;
    if let Err(error) = jail::shed_capabilities() {
        tracing::warn!(%error, "the worker keeps capabilities that it does not need");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    match cli.command {
        Some(Command::Bench(bench)) => {
            runtime.block_on(bench::run(&config, &bench))?;
        }
        Some(Command::Fetch(flags)) => {
            let lb = config.lb()?;
            runtime.block_on(fetch::seed(&config, lb, &flags.names))?;
        }
        Some(Command::Doctor(flags)) => {
            let verdict = runtime.block_on(doctor::run(&config, flags.json));
            // A disk that hangs holds up its own check, not the end.
            runtime.shutdown_background();
            let failed = verdict.context("cannot write the report")? == Verdict::Fail;
            return Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        None => {
            let lb = config.lb()?;
            public::admit(&config)?;
            runtime.block_on(async {
                let signals = Signals::listen().context("cannot listen for signals")?;
                anyhow::Ok(worker::serve(config, lb, signals).await?)
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The worker itself does little; its cores are for guests.
const RUNTIME_THREADS: usize = 2;

fn start_log(flags: &Flags, usual: &str) -> anyhow::Result<()> {
    let level = flags.log.as_deref().unwrap_or(usual);
    let filter = EnvFilter::try_new(level).map_err(|bad| BadFlag(bad.to_string()))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if flags.log_json {
        log.json().init();
    } else {
        log.init();
    }
    Ok(())
}
