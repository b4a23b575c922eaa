//! A PID 1 that lies, for the end-to-end tests: a guest whose kernel was taken over can do all of
//! this, and the worker must call none of it an answer.
//!
//! It behaves well until it has a job, and with the worker's own trials, which it would have to
//! pass to get another's; what it does with that is the word in `/mode`.

#![forbid(unsafe_code)]

mod device;
mod lies;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};

use nix::mount::{MsFlags, mount};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use pe_proto::codec;
use pe_proto::guest_config::GuestConfig;
use pe_proto::io_file::InHeader;

use device::PAGE;

/// What the worker calls jobs of its own.
const TRIAL: &str = "canary";

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
            Ok(header) => {
                let config = header.plan.config();
                let len = usize::try_from(config.end - config.start)?;
                let bytes = device.read(config.start, len.next_multiple_of(PAGE))?;
                let config: GuestConfig = codec::decode(bytes.get(..len).unwrap_or_default())?;
                let mode = if config.request_id == TRIAL { "honest" } else { mode.trim() };
                lies::tell(mode, &header, &device, &mut serial)?;
            }
            Err(_) => serial.write_all(b"\npe:ready\n")?,
        }
    }
}
