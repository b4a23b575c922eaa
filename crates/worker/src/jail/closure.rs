//! What a VMM needs of the host's file system: itself, its loader, its libraries, its firmware.
//!
//! A static program needs nothing but itself. For a dynamic one its own loader is asked, which
//! knows best. For anything else (a script) nobody knows, and it gets the system's directories of
//! programs, read-only.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Files and directories to show to a VMM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Closure {
    /// Files that can be executed: the program and its loader.
    pub(super) programs: Vec<PathBuf>,
    /// Files that can be read.
    pub(super) files: Vec<PathBuf>,
    /// Directories whose files can be read.
    pub(super) dirs: Vec<PathBuf>,
    /// Directories whose files can be executed.
    pub(super) program_dirs: Vec<PathBuf>,
}

impl Closure {
    /// What `program`, an absolute path without links, needs.
    ///
    /// # Errors
    /// It cannot be read, or its loader does not find all of its libraries.
    pub(super) fn of(program: &Path) -> io::Result<Self> {
        let mut closure = Self { programs: vec![program.to_owned()], ..Self::default() };
        match kind(program)? {
            Kind::Static => {}
            Kind::Dynamic { loader } => {
                closure.files = libraries(&loader, program)?;
                closure.files.push(LOADER_CACHE.into());
                closure.programs.push(loader);
                closure.dirs = firmware(program);
            }
            Kind::Other => closure.program_dirs = SYSTEM_DIRS.iter().map(PathBuf::from).collect(),
        }
        closure.files.retain(|path| path.exists());
        closure.program_dirs.retain(|path| path.exists());
        Ok(closure)
    }
}

/// Where the loader finds libraries that are not in its default directories.
const LOADER_CACHE: &str = "/etc/ld.so.cache";

const SYSTEM_DIRS: [&str; 6] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32"];

/// How a program is loaded.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Static,
    Dynamic { loader: PathBuf },
    Other,
}

/// Looks into the program headers for the name of a loader (elf(5); 64 bits, little-endian, as
/// all hosts are that this program is built for).
fn kind(program: &Path) -> io::Result<Kind> {
    let file = File::open(program)?;
    let mut head = vec![0; HEAD_BYTES];
    let read = file.read_at(&mut head, 0)?;
    head.truncate(read);
    let ident = [0x7f, b'E', b'L', b'F', 2, 1];
    if !head.starts_with(&ident) {
        return Ok(Kind::Other);
    }
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "it is no whole ELF program");
    let number = |at: usize, bytes: usize| -> Option<usize> {
        let bytes = head.get(at..at.checked_add(bytes)?)?;
        let value = bytes.iter().rev().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
        usize::try_from(value).ok()
    };
    let (table, each, count) =
        (number(32, 8).ok_or_else(bad)?, number(54, 2).ok_or_else(bad)?, number(56, 2));
    for index in 0..count.ok_or_else(bad)? {
        let entry = table.checked_add(index * each).ok_or_else(bad)?;
        if number(entry, 4).ok_or_else(bad)? != PT_INTERP {
            continue;
        }
        let start = number(entry + 8, 8).ok_or_else(bad)?;
        let end = number(entry + 32, 8).and_then(|len| start.checked_add(len)).ok_or_else(bad)?;
        let name = head.get(start..end).ok_or_else(bad)?;
        let name = name.strip_suffix(&[0]).unwrap_or(name);
        let name = std::str::from_utf8(name).map_err(|_| bad())?;
        return Ok(Kind::Dynamic { loader: name.into() });
    }
    Ok(Kind::Static)
}

/// Headers and the loader's name are on a program's first pages.
const HEAD_BYTES: usize = 64 * 1024;

const PT_INTERP: usize = 3;

/// Asks the loader what it would load.
fn libraries(loader: &Path, program: &Path) -> io::Result<Vec<PathBuf>> {
    let mut command = Command::new(loader);
    let output = command.arg("--list").arg(program).env_clear().stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.contains("not found") {
        return Err(io::Error::other("its libraries are not all there"));
    }
    Ok(listed(&text))
}

/// The paths in a loader's list: `name => path (address)`, or `path (address)`.
fn listed(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let path = line.split_once("=>").map_or(line, |(_, path)| path);
        let path = path.rsplit_once('(').map_or(path, |(path, _)| path).trim();
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    text.lines().filter_map(path).collect()
}

/// Where QEMU looks for its firmware and its modules, relative to where it is installed.
fn firmware(program: &Path) -> Vec<PathBuf> {
    let is_qemu =
        program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"qemu"));
    let Some(prefix) = program.parent().and_then(Path::parent).filter(|_| is_qemu) else {
        return Vec::new();
    };
    let mut dirs: Vec<PathBuf> = FIRMWARE.iter().map(|dir| prefix.join(dir)).collect();
    // On Debian modules and more firmware are below a directory for the architecture.
    let below = fs::read_dir(prefix.join("lib")).into_iter().flatten().flatten();
    let below = below.flat_map(|dir| ["qemu", "opensbi"].map(|name| dir.path().join(name)));
    dirs.extend(below.filter(|dir| dir.is_dir()));
    dirs.retain(|dir| dir.is_dir());
    dirs
}

const FIRMWARE: [&str; 5] =
    ["share/qemu", "share/seabios", "share/opensbi", "lib/qemu", "lib64/qemu"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_s_list_is_read() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let paths = ["/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(listed(text), paths.map(PathBuf::from));
    }

    #[test]
    fn a_dynamic_program_needs_its_loader_and_libraries_only() {
        let me = std::env::current_exe().expect("me");
        let Kind::Dynamic { loader } = kind(&me).expect("readable") else {
            panic!("tests are dynamic programs");
        };
        let closure = Closure::of(&me).expect("closure");
        assert_eq!(closure.programs, [me, loader]);
        assert!(closure.files.iter().any(|path| path.to_string_lossy().contains("libc.so")));
        assert_eq!((closure.dirs.len(), closure.program_dirs.len()), (0, 0));
    }

    #[test]
    fn a_script_needs_what_it_needs() {
        let dir = tempfile::tempdir().expect("tempdir");
        let script = dir.path().join("qemu");
        fs::write(&script, "#!/bin/sh\n").expect("write");
        let closure = Closure::of(&script).expect("closure");
        assert!(closure.program_dirs.contains(&PathBuf::from("/usr")));
    }

    #[test]
    fn half_a_program_is_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        let half = dir.path().join("half");
        fs::write(&half, b"\x7fELF\x02\x01\x01").expect("write");
        Closure::of(&half).expect_err("no headers");
    }
}
