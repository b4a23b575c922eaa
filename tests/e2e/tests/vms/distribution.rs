//! Workers that fetch their images.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use pe_e2e::client::{self, Job};
use pe_e2e::lab::{Lab, metric};
use pe_e2e::slow::SlowLine;
use pe_e2e::{circumstances, paths, wait};
use pe_proto::Digest;
use pe_proto::api::Progress;
use pe_proto::catalogue::{Basis, Catalogue};
use serde_json::Value;

use crate::labs::Labs;

crate::scenarios![
    a_worker_with_an_empty_disk_becomes_useful_goes_on_after_a_kill_and_runs_a_job_that_waited,
    images_are_fetched_before_a_worker_serves,
    a_worker_fetches_of_a_pack_what_the_one_it_has_does_not_have,
];

const MIB: u64 = 1024 * 1024;

/// As long as a boot in emulation and a fetch over a slow line may take.
fn long() -> Duration {
    circumstances::scaled(Duration::from_secs(180))
}

struct Fetching {
    lab: Lab,
    token: std::path::PathBuf,
    cache: std::path::PathBuf,
}

impl Fetching {
    fn lab() -> anyhow::Result<Self> {
        Self::lab_of(|_| {})
    }

    /// With a catalogue that was changed.
    fn lab_of(change: impl FnOnce(&mut Catalogue)) -> anyhow::Result<Self> {
        // Its file must be there before the load balancer is.
        let held = tempfile::Builder::new().prefix("pe-e2e-token-").tempdir()?.keep();
        let token = held.join("token");
        std::fs::write(&token, "a-token-of-all-workers\n")?;
        let flags = ["--worker-token-file".to_owned(), token.display().to_string()];
        let lab = Lab::with_flags(change, &flags)?;
        let cache = lab.scratch().join("cache");
        Ok(Self { lab, token, cache })
    }

    fn flags(&self, port: u16) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        vec![
            "--lb".to_owned(),
            format!("http://127.0.0.1:{port}"),
            "--token-file".to_owned(),
            text(&self.token),
            "--images-cache".to_owned(),
            text(&self.cache),
        ]
    }

    /// With an address, a token, and a directory that is not there yet.
    fn start(&mut self, port: u16) -> anyhow::Result<()> {
        let flags = self.flags(port);
        self.lab.start_worker_of("fetcher", 1, &paths::vm_assets()?, flags)
    }

    /// `pe-worker fetch`, through a port.
    fn fetch(&self, name: &str, port: u16) -> anyhow::Result<Command> {
        let mut command = Command::new(paths::binary("pe-worker")?);
        command.arg("fetch").arg(name).args(self.flags(port));
        command.arg("--vm-assets").arg(paths::vm_assets()?);
        Ok(command)
    }

    fn part(&self, pack: &str) -> u64 {
        let path = self.cache.join(format!("packs/{pack}.part"));
        std::fs::metadata(path).map_or(0, |about| about.len())
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        if let Some(held) = self.token.parent() {
            let _ = std::fs::remove_dir_all(held);
        }
    }
}

/// Digest and length of the pack of an image.
fn pack(name: &str) -> anyhow::Result<(String, u64)> {
    let listed = std::fs::read(paths::images()?.join("catalogue.json"))?;
    let listed: Catalogue = serde_json::from_slice(&listed)?;
    let (_, platform) = listed.find(name, None).context("no such image")?;
    Ok((platform.pack.digest.hex(), platform.pack.bytes))
}

fn a_worker_with_an_empty_disk_becomes_useful_goes_on_after_a_kill_and_runs_a_job_that_waited(
    _: &Labs,
) -> anyhow::Result<()> {
    let (python, python_bytes) = pack("python")?;
    let mut fetching = Fetching::lab()?;
    let line = SlowLine::to(fetching.lab.lb_worker_port, 3 * MIB)?;
    fetching.start(line.port)?;
    let began = Instant::now();
    // The first image comes by itself, is tried, and is of use before there is another.
    let first = || {
        let job = Job::shell("echo useful").with(|request| request.limits.wall_ms = Some(60_000));
        let answer = fetching.lab.client.run(job).ok()?;
        (client::stdout_text(&answer).ok()? == "useful\n").then_some(answer)
    };
    let answer = wait::until("the first job", long(), first)
        .map_err(|error| error.context(fetching.lab.logs()))?;
    let useful = began.elapsed();
    let ran_on = answer.head.ran_on.as_ref().map(|ran_on| ran_on.worker.as_str());
    ensure!(ran_on == Some("fetcher"), "{ran_on:?}");

    // What a job waits for goes before what the catalogue has first.
    let client = fetching.lab.client.clone();
    let job = || Job::new("python", &["python3", "-c", "print(6 * 7)"]);
    let impatient = thread::spawn(move || client.post(job()));
    // Somebody at a terminal waits for the same job, and sees how far it is.
    let mut looker = Looker::start(&fetching.lab, &["python3", "-c", "print(6 * 7)"])?;
    let half = || (fetching.part(&python) > python_bytes / 3).then_some(());
    wait::until("a third of the pack", long(), half)
        .map_err(|error| error.context(fetching.lab.logs()))?;
    let progress = progress(&fetching.lab)?;
    let Progress::Fetching { percent, bytes_total, .. } = progress else {
        anyhow::bail!("{progress:?}");
    };
    ensure!((1..100).contains(&percent) && bytes_total == python_bytes, "{progress:?}");
    looker.until("pe: fetching the image, ")?;
    looker.until(" % of ")?;
    drop(looker);

    // The transfer is killed half-way, with its worker.
    let worker = fetching.lab.workers.first_mut().context("no worker")?;
    worker.daemon.signal(Signal::SIGKILL);
    worker.daemon.ended(Duration::from_secs(10))?;
    let had = fetching.part(&python);
    ensure!(had >= python_bytes / 3 && had < python_bytes, "{had} of {python_bytes}");
    fetching.lab.workers.clear();
    line.set(100 * MIB);
    fetching.start(line.port)?;
    let reply = impatient.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
    let answer = match reply {
        client::Reply::Answer(answer) => *answer,
        // The start took longer than a job may wait: asked again, it is served.
        client::Reply::Problem(problem) => {
            ensure!(problem.retry, "{problem:?}");
            let served = || fetching.lab.client.run(job()).ok();
            wait::until("the job to run", long(), served)
                .map_err(|error| error.context(fetching.lab.logs()))?
        }
    };
    ensure!(client::stdout_text(&answer)? == "42\n", "{answer:?}");
    let worker = fetching.lab.worker()?;
    let resumed = worker.series("pe_worker_pack_resumed_bytes_total");
    ensure!(resumed.is_some_and(|bytes| bytes >= had as f64), "{resumed:?} of {had}");
    let metrics = client::get(&format!("{}/metrics", fetching.lab.admin_url))?;
    let rests = metric(&metrics, "pe_lb_pack_transfers_total{part=\"rest\"}");
    ensure!(rests.is_some_and(|rests| rests >= 1.0), "{rests:?}");
    println!(
        "\n   useful {useful:?} after its start, killed at {had} of {python_bytes} bytes, and \
         resumed; {resumed:?} bytes of all packs were there by then and not fetched again"
    );
    Ok(())
}

fn images_are_fetched_before_a_worker_serves(_: &Labs) -> anyhow::Result<()> {
    let fetching = Fetching::lab()?;
    let fetch =
        |name: &str| anyhow::Ok(fetching.fetch(name, fetching.lab.lb_worker_port)?.output()?);
    let out = fetch("busybox:latest")?;
    ensure!(out.status.success(), "{out:?}");
    let (busybox, _) = pack("busybox")?;
    let packs: Vec<_> = std::fs::read_dir(fetching.cache.join("packs"))?
        .map(|entry| anyhow::Ok(entry?.file_name()))
        .collect::<Result<_, _>>()?;
    ensure!(packs == [format!("{busybox}.erofs").as_str()], "{packs:?}");
    let out = fetch("nothing:1")?;
    ensure!(!out.status.success(), "{out:?}");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(said.contains("no image `nothing:1`"), "{said}");
    Ok(())
}

fn a_worker_fetches_of_a_pack_what_the_one_it_has_does_not_have(_: &Labs) -> anyhow::Result<()> {
    // The first has other bytes at its begin, and the second goes on where the first ends.
    let bytes = |seed: u64, length: u64| -> Vec<u8> {
        let words = (0..length / 32).map(|at| Digest::of(&(seed ^ at << 8).to_le_bytes()).0);
        words.flatten().collect()
    };
    let (from, to, end) = (4096, 30 * MIB, 36 * MIB);
    let (head, tail, shared) = (bytes(1, from), bytes(2, end - to), bytes(3, to - from));
    let before = [bytes(4, from), shared.clone()].concat();
    let after = [head, shared, tail].concat();
    let packs = [Digest::of(&before), Digest::of(&after)];
    let basis = Basis { pack: packs[0], from, to };
    let fetching = Fetching::lab_of(|catalogue| {
        catalogue.images.truncate(2);
        let told = [("before", to, None), ("after", end, Some(basis))];
        for ((image, pack), (name, bytes, based_on)) in
            catalogue.images.iter_mut().zip(packs).zip(told)
        {
            name.clone_into(&mut image.name);
            for platform in &mut image.platforms {
                platform.digest = Digest::of(name.as_bytes());
                platform.pack.digest = pack;
                (platform.pack.bytes, platform.pack.based_on) = (bytes, based_on);
            }
        }
    })?;
    let dir = fetching.lab.scratch().join("packs");
    std::fs::remove_file(&dir)?;
    std::fs::create_dir(&dir)?;
    for (pack, bytes) in packs.iter().zip([&before, &after]) {
        std::fs::write(dir.join(format!("{}.erofs", pack.hex())), bytes)?;
    }
    let sent = || -> anyhow::Result<f64> {
        let metrics = client::get(&format!("{}/metrics", fetching.lab.admin_url))?;
        metric(&metrics, "pe_lb_pack_bytes_total").context("no such metric")
    };
    let port = fetching.lab.lb_worker_port;
    let out = fetching.fetch("before", port)?.output()?;
    ensure!(out.status.success(), "{out:?}");
    let had = sent()?;
    ensure!(had == to as f64, "{had}");
    // Killed while it fetches the end; the begin and what is common are there by then.
    let line = SlowLine::to(port, MIB)?;
    let mut killed = fetching.fetch("after", line.port)?.stderr(Stdio::null()).spawn()?;
    let name = packs[1].hex();
    let part = || (fetching.part(&name) > to).then_some(());
    let seen = wait::until("part of the end", long(), part);
    killed.kill()?;
    killed.wait()?;
    seen.map_err(|error| error.context(fetching.lab.logs()))?;
    let kept = fetching.part(&name);
    ensure!((to + 1..end).contains(&kept), "{kept} of {end}");
    let broken = sent()?;
    let out = fetching.fetch("after", port)?.output()?;
    ensure!(out.status.success(), "{out:?}");
    let rest = sent()? - broken;
    // What was on its way to the one that was killed was sent, and did not come.
    let most = from + 2 * (end - to);
    ensure!(broken - had + rest <= most as f64, "{broken} less {had}, and {rest} more, of {most}");
    let is_here = std::fs::read(fetching.cache.join(format!("packs/{name}.erofs")))? == after;
    ensure!(is_here, "another file");
    println!(
        "\n   of a pack of {end} bytes {} were fetched until a kill, and {rest} after it",
        broken - had
    );
    Ok(())
}

/// `pe run` with a terminal.
struct Looker {
    pe: Child,
    terminal: std::fs::File,
    seen: String,
}

impl Looker {
    fn start(lab: &Lab, command: &[&str]) -> anyhow::Result<Self> {
        let terminal = nix::pty::openpty(None, None)?;
        let mut pe = Command::new(paths::binary("pe")?);
        pe.args(["run", "--server", &lab.client.url, "--image", "python", "--"]).args(command);
        pe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(terminal.slave));
        let pe = pe.spawn()?;
        Ok(Self { pe, terminal: std::fs::File::from(terminal.master), seen: String::new() })
    }

    /// Reads until this was drawn. A `pe` that ends closes its terminal, which is an error.
    fn until(&mut self, words: &str) -> anyhow::Result<()> {
        let mut piece = [0; 1024];
        while !self.seen.contains(words) {
            let read = self.terminal.read(&mut piece).context(self.seen.clone())?;
            self.seen.push_str(&String::from_utf8_lossy(piece.get(..read).unwrap_or_default()));
        }
        Ok(())
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        let _ = self.pe.kill();
        let _ = self.pe.wait();
    }
}

/// How far the one job is that is waited for.
fn progress(lab: &Lab) -> anyhow::Result<Progress> {
    let flights = client::get(&format!("{}/admin/v1/flights", lab.admin_url))?;
    let flights: Value = serde_json::from_str(&flights)?;
    let job = flights.pointer("/flights/0/job").and_then(Value::as_str).context("no flight")?;
    let told = client::get(&format!("{}/api/v1/progress/{job}", lab.client.url))?;
    Ok(serde_json::from_str(&told)?)
}
