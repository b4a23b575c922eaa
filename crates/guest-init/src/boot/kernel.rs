//! The kernel as [`Sys`] sees it.

use std::fs::{self, File};
use std::io::{self, Write};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::unistd::{chdir, chroot};

use super::{Flags, Sys};

/// The running kernel.
#[derive(Debug)]
pub struct Kernel;

const NONE: Option<&str> = None;

impl Sys for Kernel {
    fn make_dir(&mut self, path: &str) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    fn mount(&mut self, kind: &str, target: &str, options: &str, flags: Flags) -> io::Result<()> {
        let flags = match flags {
            Flags::Inert => MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
            Flags::Devices => MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        };
        match mount(Some(kind), target, Some(kind), flags, Some(options)) {
            // Some kernels mount devtmpfs themselves.
            Ok(()) | Err(Errno::EBUSY) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn bind_root(&mut self, via: &str) -> io::Result<()> {
        mount(Some("/"), via, NONE, MsFlags::MS_BIND, NONE)?;
        chdir(via)?;
        mount(Some("."), "/", NONE, MsFlags::MS_MOVE, NONE)?;
        chroot(".")?;
        Ok(chdir("/")?)
    }

    fn read(&mut self, path: &str) -> io::Result<String> {
        fs::read_to_string(path)
    }

    fn write(&mut self, path: &str, text: &str) -> io::Result<()> {
        File::options().write(true).open(path)?.write_all(text.as_bytes())
    }

    fn load_module(&mut self, path: &str) -> io::Result<()> {
        match finit_module(File::open(path)?, c"", ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}
