//! A real nginx with `deploy/nginx/pe.conf` in front of a load balancer: who the client is, large
//! uploads, results that begin before they are whole, clocks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use http::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Child;

use super::{deployed, judged, tool};
use crate::client::binary_job;
use crate::lb::Lb;
use crate::worker::{exited, result};

/// nginx, the load balancer behind it, and a worker.
struct Front {
    dir: TempDir,
    lb: Lb,
    at: SocketAddr,
    _nginx: Child,
}

impl Front {
    /// `None`, loudly, where nginx or what else it takes is not installed.
    async fn start() -> Option<Self> {
        let nginx = tool("nginx", "-v")?;
        let openssl = tool("openssl", "version")?;
        tool("curl", "--version")?;
        let dir = tempfile::tempdir().expect("a directory");
        certify(&openssl, dir.path());
        let log = dir.path().join("access.log");
        let trust = "[proxies]\ntrusted = [\"127.0.0.1\"]\n";
        let lb = Lb::with(&format!("{trust}[access_log]\nto = {log:?}\n")).await;
        let at = free_address();
        let main = configure(dir.path(), at, lb.clients);
        let run = |args: &[&str]| {
            let mut run = Command::new(&nginx);
            run.args(["-e", "stderr", "-c"]).arg(&main).args(args);
            run
        };
        assert_eq!(judged(&mut run(&["-t"])), Ok(()));
        let mut run = tokio::process::Command::from(run(&[]));
        let child = run.stderr(Stdio::null()).kill_on_drop(true).spawn().expect("nginx starts");
        while TcpStream::connect(at).await.is_err() {
            tokio::task::yield_now().await;
        }
        Some(Self { dir, lb, at, _nginx: child })
    }

    /// curl over TLS and HTTP/2, as a CDN's node that speaks for a client.
    fn curl(&self, args: &[&str], path: &str) -> tokio::process::Command {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["-sSN", "--insecure", "--http2", "--max-time", "110", "--noproxy", "*"])
            // What the client wrote itself, and behind it what the CDN saw.
            .args(["-H", "x-forwarded-for: 203.0.113.66, 198.51.100.7"])
            .args(args)
            .arg(format!("https://{}{path}", self.at))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        curl
    }

    /// All lines of the access log, once everything is over.
    async fn lines(self) -> Vec<Value> {
        self.lb.ended().await;
        let log = std::fs::read_to_string(self.dir.path().join("access.log")).expect("a log");
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// The file of `deploy/` with addresses and paths of this test in place of those of a deployment.
fn configure(dir: &Path, at: SocketAddr, lb: SocketAddr) -> PathBuf {
    let mut site = deployed("nginx/pe.conf");
    let mut replace = |from: &str, to: &str| {
        assert_eq!(site.matches(from).count(), 1, "{from}");
        site = site.replace(from, to);
    };
    replace("server 127.0.0.1:8080;", &format!("server {lb};"));
    replace("listen 443 ssl http2;", &format!("listen {at} ssl http2;"));
    replace("/etc/pe/tls/fullchain.pem", &dir.join("cert.pem").display().to_string());
    replace("/etc/pe/tls/key.pem", &dir.join("key.pem").display().to_string());
    // The test is the CDN.
    replace("set_real_ip_from 192.0.2.0/24;", "set_real_ip_from 127.0.0.1;");
    std::fs::write(dir.join("pe.conf"), site).expect("a file");
    let dir = dir.display();
    let temps: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};\n"))
        .concat();
    let main = format!(
        "daemon off;\nmaster_process off;\npid {dir}/nginx.pid;\nerror_log stderr;\n\
         events {{}}\nhttp {{\naccess_log off;\n{temps}include {dir}/pe.conf;\n}}\n"
    );
    let path = format!("{dir}/nginx.conf");
    std::fs::write(&path, main).expect("a file");
    path.into()
}

fn certify(openssl: &Path, dir: &Path) {
    let mut request = Command::new(openssl);
    request
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=pe.example", "-out"])
        .arg(dir.join("cert.pem"))
        .arg("-keyout")
        .arg(dir.join("key.pem"));
    assert_eq!(judged(&mut request), Ok(()));
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

#[tokio::test]
async fn the_client_is_who_the_cdn_saw_and_not_what_anybody_wrote() {
    let Some(front) = Front::start().await else {
        return;
    };
    let output = front.curl(&["-D", "-", "-o", "/dev/null"], "/healthz").output().await;
    let head = String::from_utf8(output.expect("curl").stdout).expect("text");
    assert!(head.starts_with("HTTP/2 200"), "{head}");
    // A header of another name that could mean the same is not passed on.
    let forwarded = ["-H", "forwarded: for=203.0.113.67"];
    front.curl(&forwarded, "/healthz").output().await.expect("curl");
    let lines = front.lines().await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        assert_eq!(line["client"], "198.51.100.7", "{line}");
    }
}

/// All that a CDN asks with: ids, tags, parts, packing.
#[tokio::test]
async fn what_a_cdn_asks_for_results_with_passes_both_ways() {
    let Some(front) = Front::start().await else {
        return;
    };
    let worker = front.lb.worker("w1").await;
    let ask = async |args: &[&str], path: &str| {
        let args = [&["-D", "-", "-H", "x-request-id: from-cdn-1"], args].concat();
        let output = front.curl(&args, path).output().await.expect("curl").stdout;
        String::from_utf8_lossy(&output).into_owned()
    };
    // nginx answers `expect` itself, so the body is sent: to ask first is what the GET is for.
    let text = "many words ".repeat(500);
    let job = r#"{"image":"busybox"}"#;
    let post = ["-H", "expect: 100-continue", "--json", job];
    let (ran, ()) = tokio::join!(ask(&post, "/api/v1/run"), async {
        let parked = worker.park().await;
        let lease = parked.lease().await.expect("the job");
        assert_eq!(lease.head.request_id, "from-cdn-1");
        let result = result(text.as_bytes(), &[]);
        assert_eq!(worker.done(lease.head.lease, exited(0), &result).await, 204);
    });
    assert!(ran.contains("x-request-id: from-cdn-1") && ran.contains(&text), "{ran}");
    let value = |answer: &str, name: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name}: {answer}")).trim().to_owned()
    };
    let path = format!("/api/v1/results/{}", value(&ran, "pe-job"));
    let whole = ask(&[], &path).await;
    assert!(whole.starts_with("HTTP/2 200"), "{whole}");
    assert!(value(&whole, "cache-control").contains("immutable"), "{whole}");
    assert_eq!(value(&whole, "x-request-id"), "from-cdn-1");
    let etag = value(&whole, "etag");
    assert!(etag.starts_with('"'), "a strong one: {etag}");
    let known = ask(&["-H", &format!("if-none-match: {etag}")], &path).await;
    assert!(known.starts_with("HTTP/2 304") && value(&known, "etag") == etag, "{known}");
    let part = ask(&["-H", "range: bytes=0-7", "-H", &format!("if-range: {etag}")], &path).await;
    assert!(part.starts_with("HTTP/2 206") && part.ends_with("\r\n\r\n{\"job\":\""), "{part}");
    let packed = ask(&["-H", "accept-encoding: zstd", "-o", "/dev/null"], &path).await;
    assert_eq!(value(&packed, "content-encoding"), "zstd");
    assert!(value(&packed, "etag") != etag, "each packing has its own: {packed}");
}

#[tokio::test]
async fn the_largest_jobs_pass_and_larger_ones_are_refused_with_a_reason() {
    let Some(front) = Front::start().await else {
        return;
    };
    let worker = front.lb.worker("w1").await;
    let post = async |bytes: usize| {
        let file = "x".repeat(bytes);
        let job = format!(r#"{{"image":"busybox","files":{{"a":"{file}"}}}}"#);
        let args = ["-w", "\n%{http_code}", "--json", "@-"];
        let mut curl = front.curl(&args, "/api/v1/run").spawn().expect("curl");
        let mut stdin = curl.stdin.take().expect("a pipe");
        // A refusal may come before all was sent.
        let _ = stdin.write_all(job.as_bytes()).await;
        drop(stdin);
        let answer = curl.wait_with_output().await.expect("curl").stdout;
        String::from_utf8(answer).expect("text")
    };
    // Under the cap of archives by what the format adds.
    let (answer, ()) = tokio::join!(post(16 * 1024 * 1024 - 64), worker.serve_one());
    assert!(answer.contains("hello") && answer.ends_with("\n200"), "{answer}");
    let refused = post(16 * 1024 * 1024 + 1).await;
    assert!(refused.contains("urn:pe:problem:too-large"), "{refused}");
}

#[tokio::test]
async fn a_result_begins_before_it_is_whole() {
    let Some(front) = Front::start().await else {
        return;
    };
    let worker = front.lb.worker("w1").await;
    let parked = worker.park().await;
    let archive = pe_proto::archive::Encoder::new().finish();
    let job = binary_job(r#"{"image":"busybox"}"#, &archive);
    let binary = "content-type: application/vnd.pe.v1";
    let args = ["-H", binary, "--data-binary", "@-"];
    let mut curl = front.curl(&args, "/api/v1/run").spawn().expect("curl");
    let mut stdin = curl.stdin.take().expect("a pipe");
    stdin.write_all(&job).await.expect("a reader");
    drop(stdin);
    let lease = parked.lease().await.expect("the job");
    let result = result(b"hello\n", &[("large", &vec![7; 1024 * 1024])]);
    let (first, rest) = result.split_at(512 * 1024);
    let head = worker.done_head(lease.head.lease, exited(0), result.len());
    let (done, mut stream) = worker.begin_done(&head).await;
    stream.send_data(first.to_vec().into(), false).expect("an open stream");
    let mut stdout = curl.stdout.take().expect("a pipe");
    let mut seen = vec![0; 256 * 1024];
    stdout.read_exact(&mut seen).await.expect("the beginning");
    // Only now does the rest exist.
    stream.send_data(rest.to_vec().into(), true).expect("an open stream");
    let mut all = Vec::new();
    stdout.read_to_end(&mut all).await.expect("the end");
    assert!(seen.len() + all.len() > result.len());
    assert_eq!(done.await.expect("an answer").status(), StatusCode::NO_CONTENT);
}

/// Each clock further out is longer than the one behind it.
#[test]
fn the_clocks_of_the_front_fit_those_behind_it() {
    use pe_lb::limits::{IDLE, JSON_BYTES_MAX, LEASE_GRACE, QUEUE_WAIT, WALL_MS_GRANTED};
    let site = deployed("nginx/pe.conf");
    let values = |directive: &str| -> Vec<u64> {
        let lines = site.lines().filter_map(|line| line.trim().strip_prefix(directive));
        let number = |value: &str| {
            let digits = value.trim().trim_end_matches(|c: char| !c.is_ascii_digit());
            digits.parse().expect("a number")
        };
        lines.map(number).collect()
    };
    let slowest = (QUEUE_WAIT + LEASE_GRACE).as_secs() + WALL_MS_GRANTED / 1000;
    assert!(values("proxy_read_timeout ")[0] > slowest, "{slowest}");
    let [to_us, to_clients] = values("keepalive_timeout ")[..] else { panic!("{site}") };
    assert!(to_us < IDLE.as_secs() && to_clients > IDLE.as_secs());
    assert!(values("client_max_body_size ")[0] * 1024 * 1024 > JSON_BYTES_MAX as u64);
}
