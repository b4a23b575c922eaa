//! The root file system of VMMs, in a mount namespace of the spawner's thread.
//!
//! An empty, read-only tmpfs with what the [`Room`] shows bound into it, read-only but for saved
//! guests, device nodes of its own, and a `/proc` in which a process sees itself. The host's root
//! is unmounted, not hidden.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{chdir, pivot_root};

use super::room::{Access, Room};

/// Takes the calling thread, and it alone, into namespaces of its own and into the new root.
/// Tells whether the device nodes there are for everybody. After an error the thread is somewhere in between and must end.
///
/// # Errors
/// Which step the host refused.
pub(super) fn enter(room: &Room, staging: &Path) -> io::Result<bool> {
    let spaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(spaces).map_err(at("namespaces"))?;
    // What is mounted from here on is seen by nobody else.
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NONE, "/", NONE, private, NONE).map_err(at("make mounts private"))?;
    tmpfs(staging, MsFlags::MS_NODEV | MsFlags::MS_NOEXEC)?;
    for (path, access) in &room.shown {
        show(path, *access, staging).map_err(|error| about(path, &error))?;
    }
    for (name, target) in &room.links {
        let place = within(staging, name);
        make_parent(&place)?;
        symlink(target, place)?;
    }
    let own_nodes = devices(room, &staging.join("dev"))?;
    proc(&staging.join("proc"))?;
    let sealed = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | QUIET;
    mount(NONE, staging, NONE, sealed | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, NONE)
        .map_err(at("make the root read-only"))?;
    chdir(staging)?;
    pivot_root(".", ".").map_err(at("pivot_root"))?;
    // The old root lies on the new one now, and is taken off.
    umount2(".", MntFlags::MNT_DETACH).map_err(at("unmount the host's root"))?;
    chdir("/")?;
    Ok(own_nodes)
}

const NONE: Option<&str> = None;

const QUIET: MsFlags = MsFlags::MS_NOSUID;

fn at(what: &'static str) -> impl Fn(nix::Error) -> io::Error {
    move |error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("{what}: {error}"))
    }
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn within(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn make_parent(place: &Path) -> io::Result<()> {
    place.parent().map_or(Ok(()), fs::create_dir_all)
}

fn tmpfs(place: &Path, flags: MsFlags) -> io::Result<()> {
    fs::create_dir_all(place)?;
    mount(Some("tmpfs"), place, Some("tmpfs"), flags | QUIET, Some("size=1m,mode=0755"))
        .map_err(at("mount tmpfs"))
}

/// Binds a file or directory of the host to the same path below `root`.
fn show(path: &Path, access: Access, root: &Path) -> io::Result<()> {
    let place = within(root, path);
    make_parent(&place)?;
    if fs::metadata(path)?.is_dir() {
        fs::create_dir_all(&place)?;
    } else {
        File::create(&place)?;
    }
    mount(Some(path), &place, NONE, MsFlags::MS_BIND, NONE).map_err(at("bind"))?;
    let more = match access {
        Access::Execute | Access::Load => MsFlags::MS_RDONLY | MsFlags::MS_NODEV,
        Access::Read => MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        Access::Save => MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        Access::Device => MsFlags::MS_NOEXEC,
    };
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | QUIET | more;
    mount(NONE, &place, NONE, flags, NONE).map_err(at("remount"))
}

/// Nodes of our own, which everybody in here may use: nobody else is in here. Where nodes cannot
/// be made, the host's are bound, with the modes that they have.
fn devices(room: &Room, dev: &Path) -> io::Result<bool> {
    tmpfs(dev, MsFlags::MS_NOEXEC)?;
    let mut own = true;
    for name in &room.devices {
        let host = Path::new("/dev").join(name);
        let number = nix::sys::stat::stat(&host)?.st_rdev;
        let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
        let node = dev.join(name);
        let all = Mode::from_bits_truncate(0o666);
        match mknod(&node, SFlag::S_IFCHR, all, makedev(major, minor)) {
            // The umask of the worker was taken off.
            Ok(()) => fs::set_permissions(&node, fs::Permissions::from_mode(0o666))?,
            Err(_) => {
                own = false;
                File::create(&node)?;
                mount(Some(&host), &node, NONE, MsFlags::MS_BIND, NONE).map_err(at("bind"))?;
            }
        }
    }
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(NONE, dev, NONE, flags | QUIET | MsFlags::MS_NOEXEC, NONE).map_err(at("seal /dev"))?;
    Ok(own)
}

/// Processes only, and of those only one's own. Kernels before 5.8 have neither option for one
/// mount alone; there the modes of `/proc` have to do.
fn proc(place: &Path) -> io::Result<()> {
    fs::create_dir_all(place)?;
    let flags = QUIET | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let mount_with = |options| mount(Some("proc"), place, Some("proc"), flags, options);
    mount_with(Some("hidepid=invisible,subset=pid"))
        .or_else(|_| mount_with(NONE))
        .map_err(at("mount /proc"))
}
