//! Packs: mounted once, read-only, with the container's ids.
//!
//! A pack that was there before the zygote point is mounted then, and so is a root file system
//! above it, so that a job in a restored VM finds both ready. The mount is an idmapped one: the
//! file that the image says belongs to root belongs to the container's root, not to the VM's.
//! Device nodes and set-id bits of an image mean nothing.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::blame::{Doing, Refusal};
use crate::boot::PACKS;
use crate::devices::{self, Pmem};
use crate::layers::{self, Root};
use crate::pages::Device;
use crate::{calls, sys};

/// A mounted pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    uuid: [u8; 16],
    /// The device it is on.
    name: String,
    /// Where it is mounted.
    path: PathBuf,
    /// A root above the one image that most packs hold, at their top.
    root: Option<Root>,
}

impl Pack {
    /// The root file system of the image at `prefix`, put together if it is not yet.
    pub fn root(&self, prefix: &str) -> Result<Root, Refusal> {
        match &self.root {
            Some(root) if prefix.is_empty() => Ok(root.clone()),
            Some(_) | None => {
                let image = layers::image_root(&self.path, prefix)?;
                let name = format!("{}-prefix", self.name);
                Root::assemble(&image, &name).doing("putting the root file system together")
            }
        }
    }

    /// Where the image at `prefix` is: what it is without a job's changes.
    pub fn image(&self, prefix: &str) -> PathBuf {
        self.path.join(prefix)
    }
}

/// All packs that were found so far.
#[derive(Debug)]
pub struct Packs {
    mapping: OwnedFd,
    mounted: Vec<Pack>,
}

impl Packs {
    /// None yet. `mapping` is the user namespace whose ids they are shown with.
    pub fn new(mapping: OwnedFd) -> Self {
        Self { mapping, mounted: Vec::new() }
    }

    /// The pack of this uuid, if it was mounted.
    pub fn find(&self, uuid: &[u8; 16]) -> Option<&Pack> {
        self.mounted.iter().find(|pack| pack.uuid == *uuid)
    }

    /// Mounts every pack that is there and not mounted yet; returns the last thing that went
    /// wrong, if anything did, for whoever then misses a pack.
    pub fn mount_new(&mut self, devices: &[Pmem]) -> Option<io::Error> {
        let mut trouble = None;
        for device in devices {
            if self.mounted.iter().any(|pack| pack.name == device.name) {
                continue;
            }
            match self.mount(device) {
                Ok(Some(pack)) => self.mounted.push(pack),
                Ok(None) => {}
                Err(error) => trouble = Some(error),
            }
        }
        trouble
    }

    fn mount(&self, device: &Pmem) -> io::Result<Option<Pack>> {
        let node = device.node();
        let open = Device::open_read_only(&node)?;
        let Some(uuid) = devices::pack_uuid(&open).map_err(io::Error::other)? else {
            return Ok(None);
        };
        // The plain mount is covered by the mapped one, so nobody can mistake them.
        let path = Path::new(PACKS).join(&device.name);
        fs::create_dir_all(&path)?;
        mount_erofs(&node, &path)?;
        let target = CString::new(path.as_os_str().as_encoded_bytes())?;
        let mapped = calls::open_tree_clone(&target)?;
        sys::mount_map_ids(mapped.as_fd(), self.mapping.as_fd())?;
        calls::move_mount(mapped.as_fd(), &target)?;
        let top = layers::image_root(&path, "").map_err(io::Error::other)?;
        // Tried again, and complained of, when a job asks for it.
        let root = Root::assemble(&top, &device.name).ok();
        let name = device.name.clone();
        Ok(Some(Pack { uuid, name, path, root }))
    }
}

/// DAX saves the guest a copy of every page of the image; a device that cannot do it still works.
fn mount_erofs(node: &Path, target: &Path) -> nix::Result<()> {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOATIME;
    match mount(Some(node), target, Some("erofs"), flags, Some("dax=always")) {
        Err(Errno::EINVAL | Errno::EOPNOTSUPP) => {
            mount(Some(node), target, Some("erofs"), flags, None::<&str>)
        }
        result => result,
    }
}
