//! `sim`: many seeds, or one again.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `SEEDS` | how many (20,000) |
//! | `FIRST` | the first of them (0) |
//! | `SEED` | only this one, with its log |

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use pe_sim::books::Figures;
use pe_sim::plan::Plan;
use pe_sim::shrink::{attempt, shrink};
use pe_sim::stage::End;
use pe_sim::world::Failure;

/// Lines of the log that are shown of a run that failed.
const TAIL: usize = 60;

/// From so many seeds on, everything that can happen must have happened.
const ENOUGH: u64 = 2_000;

fn main() -> ExitCode {
    if let Some(seed) = number("SEED") {
        return replay(seed);
    }
    let (seeds, first) = (number("SEEDS").unwrap_or(20_000), number("FIRST").unwrap_or(0));
    let total = Mutex::new(Total::default());
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // Each seed is a run in one thread; only different seeds run beside each other.
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| some(&next, first.saturating_add(seeds), &total));
        }
    });
    let total = total.into_inner().unwrap_or_default();
    if let Some(seed) = total.failed {
        println!("seed {seed} failed, the {}th", seed - first + 1);
        return replay(seed);
    }
    println!("{} seeds, {} steps, {:?}", total.seeds, total.steps, total.figures);
    println!("requests: {:?}", total.ends);
    match total.missing() {
        Some(missing) if seeds >= ENOUGH => {
            println!("in all these seeds there was no {missing}: this shows nothing");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

#[derive(Debug, Default)]
struct Total {
    seeds: u64,
    steps: u64,
    ends: BTreeMap<End, u64>,
    figures: Figures,
    /// The first seed that failed.
    failed: Option<u64>,
}

fn some(next: &AtomicU64, end: u64, total: &Mutex<Total>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let ran = attempt(&Plan::of(seed), false);
        let Ok(mut total) = total.lock() else { return };
        match ran {
            Ok(report) => {
                total.seeds += 1;
                total.steps += report.steps;
                total.figures.add(&report.figures);
                for (how, count) in report.ends {
                    *total.ends.entry(how).or_default() += count;
                }
            }
            Err(_) => {
                total.failed = Some(total.failed.map_or(seed, |failed| failed.min(seed)));
                next.store(end, Ordering::Relaxed);
                return;
            }
        }
    }
}

impl Total {
    /// What never happened.
    fn missing(&self) -> Option<String> {
        let reasons = [
            "draining",
            "queue full",
            "client's queue full",
            "queue too long",
            "queue timeout",
            "no worker",
            "worker lost",
            "no spare",
        ];
        let refused = reasons.into_iter().find(|reason| {
            let is_it = |end: &End| matches!(end, End::Refused(why) if why.0 == *reason);
            !self.ends.keys().any(is_it)
        });
        let ends = [End::Answered, End::HungUp, End::Disconnected];
        let end = ends.into_iter().find(|end| !self.ends.contains_key(end));
        refused
            .map(str::to_owned)
            .or_else(|| end.map(|end| format!("{end:?}")))
            .or_else(|| self.figures.missing().map(str::to_owned))
    }
}

/// Runs a seed with its log; if it breaks a rule, what is left of its plan that still does.
fn replay(seed: u64) -> ExitCode {
    let plan = Plan::of(seed);
    let Err(Failure { broken, log }) = attempt(&plan, true) else {
        println!("seed {seed}: no rule was broken");
        return ExitCode::SUCCESS;
    };
    println!("seed {seed} broke a rule: {}\n  {}", broken.rule, broken.how);
    println!("its last steps of {}:", log.len());
    print_tail(&log);
    let small = shrink(plan, broken.rule);
    println!("the same rule is broken by {} actions:", small.actions.len());
    for action in &small.actions {
        println!("{:>12.6} {:?}", action.at.as_secs_f64(), action.deed);
    }
    if let Err(Failure { broken, log }) = attempt(&small, true) {
        println!("  {}\nits last steps of {}:", broken.how, log.len());
        print_tail(&log);
    }
    println!("again: SEED={seed} cargo run --release -p pe-sim");
    ExitCode::FAILURE
}

fn print_tail(log: &[String]) {
    for line in log.iter().skip(log.len().saturating_sub(TAIL)) {
        println!("{line}");
    }
}

#[expect(clippy::disallowed_methods, reason = "seeds are given as variables, as in other tests")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
