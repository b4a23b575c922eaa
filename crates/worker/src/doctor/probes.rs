//! What only trying tells, and the order in which everything is asked.
//!
//! Probes run at the same time, each within its own limit, but that packs are read only when
//! nothing boots any more. They change nothing: a guest that
//! boots is killed, packs and files are only read, the LB gets a hello and no ready request.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::facts::HostFacts;
use super::progress::Progress;
use super::{Check, Diagnosis, Entry, Finding, Needs, checks};
use crate::config::Config;
use crate::limits::{DOCTOR_BOOT, DOCTOR_FILES, DOCTOR_QUICK};

pub mod boot;
pub mod guest_files;
pub mod images;
pub mod isolation;
pub mod lb;
pub mod metrics;
pub mod vmm;

/// Asks one or more checks at once.
struct Probe {
    checks: Vec<&'static Check>,
    within: Duration,
    ask: BoxFuture<'static, Vec<Finding>>,
}

/// Asks everything.
pub(super) async fn examine(config: &Config) -> Diagnosis {
    let began = Instant::now();
    let needs = Arc::new(Needs::of(config));
    // First, because what a guest takes when it boots is not free any more.
    let facts = Arc::new(blocking(HostFacts::of_this_host).await);
    let mut entries = judge(&facts, &needs, began.elapsed());
    // Reading packs takes processors and disks, and a guest has a deadline: one after the other.
    let booted = CancellationToken::new();
    let probes = [
        boot::probe(config, &facts, &needs, booted.clone().drop_guard()),
        vmm::probe(config, &needs),
        isolation::probe(config, &facts, &needs),
        guest_files::probe(config, facts.root),
        images::probe(config, &needs, facts.root, booted),
        lb::probe(config, &facts, &needs),
        metrics::probe(config),
    ];
    let mut progress = Progress::new(probes.iter().flat_map(|probe| probe.checks.iter().copied()));
    let mut asked: FuturesUnordered<_> = probes.into_iter().map(ask).collect();
    loop {
        tokio::select! {
            biased;
            // Something was found out.
            answered = asked.next() => match answered {
                Some(answered) => {
                    progress.answered(&answered);
                    entries.extend(answered);
                }
                None => break,
            },
            // Nothing for a while: tell what is waited for.
            () = progress.tick() => progress.show(),
        }
    }
    progress.clear();
    let place = |entry: &Entry| checks::ALL.iter().position(|check| check.id == entry.check.id);
    entries.sort_by_key(place);
    Diagnosis { entries, took: began.elapsed() }
}

async fn ask(probe: Probe) -> Vec<Entry> {
    let began = Instant::now();
    let Probe { checks, within, ask } = probe;
    let findings = timeout(within, ask).await.unwrap_or_else(|_| {
        let late = Finding::fail(
            format!("no answer within {} s", within.as_secs()),
            "# look at the load of this host and at its disks, then run the doctor again",
        );
        vec![late; checks.len()]
    });
    let took = began.elapsed();
    let pairs = checks.into_iter().zip(findings);
    pairs.map(|(check, finding)| Entry { check, finding, took }).collect()
}

/// Everything that the facts alone decide.
fn judge(facts: &HostFacts, needs: &Needs, took: Duration) -> Vec<Entry> {
    let findings = [
        (&checks::USERFAULTFD, checks::isolation::userfaultfd(facts, needs)),
        (&checks::MEMORY, checks::memory::memory(facts, needs)),
        (&checks::HUGE_PAGES, checks::memory::huge_pages(facts)),
        (&checks::KSM, checks::memory::ksm(facts, needs)),
        (&checks::SWAP, checks::memory::swap(facts, needs)),
        (&checks::DESCRIPTORS, checks::memory::descriptors(facts, needs)),
        (&checks::SMT, checks::cpu::smt(facts, needs)),
        (&checks::MITIGATIONS, checks::cpu::mitigations(facts)),
        (&checks::UPTIME, checks::time::uptime(facts)),
        (&checks::ENTROPY, checks::time::entropy(facts)),
    ];
    findings.into_iter().map(|(check, finding)| Entry { check, finding, took }).collect()
}

/// Runs what may wait for a disk where it holds nothing else up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(found) => found,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
