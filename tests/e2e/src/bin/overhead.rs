//! What guest init costs beyond a bare `crun run` of the same command in the same kind of VM:
//! `make bench` prints it. The target is half of crun's own time.
//!
//! Two workers, one with guest init and one with `tests/crun-baseline` in its place, are given the
//! same job in turns, so that both see the same machine.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use anyhow::Context as _;
use pe_e2e::client::Job;
use pe_e2e::lab::Lab;
use pe_e2e::{guest, paths};
use pe_proto::Outcome;
use pe_proto::api::{Answer, Phases};

const RUNS: usize = 15;

/// A phase in microseconds.
type Phase = fn(&Phases) -> u64;

/// What guest init does for a job, from the bell to the answer.
const GUEST: [(&str, Phase); 5] = [
    ("mount", |phases| phases.mount_us),
    ("unpack", |phases| phases.unpack_us),
    ("start", |phases| phases.start_us),
    ("run", |phases| phases.run_us),
    ("collect", |phases| phases.collect_us),
];

fn main() -> anyhow::Result<()> {
    // Another kernel's guests: `overhead DIRECTORY`.
    let assets = match std::env::args_os().nth(1) {
        Some(directory) => directory.into(),
        None => paths::vm_assets()?,
    };
    let mut ours = Lab::without_workers()?;
    ours.start_worker_with("ours", 1, &assets)?;
    let mut bare = Lab::without_workers()?;
    let bare_assets = bare.scratch().join("vm");
    guest::with_init("pe-crun-baseline", &assets, &bare_assets)?;
    bare.start_worker_with("bare", 1, &bare_assets)?;
    let (mut cold, mut warm, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..=RUNS {
        let answer = run_in(&ours)?;
        let times = crun_times(&run_in(&bare)?)?;
        // The first of each is the workers' own warm-up.
        if run > 0 {
            answers.push(answer);
            cold.extend(times.first());
            warm.extend(times.iter().skip(1));
        }
    }
    print(&answers, median(cold), median(warm));
    Ok(())
}

fn run_in(lab: &Lab) -> anyhow::Result<Answer> {
    lab.worker()?.wait_ready(1)?;
    let answer = lab.client.run(Job::new("busybox", &["true"]))?;
    let exited = answer.head.outcome == Outcome::Exited { code: 0 };
    anyhow::ensure!(exited, "{:?} {:?}", answer.head.outcome, answer.head.notes);
    Ok(answer)
}

/// Microseconds of each `crun run`, as the baseline's notes tell them.
fn crun_times(answer: &Answer) -> anyhow::Result<Vec<u64>> {
    answer.head.notes.iter().map(|note| note.parse().context(note.clone())).collect()
}

fn print(answers: &[Answer], cold: u64, warm: u64) {
    println!("A job's time in the guest against a bare `crun run`, `true`, median of {RUNS}\n");
    println!("| | ms |\n| --- | ---: |");
    let row = |name: &str, micros: u64| {
        println!("| {name} | {}.{:02} |", micros / 1000, micros % 1000 / 10);
    };
    row("bare `crun run`, first in its VM", cold);
    row("bare `crun run`, again", warm);
    for (name, phase) in GUEST {
        row(name, median(answers.iter().map(|answer| phase(&answer.head.phases)).collect()));
    }
    let whole = |answer: &Answer| GUEST.iter().map(|(_, phase)| phase(&answer.head.phases)).sum();
    let whole = median(answers.iter().map(whole).collect());
    row("all phases of a job", whole);
    let percent = |part: u64| part.saturating_mul(100) / cold.max(1);
    println!(
        "| overhead beyond crun's first run (target: at most 50 %) | {} % |",
        percent(whole.saturating_sub(cold))
    );
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
