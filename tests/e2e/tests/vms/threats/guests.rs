//! A guest whose kernel is the attacker's reaches its io file and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use pe_e2e::client;
use pe_e2e::{paths, procfs};
use pe_proto::{Digest, Outcome};

use crate::labs::Labs;
use crate::rogue::{slots_are_back, told};

crate::scenarios![
    case_06_and_08_a_guest_that_writes_to_its_packs_changes_nothing,
    case_16_and_21_a_vm_has_no_device_but_its_memory_files,
];

/// Every pack and its digest.
fn packs() -> anyhow::Result<BTreeMap<PathBuf, Digest>> {
    let files = fs::read_dir(paths::images()?.join("packs"))?.flatten().map(|entry| entry.path());
    let packs = files.filter(|path| path.extension().is_some_and(|end| end == "erofs"));
    packs.map(|path| Ok((path.clone(), Digest::of(&fs::read(&path)?)))).collect()
}

fn case_06_and_08_a_guest_that_writes_to_its_packs_changes_nothing(
    labs: &Labs,
) -> anyhow::Result<()> {
    let lab = labs.rogue()?;
    let worker = lab.worker()?.daemon.pid();
    let before = packs()?;
    ensure!(!before.is_empty(), "no packs");
    let mut seen = None;
    for round in 0..3 {
        let answer = lab.client.run(told("write-packs", &[]).with(|job| {
            job.limits.wall_ms = Some(5_000);
        }))?;
        match &answer.head.outcome {
            Outcome::Exited { code: 0 } => {
                let text = client::stdout_text(&answer)?;
                if round == 0 {
                    println!("\n{text}");
                }
                // What the guest wrote, it may see itself; the next guest does not.
                ensure!(text.lines().any(|line| line.starts_with("pmem")), "no pack: {text}");
                ensure!(!text.contains("MARKED"), "round {round}: {text}");
                let digests = text.lines().filter_map(|line| line.split(' ').nth(2));
                let digests: Vec<String> = digests.map(str::to_owned).collect();
                let first = seen.get_or_insert_with(|| digests.clone());
                ensure!(*first == digests, "round {round}: {text}");
            }
            // The write ended the VM: a guest's fault, and an answer all the same.
            Outcome::Lost { .. } | Outcome::TimedOut { .. } => {
                println!("\n{:?}\n{}", answer.head.outcome, client::stdout_text(&answer)?);
            }
            Outcome::Exited { .. }
            | Outcome::Signaled { .. }
            | Outcome::OutOfMemory
            | Outcome::Refused { .. } => anyhow::bail!("{answer:?}"),
        }
        ensure!(packs()? == before, "round {round} changed a pack on the host");
        slots_are_back(&lab)?;
    }
    ensure!(procfs::is_alive(worker), "the worker ended");
    drop(lab);
    // Those who come after see the image as it was: a job with the right init in the same packs.
    let lab = labs.common()?;
    let job = pe_e2e::client::Job::shell("grep -c PE-WAS-HERE-MARK /bin/busybox; echo searched");
    ensure!(client::stdout_text(&lab.client.run(job)?)? == "0\nsearched\n");
    Ok(())
}

fn case_16_and_21_a_vm_has_no_device_but_its_memory_files(labs: &Labs) -> anyhow::Result<()> {
    let lab = labs.rogue()?;
    let answer = lab.client.run(told("look-around", &[]))?;
    let text = client::stdout_text(&answer)?;
    println!("\n{text}");
    let (mut interfaces, mut memories) = (Vec::new(), 0);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["net", name, ..] => interfaces.push(*name),
            // A network controller is of class 02.
            ["pci", name, class] => ensure!(!class.starts_with("0x02"), "{name} is a network card"),
            // 27 is pmem; 4 is randomness, which cloud-hypervisor gives to every VM and which is a
            // queue for bytes of the host's generator. Neither a network (1), a console (3), a
            // socket (19), a shared file system (26, 9) nor anything else is there.
            ["virtio", name, kind] => {
                let kind = kind.strip_prefix("0x").context("device id")?;
                match u32::from_str_radix(kind, 16)? {
                    27 => memories += 1,
                    4 => {}
                    _ => anyhow::bail!("{name} is of kind {kind}: {text}"),
                }
            }
            _ => {}
        }
    }
    ensure!(interfaces.iter().all(|name| *name == "lo"), "{interfaces:?}");
    ensure!(memories >= 1, "{text}");
    Ok(())
}
