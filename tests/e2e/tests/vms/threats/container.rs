//! What runs in a container reaches nothing outside of it, and takes no more than it may.

use anyhow::{Context as _, ensure};
use pe_e2e::client::{self, Job};
use pe_proto::Outcome;

use crate::labs::Labs;
use crate::limits::next_job_is_clean;

crate::scenarios![
    case_07_and_21_a_container_can_make_no_call_device_or_connection_that_leads_out,
    case_20_a_fork_bomb_stops_at_the_pids_limit,
    case_20_a_descriptor_bomb_stops_at_the_limit,
    case_20_an_inode_bomb_stops_at_the_limit,
    case_20_a_gigabyte_of_files_fits_nowhere,
    case_40_a_program_sees_its_own_variables_and_no_others,
];

/// Processes that a job may have (`guest-init/src/limits.rs`).
const PIDS_MAX: u32 = 512;
const NOFILE_HARD: u32 = 4096;
const INODES_MAX: u32 = 65_536;

pub(super) fn python(script: &str, arguments: &[&str]) -> Job {
    let args: Vec<&str> = ["python3", "-c", script].iter().chain(arguments).copied().collect();
    Job::new("python", &args)
}

fn case_07_and_21_a_container_can_make_no_call_device_or_connection_that_leads_out(
    labs: &Labs,
) -> anyhow::Result<()> {
    let lab = labs.single()?;
    let answer = lab.client.run(python(include_str!("../../../attacks/calls.py"), &[]))?;
    let text = client::stdout_text(&answer)?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
    ensure!(!text.contains("BAD"), "{text}");
    let tried = text.lines().find_map(|line| line.strip_prefix("tried "));
    let tried: u32 = tried.context("it did not get to its end")?.parse()?;
    ensure!(tried > 90, "only {tried} things were tried");
    next_job_is_clean(&lab)
}

/// How many of a thing there could be, and the error that said so.
fn bomb(labs: &Labs, what: &str) -> anyhow::Result<(u64, String)> {
    let lab = labs.single()?;
    let answer = lab.client.run(python(include_str!("../../../attacks/bombs.py"), &[what]))?;
    let text = client::stdout_text(&answer)?;
    ensure!(answer.head.outcome == Outcome::Exited { code: 0 }, "{answer:?}");
    ensure!(!text.contains("BAD"), "{text}");
    let (count, error) = text.trim().split_once(' ').context("count and error")?;
    let count = count.parse()?;
    println!("\n   {what}: {count}, then {error}");
    next_job_is_clean(&lab)?;
    Ok((count, error.to_owned()))
}

fn case_20_a_fork_bomb_stops_at_the_pids_limit(labs: &Labs) -> anyhow::Result<()> {
    let (count, error) = bomb(labs, "processes")?;
    // The limit counts the program itself and whatever of the runtime is in its cgroup.
    let most = u64::from(PIDS_MAX);
    ensure!(error == "EAGAIN" && (most - 8..most).contains(&count), "{count} {error}");
    Ok(())
}

fn case_20_a_descriptor_bomb_stops_at_the_limit(labs: &Labs) -> anyhow::Result<()> {
    let (count, error) = bomb(labs, "descriptors")?;
    let most = u64::from(NOFILE_HARD);
    ensure!(error == "EMFILE" && (most - 8..most).contains(&count), "{count} {error}");
    Ok(())
}

fn case_20_an_inode_bomb_stops_at_the_limit(labs: &Labs) -> anyhow::Result<()> {
    let (count, error) = bomb(labs, "inodes")?;
    let most = u64::from(INODES_MAX);
    ensure!(error == "ENOSPC" && (most / 2..=most).contains(&count), "{count} {error}");
    Ok(())
}

fn case_20_a_gigabyte_of_files_fits_nowhere(labs: &Labs) -> anyhow::Result<()> {
    let (bytes, error) = bomb(labs, "gigabyte")?;
    // Files may take half of a job's memory, wherever they are, and shared memory a quarter.
    ensure!(error == "ENOSPC" && bytes < 400 << 20, "{bytes} {error}");
    Ok(())
}

fn case_40_a_program_sees_its_own_variables_and_no_others(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.common()?;
    let script = "import os
print(sorted(os.environ.items()))
for name in ['/proc/1/environ', '/proc/1/cmdline', '/proc/cmdline', '/proc/version']:
    try: print(name, open(name, 'rb').read())
    except OSError as error: print(name, error.strerror)
print('hostname', os.uname().nodename)";
    let answer = lab.client.run(python(script, &[]).env("MINE", "x"))?;
    let text = client::stdout_text(&answer)?;
    let lines: Vec<&str> = text.lines().collect();
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let expected = format!("[('HOME', '/root'), ('MINE', 'x'), ('PATH', '{path}')]");
    ensure!(lines.first() == Some(&expected.as_str()), "{text}");
    ensure!(lines.get(1) == Some(&"/proc/1/environ Permission denied"), "{text}");
    // The keeper's and the kernel's words: the same in every VM, none of them of the host.
    let words = lines.get(3).context("the kernel's words")?;
    ensure!(words.contains("console=ttyS0") && !words.contains("pe-"), "{text}");
    ensure!(text.contains("\nhostname pe\n"), "{text}");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    ensure!(host.trim().len() < 4 || !text.contains(host.trim()), "{text}");
    Ok(())
}
