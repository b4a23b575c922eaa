//! A lease as it comes: its head, the job's archive, and then silence until it ends.

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use pe_proto::codec::{self, BadMessage, HEAD_BYTES};
use pe_proto::link::LeaseHead;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::job::JobStream;
use crate::limits::TRANSFER;

/// Why a lease is over before its result was sent. The VM of a lost lease is killed at once.
#[derive(Debug, thiserror::Error)]
pub enum LeaseLost {
    /// The LB reset it: nobody wants the result.
    #[error("lb cancelled the lease")]
    Cancelled,
    /// The connection is gone, and every lease of it.
    #[error("connection to the lb ended")]
    Link,
    /// Its bytes do not come.
    #[error("job did not arrive in time")]
    Slow,
    /// Its bytes are not a lease.
    #[error("lease cannot be read")]
    Head(#[from] BadMessage),
}

/// The stream that is a lease.
#[derive(Debug)]
pub struct LeaseStream {
    body: Incoming,
    received: BytesMut,
    dead: CancellationToken,
}

impl LeaseStream {
    pub(super) fn new(body: Incoming, dead: CancellationToken) -> Self {
        Self { body, received: BytesMut::new(), dead }
    }

    /// Reads the head.
    pub(super) async fn head(&mut self) -> Result<LeaseHead, LeaseLost> {
        let read = async {
            self.fill(HEAD_BYTES).await?;
            let len = codec::frame_len::<LeaseHead>(&self.received)?;
            self.fill(len).await?;
            Ok(codec::decode(&self.received.split_to(len))?)
        };
        timeout(TRANSFER, read).await.map_err(|_| LeaseLost::Slow)?
    }

    /// Resolves when the lease was reset or its connection is gone; never if it ends in good
    /// order, as it does when the head of the result has arrived.
    pub(super) async fn reset(&mut self) -> LeaseLost {
        loop {
            match self.frame().await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    self.dead.cancelled().await;
                    return LeaseLost::Link;
                }
                Err(lost) => return lost,
            }
        }
    }

    async fn fill(&mut self, len: usize) -> Result<(), LeaseLost> {
        while self.received.len() < len {
            match self.frame().await? {
                Some(data) => self.received.extend_from_slice(&data),
                None => return Err(LeaseLost::Cancelled),
            }
        }
        Ok(())
    }

    /// The next data; `None` at the end.
    async fn frame(&mut self) -> Result<Option<Bytes>, LeaseLost> {
        loop {
            let frame = tokio::select! {
                biased;
                // A dead connection does not always end its streams.
                () = self.dead.cancelled() => return Err(LeaseLost::Link),
                // Data, the end, or a reset.
                frame = self.body.frame() => frame,
            };
            match frame {
                None => return Ok(None),
                Some(Err(_)) if self.dead.is_cancelled() => return Err(LeaseLost::Link),
                Some(Err(_)) => return Err(LeaseLost::Cancelled),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        if data.has_remaining() {
                            return Ok(Some(data));
                        }
                    }
                }
            }
        }
    }
}

impl JobStream for LeaseStream {
    async fn piece(&mut self, most: u64) -> Result<Bytes, LeaseLost> {
        self.fill(1).await?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(self.received.split_to(self.received.len().min(most)).freeze())
    }

    async fn ended(&mut self) -> LeaseLost {
        loop {
            match self.frame().await {
                Ok(Some(_)) => {}
                Ok(None) => return LeaseLost::Cancelled,
                Err(lost) => return lost,
            }
        }
    }
}
