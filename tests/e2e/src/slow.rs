//! A slow line: a proxy for TCP that lets so many bytes in a second through toward who connects.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// See the module. It ends with the process.
#[derive(Debug)]
pub struct SlowLine {
    /// Where it listens on loopback.
    pub port: u16,
    rate: Arc<AtomicU64>,
}

/// Between two pieces.
const TICK: Duration = Duration::from_millis(20);

impl SlowLine {
    /// A line to a port of loopback.
    ///
    /// # Errors
    /// It cannot be listened.
    pub fn to(port: u16, bytes_per_second: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (own, rate) =
            (listener.local_addr()?.port(), Arc::new(AtomicU64::new(bytes_per_second)));
        let shared = Arc::clone(&rate);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let (Ok(near2), Ok(far2)) = (near.try_clone(), far.try_clone()) else { continue };
                let (rate, open) = (Arc::clone(&shared), Arc::new(AtomicU64::new(u64::MAX)));
                thread::spawn(move || carry(near2, far2, &open));
                thread::spawn(move || carry(far, near, &rate));
            }
        });
        Ok(Self { port: own, rate })
    }

    /// From now on it is so fast.
    pub fn set(&self, bytes_per_second: u64) {
        self.rate.store(bytes_per_second, Ordering::Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, rate: &AtomicU64) {
    let mut piece = vec![0; 1 << 20];
    loop {
        let per_tick = rate.load(Ordering::Relaxed) / 50;
        let most = usize::try_from(per_tick.max(1)).unwrap_or(usize::MAX).min(piece.len());
        match from.read(&mut piece[..most]) {
            Ok(read) if read > 0 && to.write_all(&piece[..read]).is_ok() => {}
            Ok(_) | Err(_) => break,
        }
        if per_tick < 1 << 20 {
            thread::sleep(TICK);
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
