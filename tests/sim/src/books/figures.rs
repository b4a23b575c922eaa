//! What is counted for the closing figures.

/// How often things happened: a simulation that never loses a lease shows nothing about losses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Leases.
    pub leases: u64,
    /// Leases of jobs that had lost one.
    pub leases_again: u64,
    /// Slots that were gone when a job was handed to them.
    pub handovers_failed: u64,
    /// Leases that were cancelled.
    pub cancels: u64,
    /// Leases that were overdue.
    pub overdue: u64,
    /// Results for leases that were not held.
    pub not_held: u64,
    /// Spare runs that were given up for somebody.
    pub given_up: u64,
}

impl Figures {
    /// Those of another broker too.
    pub fn add(&mut self, other: &Self) {
        self.leases += other.leases;
        self.leases_again += other.leases_again;
        self.handovers_failed += other.handovers_failed;
        self.cancels += other.cancels;
        self.overdue += other.overdue;
        self.not_held += other.not_held;
        self.given_up += other.given_up;
    }

    /// What never happened.
    pub fn missing(&self) -> Option<&'static str> {
        let all = [
            (self.leases, "lease"),
            (self.leases_again, "lease after a loss"),
            (self.handovers_failed, "failed handover"),
            (self.cancels, "cancel"),
            (self.overdue, "overdue lease"),
            (self.not_held, "answer to a lease that is not held"),
            (self.given_up, "spare run that was given up"),
        ];
        all.into_iter().find(|(count, _)| *count == 0).map(|(_, what)| what)
    }
}
