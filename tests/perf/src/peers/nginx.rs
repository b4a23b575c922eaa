//! nginx with `proxy_cache`, in clear text and TLS.

use std::fs;
use std::net::SocketAddr;

use super::Stage;
use crate::process::{Process, free_address};

/// See the module.
#[derive(Debug)]
pub(crate) struct Nginx {
    /// HTTP/2 with prior knowledge.
    pub(crate) h2c: SocketAddr,
    /// HTTP/1.1.
    pub(crate) http1: SocketAddr,
    /// TLS, HTTP/2 by ALPN.
    pub(crate) tls: SocketAddr,
    pub(crate) process: Process,
}

impl Nginx {
    pub(crate) fn start(stage: &Stage, origin: SocketAddr) -> anyhow::Result<Self> {
        let dir = stage.dir_of("nginx")?;
        let (h2c, http1, tls) = (free_address()?, free_address()?, free_address()?);
        let (cert, key) = (stage.certificate.display(), stage.key.display());
        let at = dir.display();
        // `sendfile` is off because it is slower for a few KiB, and because with it an answer over
        // HTTP/2 in clear text that no other follows waits 40 ms for an acknowledgement.
        // Temporary files and the cache are in the page cache: nothing here waits for a disk.
        let config = format!(
            "daemon off; worker_processes 1; worker_rlimit_nofile 20000;
pid {at}/pid; error_log stderr error;
events {{ worker_connections 16384; use epoll; multi_accept on; }}
http {{
  access_log off; sendfile off; tcp_nopush off; tcp_nodelay on;
  keepalive_timeout 600; keepalive_requests 1000000000;
  client_header_timeout 600; http2_max_concurrent_streams 128;
  open_file_cache max=1000 inactive=600s; open_file_cache_valid 600s;
  client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
  uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
  proxy_cache_path {at}/cache levels=1:2 keys_zone=results:4m max_size=256m inactive=60m
    use_temp_path=off;
  upstream origin {{ server {origin}; keepalive 128; keepalive_requests 1000000000; }}
  ssl_certificate {cert}; ssl_certificate_key {key};
  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:16m;
  server {{
    listen {h2c} http2 backlog=4096; listen {http1} backlog=4096;
    listen {tls} ssl http2 backlog=4096;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\";
      proxy_cache results; proxy_cache_valid 200 60m;
    }}
  }}
}}
"
        );
        let path = dir.join("nginx.conf");
        fs::write(&path, config)?;
        let args = ["-p", &dir.to_string_lossy(), "-c", &path.to_string_lossy()];
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let mut process = Process::start(stage.cores.server, "nginx", &args, &stage.dir)?;
        process.listens(tls)?;
        Ok(Self { h2c, http1, tls, process })
    }
}
