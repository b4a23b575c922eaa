//! What there is to know about this host: who we are, on what, with which programs.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{User, geteuid, gethostname};
use pe_proto::Arch;
use pe_proto::limits::LABEL_BYTES_MAX;

use crate::jail::{self, Hold};
use crate::vm::console::printable;

/// Physical cores that this process may use: two threads of one core are no two cores for VMs.
/// A quota of processor time counts, too.
pub fn cores() -> u32 {
    let quota = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = jail::topology().cores().len().clamp(1, quota);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

/// The host's name.
pub fn name() -> String {
    let name = gethostname().unwrap_or_else(|_| OsString::from("worker"));
    label(&name.to_string_lossy())
}

/// The processor's model, as the kernel calls it.
pub fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(label(line.split_once(':')?.1))
    };
    value("model name").or_else(|| value("uarch")).unwrap_or_else(|| "unknown".to_owned())
}

/// Whether the processor says that it can run guests. A hint: only a boot is proof.
pub fn cpu_has_virtualisation(arch: Arch) -> bool {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    match arch {
        Arch::X86_64 => text.split_whitespace().any(|word| word == "vmx" || word == "svm"),
        // These have no such flag to read.
        Arch::Aarch64 | Arch::Riscv64 => true,
    }
}

/// Names this boot of the host.
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Release of the guests' kernel, from its image: a bzImage carries its version as text.
pub fn kernel_release(vmlinuz: &Path) -> io::Result<String> {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::open(vmlinuz)?;
    let mut offset = [0; 2];
    file.read_exact_at(&mut offset, BZIMAGE_VERSION)?;
    let mut text = [0; 64];
    file.read_exact_at(&mut text, u64::from(u16::from_le_bytes(offset)) + BZIMAGE_SETUP)?;
    let word = text.split(|byte| *byte == b' ' || *byte == 0).next().unwrap_or_default();
    Ok(label(&String::from_utf8_lossy(word)))
}

/// Where a bzImage says where its version is, and what that is relative to (Linux
/// Documentation/arch/x86/boot.rst, `kernel_version`).
const BZIMAGE_VERSION: u64 = 0x20e;
const BZIMAGE_SETUP: u64 = 0x200;

/// QEMU's program for guests of an architecture.
pub fn qemu(arch: Arch, named: Option<&Path>) -> io::Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let name = format!("qemu-system-{arch}");
    let places = ["/usr/bin", "/usr/local/bin", "/usr/libexec"];
    let found = places.iter().map(|dir| Path::new(dir).join(&name)).find(|path| path.exists());
    let missing = || {
        let places = places.join(", ");
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("no {name} in {places}: install QEMU, or name it with --qemu"),
        )
    };
    found.ok_or_else(missing)
}

/// What a program says to `--version`, first line.
pub fn version(program: &OsStr) -> io::Result<String> {
    let mut command = Command::new(program);
    let output = command.arg("--version").env_clear().stdin(Stdio::null()).output()?;
    let line = output.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if !output.status.success() {
        return Err(io::Error::other(format!("it says: {}", printable(&output.stderr))));
    }
    Ok(label(&printable(line)))
}

/// Who VMMs run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmUser {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The group that may open `/dev/kvm`, for those that need to.
    pub kvm_gid: Option<u32>,
}

impl VmUser {
    /// Grants the group of `/dev/kvm`, if that is a group made for it.
    #[must_use]
    pub fn with_kvm(self) -> Self {
        let meta = std::fs::metadata("/dev/kvm").ok();
        let meta = meta.filter(|meta| meta.mode() & 0o060 == 0o060 && meta.gid() != 0);
        Self { kvm_gid: meta.map(|meta| meta.gid()), ..self }
    }
}

/// Who VMMs become: only root can change that, and only root needs to.
pub fn vm_user(name: &str) -> io::Result<Option<VmUser>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let user = User::from_name(name)?;
    let user = user.ok_or_else(|| io::Error::other(format!("there is no user `{name}`")))?;
    if user.uid.is_root() {
        return Err(io::Error::other(format!("`{name}` is root")));
    }
    Ok(Some(VmUser { uid: user.uid.as_raw(), gid: user.gid.as_raw(), kvm_gid: None }))
}

/// Whether the kernel has filters of system calls, which VMMs put on themselves.
pub fn seccomp() -> Hold {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if status.lines().any(|line| line.starts_with("Seccomp:")) {
        Hold::Held
    } else {
        Hold::Missing("the kernel is built without seccomp".to_owned())
    }
}

/// Each VM needs a dozen descriptors; the usual soft limit is for programs that `select`.
pub fn raise_descriptor_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        if soft < hard {
            if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
                tracing::warn!(%error, soft, "descriptor limit stays as it is");
            }
        }
    }
}

fn label(text: &str) -> String {
    let mut text = text.trim().to_owned();
    let mut end = text.len().min(LABEL_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
