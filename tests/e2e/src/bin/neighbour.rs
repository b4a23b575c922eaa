//! What a neighbour notices of a bomb (threat case 20): the times of small jobs in one VM of a
//! worker while another runs nothing, and while it runs each bomb. Rounds are interleaved, so
//! that a machine that gets slower meanwhile does so for all of them.
//!
//! usage: `neighbour [ROUNDS]`

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::time::{Duration, Instant};

use pe_e2e::client::Job;
use pe_e2e::lab::Lab;
use pe_proto::Outcome;

const JOBS_PER_ROUND: usize = 6;

type MakeJob = fn() -> Job;

const BOMBS: [(&str, MakeJob); 5] = [
    ("nothing", || Job::shell("sleep 1000")),
    ("processes", || Job::shell("bomb() { bomb | bomb & }; bomb; sleep 1000")),
    ("memory", || {
        let fill =
            "b = []\nwhile True:\n  try: b.append(b'x' * (8 << 20))\n  except MemoryError: pass";
        Job::new("python", &["sh", "-c", "while :; do python3 -c \"$0\"; done", fill])
    }),
    ("files", || {
        Job::shell("while :; do dd if=/dev/zero of=/tmp/f bs=1M 2>/dev/null; rm /tmp/f; done")
    }),
    ("output", || Job::shell("while :; do head -c 100000000 /dev/zero; done")),
];

fn main() -> anyhow::Result<()> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let lab = Lab::with_workers(&[2])?;
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); BOMBS.len()];
    for round in 0..rounds {
        for ((name, bomb), times) in BOMBS.iter().zip(&mut times) {
            lab.worker()?.wait_ready(2)?;
            let client = lab.client.clone();
            let job = bomb().with(|job| job.limits.wall_ms = Some(12_000));
            let running = std::thread::spawn(move || client.run(job));
            // It is to be at work before its neighbour begins.
            std::thread::park_timeout(Duration::from_secs(2));
            for _ in 0..JOBS_PER_ROUND {
                if running.is_finished() {
                    break;
                }
                let start = Instant::now();
                let answer = lab.client.run(Job::shell("true"))?;
                anyhow::ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
                times.push(start.elapsed());
            }
            let ended = running.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
            eprintln!(
                "round {round}, {name}: {:?}",
                ended.map(|answer| answer.head.outcome.kind())
            );
        }
    }
    println!("| beside it | jobs | median, ms | p99, ms | p99 to nothing |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let alone = times.first_mut().map_or(0.0, |times| at(times, 99));
    for ((name, _), mut times) in BOMBS.iter().zip(times) {
        let (median, p99) = (at(&mut times, 50), at(&mut times, 99));
        println!("| {name} | {} | {median:.0} | {p99:.0} | {:.2} |", times.len(), p99 / alone);
    }
    Ok(())
}

/// A percentile, in milliseconds.
fn at(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
