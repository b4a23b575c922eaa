//! The bench from start to page: everything started, all rows measured, the table written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use pe_proto::archive::{Encoder, Kind};
use serde_json::json;

use crate::load::{Length, Load};
use crate::machine::Cores;
use crate::peers::{Backend, Haproxy, IMAGE, Lb, Nginx, Stage, Varnish};
use crate::process::Process;
use crate::report;
use crate::rows::{hits, idle, relay, slots};

/// Command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// The program under test
    #[arg(long, default_value = "target/release/pe-lb")]
    lb: PathBuf,
    /// Runs of each contender, in turns
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Length of a run in milliseconds
    #[arg(long, default_value_t = 1500)]
    run_ms: u64,
    /// Idle TLS connections
    #[arg(long, default_value_t = 10_000)]
    idle: u32,
    /// Parked slots
    #[arg(long, default_value_t = 10_000)]
    parked: u32,
    /// Core of the server under test
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// Core of everything else
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Only these kinds of rows: hits, relay, idle, slots; no page is written then
    #[arg(long)]
    only: Vec<String>,
    /// The page whose table is replaced
    #[arg(long, default_value = "docs/performance.md")]
    page: PathBuf,
}

/// Everything that rows need.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) stage: Stage,
    pub(crate) rounds: u32,
    pub(crate) length: Length,
    pub(crate) idle: u32,
    pub(crate) parked: u32,
    pub(crate) jobs: Jobs,
    pub(crate) result_bytes: usize,
    pub(crate) result: Known,
    pub(crate) lb: Lb,
    pub(crate) backend: Backend,
    pub(crate) nginx: Nginx,
    pub(crate) haproxy: Haproxy,
    pub(crate) varnish: Varnish,
    _workers: Process,
}

/// Bodies to post.
#[derive(Debug)]
pub(crate) struct Jobs {
    /// Run each time.
    pub(crate) binary: PathBuf,
    /// The same.
    pub(crate) json: PathBuf,
    /// Run once and then known.
    pub(crate) known: PathBuf,
}

/// A result that the load balancer has in its cache.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its job's digest.
    pub(crate) job: String,
    /// Bytes of the answer.
    pub(crate) bytes: usize,
}

/// Standard output of each result: with head and archive about 4 KiB.
const RESULT_BYTES: usize = 3200;

/// Source that each job carries.
const SOURCE_BYTES: usize = 1024;

/// Runs it.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let bench = Bench::start(settings, dir.path())?;
    println!("known result: {} bytes", bench.result.bytes);
    let is_wanted =
        |name: &str| settings.only.is_empty() || settings.only.iter().any(|only| only == name);
    type Kind = (&'static str, fn(&Bench) -> anyhow::Result<Vec<crate::rows::Row>>);
    let kinds: [Kind; 4] = [
        ("hits", hits::rows),
        ("relay", relay::rows),
        ("idle", idle::rows),
        ("slots", slots::rows),
    ];
    let mut rows = Vec::new();
    for (name, measure) in kinds {
        if is_wanted(name) {
            rows.extend(measure(&bench).with_context(|| format!("measuring {name}"))?);
        }
    }
    let table = report::table(&bench, &rows);
    println!("\n{table}");
    if settings.only.is_empty() {
        report::write(&settings.page, &table)?;
        println!("written to {}", settings.page.display());
    }
    Ok(())
}

impl Bench {
    fn start(settings: &Settings, dir: &Path) -> anyhow::Result<Self> {
        let (certificate, key) = certificate(dir)?;
        let stage = Stage {
            cores: Cores { server: settings.server_core, load: settings.load_core },
            dir: dir.to_owned(),
            certificate,
            key,
            lb: settings.lb.clone(),
        };
        let jobs = Jobs::write(dir)?;
        let lb = Lb::start(&stage)?;
        let workers = lb.with_workers(&stage, 4, 128, RESULT_BYTES)?;
        let result = prime(&lb, &jobs.known)?;
        let backend = Backend::start(&stage, result.bytes)?;
        let nginx = Nginx::start(&stage, backend.address)?;
        let haproxy = Haproxy::start(&stage, backend.address)?;
        let varnish = Varnish::start(&stage, backend.address)?;
        Ok(Self {
            stage,
            rounds: settings.rounds,
            length: Length {
                warm_up: Duration::from_millis(500),
                measured: Duration::from_millis(settings.run_ms),
            },
            idle: settings.idle,
            parked: settings.parked,
            jobs,
            result_bytes: RESULT_BYTES,
            result,
            lb,
            backend,
            nginx,
            haproxy,
            varnish,
            _workers: workers,
        })
    }

    /// Has a job run that is then known.
    pub(crate) fn prime(&self, lb: &Lb) -> anyhow::Result<Known> {
        prime(lb, &self.jobs.known)
    }

    /// Says what comes next.
    #[expect(clippy::unused_self, reason = "rows announce themselves to the bench")]
    pub(crate) fn announce(&self, what: &str, load: &Load) {
        println!("-- {what} ({})", load.told());
    }

    /// Memory of a process when it has come to rest.
    #[expect(clippy::unused_self, reason = "belongs to the bench's measures")]
    pub(crate) fn settled_pss(&self, process: &Process) -> u64 {
        std::thread::sleep(Duration::from_secs(2));
        process.pss_kib()
    }
}

impl Jobs {
    fn write(dir: &Path) -> anyhow::Result<Self> {
        let source = "x".repeat(SOURCE_BYTES);
        let config = |cache: &str| json!({"image": IMAGE, "args": ["true"], "cache": cache});
        let binary = |cache: &str| -> anyhow::Result<Vec<u8>> {
            let config = config(cache).to_string();
            let mut archive = Encoder::new();
            archive.push(Kind::File, "input/main.c", source.as_bytes())?;
            let mut body = u32::try_from(config.len())?.to_le_bytes().to_vec();
            body.extend_from_slice(config.as_bytes());
            body.extend_from_slice(&archive.finish());
            Ok(body)
        };
        let mut as_json = config("off");
        if let Some(fields) = as_json.as_object_mut() {
            fields.insert("files".to_owned(), json!({"main.c": source}));
        }
        let write = |name: &str, body: &[u8]| -> anyhow::Result<PathBuf> {
            let path = dir.join(name);
            fs::write(&path, body)?;
            Ok(path)
        };
        Ok(Self {
            binary: write("job.bin", &binary("off")?)?,
            json: write("job.json", as_json.to_string().as_bytes())?,
            known: write("known.bin", &binary("use")?)?,
        })
    }
}

fn prime(lb: &Lb, job: &Path) -> anyhow::Result<Known> {
    let run = format!("http://{}/api/v1/run", lb.clients);
    let head = curl(&[
        "-D",
        "-",
        "-o",
        "/dev/null",
        "--data-binary",
        &format!("@{}", job.display()),
        "-H",
        "content-type: application/vnd.pe.v1",
        &run,
    ])?;
    let job = head.lines().find_map(|line| line.strip_prefix("pe-job: "));
    let job = job.with_context(|| format!("no job was run: {head}"))?.trim().to_owned();
    let url = format!("http://{}/api/v1/results/{job}", lb.clients);
    let bytes = curl(&["-o", "/dev/null", "-w", "%{size_download}", &url])?.trim().parse()?;
    Ok(Known { job, bytes })
}

/// Fetches, or says why not.
pub(crate) fn curl(args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("curl").args(["-sSf", "-m", "20"]).args(args).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "curl {args:?}: {told}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A certificate of this run, as small and quick as public ones are today: P-256.
fn certificate(dir: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext"])
        .arg("subjectAltName=DNS:localhost,IP:127.0.0.1")
        // Clients of rustls take no authority's certificate for a server's.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .context("starting openssl")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok((cert, key))
}
