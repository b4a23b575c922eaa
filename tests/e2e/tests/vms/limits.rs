//! A limit ends a job, and loses nothing that came before it.

use std::time::{Duration, Instant};

use anyhow::ensure;
use pe_e2e::circumstances::scaled;
use pe_e2e::client::{self, Job};
use pe_e2e::lab::Lab;
use pe_proto::Outcome;
use pe_proto::outcome::{Clock, Truncated};

use crate::labs::Labs;

crate::scenarios![
    a_timeout_keeps_all_output_up_to_then,
    a_memory_bomb_is_out_of_memory,
    a_fork_bomb_ends_and_the_next_job_is_clean,
    an_output_flood_is_cut_at_its_limit_and_the_exit_code_kept,
    a_full_disk_is_an_error_the_program_sees,
    too_many_output_bytes_leave_out_files_and_say_so,
    a_million_names_in_output_do_not_hurt,
    a_sparse_terabyte_is_left_out,
];

fn a_timeout_keeps_all_output_up_to_then(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script = "echo before; echo warned >&2; echo kept > /output/file; sleep 1000; echo after";
    let job = Job::shell(script).with(|job| job.limits.wall_ms = Some(3_000));
    let answer = lab.client.run(job)?;
    ensure!(answer.head.outcome == Outcome::TimedOut { clock: Clock::Guest }, "{answer:?}");
    ensure!(client::stdout_text(&answer)? == "before\n", "{answer:?}");
    ensure!(answer.stderr.clone().into_bytes()? == b"warned\n");
    ensure!(client::file(&answer, "file")? == b"kept\n");
    ensure!(answer.head.usage.wall_us >= 3_000_000, "{:?}", answer.head.usage);
    next_job_is_clean(&lab)
}

fn a_memory_bomb_is_out_of_memory(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let bomb = "import sys\nprint('first', flush=True)\nblocks = []\nwhile True: blocks.append(b'x' * (8 << 20))";
    let answer = lab.client.run(Job::new("python", &["python3", "-c", bomb]))?;
    ensure!(answer.head.outcome == Outcome::OutOfMemory, "{answer:?}");
    ensure!(client::stdout_text(&answer)? == "first\n", "{answer:?}");
    ensure!(answer.head.usage.oom_kills > 0, "{:?}", answer.head.usage);
    next_job_is_clean(&lab)
}

fn a_fork_bomb_ends_and_the_next_job_is_clean(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script = "echo first; bomb() { bomb | bomb & }; bomb; sleep 1000";
    let job = Job::shell(script).with(|job| {
        job.limits.wall_ms = Some(10_000);
        job.limits.stderr_bytes = Some(10_000);
    });
    let answer = lab.client.run(job)?;
    // The first shell may be the one that cannot fork, or it may sleep until its time is up.
    let ended = matches!(
        answer.head.outcome,
        Outcome::TimedOut { .. } | Outcome::Exited { .. } | Outcome::OutOfMemory
    );
    ensure!(ended, "{answer:?}");
    ensure!(client::stdout_text(&answer)?.starts_with("first\n"), "{answer:?}");
    // What stopped it is the limit on processes, and the shells say so.
    let stderr = answer.stderr.clone().into_bytes()?;
    let stderr = String::from_utf8_lossy(&stderr);
    ensure!(stderr.contains("fork: Resource temporarily unavailable"), "{stderr}");
    next_job_is_clean(&lab)
}

fn an_output_flood_is_cut_at_its_limit_and_the_exit_code_kept(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script = "head -c 3000000 /dev/zero | tr '\\0' A; echo B >&2; exit 9";
    let job = Job::shell(script).with(|job| job.limits.stdout_bytes = Some(100_001));
    let answer = lab.client.run(job)?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 9 }, "{:?}", answer.head);
    let stdout = client::stdout(&answer)?;
    ensure!(stdout.len() == 100_001 && stdout.iter().all(|byte| *byte == b'A'));
    ensure!(answer.head.truncated == [Truncated::Stdout], "{:?}", answer.head.truncated);
    ensure!(answer.stderr.clone().into_bytes()? == b"B\n");
    next_job_is_clean(&lab)
}

fn a_full_disk_is_an_error_the_program_sees(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script = "for dir in / /tmp /input /output /dev/shm; do \
                  dd if=/dev/zero of=$dir/fill bs=1M count=4000 2>&1 | grep -c 'No space'; rm -f $dir/fill; done; \
                  echo still here > /output/note";
    let answer = lab.client.run(Job::shell(script))?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
    let full = client::stdout_text(&answer)?.lines().filter(|line| *line == "1").count();
    ensure!(full == 5, "{answer:?}");
    ensure!(client::file(&answer, "note")? == b"still here\n");
    next_job_is_clean(&lab)
}

fn too_many_output_bytes_leave_out_files_and_say_so(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script =
        "cd /output; head -c 900000 /dev/zero > a; head -c 900000 /dev/zero > b; echo small > c";
    let job = Job::shell(script).with(|job| job.limits.output_bytes = Some(1_000_000));
    let answer = lab.client.run(job)?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{:?}", answer.head);
    ensure!(answer.head.truncated == [Truncated::Files], "{:?}", answer.head);
    ensure!(client::file(&answer, "a")?.len() == 900_000);
    ensure!(!answer.files.contains_key("b"));
    ensure!(client::file(&answer, "c")? == b"small\n");
    ensure!(answer.head.notes.iter().any(|note| note.ends_with(": b")), "{:?}", answer.head.notes);
    Ok(())
}

fn a_million_names_in_output_do_not_hurt(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    // As many as the disk's inodes allow.
    let script = "import os
n = 0
try:
    while n < 1_000_000:
        os.close(os.open(f'/output/{n:07}', os.O_CREAT)); n += 1
except OSError:
    pass
print(n)";
    let answer = lab.client.run(Job::new("python", &["python3", "-c", script]))?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{:?}", answer.head);
    let most = usize::try_from(pe_proto::limits::ARCHIVE_ENTRIES_MAX)?;
    let made: usize = client::stdout_text(&answer)?.trim().parse()?;
    ensure!(made > most, "only {made} files could be made");
    ensure!(answer.files.len() + 2 == most || answer.files.len() == most, "{}", answer.files.len());
    ensure!(answer.head.truncated == [Truncated::Files], "{:?}", answer.head.truncated);
    next_job_is_clean(&lab)
}

fn a_sparse_terabyte_is_left_out(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let script =
        "truncate -s 1099511627776 /output/huge && stat -c %s /output/huge && echo x > /output/ok";
    let answer = lab.client.run(Job::shell(script))?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
    ensure!(client::stdout_text(&answer)? == "1099511627776\n", "{answer:?}");
    ensure!(answer.head.truncated == [Truncated::Files], "{:?}", answer.head);
    ensure!(answer.head.notes.iter().any(|note| note.contains("huge")), "{:?}", answer.head.notes);
    ensure!(client::file(&answer, "ok")? == b"x\n");
    ensure!(!answer.files.contains_key("huge"));
    next_job_is_clean(&lab)
}

/// The slot is back, and the job after finds nothing of the one before.
pub(crate) fn next_job_is_clean(lab: &Lab) -> anyhow::Result<()> {
    let start = Instant::now();
    let script = "ls -A /output /input /tmp /dev/shm | grep -v : | tr -d '\\n'; ps | wc -l";
    let answer = lab.client.run(Job::shell(script))?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
    let text = client::stdout_text(&answer)?;
    let processes: u32 = text.trim().parse().map_err(|_| anyhow::anyhow!("leftovers: {text}"))?;
    ensure!(processes < 9, "{processes} processes");
    let queued = Duration::from_micros(answer.head.phases.queue_us);
    println!("\n   slot back after {queued:?}, next job took {:?}", start.elapsed());
    ensure!(queued < scaled(Duration::from_secs(1)), "the slot came back only after {queued:?}");
    Ok(())
}
