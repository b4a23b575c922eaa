//! Memory for bodies: the account of [`crate::core::admission::memory`] behind a lock, and
//! [`Room`]s, which give back what they took when they are dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::core::admission::memory::{Account, Kind, NoRoom};
use crate::core::ids::ClientKey;
use crate::metrics::MemoryMetrics;

/// See the module. Copies are of the same memory.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// A leaf lock, held for a few sums.
    account: Mutex<Account>,
    freed: Notify,
    metrics: MemoryMetrics,
}

/// What a body takes, until it is dropped.
#[derive(Debug)]
pub struct Room {
    memory: Memory,
    kind: Kind,
    client: ClientKey,
    bytes: usize,
}

impl Memory {
    /// Nothing is taken.
    pub fn new(bytes_max: usize, metrics: MemoryMetrics) -> Self {
        let (account, freed) = (Mutex::new(Account::new(bytes_max)), Notify::new());
        Self(Arc::new(Shared { account, freed, metrics }))
    }

    /// Room for a body of a client; it takes nothing yet.
    pub fn room(&self, kind: Kind, client: ClientKey) -> Room {
        Room { memory: self.clone(), kind, client, bytes: 0 }
    }

    /// From now on there is this much. What was taken stays taken.
    pub fn resize(&self, bytes_max: usize) {
        self.account().resize(bytes_max);
        self.0.freed.notify_waiters();
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.0.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait for room.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// While all of the memory is taken.
    pub all: Duration,
    /// While the client has its share.
    pub share: Duration,
}

impl Room {
    /// Takes more.
    ///
    /// # Errors
    /// There is none; what it had it keeps.
    pub fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.take(bytes).inspect_err(|no_room| self.memory.0.metrics.no_room(*no_room))
    }

    /// Takes more, or waits for a while until enough was given back: by others when all is taken,
    /// by its own client when that has its share.
    ///
    /// # Errors
    /// There is none after that time; what it had it keeps.
    ///
    /// # Cancel safety
    /// Nothing is taken by a future that is dropped.
    pub async fn grow_in_time(&mut self, bytes: usize, patience: Patience) -> Result<(), NoRoom> {
        let begin = Instant::now();
        let memory = self.memory.clone();
        loop {
            let mut freed = std::pin::pin!(memory.0.freed.notified());
            // From here on nothing that is given back is missed.
            freed.as_mut().enable();
            let Err(no_room) = self.take(bytes) else {
                return Ok(());
            };
            let time = match no_room {
                NoRoom::All(_) => patience.all,
                NoRoom::Share(_) => patience.share,
            };
            if timeout_at(begin + time, freed).await.is_err() {
                memory.0.metrics.no_room(no_room);
                return Err(no_room);
            }
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let mut account = self.memory.account();
        account.take(self.kind, self.client, bytes)?;
        self.memory.0.metrics.taken(self.kind, account.used(self.kind));
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.bytes > 0 {
            {
                let mut account = self.memory.account();
                account.give(self.kind, self.client, self.bytes);
                self.memory.0.metrics.taken(self.kind, account.used(self.kind));
            }
            self.memory.0.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    const CLIENT: ClientKey = ClientKey([1; 16]);

    fn memory() -> Memory {
        Memory::new(1000, Metrics::new().unwrap().memory)
    }

    #[test]
    fn what_a_room_took_is_given_back_when_it_is_dropped() {
        let memory = memory();
        let mut room = memory.room(Kind::Result, CLIENT);
        assert_eq!(room.grow(300), Ok(()));
        assert_eq!(room.grow(200), Ok(()));
        assert_eq!(room.grow(1), Err(NoRoom::Share(Kind::Result)));
        drop(room);
        assert_eq!(memory.room(Kind::Result, CLIENT).grow(500), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_gets_what_others_give_back_or_is_told_in_time() {
        const OTHER: ClientKey = ClientKey([2; 16]);
        let patience = Patience { all: Duration::from_secs(10), share: Duration::from_secs(1) };
        let memory = memory();
        let mut first = memory.room(Kind::Result, CLIENT);
        assert_eq!(first.grow(500), Ok(()));
        let begin = Instant::now();
        let mut second = memory.room(Kind::Result, CLIENT);
        assert_eq!(second.grow_in_time(1, patience).await, Err(NoRoom::Share(Kind::Result)));
        assert_eq!(begin.elapsed(), patience.share);
        let begin = Instant::now();
        let mut of_another = memory.room(Kind::Result, OTHER);
        let none = of_another.grow_in_time(501, patience).await;
        assert_eq!(none, Err(NoRoom::All(Kind::Result)));
        assert_eq!(begin.elapsed(), patience.all);
        let give_back = async {
            tokio::time::sleep(patience.share / 2).await;
            drop(first);
        };
        let (grown, ()) = tokio::join!(second.grow_in_time(500, patience), give_back);
        assert_eq!(grown, Ok(()));
    }
}
