//! The labs that scenarios share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pe_e2e::lab::Lab;
use pe_e2e::{guest, paths};

/// Starts labs when they are first asked for.
#[derive(Default)]
pub(crate) struct Labs {
    common: Mutex<Option<Lab>>,
    single: Mutex<Option<Lab>>,
    rogue: Mutex<Option<Lab>>,
}

/// Slots of the worker whose guests misbehave.
pub(crate) const ROGUE_SLOTS: u32 = 3;

/// A lab in use; nobody else has it meanwhile.
pub(crate) struct InUse<'a>(MutexGuard<'a, Option<Lab>>);

impl std::ops::Deref for InUse<'_> {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        self.0.as_ref().expect("a lab is put there before it is handed out")
    }
}

impl Labs {
    /// One worker with two slots, for all that does no harm.
    pub(crate) fn common(&self) -> anyhow::Result<InUse<'_>> {
        start(&self.common, || Lab::with_workers(&[2]))
    }

    /// One worker with one slot: its one VM is the one that runs the job.
    pub(crate) fn single(&self) -> anyhow::Result<InUse<'_>> {
        start(&self.single, || Lab::with_workers(&[1]))
    }

    /// One worker with three slots, whose guests do what the job's first argument says
    /// (`tests/rogue-init`).
    pub(crate) fn rogue(&self) -> anyhow::Result<InUse<'_>> {
        start(&self.rogue, rogue)
    }

    /// What the daemons logged, for the message of a failed scenario.
    pub(crate) fn logs(&self) -> String {
        self.each().into_iter().filter_map(|lab| Some(lab.lock().ok()?.as_ref()?.logs())).collect()
    }

    /// Ends all labs.
    pub(crate) fn end(&self) {
        for lab in self.each() {
            drop(lab.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    fn each(&self) -> [&Mutex<Option<Lab>>; 3] {
        [&self.common, &self.single, &self.rogue]
    }
}

fn start(
    lab: &Mutex<Option<Lab>>,
    make: impl FnOnce() -> anyhow::Result<Lab>,
) -> anyhow::Result<InUse<'_>> {
    let mut lab = lab.lock().unwrap_or_else(PoisonError::into_inner);
    if lab.is_none() {
        *lab = Some(make()?);
    }
    Ok(InUse(lab))
}

fn rogue() -> anyhow::Result<Lab> {
    let mut lab = Lab::without_workers()?;
    let assets = lab.scratch().join("vm");
    guest::with_init("pe-rogue-init", &paths::vm_assets()?, &assets)?;
    lab.start_worker_with("rogue", ROGUE_SLOTS, &assets)?;
    lab.worker()?.wait_ready(ROGUE_SLOTS)?;
    Ok(lab)
}
