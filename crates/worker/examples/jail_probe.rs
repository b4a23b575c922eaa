//! What a VMM that a guest has broken out into could do: started in the place of one, it tries,
//! and says on its standard error what it got, as one line of JSON. `tests/isolation/` reads it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::Command;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::kill;
use nix::unistd::{Pid, Uid, getppid, setuid};

/// What was tried, and `ok` or the error.
type Tried = BTreeMap<String, String>;

fn main() {
    // The worker asks first, outside.
    if std::env::args().nth(1).as_deref() == Some("--version") {
        let me = std::env::args().next().unwrap_or_default();
        let qemu = "QEMU emulator version 7.2.22 (jail probe)";
        let version =
            if me.contains("cloud-hypervisor") { "cloud-hypervisor v54.0.0" } else { qemu };
        #[expect(clippy::print_stdout, reason = "this is its answer")]
        {
            println!("{version}");
        }
        return;
    }
    let report = serde_json::json!({
        "tried": tried(),
        "status": fs::read_to_string("/proc/self/status").unwrap_or_default(),
        "limits": fs::read_to_string("/proc/self/limits").unwrap_or_default(),
        "cgroup": fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
        "spaces": spaces(),
        "listed": listed(),
        "fds": links("/proc/self/fd"),
        "writable_fds": writable_fds(),
        "processes": processes(),
        "mounts": mounts(),
    });
    eprintln!("{report}");
    std::process::exit(1);
}

fn tried() -> Tried {
    let mut tried = Tried::new();
    let mut note = |what: &str, result: std::io::Result<()>| {
        let said = result.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
        tried.insert(what.to_owned(), said);
    };
    for path in ["/etc/passwd", "/etc/shadow", "/root", "/home", "/sys", "/tmp", "/run", "/work"] {
        note(&format!("open {path}"), File::open(path).map(drop));
    }
    for path in ["/proc/1/environ", "/proc/1/mem", "/proc/meminfo", "/proc/sys/kernel/hostname"] {
        note(&format!("open {path}"), File::open(path).map(drop));
    }
    let parent = getppid();
    note("open the worker's mem", File::open(format!("/proc/{parent}/mem")).map(drop));
    for path in ["/new", "/dev/new", "/proc/new", "/usr/new"] {
        note(&format!("create {path}"), File::create(path).map(drop));
    }
    note("open /dev/null", OpenOptions::new().write(true).open("/dev/null").map(drop));
    note("open /dev/kvm", OpenOptions::new().write(true).open("/dev/kvm").map(drop));
    for program in ["/bin/sh", "/usr/bin/env", "/lib64/ld-linux-x86-64.so.2"] {
        let ran = Command::new(program).arg("--help").output();
        note(&format!("run {program}"), ran.map(drop));
    }
    let within = Duration::from_millis(500);
    for address in ["127.0.0.1:1", "169.254.169.254:80", "[::1]:1"] {
        let address = address.parse().expect("an address");
        note(&format!("connect {address}"), TcpStream::connect_timeout(&address, within).map(drop));
    }
    note("listen", TcpListener::bind("127.0.0.1:0").map(drop));
    let name = format!("pe-jail-probe-{parent}");
    let address = SocketAddr::from_abstract_name(name).expect("short");
    note("connect abstract socket", UnixStream::connect_addr(&address).map(drop));
    note("become root", setuid(Uid::from_raw(0)).map_err(Into::into));
    note("signal the worker", kill(parent, None).map_err(Into::into));
    note("signal init", kill(Pid::from_raw(1), None).map_err(Into::into));
    let none: Option<&str> = None;
    let mounted = mount(none, "/", Some("tmpfs"), MsFlags::empty(), none);
    note("mount", mounted.map_err(Into::into));
    tried
}

/// Names of what is in a directory.
fn names(dir: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn listed() -> BTreeMap<&'static str, Vec<String>> {
    ["/", "/dev", "/etc", "/usr/bin"].into_iter().map(|dir| (dir, names(dir))).collect()
}

fn links(dir: &str) -> BTreeMap<String, String> {
    let link = |name: String| {
        let target = fs::read_link(format!("{dir}/{name}")).ok()?;
        Some((name, target.to_string_lossy().into_owned()))
    };
    names(dir).into_iter().filter_map(link).collect()
}

fn spaces() -> BTreeMap<String, String> {
    links("/proc/self/ns")
}

/// Descriptors that can be opened anew for writing, whatever they were opened for.
fn writable_fds() -> BTreeMap<String, String> {
    let mut fds = links("/proc/self/fd");
    fds.retain(|fd, _| OpenOptions::new().write(true).open(format!("/proc/self/fd/{fd}")).is_ok());
    fds
}

/// Numbers of other processes that it can tell are there.
fn processes() -> Vec<u32> {
    let me = std::process::id();
    // Threads have numbers of their own, and a directory that is not listed.
    (1..=PIDS).filter(|pid| *pid != me && fs::metadata(format!("/proc/{pid}")).is_ok()).collect()
}

/// The default `kernel.pid_max` of small hosts; enough to find some neighbour.
const PIDS: u32 = 65_536;

/// Mount points, with `rw` or `ro`.
fn mounts() -> BTreeMap<String, String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(4);
        let (place, options) = (fields.next()?, fields.next()?);
        Some((place.to_owned(), options.to_owned()))
    };
    text.lines().filter_map(mount).collect()
}
