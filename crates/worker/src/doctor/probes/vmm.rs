//! Finds the VMM and asks for its version.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::{DOCTOR_QUICK, Probe, blocking};
use crate::config::Config;
use crate::doctor::{Needs, checks};
use crate::host;

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmmFacts {
    /// Nothing that runs.
    Missing {
        /// Where it was looked for.
        reason: String,
    },
    /// A program that tells its version.
    Found {
        /// Where.
        program: PathBuf,
        /// First line of what it says to `--version`.
        said: String,
    },
}

/// Asks for the version.
pub(super) fn probe(config: &Config, needs: &Arc<Needs>) -> Probe {
    let (named, arch) = (config.qemu.clone(), needs.arch);
    let ask = async move {
        let found = blocking(move || {
            let Some(arch) = arch else {
                let reason = "guests of this architecture are not known".to_owned();
                return VmmFacts::Missing { reason };
            };
            let missing = |error: std::io::Error| VmmFacts::Missing { reason: error.to_string() };
            let program = match host::qemu(arch, named.as_deref()) {
                Ok(program) => program,
                Err(error) => return missing(error),
            };
            match host::version(program.as_os_str()) {
                Ok(said) => VmmFacts::Found { program, said },
                Err(error) => VmmFacts::Missing {
                    reason: format!("{} cannot be run: {error}", program.display()),
                },
            }
        });
        vec![checks::vm::vmm(&found.await)]
    };
    Probe { checks: vec![&checks::VMM], within: DOCTOR_QUICK, ask: ask.boxed() }
}
