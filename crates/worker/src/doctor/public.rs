//! The gate of public mode: a worker that runs strangers' jobs does not start on a host where
//! their guests can listen to each other, unless its operator takes that risk by name.
//!
//! The checks are the doctor's own, on the same facts; see docs/threat-model.md, case 19.

use std::fmt::Write as _;

use super::facts::HostFacts;
use super::{Check, Finding, Needs, Verdict, checks};
use crate::config::Config;

/// Why a public worker does not start.
#[derive(Debug, thiserror::Error)]
#[error("public = true, and this host is not fit for it:{}", told(.0))]
pub struct NotFit(Vec<(&'static Check, Finding)>);

/// Admits a worker to serve: private ones always, public ones on a host that is fit. What was
/// accepted is logged, so that nobody forgets it.
///
/// # Errors
/// What is wrong, why that matters, what mends it, and how to take the risk.
pub fn admit(config: &Config) -> Result<(), NotFit> {
    let needs = Needs::of(config);
    if !needs.public {
        return Ok(());
    }
    judge(&HostFacts::of_this_host(), &needs)
}

fn judge(facts: &HostFacts, needs: &Needs) -> Result<(), NotFit> {
    let mut against = Vec::new();
    let findings = [
        (&checks::KSM, checks::memory::ksm(facts, needs)),
        (&checks::SWAP, checks::memory::swap(facts, needs)),
        (&checks::SMT, checks::cpu::smt(facts, needs)),
    ];
    for (check, finding) in findings {
        match finding.verdict {
            Verdict::Pass => {}
            Verdict::Warn => {
                tracing::warn!(check = check.id, seen = finding.seen, "risk accepted");
            }
            Verdict::Fail => against.push((check, finding)),
        }
    }
    if against.is_empty() { Ok(()) } else { Err(NotFit(against)) }
}

fn told(against: &[(&'static Check, Finding)]) -> String {
    let mut text = String::new();
    for (check, finding) in against {
        // Writing to a text cannot fail.
        let _ = write!(text, "\n  {}: {}. {}", check.id, finding.seen, check.why);
        for line in finding.mend.iter().flat_map(|mend| mend.lines()) {
            let _ = write!(text, "\n    {line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Risk;
    use crate::doctor::facts::{Swap, tests::plain_host};

    fn leaky() -> HostFacts {
        let swaps = vec![Swap { name: "/dev/sda2".to_owned(), kib: 2048 }];
        HostFacts { ksm: Some(1), swaps, smt_active: Some(true), ..plain_host() }
    }

    #[test]
    fn a_public_worker_does_not_start_on_a_host_that_leaks() {
        let told = judge(&leaky(), &Needs::public()).expect_err("refused").to_string();
        for part in [
            "ksm: on",
            "Merged pages",
            "echo 2 > /sys/kernel/mm/ksm/run",
            "accept = [\"ksm\"]",
            "swap: on: /dev/sda2 (2 MiB)",
            "swapoff -a",
            "accept = [\"swap\"]",
            "smt: on",
            "echo off > /sys/devices/system/cpu/smt/control",
            "--accept smt",
        ] {
            assert!(told.contains(part), "`{part}` in: {told}");
        }
    }

    #[test]
    fn a_risk_is_taken_by_its_name_and_no_other() {
        let accepting = |risks: &[Risk]| Needs { accepted: risks.to_vec(), ..Needs::public() };
        let told = judge(&leaky(), &accepting(&[Risk::Swap, Risk::Smt])).expect_err("ksm is left");
        assert!(!told.to_string().contains("swap:") && told.to_string().contains("ksm:"));
        assert!(judge(&leaky(), &accepting(&[Risk::Swap, Risk::Smt, Risk::Ksm])).is_ok());
    }

    #[test]
    fn a_fit_host_and_a_core_for_each_vm_are_enough() {
        assert!(judge(&plain_host(), &Needs::public()).is_ok());
        let host = HostFacts { smt_active: Some(true), ..plain_host() };
        assert!(judge(&host, &Needs { pins_cores: true, ..Needs::public() }).is_ok());
        assert!(judge(&host, &Needs::public()).is_err());
    }
}
