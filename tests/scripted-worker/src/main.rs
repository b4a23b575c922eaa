//! `scripted-worker`: workers without VMs, as a process.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use pe_proto::{Arch, Digest};
use pe_scripted_worker::journal::Journal;
use pe_scripted_worker::worker::{self, Terms};
use tokio::task::JoinSet;

/// Workers without VMs: each job's arguments say what becomes of it.
#[derive(Debug, Parser)]
struct Cli {
    /// Where the load balancer listens for workers, as HOST:PORT
    #[arg(long)]
    lb: String,

    /// Digests of the images on offer
    #[arg(long, required = true, value_delimiter = ',')]
    images: Vec<Digest>,

    /// Name of the worker; several are numbered
    #[arg(long, default_value = "scripted")]
    name: String,

    /// Workers, each with a connection of its own
    #[arg(long, default_value_t = 1)]
    workers: usize,

    /// Slots of each
    #[arg(long, default_value_t = 4)]
    slots: u32,

    /// File with the token to show
    #[arg(long)]
    token_file: Option<PathBuf>,

    /// Say of every job that it printed this, and ended with 0
    #[arg(long)]
    lie: Option<String>,

    /// Tell on stdout what happens when
    #[arg(long)]
    journal: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Cli { lb, images, name, workers, slots, token_file, lie, journal } = Cli::parse();
    let token = match token_file {
        Some(path) => {
            let text = std::fs::read_to_string(&path);
            Some(text.with_context(|| path.display().to_string())?.trim().to_owned())
        }
        None => None,
    };
    let mut running = JoinSet::new();
    for number in 0..workers {
        let name = if workers == 1 { name.clone() } else { format!("{name}-{number}") };
        running.spawn(worker::run(Terms {
            lb: lb.clone(),
            name,
            slots,
            arch: Arch::X86_64,
            images: images.clone(),
            token: token.clone(),
            lie: lie.clone(),
            journal: Journal { is_on: journal },
        }));
    }
    while running.join_next().await.is_some() {}
    Ok(())
}
