//! A VM on offer, and the promise that its slot hears what became of it.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::core::pool::SlotId;
use crate::vm::{LeasedVm, ReadyVm};

/// What the pool is told about a VM that it gave away.
#[derive(Debug)]
pub(super) enum Notice {
    Leased(SlotId),
    GivenBack(SlotId, ReadyVm),
    Gone(SlotId),
}

/// Notices that one offer can cause: leased, then gone. A slot is offered again only after the
/// pool has taken the last of them, so a queue of this many per slot is never full.
const NOTICES_PER_SLOT: usize = 2;

/// Makes offers.
#[derive(Debug)]
pub(super) struct Tickets(mpsc::Sender<Notice>);

impl Tickets {
    pub(super) fn new(slots: u32) -> (Self, mpsc::Receiver<Notice>) {
        let slots = usize::try_from(slots).unwrap_or(1).max(1);
        let (sender, notices) = mpsc::channel(slots.saturating_mul(NOTICES_PER_SLOT));
        (Self(sender), notices)
    }

    pub(super) fn offer(&self, slot: SlotId, vm: ReadyVm, recall: CancellationToken) -> Offer {
        Offer { vm, recall, ticket: Ticket { slot, pool: Some(self.0.clone()) } }
    }
}

/// Tells the pool when it is dropped.
#[derive(Debug)]
struct Ticket {
    slot: SlotId,
    pool: Option<mpsc::Sender<Notice>>,
}

impl Ticket {
    fn tell(pool: &mpsc::Sender<Notice>, notice: Notice) {
        // Never full (see above); closed only when the pool has ended, and then nobody cares.
        let _ = pool.try_send(notice);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            Self::tell(&pool, Notice::Gone(self.slot));
        }
    }
}

/// A ready VM, taken from the pool. Dropping it kills the VM; its slot is then refilled.
#[derive(Debug)]
pub struct Offer {
    // Before the ticket: the VM must be gone when the pool hears that it is.
    vm: ReadyVm,
    recall: CancellationToken,
    ticket: Ticket,
}

impl Offer {
    /// Which slot.
    pub fn slot(&self) -> SlotId {
        self.ticket.slot
    }

    /// The VM.
    pub fn vm(&self) -> &ReadyVm {
        &self.vm
    }

    /// Resolves when the pool wants it back. An offer that is leased in that moment is not given
    /// back, and nothing is lost.
    pub async fn recalled(&self) {
        self.recall.cancelled().await;
    }

    /// It was not needed.
    pub fn give_back(self) {
        let Self { vm, mut ticket, .. } = self;
        if let Some(pool) = ticket.pool.take() {
            Ticket::tell(&pool, Notice::GivenBack(ticket.slot, vm));
        }
    }

    /// It is bound to a job.
    pub fn lease(self) -> (LeasedVm, LeasedSlot) {
        let Self { vm, ticket, .. } = self;
        if let Some(pool) = &ticket.pool {
            Ticket::tell(pool, Notice::Leased(ticket.slot));
        }
        (vm.lease(), LeasedSlot { ticket })
    }
}

/// The slot of a VM that has a job. Dropping it says that the VM is gone: drop the VM first.
#[derive(Debug)]
pub struct LeasedSlot {
    ticket: Ticket,
}

impl LeasedSlot {
    /// Which slot.
    pub fn slot(&self) -> SlotId {
        self.ticket.slot
    }

    /// The VM is dead and reaped: the slot is refilled at once.
    pub fn vacate(self) {
        drop(self);
    }
}
