//! HAProxy as a reverse proxy: HTTP/2 in, and out over HTTP/1.1 or HTTP/2.

use std::fs;
use std::net::SocketAddr;

use super::Stage;
use crate::process::{Process, free_address};

/// See the module.
#[derive(Debug)]
pub(crate) struct Haproxy {
    /// To an HTTP/1.1 backend, connections kept alive.
    pub(crate) to_http1: SocketAddr,
    /// To the same over HTTP/2.
    pub(crate) to_http2: SocketAddr,
    pub(crate) process: Process,
}

impl Haproxy {
    pub(crate) fn start(stage: &Stage, origin: SocketAddr) -> anyhow::Result<Self> {
        let (to_http1, to_http2) = (free_address()?, free_address()?);
        let config = format!(
            "global
  nbthread 1
  maxconn 4000
  tune.h2.max-concurrent-streams 128
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  option http-keep-alive
  http-reuse always
frontend one
  bind {to_http1} proto h2 backlog 4096
  default_backend http1
frontend two
  bind {to_http2} proto h2 backlog 4096
  default_backend http2
backend http1
  server origin {origin}
backend http2
  server origin {origin} proto h2
"
        );
        let dir = stage.dir_of("haproxy")?;
        let path = dir.join("haproxy.cfg");
        fs::write(&path, config)?;
        let args = ["-db".to_owned(), "-f".to_owned(), path.to_string_lossy().into_owned()];
        let mut process = Process::start(stage.cores.server, "haproxy", &args, &stage.dir)?;
        process.listens(to_http1)?;
        Ok(Self { to_http1, to_http2, process })
    }
}
