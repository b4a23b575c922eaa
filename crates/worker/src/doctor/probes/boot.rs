//! Boots a real guest, as the worker would, saves it, restores it, and kills all of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout};
use tokio_util::sync::DropGuard;

use super::{DOCTOR_BOOT, Probe, blocking};
use crate::config::Config;
use crate::core::pool::How;
use crate::doctor::facts::HostFacts;
use crate::doctor::{Needs, checks};
use crate::limits::SETTLE_DOWN;
use crate::worker::{Foundation, WorkerError};

/// How far a guest got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootFacts {
    /// It waited for a job.
    Boots {
        /// VMM and accelerator.
        vmm: String,
        /// Every instruction is emulated.
        emulated: bool,
        /// From nothing to ready.
        first: Duration,
        /// From saved to ready, if it could be saved.
        again: Option<Duration>,
        /// What was tried before, with KVM that looked usable, and why it is not used.
        failed: Vec<String>,
    },
    /// Something else is missing, which another check tells.
    NotTried {
        /// What.
        reason: String,
    },
    /// It did not get there.
    Fails {
        /// Why.
        reason: String,
    },
}

/// Asks whether a guest boots, and on what.
pub(super) fn probe(
    config: &Config,
    facts: &Arc<HostFacts>,
    needs: &Arc<Needs>,
    done: DropGuard,
) -> Probe {
    // A verdict from an earlier day is what is to be checked, not to be believed.
    let config = Config { state_dir: None, ..config.clone() };
    let (facts, needs) = (Arc::clone(facts), Arc::clone(needs));
    let ask = async move {
        let found = timeout(DOCTOR_BOOT, boot(&config)).await;
        let found = found.unwrap_or_else(|_| BootFacts::Fails {
            reason: format!("no guest was ready within {} s", DOCTOR_BOOT.as_secs()),
        });
        drop(done);
        vec![checks::vm::boot(&found), checks::vm::kvm(&facts, &needs, &found)]
    };
    Probe { checks: vec![&checks::BOOT, &checks::KVM], within: DOCTOR_BOOT * 2, ask: ask.boxed() }
}

async fn boot(config: &Config) -> BootFacts {
    let began = Instant::now();
    let foundation = match Foundation::lay(config).await {
        Ok(foundation) => foundation,
        Err(error @ (WorkerError::Images(_) | WorkerError::NoImages(_))) => {
            return BootFacts::NotTried { reason: crate::chain(&error) };
        }
        Err(error) => return BootFacts::Fails { reason: crate::chain(&error) },
    };
    let saved = foundation.has_zygote().then(|| began.elapsed());
    let emulated = foundation.is_emulated();
    let failed = foundation.trials().iter().filter_map(|trial| {
        let reason = trial.failure.as_ref()?;
        Some(format!("{}: {reason}", trial.candidate.as_str()))
    });
    let failed = failed.collect();
    let jail = foundation.jail().clone();
    let backend = foundation.into_backend();
    let vmm = backend.vmm().to_owned();
    let how = if saved.is_some() { How::Restore } else { How::Boot };
    let again = Instant::now();
    let ready = match backend.start(how).await {
        Ok(ready) => ready,
        Err(error) => return BootFacts::Fails { reason: crate::chain(&error) },
    };
    let took = again.elapsed();
    ready.kill().await;
    drop(backend);
    blocking(move || jail.settle(SETTLE_DOWN)).await;
    let (first, again) = match saved {
        Some(first) => (first, Some(took)),
        None => (took, None),
    };
    BootFacts::Boots { vmm, emulated, first, again, failed }
}
