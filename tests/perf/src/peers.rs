//! The servers that are measured: ours and its peers, each as its own manual would tune it for
//! this: one worker or thread, keep-alive without an end, no access log, TLS sessions cached, caches
//! in memory and large enough.

mod haproxy;
mod lb;
mod nginx;
mod varnish;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::machine::Cores;
use crate::process::Process;

pub(crate) use haproxy::Haproxy;
pub(crate) use lb::{IMAGE, Lb};
pub(crate) use nginx::Nginx;
pub(crate) use varnish::Varnish;

/// What all of them are started with.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// Which core is whose.
    pub(crate) cores: Cores,
    /// Where they may write.
    pub(crate) dir: PathBuf,
    /// Certificate and key for TLS.
    pub(crate) certificate: PathBuf,
    /// See above.
    pub(crate) key: PathBuf,
    /// The program under test.
    pub(crate) lb: PathBuf,
}

impl Stage {
    /// A directory of its own for a server.
    pub(crate) fn dir_of(&self, name: &str) -> anyhow::Result<PathBuf> {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

/// The origin that peers relay to and fill their caches from.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Backend {
    /// Starts this program as one, beside the load.
    pub(crate) fn start(stage: &Stage, bytes: usize) -> anyhow::Result<Self> {
        let address = crate::process::free_address()?;
        let mut args = vec!["backend".to_owned(), address.to_string()];
        args.extend(["--bytes".to_owned(), bytes.to_string()]);
        let mut process = this(stage.cores.load, &args, &stage.dir)?;
        process.listens(address)?;
        Ok(Self { address, _process: process })
    }
}

/// Starts another part of this program.
pub(crate) fn this(core: usize, args: &[String], dir: &Path) -> anyhow::Result<Process> {
    let program = std::env::current_exe()?;
    Process::start(core, &program.to_string_lossy(), args, dir)
}
