//! A PID 1 that does to a job the least that can be called running it in a container: `crun run`
//! with the bundle that `crun spec` writes, in the same VM, from the same pack and overlay, once
//! cold and then some more times. How long each took is in the notes of the answer.
//!
//! What guest init takes beyond that is its overhead; `overhead` of `pe-e2e` prints it. Boot and
//! waiting are guest init's own, so that both are measured in VMs that are otherwise equal.

#![forbid(unsafe_code)]

mod bundle;

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use pe_guest_init::boot::{self, Kernel, PLAN};
use pe_guest_init::port::Port;
use pe_guest_init::waiting::{Ready, Rung};
use pe_guest_init::{answer, collect, fresh};
use pe_proto::Outcome;
use pe_proto::outcome::ResultMeta;

use bundle::Bundle;

const PORT: &str = if cfg!(target_arch = "aarch64") { "/dev/ttyAMA0" } else { "/dev/ttyS0" };

/// The first of them finds everything as a job does; the others show what is left when all code
/// has run before.
const RUNS: usize = 6;

fn main() -> anyhow::Result<()> {
    if std::process::id() != 1 {
        return Ok(());
    }
    boot::run(PLAN, &mut Kernel)?;
    let port = Port::open(PORT)?;
    let bundle = Bundle::prepare()?;
    let mut ready = Ready::prepare(port)?;
    let rung = ready.wait()?;
    let meta = match measure(&mut ready, &rung, &bundle) {
        Ok(meta) => meta,
        Err(error) => {
            let mut meta = answer::metadata(Outcome::Exited { code: 70 });
            meta.notes.push(format!("{error:#}"));
            meta
        }
    };
    let nothing = collect::nothing(&rung.device, &rung.header)?;
    answer::write(&rung.device, &rung.header, meta, &nothing)?;
    ready.port().say_done();
    loop {
        std::thread::park();
    }
}

fn measure(ready: &mut Ready, rung: &Rung, bundle: &Bundle) -> anyhow::Result<ResultMeta> {
    let config = bundle::job(rung)?;
    fresh::begin_anew(&config).ok().context("making this VM differ from its siblings")?;
    let pack = ready.pack(&config.pack_uuid).ok().context("finding the pack")?;
    let root = pack.root(&config.pack_prefix).ok().context("making the root")?;
    let mut meta = answer::metadata(Outcome::Exited { code: 0 });
    for run in 0..RUNS {
        let began = Instant::now();
        bundle.write(&config.spec, &root.path)?;
        let status = Command::new("/usr/bin/crun")
            .args(["--root=/run/bare-state", "--cgroup-manager=disabled", "run"])
            .arg(format!("--bundle={}", bundle::DIRECTORY))
            .arg(format!("bare-{run}"))
            .env("PATH", "/usr/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("starting crun")?;
        anyhow::ensure!(status.success(), "crun run: {status}");
        meta.notes.push(format!("{}", began.elapsed().as_micros()));
    }
    Ok(meta)
}
