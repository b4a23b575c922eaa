//! PID 1: boot, make ready, wait, do one job, rest.

use std::convert::Infallible;

use nix::sys::reboot::{RebootMode, reboot};

use pe_guest_init::boot::{self, Kernel, PLAN};
use pe_guest_init::job;
use pe_guest_init::port::Port;
use pe_guest_init::waiting::Ready;

/// The serial port that the virtual machine of this architecture has.
const PORT: &str = if cfg!(target_arch = "aarch64") { "/dev/ttyAMA0" } else { "/dev/ttyS0" };

fn main() {
    // Run by hand, on somebody's own machine, this must do nothing at all.
    if std::process::id() != 1 {
        return;
    }
    let booted = boot::run(PLAN, &mut Kernel);
    // Without a port there is nobody to tell; the host sees the VM go.
    let Ok(port) = Port::open(PORT) else { power_off() };
    if let Err(failed) = booted {
        port.say_fault(&failed.to_string());
        power_off();
    }
    let mut ready = match Ready::prepare(port) {
        Ok(ready) => ready,
        Err(error) => give_up(&error.to_string()),
    };
    let rung = match ready.wait() {
        Ok(rung) => rung,
        Err(error) => {
            ready.port().say_fault(&error.to_string());
            power_off();
        }
    };
    serve(ready, &rung)
}

/// Does the job. The host ends the VM as it likes; until then there is nothing left to do.
fn serve(mut ready: Ready, rung: &pe_guest_init::waiting::Rung) -> ! {
    match job::run(&mut ready, rung) {
        Ok(()) => ready.port().say_done(),
        Err(error) => ready.port().say_fault(&error.to_string()),
    }
    loop {
        nix::unistd::pause();
    }
}

fn give_up(reason: &str) -> ! {
    if let Ok(port) = Port::open(PORT) {
        port.say_fault(reason);
    }
    power_off()
}

/// Should the kernel refuse even this, returning from PID 1 makes it panic, which ends the VM too.
fn power_off() -> ! {
    let _never: nix::Result<Infallible> = reboot(RebootMode::RB_POWER_OFF);
    pe_guest_init::sys::exit_now(1)
}
