//! The container's root file system: an image below, a size-limited tmpfs above.
//!
//! `/input`, `/output`, `/tmp` and the mount points are made in the upper layer before the overlay
//! exists. There, nothing of the image is in the way: whatever it has under these names, a link or
//! a file, is covered by a real directory, and no path of the image is ever walked to make them.
//! `/input` and `/output` are opaque: they begin with what the job brought, and with nothing.
//!
//! A root is put together for every pack that is there before the zygote point, each with an upper
//! layer of its own in the one tmpfs. A job uses one of them; the others stay as empty as they are.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, chown};

use crate::blame::{Doing, Refusal};
use crate::boot::{ROOTFS, UPPER};
use crate::calls;
use crate::ids::{outside_gid, outside_uid};
use crate::limits::{INODES_MAX, Shares};

/// A root file system that a job can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Where it is mounted.
    pub path: PathBuf,
    /// Its upper layer: what the job wrote, and nothing of the image.
    pub changes: PathBuf,
}

/// Mounts the tmpfs that the job may fill. Depends on no job.
pub fn prepare(shares: Shares) -> io::Result<()> {
    let options = format!("size={},nr_inodes={INODES_MAX},mode=755", shares.disk);
    let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOATIME;
    Ok(mount(Some("job"), UPPER, Some("tmpfs"), flags, Some(options.as_str()))?)
}

/// Opens the image's root in its pack.
pub fn image_root(pack: &Path, prefix: &str) -> Result<OwnedFd, Refusal> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let pack = open(pack, flags, Mode::empty()).doing("opening the pack")?;
    if prefix.is_empty() {
        return Ok(pack);
    }
    let beneath = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
    openat2(&pack, prefix, OpenHow::new().flags(flags).resolve(beneath))
        .map_err(|_| Refusal::image(format!("the pack has no image at `{prefix}`")))
}

impl Root {
    /// Puts a root together from an image; `name` is unique to it.
    pub fn assemble(image: &OwnedFd, name: &str) -> io::Result<Self> {
        let lower = format!("/proc/self/fd/{}", image.as_raw_fd());
        let base = Path::new(UPPER).join(name);
        let (changes, work) = (base.join("changes"), base.join("work"));
        let path = Path::new(ROOTFS).join(name);
        for directory in [&base, &changes, &work, &path] {
            fs::create_dir(directory)?;
        }
        furnish(&changes)?;
        let root = fs::metadata(&lower)?;
        chown(&changes, Some(Uid::from_raw(root.uid())), Some(Gid::from_raw(root.gid())))?;
        fs::set_permissions(&changes, fs::Permissions::from_mode(root.mode() & 0o7777))?;
        // Features that trust attributes of the lower layer, which came from the image, are off.
        let options = format!(
            "lowerdir={lower},upperdir={},workdir={},redirect_dir=nofollow,metacopy=off,\
             index=off,xino=off,volatile",
            changes.display(),
            work.display()
        );
        let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOATIME;
        mount(Some("job"), &path, Some("overlay"), flags, Some(options.as_str()))?;
        Ok(Self { path, changes })
    }

    /// Gives the job's user the directories that are its own.
    pub fn hand_over(&self, uid: Uid, gid: Gid) -> Result<(), Refusal> {
        for name in ["input", "output"] {
            chown(&self.path.join(name), Some(uid), Some(gid)).doing("handing over a directory")?;
        }
        Ok(())
    }
}

/// Makes the directories that every container has, whatever its image has in their place.
fn furnish(changes: &Path) -> io::Result<()> {
    for name in ["proc", "sys", "dev"] {
        make(changes, name, 0o755)?;
    }
    make(changes, "tmp", 0o1777)?;
    for name in ["input", "output"] {
        let path = make(changes, name, 0o755)?;
        let path = CString::new(path.as_os_str().as_encoded_bytes())?;
        calls::set_attribute(&path, c"trusted.overlay.opaque", b"y")?;
    }
    Ok(())
}

fn make(changes: &Path, name: &str, mode: u32) -> io::Result<PathBuf> {
    let path = changes.join(name);
    fs::DirBuilder::new().mode(0o700).create(&path)?;
    chown(&path, Some(outside_uid(0)), Some(outside_gid(0)))?;
    // Not by the mode of creation, which the umask would cut.
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(path)
}
