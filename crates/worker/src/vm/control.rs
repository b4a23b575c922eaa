//! What the worker asks of a VMM while its guest runs, whatever words that VMM has for it.

use std::fmt::Debug;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::images::Pack;
use crate::vm::VmError;

/// A VMM's control socket. Every question has a time limit of its own.
pub(super) trait Control: Debug + Send + Sync + 'static {
    /// The worker's end of the guest's serial port.
    type Line: AsyncRead + AsyncWrite + Debug + Send + Sync + Unpin + 'static;

    /// Waits until the VMM can be asked.
    fn greet(&mut self) -> impl Future<Output = Result<(), VmError>> + Send;

    /// Asks whether it is there.
    fn ping(&mut self) -> impl Future<Output = Result<(), VmError>> + Send;

    /// Plugs in a pack under a name that no other device has.
    fn plug(
        &mut self,
        name: String,
        pack: &Pack,
    ) -> impl Future<Output = Result<(), VmError>> + Send;
}
