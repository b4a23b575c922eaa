//! Sockets that were opened by whoever started the process (systemd's socket activation), and the
//! word to them that it is ready. A socket that systemd holds outlives this process: clients that
//! connect while it is restarted wait in the backlog and are served by the next one.

use std::io;

use tracing::debug;

/// Sockets by name, not yet used. Take them once, at the start.
#[derive(Debug, Default)]
pub struct Activated(Vec<(String, Socket)>);

/// One of them.
#[derive(Debug)]
pub enum Socket {
    /// An address.
    Tcp(std::net::TcpListener),
    /// A path.
    Unix(std::os::unix::net::UnixListener),
}

impl Activated {
    /// What the environment says there is. A socket without a name of its own has the name of its
    /// unit, `pe-lb.socket` for one.
    ///
    /// # Errors
    /// A descriptor that is no listening socket of a kind that is served here.
    #[expect(clippy::disallowed_methods, reason = "systemd speaks by variables, and only at start")]
    pub fn from_env() -> io::Result<Self> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut given = listenfd::ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..given.len() {
            let name = names.next().unwrap_or_default().to_owned();
            let socket = match given.take_tcp_listener(index) {
                Ok(Some(listener)) => Some(Socket::Tcp(listener)),
                _ => given.take_unix_listener(index)?.map(Socket::Unix),
            };
            sockets.extend(socket.map(|socket| (name, socket)));
        }
        Ok(Self(sockets))
    }

    /// All of a name.
    pub fn take(&mut self, name: &str) -> Vec<Socket> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(|(at, _)| at == name);
        self.0 = left;
        let taken: Vec<(String, Socket)> = taken;
        taken.into_iter().map(|(_, socket)| socket).collect()
    }

    /// Names of sockets that nobody took.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// Tells whoever started the process that it serves, if that one wants to know.
pub fn say_ready() {
    if let Err(error) = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]) {
        debug!(%error, "readiness not told");
    }
}

/// Tells it that the process drains.
pub fn say_stopping() {
    if let Err(error) = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]) {
        debug!(%error, "stopping not told");
    }
}
