//! The one order of going down: stop offering, finish what runs, deadline, kill.
//!
//! The first wish to end begins it; the second skips to its end. Whatever way it ends, the caller
//! drops what is left, and dropped VMs are dead ones.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::driver::{PoolError, PoolHandle};
use crate::signals::Wish;
use crate::worker::WorkerError;

/// A part of the worker that ended.
#[derive(Debug)]
pub(crate) enum Part {
    Link,
    Pool,
    Metrics,
    Packs,
}

/// How to go down.
#[derive(Debug)]
pub(crate) struct Drain {
    /// Tells the link.
    pub(crate) token: CancellationToken,
    pub(crate) pool: PoolHandle,
    /// Time for what runs.
    pub(crate) within: Duration,
}

impl Drain {
    /// Waits for the parts of the worker, and for wishes, until it is drained or has to be ended.
    pub(crate) async fn supervise(
        &self,
        parts: &mut JoinSet<Result<Part, WorkerError>>,
        mut wishes: impl AsyncFnMut() -> Wish,
    ) -> Result<(), WorkerError> {
        let mut deadline = std::pin::pin!(self.deadline());
        let (mut link_ended, mut pool_ended) = (false, false);
        while !(link_ended && pool_ended) {
            tokio::select! {
                biased;
                // Told to end: first in good order, then at once.
                wish = wishes() => match wish {
                    Wish::Rebuild => self.pool.rebuild().await,
                    Wish::End if self.token.is_cancelled() => return Err(WorkerError::Forced),
                    Wish::End => {
                        tracing::info!(within_ms = self.within.as_millis(), "worker drains");
                        self.token.cancel();
                        self.pool.drain();
                    }
                },
                // One part ended: the link when the last result was sent, the pool when the last
                // VM is gone.
                Some(part) = parts.join_next() => match part.map_err(PoolError::Task)?? {
                    Part::Link => link_ended = true,
                    Part::Pool => pool_ended = true,
                    Part::Metrics | Part::Packs => {}
                },
                // What still runs had its time.
                () = &mut deadline => {
                    tracing::warn!("drain took too long; what runs is killed");
                    return Ok(());
                }
            }
        }
        tracing::info!("worker drained");
        Ok(())
    }

    /// Resolves when the time after the beginning of the drain is over.
    async fn deadline(&self) {
        self.token.cancelled().await;
        sleep(self.within).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::pool::PoolTerms;
    use crate::driver;
    use crate::metrics::Metrics;
    use crate::vm::fake::FakeHost;
    use std::sync::Arc;
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    const WITHIN: Duration = Duration::from_secs(60);

    struct Rig {
        host: FakeHost,
        drain: Drain,
        parts: JoinSet<Result<Part, WorkerError>>,
        wish: mpsc::UnboundedSender<Wish>,
        wishes: mpsc::UnboundedReceiver<Wish>,
    }

    fn rig() -> Rig {
        let host = FakeHost::polite();
        let metrics = Metrics::new().expect("metrics");
        let (pool, handle) = driver::pool(PoolTerms::of(1, 0), Arc::new(host.clone()), metrics);
        let token = CancellationToken::new();
        let mut parts = JoinSet::new();
        parts.spawn(
            async move { Ok(pool.run(CancellationToken::new()).await.map(|()| Part::Pool)?) },
        );
        // A link that ends as soon as it may.
        let drained = token.clone();
        parts.spawn(async move {
            drained.cancelled().await;
            Ok(Part::Link)
        });
        let (wish, wishes) = mpsc::unbounded_channel();
        Rig { host, drain: Drain { token, pool: handle, within: WITHIN }, parts, wish, wishes }
    }

    impl Rig {
        async fn supervise(&mut self) -> Result<(), WorkerError> {
            let wishes = &mut self.wishes;
            let next = async || match wishes.recv().await {
                Some(wish) => wish,
                None => std::future::pending().await,
            };
            self.drain.supervise(&mut self.parts, next).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_with_nothing_running_is_over_at_once() {
        let mut rig = rig();
        rig.host.until_alive(1).await;
        rig.wish.send(Wish::End).expect("open");
        let began = Instant::now();
        rig.supervise().await.expect("drained");
        assert!(began.elapsed() < Duration::from_millis(10));
        assert_eq!(rig.host.alive(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_does_not_end_is_killed_at_the_deadline_and_not_before() {
        let mut rig = rig();
        let (vm, slot) = rig.drain.pool.take().await.expect("offer").lease();
        rig.wish.send(Wish::End).expect("open");
        let began = Instant::now();
        rig.supervise().await.expect("an end in good order");
        assert_eq!(began.elapsed(), WITHIN);
        drop((vm, slot));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_wish_ends_it_at_once() {
        let mut rig = rig();
        let held = rig.drain.pool.take().await.expect("offer").lease();
        for _ in 0..2 {
            rig.wish.send(Wish::End).expect("open");
        }
        let began = Instant::now();
        assert!(matches!(rig.supervise().await, Err(WorkerError::Forced)));
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(held);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_for_a_zygote_ends_nothing() {
        let mut rig = rig();
        rig.host.until_alive(1).await;
        rig.wish.send(Wish::Rebuild).expect("open");
        let host = rig.host.clone();
        let limit = tokio::time::timeout(Duration::from_secs(10), rig.supervise());
        assert!(limit.await.is_err(), "it goes on");
        assert_eq!(host.rebuilds(), 1);
    }
}
