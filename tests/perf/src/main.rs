//! `pe-perf`: the load balancer and its peers under the same load, on the same core, in turns.
//!
//! `pe-perf run` is the bench; the other commands are the parts of it that are processes of their
//! own: workers and a backend that answer at once, and clients that do nothing.
//!
//! The server under test has one core for itself; the load, the workers and the backend share
//! another. Contenders are measured in turns (a, b, a, b, ...), so that a slow minute of the
//! machine falls on all of them, and what is told are medians. Nothing here asserts a time.
//!
//! Suggested reading order: [`rows`], [`peers`], [`load`], [`worker`].

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "figures and progress are what this program is for")]

mod backend;
mod bench;
mod idlers;
mod load;
mod machine;
mod peers;
mod process;
mod report;
mod rows;
mod stats;
mod worker;

use std::net::SocketAddr;

use clap::{Parser, Subcommand};

/// Measures the load balancer against its peers.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole bench, or the rows whose name contains --only
    Run(bench::Settings),
    /// Workers that answer every job at once
    Workers(worker::Settings),
    /// An HTTP server that answers every request at once
    Backend {
        /// Where
        address: SocketAddr,
        /// Size of each answer
        #[arg(long, default_value_t = 4096)]
        bytes: usize,
    },
    /// TLS connections that make one request and then nothing
    Idlers(idlers::Settings),
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if let Command::Run(settings) = cli.command {
        return bench::run(&settings);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Workers(settings) => worker::run(settings).await,
            Command::Backend { address, bytes } => backend::run(address, bytes).await,
            Command::Idlers(settings) => idlers::run(settings).await,
            Command::Run(_) => Ok(()),
        }
    })
}
