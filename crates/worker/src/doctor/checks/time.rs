//! Time and randomness: what guests get from the host.

use std::time::Duration;

use crate::doctor::Finding;
use crate::doctor::facts::HostFacts;

/// Beyond the second that a `Date` header is exact to, and the way there.
const OFF_WARN: Duration = Duration::from_secs(3);
/// Nobody can compare logs any more, and certificates begin to fail.
const OFF_FAIL: Duration = Duration::from_secs(120);

/// Seconds to settle after a boot.
const SETTLED: Duration = Duration::from_secs(60);
/// Kernels older than this lack a year of mends.
const ANCIENT: Duration = Duration::from_secs(400 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// What the kernel believes, and how far the LB's clock is from ours, if it was asked.
pub fn clock(facts: &HostFacts, off: Option<Duration>) -> Finding {
    let mend = "timedatectl set-ntp true   # or install and start chrony";
    let compared = match off {
        Some(off) if off > OFF_WARN => format!("{} s off the LB's", off.as_secs()),
        Some(_) => "in step with the LB's".to_owned(),
        None => "not compared with the LB's".to_owned(),
    };
    let is_off = |most: Duration| off.is_some_and(|off| off > most);
    match facts.clock_synchronised {
        _ if is_off(OFF_FAIL) => Finding::fail(compared, mend),
        Some(true) if !is_off(OFF_WARN) => Finding::pass(format!("synchronised, {compared}")),
        Some(true) => Finding::warn(format!("synchronised, but {compared}"), mend),
        Some(false) => Finding::warn(format!("nothing keeps it right; {compared}"), mend),
        None => Finding::warn(format!("the kernel does not say; {compared}"), mend),
    }
}

/// Not too young, not too old.
pub fn uptime(facts: &HostFacts) -> Finding {
    let up = facts.uptime;
    if up < SETTLED {
        let seen = format!("up for {} s", up.as_secs());
        return Finding::warn(seen, "# wait a minute, or start the worker after time-sync.target");
    }
    let (days, hours) = (up.as_secs() / DAY, up.as_secs() % DAY / 3600);
    let seen = format!("up for {days} days, {hours} hours");
    if up > ANCIENT {
        return Finding::warn(seen, "apt-get dist-upgrade && systemctl reboot");
    }
    Finding::pass(seen)
}

/// 256 bits are all that kernels since 5.18 claim; older ones may go lower when asked a lot.
const ENTROPY_MIN: u32 = 128;

/// Seeded, or not yet.
pub fn entropy(facts: &HostFacts) -> Finding {
    match facts.entropy {
        Some(bits) if bits >= ENTROPY_MIN => Finding::pass(format!("{bits} bits")),
        Some(bits) => Finding::warn(
            format!("{bits} bits, {ENTROPY_MIN} wanted"),
            "apt-get install rng-tools5   # or give this machine a virtio-rng device",
        ),
        None => Finding::warn("the kernel does not say", "mount -t proc proc /proc"),
    }
}

#[cfg(test)]
mod tests;
