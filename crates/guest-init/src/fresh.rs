//! Making a restored guest differ from its siblings, before anything of the user's runs.
//!
//! Every VM of a zygote wakes up with the same random state and the zygote's clock. The job brings
//! 64 random bytes and the time; once the bytes are mixed in and the generator has a new key,
//! addresses, uuids and the boot id (which the kernel makes when it is first read, and nobody reads
//! it before) differ too. What stays the same is listed in docs/decisions/0009-kernel.md.

use std::os::fd::AsFd;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

use pe_proto::guest_config::GuestConfig;

use crate::blame::{Doing, Refusal};
use crate::sys;

/// Mixes in the job's entropy and sets the clock.
///
/// A job must not run with its siblings' randomness, so failing to mix refuses it.
pub fn begin_anew(config: &GuestConfig) -> Result<(), Refusal> {
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let random =
        open(Path::new("/dev/random"), flags, Mode::empty()).doing("opening /dev/random")?;
    sys::add_entropy(random.as_fd(), &config.entropy).doing("adding entropy")?;
    sys::reseed_random(random.as_fd()).doing("reseeding the random generator")?;
    clock_settime(ClockId::CLOCK_REALTIME, time_of(config.time_unix_us)).doing("setting the clock")
}

fn time_of(unix_us: u64) -> TimeSpec {
    let seconds = i64::try_from(unix_us / 1_000_000).unwrap_or(i64::MAX);
    let nanos = i64::try_from(unix_us % 1_000_000 * 1000).unwrap_or_default();
    TimeSpec::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_become_seconds_and_nanoseconds() {
        assert_eq!(time_of(1_700_000_000_123_456), TimeSpec::new(1_700_000_000, 123_456_000));
        assert_eq!(time_of(0), TimeSpec::new(0, 0));
    }
}
