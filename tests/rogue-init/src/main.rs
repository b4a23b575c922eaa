//! A PID 1 that lies, for the end-to-end tests: a guest whose kernel was taken over can do all of
//! this, and the worker must call none of it an answer.
//!
//! It behaves well until it has a job; what it does then is the word in `/mode`.

#![forbid(unsafe_code)]

mod device;
mod lies;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};

use nix::mount::{MsFlags, mount};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use pe_proto::io_file::InHeader;

fn main() -> anyhow::Result<()> {
    for (kind, target) in [("devtmpfs", "/dev"), ("sysfs", "/sys")] {
        mount(None::<&str>, target, Some(kind), MsFlags::empty(), None::<&str>)?;
    }
    for module in fs::read_to_string("/modules/modules.list")?.lines() {
        let file = File::open(format!("/modules/{module}"))?;
        // A module that is there already is no reason to stop.
        let _ = nix::kmod::finit_module(&file, c"", nix::kmod::ModuleInitFlags::empty());
    }
    let mode = fs::read_to_string("/mode")?;
    let mut serial = File::options().read(true).write(true).open("/dev/ttyS0")?;
    let mut settings = tcgetattr(&serial)?;
    cfmakeraw(&mut settings);
    tcsetattr(&serial, SetArg::TCSANOW, &settings)?;

    serial.write_all(b"\npe:ready\n")?;
    loop {
        let mut byte = [0];
        serial.read_exact(&mut byte)?;
        let device = device::IoDevice::find()?;
        match InHeader::decode(&device.read(0, 4096)?) {
            Ok(header) => lies::tell(mode.trim(), &header, &device, &mut serial)?,
            Err(_) => serial.write_all(b"\npe:ready\n")?,
        }
    }
}
