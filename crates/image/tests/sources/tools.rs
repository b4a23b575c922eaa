//! Real tools, from where they are installed or from `build/tools` (`vm-assets/tools.sh`). A test
//! whose tool is not there is skipped, and says so.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A tool and where its libraries are.
#[derive(Debug, Clone)]
pub(crate) struct Tool(PathBuf);

impl Tool {
    /// The tool, if it starts.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let places = [PathBuf::from(name), repository("build/tools/usr/bin").join(name)];
        let is_there = |tool: &Self| {
            let mut ask = tool.command();
            ask.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
            ask.status().is_ok_and(|status| status.success())
        };
        let found = places.into_iter().map(Self).find(is_there);
        if found.is_none() {
            let told = format!("SKIPPED: {name} is not installed (vm-assets/tools.sh)");
            let _ = writeln!(std::io::stderr(), "{told}");
        }
        found
    }

    /// To be given arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        let arch = std::env::consts::ARCH;
        let libraries = repository("build/tools/usr/lib").join(format!("{arch}-linux-gnu"));
        command.env("LD_LIBRARY_PATH", libraries);
        command
    }

    /// Runs it to its good end.
    pub(crate) fn run(&self, args: &[&str]) {
        let output = self.command().args(args).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
    }
}

/// Debian's registry on loopback; dropping it ends it.
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) dir: tempfile::TempDir,
}

impl Registry {
    /// Starts one, with these lines of settings for who may ask.
    pub(crate) fn start(tool: &Tool, auth: &str) -> Self {
        Self::start_with(tool, "", auth)
    }

    /// The same over TLS, with the files of a certificate and its key.
    pub(crate) fn start_tls(tool: &Tool, certificate: &Path, key: &Path) -> Self {
        let (certificate, key) = (certificate.display(), key.display());
        Self::start_with(tool, &format!(", tls: {{certificate: {certificate}, key: {key}}}"), "")
    }

    fn start_with(tool: &Tool, http: &str, auth: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        // It takes no port 0; somebody else may take this one first, and then it does not start.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = free.expect("a port");
        let settings = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"{http}}}\n{auth}",
            dir.path().join("store").display(),
        );
        let file = dir.path().join("config.yml");
        std::fs::write(&file, settings).expect("a file");
        let log = std::fs::File::create(dir.path().join("log")).expect("a file");
        let child = tool
            .command()
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        let mut registry = Self { child, address, dir };
        registry.wait();
        registry
    }

    /// Until it answers; also that it speaks TLS, to somebody who does not.
    fn wait(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        let answers = || {
            let mut stream = TcpStream::connect(self.address).ok()?;
            stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n").ok()?;
            let mut answer = [0; 8];
            stream.read_exact(&mut answer).ok()
        };
        while answers().is_none() {
            let ended = self.child.try_wait().expect("a child");
            let log = || std::fs::read_to_string(self.dir.path().join("log"));
            assert!(
                ended.is_none() && Instant::now() < end,
                "the registry does not start: {ended:?}: {:?}",
                log()
            );
            std::thread::yield_now();
        }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
