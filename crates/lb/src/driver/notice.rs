//! Word that something is gone, sent when its owner is dropped.

use tokio::sync::mpsc::{OwnedPermit, Sender};

use super::handle::Busy;
use super::messages::{Gone, Message};

/// Sends its message when it is dropped. Its place in the driver's inbox was reserved when it was
/// made, so that dropping neither waits nor fails: what a connection owned is gone with it.
#[derive(Debug)]
pub(super) struct Notice(Option<(OwnedPermit<Message>, Gone)>);

impl Notice {
    pub(super) fn reserve(outbox: &Sender<Message>, gone: Gone) -> Result<Self, Busy> {
        let permit = outbox.clone().try_reserve_owned().map_err(|_| Busy)?;
        Ok(Self(Some((permit, gone))))
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        if let Some((permit, gone)) = self.0.take() {
            permit.send(Message::Gone(gone));
        }
    }
}
