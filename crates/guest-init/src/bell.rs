//! Waiting for the host: a byte on the serial port, or the kernel saying that a device came.
//!
//! Neither is believed. Both only mean "look again"; what there is to see is read from the
//! devices. Init sleeps in `poll` until then and never spins.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use crate::port::Port;

/// The group of kernel uevents; udev's own re-broadcasts are another.
const KERNEL_EVENTS: u32 = 1;

/// Everything that can wake init before it has a job.
#[derive(Debug)]
pub struct Bell {
    events: OwnedFd,
}

impl Bell {
    /// Starts listening: what happens from now on will wake [`Bell::wait`].
    pub fn new() -> io::Result<Self> {
        let events = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkKObjectUEvent,
        )?;
        let any = nix::libc::pid_t::default();
        bind(
            std::os::fd::AsRawFd::as_raw_fd(&events),
            &NetlinkAddr::new(any.unsigned_abs(), KERNEL_EVENTS),
        )?;
        Ok(Self { events })
    }

    /// Sleeps until something happened, for ever if no deadline is given. False if the deadline
    /// passed first.
    pub fn wait(&self, port: &Port, deadline: Option<Instant>) -> io::Result<bool> {
        let mut fds = [
            PollFd::new(port.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.events.as_fd(), PollFlags::POLLIN),
        ];
        let rang = wait_until(&mut fds, deadline)?;
        port.drain();
        self.drain();
        Ok(rang)
    }

    /// An overrun means that events were lost, which also only means "look again".
    fn drain(&self) {
        let mut bytes = [0; 4096];
        let fd = std::os::fd::AsRawFd::as_raw_fd(&self.events);
        loop {
            match recv(fd, &mut bytes, MsgFlags::empty()) {
                Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// Polls until one of `fds` is ready or the deadline passed; true if one is ready.
pub fn wait_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    loop {
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                // Rounded up: a wait that ends a millisecond early would only poll again.
                let left = left.saturating_add(Duration::from_micros(999));
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(fds, timeout) {
            Ok(0) if deadline.is_some_and(|deadline| Instant::now() < deadline) => {}
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
