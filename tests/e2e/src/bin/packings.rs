//! Measures what compressing packs costs, with and without DAX: size, first run, warm run.
//!
//! Makes packs of the built images anew in each way, starts a load balancer and a worker for each,
//! all at the same time, and asks them in turns, so that a neighbour on this machine disturbs all
//! ways alike. A first run finds nothing of its pack in the host's page cache; a warm one comes
//! right after it. Each is a fresh VM. Prints medians.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use pe_e2e::client::Job;
use pe_e2e::lab::Lab;
use pe_e2e::paths;
use pe_proto::catalogue::{Catalogue, Pack};
use pe_proto::limits::PMEM_ALIGN;
use pe_proto::{Digest, Outcome};

const ROUNDS: usize = 11;

const IMAGES: [&str; 2] = ["python", "gcc"];

/// Name, flags of mkfs.erofs, whether the guest maps files straight from pmem.
const WAYS: [(&str, &[&str], bool); 5] = [
    ("none, DAX", &[], true),
    ("none, no DAX", &[], false),
    ("lz4, DAX", &["-zlz4"], true),
    ("lz4, no DAX", &["-zlz4"], false),
    ("lz4hc, DAX", &["-zlz4hc,12"], true),
];

const C: &[u8] = b"#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n";

/// One way, at work.
struct Way {
    name: &'static str,
    lab: Lab,
    packs: Vec<(PathBuf, u64)>,
    /// Of each image, of a first and of a warm run: the program, and all that the client waits for.
    times: Vec<[Vec<(u64, u64)>; 2]>,
}

fn main() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("pe-packings-").tempdir()?;
    let trees = dir.path().join("trees");
    fs::create_dir(&trees)?;
    let built = fs::read(paths::images()?.join("catalogue.json"))?;
    let built: Catalogue = serde_json::from_slice(&built)?;
    for name in IMAGES {
        let (_, platform) = built.find(name, None).context("an image that was not built")?;
        let pack = format!("packs/{}.erofs", platform.pack.digest.hex());
        let to = format!("--extract={}", trees.join(name).display());
        run(Command::new("fsck.erofs").arg(to).arg(paths::images()?.join(pack)))?;
    }
    let no_dax = dir.path().join("no-dax");
    without_dax(&no_dax)?;
    let mut ways = Vec::new();
    for (index, (name, flags, has_dax)) in WAYS.into_iter().enumerate() {
        let images = dir.path().join(index.to_string());
        let assets = if has_dax { paths::vm_assets()? } else { no_dax.clone() };
        ways.push(Way::start(name, flags, &assets, &images, &trees, built.clone())?);
    }
    for _ in 0..ROUNDS {
        for way in &mut ways {
            way.round()?;
        }
    }
    println!("Milliseconds, median of {ROUNDS} runs: the program, and the whole job\n");
    println!("| image | way | pack, MiB | first run | job | warm run | job |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for (index, image) in IMAGES.iter().enumerate() {
        for way in &ways {
            let (Some((_, bytes)), Some(runs)) = (way.packs.get(index), way.times.get(index))
            else {
                continue;
            };
            let cells: String = runs.iter().map(|runs| cells(runs)).collect();
            println!("| {image} | {} | {} |{cells}", way.name, bytes >> 20);
        }
    }
    Ok(())
}

impl Way {
    fn start(
        name: &'static str,
        flags: &[&str],
        assets: &Path,
        images: &Path,
        trees: &Path,
        mut catalogue: Catalogue,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(images.join("packs"))?;
        catalogue.images.retain(|image| image.name == "busybox" || IMAGES.contains(&&*image.name));
        let mut packs = Vec::new();
        for wanted in IMAGES {
            let (pack, path) = pack(&trees.join(wanted), flags, images)?;
            packs.push((path, pack.bytes));
            for image in catalogue.images.iter_mut().filter(|image| image.name == wanted) {
                for platform in &mut image.platforms {
                    platform.pack = pack.clone();
                }
            }
        }
        // The worker tries its VMs with it.
        for image in catalogue.images.iter().filter(|image| image.name == "busybox") {
            for platform in &image.platforms {
                let file = format!("packs/{}.erofs", platform.pack.digest.hex());
                fs::copy(paths::images()?.join(&file), images.join(&file))?;
            }
        }
        fs::write(images.join("catalogue.json"), serde_json::to_vec(&catalogue)?)?;
        let mut lab = Lab::with_flags(|listed| *listed = catalogue, &[])?;
        let to = format!("http://127.0.0.1:{}", lab.lb_worker_port);
        let images = images.display().to_string();
        let args = ["--lb", &to, "--images", &images].map(str::to_owned).to_vec();
        lab.start_worker_of(name.split(',').next().unwrap_or(name), 1, assets, args)?;
        lab.worker()?.wait_ready(1)?;
        let times = IMAGES.map(|_| [Vec::new(), Vec::new()]).to_vec();
        Ok(Self { name, lab, packs, times })
    }

    /// A first and a warm run of each image.
    fn round(&mut self) -> anyhow::Result<()> {
        for (image, times) in IMAGES.into_iter().zip(&mut self.times) {
            for (is_warm, times) in times.iter_mut().enumerate() {
                self.lab.worker()?.wait_ready(1)?;
                if is_warm == 0 {
                    for (pack, _) in &self.packs {
                        forget(pack)?;
                    }
                }
                let answer = self.lab.client.run(job(image))?;
                let ended = &answer.head.outcome;
                ensure!(*ended == Outcome::Exited { code: 0 }, "{}: {answer:?}", self.name);
                let phases = answer.head.phases;
                times.push((phases.run_us, phases.total_us));
            }
        }
        Ok(())
    }
}

fn job(image: &str) -> Job {
    match image {
        "gcc" => Job::new("gcc", &["sh", "-c", "gcc main.c -o /tmp/a && /tmp/a"]).file("main.c", C),
        _ => Job::new("python", &["python3", "-c", "import json, re; print(1)"]),
    }
}

/// A pack of a tree as `pe image import` makes it, but for its flags and its uuid.
fn pack(tree: &Path, flags: &[&str], images: &Path) -> anyhow::Result<(Pack, PathBuf)> {
    let made = images.join("made");
    let flags = [&["--quiet", "-E", "noinline_data"], flags].concat();
    run(Command::new("mkfs.erofs").args(flags).arg(&made).arg(tree))?;
    let file = fs::OpenOptions::new().write(true).open(&made)?;
    let bytes = file.metadata()?.len().next_multiple_of(PMEM_ALIGN);
    file.set_len(bytes)?;
    file.sync_all()?;
    let digest = Digest::of(&fs::read(&made)?);
    let path = images.join(format!("packs/{}.erofs", digest.hex()));
    fs::rename(made, &path)?;
    Ok((Pack { digest, bytes, prefix: String::new(), based_on: None }, path))
}

/// Kernel and initramfs whose init mounts packs without DAX: one word of its program is another.
fn without_dax(to: &Path) -> anyhow::Result<()> {
    run(Command::new("cp").arg("-r").arg(paths::vm_assets()?).arg(to))?;
    let mut bytes = fs::read(to.join("initramfs.cpio"))?;
    let (word, other) = (b"dax=always", b"dax=never,");
    // The kernel's own, by which it lists mounts, has a comma before it.
    let is_ours = |(at, found): &(usize, &[u8])| {
        found == word && at.checked_sub(1).and_then(|before| bytes.get(before)) != Some(&b',')
    };
    let found: Vec<usize> =
        bytes.windows(word.len()).enumerate().filter(is_ours).map(|(at, _)| at).collect();
    ensure!(found.len() == 1, "not the init that mounts with DAX: {found:?}");
    for at in found {
        bytes.iter_mut().skip(at).zip(other).for_each(|(byte, other)| *byte = *other);
    }
    Ok(fs::write(to.join("initramfs.cpio"), bytes)?)
}

/// Takes a file out of the page cache, but for what a VM that is ready has mapped of it.
fn forget(path: &Path) -> anyhow::Result<()> {
    Ok(posix_fadvise(fs::File::open(path)?, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let done = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

fn cells(runs: &[(u64, u64)]) -> String {
    let program = median(runs.iter().map(|(program, _)| *program).collect());
    let whole = median(runs.iter().map(|(_, whole)| *whole).collect());
    format!(" {} | {} |", program / 1000, whole / 1000)
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}
