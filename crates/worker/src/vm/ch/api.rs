//! cloud-hypervisor's control socket: HTTP/1.1 on a connection that nobody else can make.
//!
//! The worker listens on a path in a directory that only it can enter, connects once, removes the
//! path, and hands the *listening* end to the VMM, which finds our connection waiting there. The
//! VMM may come to be in the hands of its guest: each call has a time limit, and of what it
//! answers no more than [`API_ANSWER_BYTES_MAX`] is taken.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream as StdUnixStream};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use nix::unistd::mkdtemp;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::images::Pack;
use crate::limits::{API_ANSWER_BYTES_MAX, API_REPLY, API_SAVE};
use crate::vm::VmError;
use crate::vm::console::printable;
use crate::vm::control::Control;
use crate::vm::launch::fd_path;
use crate::vm::pty::Line;

/// The worker's end.
#[derive(Debug)]
pub(super) struct Api {
    requests: SendRequest<Full<Bytes>>,
    /// No limit is below it.
    patience: Duration,
    /// What reads and writes the socket; it ends with this value.
    _connection: JoinSet<()>,
}

/// A connection that waits to be accepted, and the listener to accept it from. They meet in
/// `base`, which is part of what the next worker sweeps: this one may be killed half-way.
pub(super) fn pair(base: &Path) -> io::Result<(StdUnixStream, OwnedFd)> {
    let dir = mkdtemp(&base.join("api-XXXXXX"))?;
    let made = File::open(&dir).and_then(|open| {
        // By its descriptor, because a socket's path has to be short and this one need not be.
        let path = format!("{}/{SOCKET}", fd_path(open.as_raw_fd()));
        let listener = UnixListener::bind(&path)?;
        let stream = StdUnixStream::connect(&path)?;
        stream.set_nonblocking(true)?;
        Ok((stream, listener.into()))
    });
    // From here on nobody can connect, whoever may enter the directory.
    let _ = fs::remove_file(dir.join(SOCKET));
    fs::remove_dir(&dir)?;
    made
}

/// The socket's name while it has one.
const SOCKET: &str = "api";

impl Api {
    /// Speaks on a connection. Nothing is sent yet.
    pub(super) async fn over(stream: StdUnixStream, patience: Duration) -> io::Result<Self> {
        let stream = TokioIo::new(UnixStream::from_std(stream)?);
        let handshake = http1::Builder::new().max_buf_size(READ_BYTES).handshake(stream);
        let (requests, connection) = handshake.await.map_err(io::Error::other)?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // How it ends, the call under way learns.
            let _ = connection.await;
        });
        Ok(Self { requests, patience, _connection: task })
    }

    /// Stops the guest.
    pub(super) async fn pause(&mut self) -> Result<(), VmError> {
        self.call(Method::PUT, "vm.pause", None, API_REPLY).await
    }

    /// Lets the guest go on.
    pub(super) async fn resume(&mut self) -> Result<(), VmError> {
        self.call(Method::PUT, "vm.resume", None, API_REPLY).await
    }

    /// Saves a stopped guest to a directory.
    pub(super) async fn snapshot(&mut self, url: String) -> Result<(), VmError> {
        let whereto = json!({"destination_url": url});
        self.call(Method::PUT, "vm.snapshot", Some(whereto), API_SAVE).await
    }

    async fn call(
        &mut self,
        method: Method,
        name: &'static str,
        argument: Option<Value>,
        within: Duration,
    ) -> Result<(), VmError> {
        match timeout(within.max(self.patience), self.ask(method, name, argument)).await {
            Ok(answered) => answered,
            Err(_) => Err(VmError::Late(name.to_owned())),
        }
    }

    async fn ask(
        &mut self,
        method: Method,
        name: &'static str,
        argument: Option<Value>,
    ) -> Result<(), VmError> {
        let body = argument.map(|value| value.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{name}"))
            .header(header::HOST, "vmm")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| VmError::Garbled)?;
        self.requests.ready().await.map_err(broken)?;
        let response = self.requests.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), API_ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|_| VmError::Garbled)?.to_bytes();
        match status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(VmError::Refused { command: name.to_owned(), reason: printable(&body) }),
        }
    }
}

/// Most of an answer that is looked at in one piece; heads are some hundred bytes.
const READ_BYTES: usize = 64 * 1024;

fn broken(error: hyper::Error) -> VmError {
    if error.is_parse() || error.is_parse_too_large() {
        return VmError::Garbled;
    }
    VmError::Closed(io::Error::other(error))
}

impl Control for Api {
    type Line = Line;

    async fn greet(&mut self) -> Result<(), VmError> {
        self.ping().await
    }

    /// Answered by the thread that does all else, too.
    async fn ping(&mut self) -> Result<(), VmError> {
        self.call(Method::GET, "vmm.ping", None, API_REPLY).await
    }

    async fn plug(&mut self, name: String, pack: &Pack) -> Result<(), VmError> {
        let device = json!({"id": name, "file": pack.path(), "discard_writes": true});
        self.call(Method::PUT, "vm.add-pmem", Some(device), API_REPLY).await
    }
}

#[cfg(test)]
mod tests;
