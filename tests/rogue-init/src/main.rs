//! A PID 1 that lies, for the end-to-end tests: a guest whose kernel was taken over can do all of
//! this, and the worker must call none of it an answer that is none.
//!
//! It behaves well until it has a job. The job's arguments say what it does then, so that one
//! worker with this init in its zygote serves all scenarios; a mode it does not know is a job done
//! well. It never looks at the job's image.

#![forbid(unsafe_code)]

mod answer;
mod device;
mod floods;
mod lies;
mod prying;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};

use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use pe_proto::codec;
use pe_proto::guest_config::GuestConfig;
use pe_proto::io_file::InHeader;

use device::Device;

/// A job as this guest has it.
struct Job {
    header: InHeader,
    args: Vec<String>,
    device: Device,
    serial: File,
}

impl Job {
    fn argument(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    /// Says that the answer is there.
    fn ring(&mut self) -> anyhow::Result<()> {
        Ok(self.serial.write_all(b"\npe:done\n")?)
    }
}

fn main() -> anyhow::Result<()> {
    for (kind, target) in [("devtmpfs", "/dev"), ("sysfs", "/sys"), ("proc", "/proc")] {
        mount(None::<&str>, target, Some(kind), MsFlags::empty(), None::<&str>)?;
    }
    // A kernel that has everything built in comes without a list.
    for module in fs::read_to_string("/modules/modules.list").unwrap_or_default().lines() {
        let file = File::open(format!("/modules/{module}"))?;
        // A module that is there already is no reason to stop.
        let _ = nix::kmod::finit_module(&file, c"", nix::kmod::ModuleInitFlags::empty());
    }
    let mut serial = File::options().read(true).write(true).open("/dev/ttyS0")?;
    let mut settings = tcgetattr(&serial)?;
    cfmakeraw(&mut settings);
    tcsetattr(&serial, SetArg::TCSANOW, &settings)?;

    serial.write_all(b"\npe:ready\n")?;
    loop {
        let mut byte = [0];
        serial.read_exact(&mut byte)?;
        let device = Device::find()?;
        match InHeader::decode(&device.read(0, 4096)?) {
            Ok(header) => {
                let config = header.plan.config();
                let len = usize::try_from(config.end - config.start)?;
                let frame = device.read(config.start, len.next_multiple_of(4096))?;
                let (config, _) = codec::decode_prefix::<GuestConfig>(&frame)?;
                let serial = serial.try_clone()?;
                let mut job = Job { header, args: config.spec.args, device, serial };
                if let Err(error) = misbehave(&mut job) {
                    serial_fault(&mut job.serial, &error)?;
                }
            }
            Err(_) => serial.write_all(b"\npe:ready\n")?,
        }
    }
}

/// Does what the job's first argument says. Returns if nothing more is to be done.
fn misbehave(job: &mut Job) -> anyhow::Result<()> {
    match job.argument(0) {
        "silent" => answer::journal(job),
        "reboot" => {
            answer::journal(job)?;
            reboot(RebootMode::RB_AUTOBOOT)?;
            Ok(())
        }
        "power-off" => {
            reboot(RebootMode::RB_POWER_OFF)?;
            Ok(())
        }
        "serial-flood" => floods::serial(job),
        "flush-flood" => floods::flushes(job),
        "scribble" => floods::scribble(job),
        "write-packs" => prying::write_packs(job),
        "look-around" => prying::look_around(job),
        "search" => prying::search(job),
        mode if lies::MODES.contains(&mode) => lies::tell(job),
        _ => answer::honest(job, b"done\n"),
    }
}

fn serial_fault(serial: &mut File, error: &anyhow::Error) -> anyhow::Result<()> {
    let reason = format!("{error:#}").replace('\n', " ");
    Ok(serial.write_all(format!("\npe:fault {reason}\n").as_bytes())?)
}
