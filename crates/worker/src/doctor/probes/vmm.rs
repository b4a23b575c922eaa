//! Finds the VMMs and asks for their versions.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::{DOCTOR_QUICK, Probe, blocking};
use crate::config::Config;
use crate::doctor::{Needs, checks};
use crate::host;
use crate::vm::ch;

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmmFacts {
    /// cloud-hypervisor.
    pub cloud_hypervisor: Found,
    /// QEMU.
    pub qemu: Found,
}

/// What was found of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Missing {
        /// Where it was looked for.
        reason: String,
    },
    /// Something that the worker would not use.
    Unusable {
        /// Why not.
        reason: String,
    },
    /// A program that tells its version.
    Program {
        /// Where.
        program: PathBuf,
        /// First line of what it says to `--version`.
        said: String,
    },
}

/// Asks for the versions.
pub(super) fn probe(config: &Config, needs: &Arc<Needs>) -> Probe {
    let (config, needs) = (config.clone(), Arc::clone(needs));
    let ask = async move {
        let asked = Arc::clone(&needs);
        let found = blocking(move || VmmFacts {
            cloud_hypervisor: cloud_hypervisor(&config),
            qemu: qemu(&config, &asked),
        });
        vec![checks::vm::vmm(&found.await, &needs)]
    };
    Probe { checks: vec![&checks::VMM], within: DOCTOR_QUICK, ask: ask.boxed() }
}

fn cloud_hypervisor(config: &Config) -> Found {
    match ch::Program::find(config.cloud_hypervisor.as_deref()) {
        Ok(ch::Program { path, said, .. }) => Found::Program { program: path, said },
        Err(error @ ch::NoProgram::Missing) => Found::Missing { reason: error.to_string() },
        Err(error) => Found::Unusable { reason: crate::chain(&error) },
    }
}

fn qemu(config: &Config, needs: &Needs) -> Found {
    let Some(arch) = needs.arch else {
        return Found::Missing { reason: "guests of this architecture are not known".to_owned() };
    };
    let program = match host::qemu(arch, config.qemu.as_deref()) {
        Ok(program) => program,
        Err(error) => return Found::Missing { reason: error.to_string() },
    };
    match host::version(program.as_os_str()) {
        Ok(said) => Found::Program { program, said },
        Err(error) => {
            Found::Unusable { reason: format!("{} cannot be run: {error}", program.display()) }
        }
    }
}
