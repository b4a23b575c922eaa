//! The public API through curl, a peer that is not ours.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::circumstances::{self, time_factor};
use anyhow::Context as _;
use pe_proto::api::{Answer, Content, FileBytes, FileContent, LimitsRequest, Problem, RunRequest};

/// Wall clock granted to jobs of the tests: emulation is slow, and limits are tested apart.
pub const WALL_MS: u64 = 120_000;

/// Speaks to one load balancer.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its address, without a slash at the end.
    pub url: String,
}

/// A job to run; a [`RunRequest`] with the tests' defaults.
#[derive(Debug, Clone)]
pub struct Job(pub RunRequest);

impl Job {
    /// Runs `args` in an image.
    pub fn new(image: &str, args: &[&str]) -> Self {
        Self(RunRequest {
            image: image.to_owned(),
            entrypoint: None,
            args: Some(args.iter().map(|arg| (*arg).to_owned()).collect()),
            env: BTreeMap::new(),
            cwd: None,
            stdin: None,
            files: BTreeMap::new(),
            outputs: Vec::new(),
            limits: LimitsRequest { wall_ms: Some(WALL_MS), ..LimitsRequest::default() },
            requires: Default::default(),
            cache: pe_proto::api::CachePolicy::Off,
        })
    }

    /// Runs a shell script in the busybox image.
    pub fn shell(script: &str) -> Self {
        Self::new("busybox", &["sh", "-c", script])
    }

    /// Adds an input file.
    #[must_use]
    pub fn file(mut self, path: &str, bytes: &[u8]) -> Self {
        let content = FileContent::File { content: Content::from_bytes(bytes), executable: false };
        self.0.files.insert(path.to_owned(), content);
        self
    }

    /// Adds an input file that may be executed.
    #[must_use]
    pub fn executable(mut self, path: &str, bytes: &[u8]) -> Self {
        let content = FileContent::File { content: Content::from_bytes(bytes), executable: true };
        self.0.files.insert(path.to_owned(), content);
        self
    }

    /// Adds an empty input directory.
    #[must_use]
    pub fn directory(mut self, path: &str) -> Self {
        self.0.files.insert(path.to_owned(), FileContent::Directory);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: &[u8]) -> Self {
        self.0.stdin = Some(Content::from_bytes(bytes));
        self
    }

    /// Changes the request in any other way.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut RunRequest)) -> Self {
        change(&mut self.0);
        self
    }
}

/// What came back: an answer, or a problem.
#[derive(Debug)]
pub enum Reply {
    /// The job has a result.
    Answer(Box<Answer>),
    /// It has none.
    Problem(Box<Problem>),
}

impl Client {
    /// A client of the load balancer on this port of loopback.
    pub fn new(port: u16) -> Self {
        Self { url: format!("http://127.0.0.1:{port}") }
    }

    /// Runs a job to its answer.
    ///
    /// # Errors
    /// There is none: a problem, or no connection.
    pub fn run(&self, job: Job) -> anyhow::Result<Answer> {
        match self.post(job)? {
            Reply::Answer(answer) => Ok(*answer),
            Reply::Problem(problem) => {
                anyhow::bail!("{} ({}): {}", problem.title, problem.status, problem.detail)
            }
        }
    }

    /// Posts a job; the answer may be a problem. Its wall clock is scaled like all other times.
    ///
    /// # Errors
    /// No connection, or bytes that are neither.
    pub fn post(&self, mut job: Job) -> anyhow::Result<Reply> {
        if let Some(ms) = &mut job.0.limits.wall_ms {
            *ms = circumstances::scaled_wall_ms(*ms);
        }
        let body = serde_json::to_vec(&job.0)?;
        let bytes = self.curl_post(&body)?;
        if let Ok(answer) = serde_json::from_slice(&bytes) {
            return Ok(Reply::Answer(Box::new(answer)));
        }
        let problem = serde_json::from_slice(&bytes)
            .with_context(|| format!("unexpected reply: {}", String::from_utf8_lossy(&bytes)))?;
        Ok(Reply::Problem(Box::new(problem)))
    }

    /// Status of a GET.
    ///
    /// # Errors
    /// No connection.
    pub fn status(&self, path: &str) -> anyhow::Result<u16> {
        let url = format!("{}{path}", self.url);
        let out = Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time"])
            .args([&(60 * time_factor()).to_string(), &url])
            .output()?;
        Ok(String::from_utf8_lossy(&out.stdout).trim().parse()?)
    }

    fn curl_post(&self, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut child = Command::new("curl")
            .args(["-sS", "-H", "content-type: application/json", "--max-time"])
            .arg((300 * time_factor()).to_string())
            .args(["-H", "expect:", "--data-binary", "@-"])
            .arg(format!("{}/api/v1/run", self.url))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting curl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(body)?;
        }
        let out = child.wait_with_output()?;
        anyhow::ensure!(out.status.success(), "curl: {}", String::from_utf8_lossy(&out.stderr));
        Ok(out.stdout)
    }
}

/// The body of a GET.
///
/// # Errors
/// No connection, or a status that is not a success.
pub fn get(url: &str) -> anyhow::Result<String> {
    let most = (30 * time_factor()).to_string();
    let out = Command::new("curl").args(["-sSf", "--max-time", &most, url]).output()?;
    anyhow::ensure!(out.status.success(), "GET {url}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The bytes of stdout.
///
/// # Errors
/// Base64 that is none.
pub fn stdout(answer: &Answer) -> anyhow::Result<Vec<u8>> {
    Ok(answer.stdout.clone().into_bytes()?)
}

/// The bytes of stdout as text.
///
/// # Errors
/// Base64 that is none.
pub fn stdout_text(answer: &Answer) -> anyhow::Result<String> {
    Ok(String::from_utf8_lossy(&stdout(answer)?).into_owned())
}

/// The bytes of a returned file.
///
/// # Errors
/// It did not come back.
pub fn file(answer: &Answer, path: &str) -> anyhow::Result<Vec<u8>> {
    let names: Vec<&String> = answer.files.keys().collect();
    let file = answer.files.get(path).with_context(|| format!("no `{path}` among {names:?}"))?;
    let content: Content = match file.content.clone() {
        FileBytes::Text(text) => Content::Text(text),
        FileBytes::Base64(base64) => Content::Base64 { base64 },
    };
    Ok(content.into_bytes()?)
}
