//! Measures where the time of a job goes, end to end: `make bench` prints its table.
//!
//! Runs each kind of job a number of times, one after the other, through a load balancer and a
//! worker with one slot (so that each waits for its VM's replacement too), and prints medians.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::time::Instant;

use pe_e2e::client::Job;
use pe_e2e::lab::Lab;
use pe_proto::api::{Answer, Phases};

const RUNS: usize = 20;

type MakeJob = fn() -> Job;

const C: &[u8] = b"#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n";

fn main() -> anyhow::Result<()> {
    let lab = Lab::with_workers(&[1])?;
    let jobs: [(&str, MakeJob); 3] = [
        ("busybox true", || Job::new("busybox", &["true"])),
        ("python3 -c 'print(1)'", || Job::new("python", &["python3", "-c", "print(1)"])),
        ("gcc hello.c and run it", || {
            Job::new("gcc", &["sh", "-c", "gcc main.c -o /tmp/a && /tmp/a"]).file("main.c", C)
        }),
    ];
    println!("Phases of a job, milliseconds, median of {RUNS} runs\n");
    println!(
        "| job | queue | transfer | attach | mount | unpack | start | run | collect | stop | total | client |"
    );
    println!(
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    for (name, job) in jobs {
        lab.client.run(job())?;
        let mut answers = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            lab.worker()?.wait_ready(1)?;
            let start = Instant::now();
            let answer = lab.client.run(job())?;
            answers.push((answer, start.elapsed().as_micros()));
        }
        println!("| {name} |{}", row(&answers));
    }
    Ok(())
}

fn row(answers: &[(Answer, u128)]) -> String {
    let columns: [fn(&Phases) -> u64; 10] = [
        |phases| phases.queue_us,
        |phases| phases.transfer_us,
        |phases| phases.attach_us,
        |phases| phases.mount_us,
        |phases| phases.unpack_us,
        |phases| phases.start_us,
        |phases| phases.run_us,
        |phases| phases.collect_us,
        |phases| phases.stop_us,
        |phases| phases.total_us,
    ];
    let phases = columns.iter().map(|column| {
        median(answers.iter().map(|(answer, _)| u128::from(column(&answer.head.phases))).collect())
    });
    let client = median(answers.iter().map(|(_, micros)| *micros).collect());
    phases
        .chain([client])
        .map(|micros| format!(" {}.{:02} |", micros / 1000, micros % 1000 / 10))
        .collect()
}

fn median(mut values: Vec<u128>) -> u128 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
