//! Listening sockets, whatever they are, and the streams that come from them.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use super::activation::{Activated, Socket};
use crate::config::listen::{Address, Listen};
use crate::core::client::Peer;

/// A listener and what is spoken there.
#[derive(Debug)]
pub struct Listener {
    bound: Bound,
    /// Whether TLS is spoken.
    pub is_tls: bool,
    /// Whether trusted peers begin with a header of the PROXY protocol.
    pub is_proxied: bool,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, Option<OwnPath>),
}

impl Listener {
    /// Binds one, or takes all sockets of its name.
    ///
    /// # Errors
    /// It cannot be listened there.
    pub fn open(listen: &Listen, activated: &mut Activated) -> io::Result<Vec<Self>> {
        let bound = match &listen.address {
            Address::Tcp(address) => vec![Bound::Tcp(bind(*address)?)],
            Address::Unix(path) => {
                remove_dead(path)?;
                let listener = UnixListener::bind(path)?;
                vec![Bound::Unix(listener, Some(OwnPath(path.clone())))]
            }
            Address::Activated(name) => {
                let taken = activated.take(name);
                if taken.is_empty() {
                    let problem = "no socket of this name was passed to the process";
                    return Err(io::Error::new(io::ErrorKind::NotFound, problem));
                }
                taken.into_iter().map(adopt).collect::<io::Result<_>>()?
            }
        };
        let Listen { is_tls, is_proxied, .. } = *listen;
        Ok(bound.into_iter().map(|bound| Self { bound, is_tls, is_proxied }).collect())
    }

    /// Where, if it is an address.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.bound {
            Bound::Tcp(listener) => listener.local_addr().ok(),
            Bound::Unix(..) => None,
        }
    }

    /// The next connection.
    ///
    /// # Errors
    /// Of the system.
    ///
    /// # Cancel safety
    /// A dropped future loses no connection.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.bound {
            Bound::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are written whole; waiting for more would only add latency. A socket
                // that does not take it works as well.
                let _ = stream.set_nodelay(true);
                Ok((Either::Left(stream), Peer::Ip(peer.ip())))
            }
            Bound::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Either::Right(stream), Peer::Local))
            }
        }
    }
}

impl std::fmt::Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_tls { "tls:" } else { "" })?;
        match &self.bound {
            Bound::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str("?"),
            },
            Bound::Unix(_, Some(OwnPath(path))) => write!(f, "unix:{}", path.display()),
            Bound::Unix(_, None) => f.write_str("unix"),
        }
    }
}

/// Binds with a backlog that bears a restart of all clients; the kernel caps it at `somaxconn`.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(crate::limits::BACKLOG)
}

fn adopt(socket: Socket) -> io::Result<Bound> {
    match socket {
        Socket::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            Ok(Bound::Tcp(TcpListener::from_std(listener)?))
        }
        Socket::Unix(listener) => {
            listener.set_nonblocking(true)?;
            Ok(Bound::Unix(UnixListener::from_std(listener)?, None))
        }
    }
}

/// Removes a socket that nobody listens on any more, and nothing else.
fn remove_dead(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket {
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
            }
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    }
    Ok(())
}

/// A path of ours, gone with its listener.
#[derive(Debug)]
struct OwnPath(PathBuf);

impl Drop for OwnPath {
    fn drop(&mut self) {
        // Somebody else may have been faster.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A connection as it was accepted: over an address, or over a path.
pub type Stream = Either<TcpStream, UnixStream>;
