//! Unpacking the job's archive into `/input`.
//!
//! The decoder runs in a confined child that is the job's own user, sees nothing but the empty
//! input directory, and can read nothing but the io device. Every name is opened relative to a
//! directory that the child itself made, without following links. The space it takes is charged
//! to the job.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Gid, Uid, fchown, write};

use pe_proto::Fault;
use pe_proto::archive::{self, BadArchive, Bounds, Decoder, Encoder, Event, Kind, Role};

use crate::blame::{Doing, Refusal};
use crate::cgroup::Cgroup;
use crate::child::{self, Confinement};
use crate::layers::Root;
use crate::limits::UNPACK_TIME_MAX;
use crate::pages::{Device, DeviceError, PAGE_BYTES, PageReader, Pages};

/// Why the input could not be unpacked.
#[derive(Debug, thiserror::Error)]
enum UnpackError {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Archive(#[from] BadArchive),
    #[error("the input does not fit on the disk of the VM")]
    NoSpace,
    #[error("input file `{0}` could not be written: {1}")]
    File(String, Errno),
}

impl UnpackError {
    fn at(path: &str, errno: Errno) -> Self {
        if matches!(errno, Errno::ENOSPC | Errno::EDQUOT) {
            Self::NoSpace
        } else {
            Self::File(path.to_owned(), errno)
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::NoSpace => Fault::Client,
            // The archive was checked on its way here; one that is bad now was damaged by us.
            Self::Device(_) | Self::Archive(_) | Self::File(..) => Fault::Us,
        }
    }
}

/// Unpacks the archive in `range` of the device at `node`. Returns what the job reads as its
/// standard input: a file of its own, empty if the job brought none. (Never the VM's `/dev/null`:
/// the runtime makes the job the owner of its streams.)
pub fn unpack(
    node: &Path,
    range: Range<u64>,
    root: &Root,
    (uid, gid): (Uid, Gid),
    cgroup: &Cgroup,
) -> Result<OwnedFd, Refusal> {
    let device = Device::open_read_only(node).doing("opening the io device")?;
    let stdin = memfd_create("stdin", MFdFlags::MFD_CLOEXEC).doing("making a file for stdin")?;
    fchown(&stdin, Some(uid), Some(gid)).doing("making a file for stdin")?;
    if is_empty(&device, &range)? {
        return reopen(&stdin);
    }
    let root = root.path.join("input");
    let confinement = Confinement {
        root: &root,
        uid,
        gid,
        reads_all: false,
        keep: &[device.fd().as_fd(), stdin.as_fd()],
        cgroup: Some(cgroup.members().as_fd()),
    };
    let deadline = Instant::now() + UNPACK_TIME_MAX;
    let report = child::run(&confinement, deadline, || {
        report(decode(&device, range, Path::new("/"), &stdin))
    })
    .map_err(|failed| Refusal::ours(format!("unpacking the input failed: {failed}")))?;
    match report.split_first() {
        Some((&DONE, _)) => reopen(&stdin),
        Some((&CLIENT_FAULT, text)) => Err(Refusal::client(String::from_utf8_lossy(text))),
        Some((_, text)) => Err(Refusal::ours(String::from_utf8_lossy(text))),
        None => Err(Refusal::ours("unpacking the input failed without saying why")),
    }
}

/// Whether the archive is, byte by byte, the one with nothing in it: many jobs are a command alone,
/// and a comparison needs no child.
fn is_empty(device: &Device, range: &Range<u64>) -> Result<bool, DeviceError> {
    let empty = Encoder::new().finish();
    if range.end.saturating_sub(range.start) != empty.len() as u64 {
        return Ok(false);
    }
    let mut page = Pages::new(PAGE_BYTES);
    device.read(range.start, page.bytes_mut())?;
    Ok(page.bytes().starts_with(&empty))
}

// First byte of the child's report.
const DONE: u8 = 0;
const CLIENT_FAULT: u8 = 1;
const OUR_FAULT: u8 = 2;

fn report(result: Result<(), UnpackError>) -> Vec<u8> {
    match result {
        Ok(()) => vec![DONE],
        Err(error) => {
            let first = match error.fault() {
                Fault::Client => CLIENT_FAULT,
                Fault::Image | Fault::Capacity | Fault::Us => OUR_FAULT,
            };
            let mut report = vec![first];
            report.extend(error.to_string().into_bytes().into_iter().take(1000));
            report
        }
    }
}

/// A description of its own, at the start of the file and for reading only.
fn reopen(stdin: &OwnedFd) -> Result<OwnedFd, Refusal> {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(stdin));
    open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).doing("opening stdin")
}

/// The child's work: everything goes below `root`, which is all it sees.
fn decode(
    device: &Device,
    range: Range<u64>,
    root: &Path,
    stdin: &OwnedFd,
) -> Result<(), UnpackError> {
    let mut reader = PageReader::new(device, range);
    let mut decoder = Decoder::new(Bounds::of(Role::Job));
    let mut unpacker = Unpacker::new(root)?;
    while let Some(mut piece) = reader.next_piece()? {
        while let Some(event) = decoder.next(&mut piece)? {
            match event {
                Event::Entry { path: archive::STDIN, .. } => unpacker.current = None,
                Event::Entry { kind, path, .. } => {
                    let below = path.strip_prefix(archive::INPUT_PREFIX).unwrap_or(path);
                    unpacker.entry(kind, below)?;
                }
                Event::Data(bytes) => {
                    let (name, file) = match &unpacker.current {
                        Some((name, file)) => (name.as_str(), file),
                        None => (archive::STDIN, stdin),
                    };
                    write_all(file, bytes).map_err(|errno| UnpackError::at(name, errno))?;
                }
                Event::End { .. } => {}
            }
        }
    }
    decoder.finish()?;
    Ok(())
}

/// Creates files below the child's root. Entries come sorted, so the directory of the last one is
/// most often that of the next.
struct Unpacker {
    root: OwnedFd,
    directory: String,
    open_directory: OwnedFd,
    current: Option<(String, OwnedFd)>,
}

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
const NEW_FILE: OFlag =
    OFlag::O_WRONLY.union(OFlag::O_CREAT).union(OFlag::O_EXCL).union(OFlag::O_CLOEXEC);

impl Unpacker {
    fn new(root: &Path) -> Result<Self, UnpackError> {
        let open_root = || open(root, DIRECTORY, Mode::empty());
        let root = open_root().map_err(|errno| UnpackError::at("/", errno))?;
        let open_directory = open_root().map_err(|errno| UnpackError::at("/", errno))?;
        Ok(Self { root, directory: String::new(), open_directory, current: None })
    }

    fn entry(&mut self, kind: Kind, path: &str) -> Result<(), UnpackError> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.enter(directory).map_err(|errno| UnpackError::at(path, errno))?;
        let mode = Mode::from_bits_truncate(match kind {
            Kind::Executable | Kind::Directory => 0o755,
            Kind::File | Kind::Symlink => 0o644,
        });
        let at = &self.open_directory;
        let made = match kind {
            Kind::Directory => mkdirat(at, name, mode).map(|()| None),
            // No link is ever in a job's archive: the decoder refuses it.
            Kind::File | Kind::Executable | Kind::Symlink => {
                openat2(at, name, inside(NEW_FILE).mode(mode)).map(Some)
            }
        };
        let file = made.map_err(|errno| UnpackError::at(path, errno))?;
        self.current = file.map(|file| (path.to_owned(), file));
        Ok(())
    }

    fn enter(&mut self, directory: &str) -> nix::Result<()> {
        if self.directory == directory {
            return Ok(());
        }
        let mut at = openat2(&self.root, ".", inside(DIRECTORY))?;
        for name in directory.split('/').filter(|name| !name.is_empty()) {
            match mkdirat(&at, name, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
            at = openat2(&at, name, inside(DIRECTORY))?;
        }
        directory.clone_into(&mut self.directory);
        self.open_directory = at;
        Ok(())
    }
}

fn inside(flags: OFlag) -> OpenHow {
    let beneath = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
    OpenHow::new().flags(flags).resolve(beneath)
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        match write(file, bytes) {
            Ok(0) => return Err(Errno::EIO),
            Ok(put) => bytes = bytes.get(put..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use nix::sys::wait::WaitStatus;

    /// Unpacks an archive, once more by a child with the system calls that it has in a VM; returns
    /// where, and what came as standard input.
    fn unpacked(archive: &[u8]) -> (tempfile::TempDir, Vec<u8>, Result<(), UnpackError>) {
        let io = tempfile::tempfile().unwrap();
        let device = Device::of(io);
        device.write_padded(&(4096..8 << 20), archive).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let stdin = tempfile::NamedTempFile::new().unwrap();
        let range = 4096..4096 + archive.len() as u64;
        let fd = OwnedFd::from(stdin.reopen().unwrap());
        let again = (tempfile::tempdir().unwrap(), tempfile::tempfile().unwrap().into());
        let ended = crate::child::filtered(|| {
            i32::from(decode(&device, range.clone(), again.0.path(), &again.1).is_err())
        });
        let result = decode(&device, range, directory.path(), &fd);
        let expected = i32::from(result.is_err());
        assert!(matches!(ended, WaitStatus::Exited(_, code) if code == expected), "{ended:?}");
        let stdin = fs::read(stdin.path()).unwrap();
        (directory, stdin, result)
    }

    #[test]
    fn a_tree_is_unpacked_with_its_modes_and_its_standard_input() {
        let large = vec![7; 700_000];
        let mut encoder = Encoder::new();
        encoder.push(Kind::File, "input/a/b/c", b"deep").unwrap();
        encoder.push(Kind::File, "input/a/d", &large).unwrap();
        encoder.push(Kind::Directory, "input/empty/dir", b"").unwrap();
        encoder.push(Kind::Executable, "input/run", b"").unwrap();
        encoder.push(Kind::File, "stdin", b"words").unwrap();
        let (directory, stdin, result) = unpacked(&encoder.finish());
        result.unwrap();
        let at = |path: &str| directory.path().join(path);
        assert_eq!(fs::read(at("a/b/c")).unwrap(), b"deep");
        assert!(fs::read(at("a/d")).unwrap() == large);
        assert!(at("empty/dir").is_dir());
        assert_eq!(fs::metadata(at("run")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::metadata(at("a/d")).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(stdin, b"words");
    }

    #[test]
    fn only_the_archive_with_nothing_in_it_is_empty() {
        let seen = |archive: &[u8]| {
            let device = Device::of(tempfile::tempfile().unwrap());
            device.write_padded(&(4096..8 << 20), archive).unwrap();
            is_empty(&device, &(4096..4096 + archive.len() as u64)).unwrap()
        };
        let empty = Encoder::new().finish();
        assert!(seen(&empty));
        for at in 0..empty.len() {
            let mut other = empty.clone();
            other[at] ^= 1;
            assert!(!seen(&other));
        }
        let mut encoder = Encoder::new();
        encoder.push(Kind::File, "stdin", b"").unwrap();
        assert!(!seen(&encoder.finish()));
    }

    #[test]
    fn an_archive_that_is_cut_off_or_damaged_is_our_fault() {
        let mut encoder = Encoder::new();
        encoder.push(Kind::File, "input/a", b"12345").unwrap();
        let archive = encoder.finish();
        for end in 0..archive.len() {
            let (_directory, _stdin, result) = unpacked(&archive[..end]);
            assert_eq!(result.unwrap_err().fault(), Fault::Us);
        }
    }

    #[test]
    fn a_report_says_in_its_first_byte_who_is_to_blame() {
        assert_eq!(report(Ok(())), [DONE]);
        assert_eq!(report(Err(UnpackError::NoSpace))[0], CLIENT_FAULT);
        let ours = report(Err(UnpackError::at("x", Errno::EIO)));
        assert_eq!(ours[0], OUR_FAULT);
        assert!(String::from_utf8_lossy(&ours).contains("`x`"));
    }
}
