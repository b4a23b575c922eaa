//! The labs that scenarios share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pe_e2e::lab::Lab;

/// Starts labs when they are first asked for.
#[derive(Default)]
pub(crate) struct Labs {
    common: Mutex<Option<Lab>>,
    single: Mutex<Option<Lab>>,
}

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
        start(&self.common, 2)
    }

    /// One worker with one slot: its one VM is the one that runs the job.
    pub(crate) fn single(&self) -> anyhow::Result<InUse<'_>> {
        start(&self.single, 1)
    }

    /// What the daemons logged, for the message of a failed scenario.
    pub(crate) fn logs(&self) -> String {
        [&self.common, &self.single]
            .into_iter()
            .filter_map(|lab| Some(lab.lock().ok()?.as_ref()?.logs()))
            .collect()
    }

    /// Ends all labs.
    pub(crate) fn end(&self) {
        for lab in [&self.common, &self.single] {
            drop(lab.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

fn start(lab: &Mutex<Option<Lab>>, slots: u32) -> anyhow::Result<InUse<'_>> {
    let mut lab = lab.lock().unwrap_or_else(PoisonError::into_inner);
    if lab.is_none() {
        *lab = Some(Lab::with_workers(&[slots])?);
    }
    Ok(InUse(lab))
}
