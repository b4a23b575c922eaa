//! A pseudo terminal as a guest's serial port: for a VMM that takes input from nothing else.

use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::pty::{OpenptyResult, openpty};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use tokio::io::{Join, join};
use tokio::net::unix::pipe;

/// Our end. Reading ends with an error once the VMM is gone.
pub(super) type Line = Join<pipe::Receiver, pipe::Sender>;

/// Our end, and the VMM's: raw from the start, so that nothing is echoed or changed, whatever
/// the VMM does about it and when.
pub(super) fn pair() -> io::Result<(Line, OwnedFd)> {
    let OpenptyResult { master, slave } = openpty(None, None)?;
    let mut settings = tcgetattr(&slave)?;
    cfmakeraw(&mut settings);
    tcsetattr(&slave, SetArg::TCSANOW, &settings)?;
    fcntl(&slave, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    fcntl(&master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // These are made for pipes, and work with whatever does not block and can be polled.
    let writer = pipe::Sender::from_owned_fd_unchecked(master.try_clone()?)?;
    let reader = pipe::Receiver::from_owned_fd_unchecked(master)?;
    Ok((join(reader, writer), slave))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn bytes_go_through_unchanged_both_ways_until_the_other_end_is_gone() {
        let (mut ours, theirs) = pair().expect("pty");
        let mut theirs = File::from(theirs);
        let bytes: Vec<u8> = (0..=255).collect();
        theirs.write_all(&bytes).expect("write");
        let mut got = [0; 256];
        ours.read_exact(&mut got).await.expect("read");
        assert_eq!(got.as_slice(), bytes);
        ours.write_all(b"g\n\x03").await.expect("write");
        let mut got = [0; 3];
        theirs.read_exact(&mut got).expect("read");
        assert_eq!(&got, b"g\n\x03");
        drop(theirs);
        ours.read_u8().await.expect_err("closed");
    }
}
