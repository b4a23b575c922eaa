//! Makes the jail of VMMs, as the worker does, and asks what of it holds; no VMM goes in.

use std::io;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::{DOCTOR_QUICK, Probe, blocking};
use crate::config::Config;
use crate::doctor::facts::HostFacts;
use crate::doctor::{Needs, checks};
use crate::host;
use crate::jail::{self, Jail, Report};
use crate::vm::process::{Census, Spawner};

/// What the jail is on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JailFacts {
    /// It can be made, more or less.
    Report(Report),
    /// It cannot, and so no worker starts.
    None {
        /// Why not.
        reason: String,
    },
}

/// Asks the jail.
pub(super) fn probe(config: &Config, facts: &Arc<HostFacts>, needs: &Arc<Needs>) -> Probe {
    // What is required and missing is a finding of each check, not an error of all.
    let config = Config { require_isolation: false, ..config.clone() };
    let (facts, needs) = (Arc::clone(facts), Arc::clone(needs));
    let ask = async move {
        let jail = blocking(move || {
            make(&config).map_or_else(
                |error| JailFacts::None { reason: error.to_string() },
                JailFacts::Report,
            )
        });
        let jail = jail.await;
        vec![
            checks::isolation::vm_user(&facts, &needs, &jail),
            checks::isolation::seccomp(&needs, &jail),
            checks::isolation::cgroup(&facts, &needs, &jail),
            checks::isolation::landlock(&facts, &needs, &jail),
            checks::isolation::namespaces(&facts, &needs, &jail),
        ]
    };
    let checks = vec![
        &checks::VM_USER,
        &checks::SECCOMP,
        &checks::CGROUP,
        &checks::LANDLOCK,
        &checks::NAMESPACES,
    ];
    Probe { checks, within: DOCTOR_QUICK, ask: ask.boxed() }
}

/// A directory, users and groups, as for a worker; and a thread that goes in and ends there.
fn make(config: &Config) -> io::Result<Report> {
    let jail = Jail::prepare(config)?;
    let arch = pe_proto::Arch::of_this_host().ok_or(io::ErrorKind::Unsupported)?;
    // Where a VMM or a directory is missing, other checks say so; the jail can be made without.
    let program = host::qemu(arch, config.qemu.as_deref()).ok().filter(|path| path.exists());
    let dirs = [&config.images, &config.vm_assets].into_iter().filter(|dir| dir.exists());
    let needs = jail::Needs {
        program: program.map_or_else(std::env::current_exe, Ok)?,
        dirs: dirs.cloned().collect(),
        kvm: false,
        userfaultfd: false,
    };
    let spawner = Spawner::start(Census::default(), &jail, &needs)?;
    let report = jail.report();
    drop(spawner);
    jail.settle(crate::limits::SETTLE_DOWN);
    Ok(report)
}
