//! The container, as the runtime is told: one `config.json` from a job and an account.
//!
//! Pure. The container has every namespace of its own and no capability; its root is nobody
//! outside. What it may call is in [`seccomp`], what it sees of /proc and /sys is below.

pub mod seccomp;

use std::path::Path;

use pe_proto::JobSpec;
use serde_json::{Value, json};

use crate::accounts::Account;
use crate::limits::{FIRST_ID, IDS, NOFILE_HARD, NOFILE_SOFT, Shares};

/// Parts of /proc and /sys that tell of, or reach, the machine instead of the container.
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Parts of /proc that may be looked at only.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The runtime's own extension for a filter that is compiled already.
const COMPILED_FILTER: &str = "run.oci.seccomp_bpf_data";

/// The system call filter.
#[derive(Debug, Clone)]
pub enum Filter {
    /// As [`seccomp::profile`] says it, to be compiled by the runtime.
    Profile(Value),
    /// Compiled, in base 64: the same filter, without the work.
    Compiled(String),
}

/// What the container is made from.
#[derive(Debug)]
pub struct Container<'job> {
    /// The job.
    pub spec: &'job JobSpec,
    /// Where its root file system is mounted.
    pub root: &'job Path,
    /// Who it runs as.
    pub account: &'job Account,
    /// Its working directory; exists.
    pub cwd: &'job str,
    /// Its host name.
    pub hostname: &'job str,
    /// What it may have of the memory.
    pub shares: Shares,
    /// The namespaces that were made before: kind and path.
    pub namespaces: &'job [(&'static str, String)],
}

impl Container<'_> {
    /// The configuration.
    pub fn config(&self, filter: &Filter) -> Value {
        let (profile, compiled) = match filter {
            Filter::Profile(profile) => (profile.clone(), json!({})),
            Filter::Compiled(base64) => (Value::Null, json!({COMPILED_FILTER: base64})),
        };
        let Account { uid, gid, groups, .. } = self.account;
        let mapping = json!([{"containerID": 0, "hostID": FIRST_ID, "size": IDS}]);
        let made = self.namespaces.iter().map(|(kind, path)| json!({"type": kind, "path": path}));
        let new = ["mount", "cgroup"].map(|kind| json!({"type": kind}));
        let namespaces: Vec<Value> = made.chain(new).collect();
        json!({
            "ociVersion": "1.0.2",
            "annotations": compiled,
            "root": {"path": self.root, "readonly": false},
            "hostname": self.hostname,
            "process": {
                "terminal": false,
                "user": {"uid": uid, "gid": gid, "additionalGids": groups, "umask": 0o022},
                "args": self.spec.args,
                "env": self.environment(),
                "cwd": self.cwd,
                "capabilities": {
                    "bounding": [], "effective": [], "inheritable": [], "permitted": [],
                    "ambient": [],
                },
                "noNewPrivileges": true,
                "rlimits": [
                    {"type": "RLIMIT_NOFILE", "soft": NOFILE_SOFT, "hard": NOFILE_HARD},
                    {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                ],
            },
            "mounts": self.mounts(),
            "linux": {
                "namespaces": namespaces,
                "uidMappings": mapping,
                "gidMappings": mapping,
                "maskedPaths": MASKED,
                "readonlyPaths": READ_ONLY,
                "seccomp": profile,
            },
        })
    }

    /// Exactly the job's variables. A runtime adds HOME if it is missing, from a file of the
    /// image that it would open unconfined; it is therefore never missing.
    fn environment(&self) -> Vec<String> {
        let mut environment = self.spec.env.clone();
        if !environment.iter().any(|pair| pair.starts_with("HOME=")) {
            let home = self.account.home.as_deref();
            let home = home.unwrap_or(if self.account.uid == 0 { "/root" } else { "/" });
            environment.push(format!("HOME={home}"));
        }
        environment
    }

    fn mounts(&self) -> Value {
        let shm = format!("size={}", self.shares.shm);
        json!([
            {"destination": "/proc", "type": "proc", "source": "proc",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "dev",
             "options": ["nosuid", "noexec", "strictatime", "mode=755", "size=65536", "nr_inodes=64"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", shm, "nr_inodes=4096"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
        ])
    }
}

#[cfg(test)]
mod tests {
    use pe_proto::{Arch, Digest, JobLimits};

    use super::*;

    fn spec() -> JobSpec {
        JobSpec {
            image: Digest([0; 32]),
            arch: Arch::X86_64,
            args: vec!["sh".to_owned(), "-c".to_owned(), "echo \"\u{1}é\"".to_owned()],
            env: vec!["A=1".to_owned(), "PATH=/bin".to_owned()],
            cwd: "/input".to_owned(),
            user: String::new(),
            outputs: vec![],
            limits: JobLimits::default(),
        }
    }

    fn config(spec: &JobSpec, account: &Account) -> Value {
        let shares = Shares { memory: 400 << 20, disk: 200 << 20, shm: 100 << 20 };
        let namespaces = [("user", "/proc/9/ns/user".to_owned())];
        let container = Container {
            spec,
            root: Path::new("/rootfs/pmem1"),
            account,
            cwd: "/input",
            hostname: "pe",
            shares,
            namespaces: &namespaces,
        };
        container.config(&Filter::Profile(json!("profile")))
    }

    #[test]
    fn the_whole_config_is_as_reviewed() {
        let text = serde_json::to_string_pretty(&config(&spec(), &Account::root())).unwrap();
        assert_eq!(text.trim(), include_str!("oci/config.snapshot.json").trim(), "{text}");
    }

    #[test]
    fn an_account_becomes_ids_and_groups_and_a_home() {
        let account = Account { uid: 7, gid: 8, groups: vec![9, 10], home: Some("/h".to_owned()) };
        let config = config(&spec(), &account);
        assert_eq!(config["process"]["user"]["uid"], 7);
        assert_eq!(config["process"]["user"]["additionalGids"], json!([9, 10]));
        assert_eq!(config["process"]["env"], json!(["A=1", "PATH=/bin", "HOME=/h"]));
    }

    #[test]
    fn a_compiled_filter_takes_the_place_of_the_profile() {
        let spec = spec();
        let account = Account::root();
        let with = |filter| {
            let shares = Shares::of(1 << 30);
            let root = Path::new("/");
            let (cwd, hostname, namespaces) = ("/", "pe", &[][..]);
            Container { spec: &spec, account: &account, root, cwd, hostname, shares, namespaces }
                .config(&filter)
        };
        let compiled = with(Filter::Compiled("AAAA".to_owned()));
        assert_eq!(compiled["annotations"][COMPILED_FILTER], "AAAA");
        assert_eq!(compiled["linux"]["seccomp"], Value::Null);
        let profile = with(Filter::Profile(json!("p")));
        assert_eq!(profile["linux"]["seccomp"], "p");
    }

    #[test]
    fn a_home_of_the_jobs_own_is_kept() {
        let mut spec = spec();
        spec.env = vec!["HOME=".to_owned()];
        let account = Account { uid: 7, gid: 8, groups: vec![], home: Some("/h".to_owned()) };
        assert_eq!(config(&spec, &account)["process"]["env"], json!(["HOME="]));
    }
}
