//! `pe-worker doctor` as people start it: on this host, with a real guest, against an LB that is
//! there, is not, or does not know the token.
//!
//! Needs what `make` builds, as the tests of QEMU do.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use pe_proto::codec;
use pe_proto::link::{Hello, SessionId, Welcome, paths};
use serde_json::Value;

const TOKEN: &str = "a-token-of-some-length";

fn build_dir() -> PathBuf {
    match std::env::var_os("PE_BUILD_DIR") {
        Some(dir) => dir.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build"),
    }
}

/// A doctor's visit to this host, with one thing or another not as it should be.
struct Visit {
    dir: tempfile::TempDir,
    images: PathBuf,
    flags: Vec<String>,
}

impl Visit {
    /// Guests are emulated, which works everywhere.
    fn new() -> Self {
        Self::with(&["--accel", "tcg"])
    }

    fn with(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        let images = dir.path().join("images");
        smallest_image(&images);
        Self { dir, images, flags: Vec::new() }.flags(flags)
    }

    fn images(self, images: impl Into<PathBuf>) -> Self {
        Self { images: images.into(), ..self }
    }

    fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    fn token(self, token: &str) -> Self {
        let path = self.dir.path().join("token");
        std::fs::write(&path, token).expect("write");
        self.flags(&["--token-file", path.to_str().expect("text")])
    }

    fn run(&self, extra: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pe-worker"))
            .args(["doctor", "--slots", "1", "--memory-mib", "512"])
            .arg("--images")
            .arg(&self.images)
            .arg("--vm-assets")
            .arg(build_dir().join("vm/x86_64"))
            .args(&self.flags)
            .args(extra)
            .output()
            .expect("pe-worker runs")
    }

    /// Verdicts by id, and what was seen; the exit status agrees with them.
    fn verdicts(&self) -> BTreeMap<String, (String, String)> {
        let output = self.run(&["--json"]);
        let text = String::from_utf8(output.stdout).expect("text");
        let report: Value = serde_json::from_str(&text).expect("json");
        assert_eq!(report.pointer("/format"), Some(&Value::from(1)));
        let field = |check: &Value, name: &str| {
            check.get(name).and_then(Value::as_str).expect("a text").to_owned()
        };
        let checks = report.get("checks").and_then(Value::as_array).expect("checks");
        let verdicts: BTreeMap<_, _> = checks
            .iter()
            .map(|it| (field(it, "id"), (field(it, "verdict"), field(it, "seen"))))
            .collect();
        let failed = verdicts.values().any(|(verdict, _)| verdict == "fail");
        assert_eq!(output.status.code(), Some(i32::from(failed)), "{text}");
        assert_eq!(field(&report, "verdict") == "fail", failed);
        verdicts
    }
}

/// The built images without the large ones, whose digests take long in a build for tests.
fn smallest_image(at: &Path) {
    let built = build_dir().join("images").canonicalize().expect("run `make assets` first");
    let text = std::fs::read(built.join("catalogue.json")).expect("run `make assets` first");
    let mut catalogue: Value = serde_json::from_slice(&text).expect("json");
    let images = catalogue.get_mut("images").and_then(Value::as_array_mut).expect("images");
    images.retain(|image| image.get("name").is_some_and(|name| name == "busybox"));
    std::fs::create_dir_all(at.join("packs")).expect("mkdir");
    let digest = images.iter().find_map(|it| it.pointer("/platforms/0/pack/digest")?.as_str());
    let pack = digest.and_then(|digest| digest.strip_prefix("sha256:")).expect("a digest");
    let pack = Path::new("packs").join(format!("{pack}.erofs"));
    std::fs::copy(built.join(&pack), at.join(&pack)).expect("copy");
    std::fs::write(at.join("catalogue.json"), catalogue.to_string()).expect("write");
}

fn failed(verdicts: &BTreeMap<String, (String, String)>) -> Vec<&str> {
    let failed = verdicts.iter().filter(|(_, (verdict, _))| verdict == "fail");
    failed.map(|(id, _)| id.as_str()).collect()
}

/// An LB as far as a hello goes. Counts those, and whatever else is asked.
struct Lb {
    at: SocketAddr,
    hellos: Arc<AtomicUsize>,
    others: Arc<AtomicUsize>,
}

impl Lb {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let at = listener.local_addr().expect("address");
        listener.set_nonblocking(true).expect("nonblocking");
        let (hellos, others) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let lb = Self { at, hellos: Arc::clone(&hellos), others: Arc::clone(&others) };
        // It ends with the test's process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("runtime").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
                while let Ok((stream, _)) = listener.accept().await {
                    serve(stream, &hellos, &others).await;
                }
            });
        });
        lb
    }

    fn url(&self) -> String {
        format!("http://{}", self.at)
    }
}

async fn serve(stream: tokio::net::TcpStream, hellos: &AtomicUsize, others: &AtomicUsize) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let expected = format!("Bearer {TOKEN}");
        let knows = request.headers().get("authorization").is_some_and(|it| *it == expected);
        if request.uri().path() != paths::HELLO {
            others.fetch_add(1, Ordering::SeqCst);
        }
        let mut body = request.into_body();
        let read = async {
            let mut bytes = Vec::new();
            while let Some(Ok(data)) = body.data().await {
                bytes.extend_from_slice(&data);
            }
            bytes
        };
        // The body arrives only while the connection is driven.
        let bytes = tokio::select! {
            bytes = read => bytes,
            _ = std::future::poll_fn(|context| connection.poll_closed(context)) => return,
        };
        let hello: Hello = codec::decode(&bytes).expect("hello");
        assert!(hello.images.is_empty() && hello.slots == 0, "nothing can be leased to it");
        assert!(hello.worker.ends_with(" (doctor)"));
        hellos.fetch_add(1, Ordering::SeqCst);
        let welcome =
            Welcome { session: SessionId([1; 16]), poll_ms: 1000, deployment: String::new() };
        let response = http::Response::builder().header("date", "Thu, 01 Jan 1970 00:00:00 GMT");
        let status = if knows { 200 } else { 401 };
        let response = response.status(status).body(()).expect("response");
        let mut stream = respond.send_response(response, !knows).expect("respond");
        if knows {
            let frame = codec::to_vec(&welcome).expect("fits");
            stream.send_data(Bytes::from(frame), true).expect("send");
        }
    }
}

#[test]
fn on_a_host_that_is_right_nothing_fails() {
    let lb = Lb::start();
    let visit = Visit::new().token(TOKEN).flags(&["--lb", &lb.url(), "--metrics", "127.0.0.1:0"]);
    let verdicts = visit.verdicts();
    // The scripted LB lives in 1970, which is the one thing that is wrong.
    assert_eq!(failed(&verdicts), ["clock"], "{verdicts:?}");
    for id in ["boot", "kvm", "vmm", "guest-files", "images", "lb", "token", "metrics"] {
        let (verdict, seen) = verdicts.get(id).expect("known");
        assert_eq!(verdict, "pass", "{id}: {seen}");
    }
    let (_, seen) = verdicts.get("boot").expect("boot");
    assert!(seen.contains("qemu-tcg: ready and saved after"), "{seen}");
    assert_eq!((lb.hellos.load(Ordering::SeqCst), lb.others.load(Ordering::SeqCst)), (1, 0));
}

#[test]
fn without_an_lb_to_compare_with_the_exit_status_is_0() {
    let output = Visit::new().run(&[]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    let too_long = |line: &&str| line.chars().count() > 80 && !line.contains("$ ");
    assert_eq!(text.lines().find(too_long), None);
    assert!(!text.contains('\x1b'), "colour is for terminals");
    assert!(text.contains("pass  boot") && text.contains(", 0 fail\n"), "{text}");
}

/// In the nested lab, or on a host like those of the hosted service; elsewhere it says that it was
/// skipped.
#[test]
fn on_cloud_hypervisor_as_root_nothing_of_the_isolation_is_missing() {
    let named = std::env::var_os("CLOUD_HYPERVISOR").map(PathBuf::from);
    let program = match pe_worker::vm::ch::Program::find(named.as_deref()) {
        Ok(program) => program.path,
        Err(none) => return skip(&none.to_string()),
    };
    if let Some(reason) = pe_worker::probe::no_kvm(pe_proto::Arch::X86_64) {
        return skip(reason);
    }
    if !nix::unistd::geteuid().is_root() || !Path::new("/sys/fs/cgroup/cgroup.procs").exists() {
        return skip("not root, or no cgroup v2");
    }
    let program = program.to_str().expect("text");
    // A boot limit that fits a machine that is itself emulated.
    let flags = ["--vmm", "cloud-hypervisor", "--cloud-hypervisor", program, "--boot-ms", "180000"];
    let verdicts = Visit::with(&flags).verdicts();
    for id in [
        "boot",
        "kvm",
        "vmm",
        "vm-user",
        "seccomp",
        "cgroup",
        "landlock",
        "namespaces",
        "userfaultfd",
    ] {
        let (verdict, seen) = verdicts.get(id).expect("known");
        assert_eq!(verdict, "pass", "{id}: {seen}");
    }
    let (_, seen) = verdicts.get("boot").expect("boot");
    assert!(seen.contains("cloud-hypervisor-kvm: ready and saved after"), "{seen}");
}

/// Past the harness, which keeps what a passing test says to itself.
fn skip(reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: no doctor of cloud-hypervisor here: {reason}");
}

#[test]
fn images_that_are_not_there_fail_with_their_path() {
    let visit = Visit::new().images("/nowhere/images");
    let verdicts = visit.verdicts();
    assert_eq!(failed(&verdicts), ["images"], "{verdicts:?}");
    let (_, seen) = verdicts.get("images").expect("images");
    assert!(seen.contains("/nowhere/images/catalogue.json"), "{seen}");
    let (verdict, seen) = verdicts.get("boot").expect("boot");
    assert!(verdict == "warn" && seen.starts_with("not tried"), "{seen}");
}

#[test]
fn an_lb_that_is_not_there_fails_with_its_address() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("address");
    let visit = Visit::new().images("/nowhere").flags(&["--lb", &format!("http://{free}")]);
    let verdicts = visit.verdicts();
    assert_eq!(failed(&verdicts), ["images", "lb"], "{verdicts:?}");
    let (_, seen) = verdicts.get("lb").expect("lb");
    assert!(seen.contains(&free.to_string()) && seen.contains("refused"), "{seen}");
}

#[test]
fn a_wrong_token_fails_and_the_lb_passes() {
    let lb = Lb::start();
    let visit = Visit::new().images("/nowhere").token("another-token").flags(&["--lb", &lb.url()]);
    let verdicts = visit.verdicts();
    assert_eq!(failed(&verdicts), ["clock", "images", "token"], "{verdicts:?}");
    let (_, seen) = verdicts.get("token").expect("token");
    assert!(seen.contains("401"), "{seen}");
}

#[test]
fn a_bad_config_is_64_and_says_why_although_there_is_no_log() {
    let output = Visit::new().run(&["--lb", "ftp://lb:1"]);
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("lb: expected http://host:port"), "{said}");
    assert!(output.stdout.is_empty());
}
