//! Word that something is gone, sent when its owner is dropped.

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{OwnedPermit, Sender};

use super::messages::{Gone, Message};
use super::places::Busy;

/// Sends its message when it is dropped. Its place in the driver's inbox was reserved when it was
/// made, so that dropping neither waits nor fails: what a connection owned is gone with it.
#[derive(Debug)]
pub(super) struct Notice {
    message: Option<(OwnedPermit<Message>, Gone)>,
    /// Its place among others of its kind.
    _place: OwnedSemaphorePermit,
}

impl Notice {
    pub(super) fn reserve(
        outbox: &Sender<Message>,
        place: OwnedSemaphorePermit,
        gone: Gone,
    ) -> Result<Self, Busy> {
        let permit = outbox.clone().try_reserve_owned().map_err(|_| Busy::Inbox)?;
        Ok(Self { message: Some((permit, gone)), _place: place })
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        if let Some((permit, gone)) = self.message.take() {
            permit.send(Message::Gone(gone));
        }
    }
}
