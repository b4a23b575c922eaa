//! Varnish, for context: a cache that is nothing else.

use std::net::SocketAddr;

use super::Stage;
use crate::process::{Process, free_address};

/// See the module.
#[derive(Debug)]
pub(crate) struct Varnish {
    /// HTTP/1.1, and HTTP/2 with prior knowledge.
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

impl Varnish {
    pub(crate) fn start(stage: &Stage, origin: SocketAddr) -> anyhow::Result<Self> {
        let address = free_address()?;
        let dir = stage.dir_of("varnish")?;
        let args = [
            "-F",
            "-j",
            "none",
            "-n",
            &dir.to_string_lossy(),
            "-a",
            &format!("{address},HTTP"),
            "-b",
            &origin.to_string(),
            "-s",
            "malloc,256m",
            "-t",
            "3600",
            "-p",
            "feature=+http2",
            "-p",
            "timeout_idle=600",
            "-p",
            "h2_max_concurrent_streams=128",
        ];
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let mut process = Process::start(stage.cores.server, "varnishd", &args, &stage.dir)?;
        process.listens(address)?;
        Ok(Self { address, process })
    }
}
