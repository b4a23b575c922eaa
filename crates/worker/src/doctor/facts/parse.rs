//! The formats of /proc that the doctor knows. What is not understood is left out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Swap;

/// Whether the flags of x86 processors name an extension for guests.
pub(super) fn has_virtualisation(cpuinfo: &str) -> bool {
    cpuinfo.split_whitespace().any(|word| word == "vmx" || word == "svm")
}

/// `/proc/meminfo`: `MemTotal:  24684096 kB`. Counts of pages have no unit and are kept as such.
pub(super) fn meminfo(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let value = value.split_whitespace().next()?.parse().ok()?;
        Some((name.to_owned(), value))
    };
    text.lines().filter_map(line).collect()
}

/// The word in brackets of `always [madvise] never`.
pub(super) fn chosen(text: &str) -> Option<String> {
    let word = text.split_once('[')?.1.split_once(']')?.0;
    Some(word.to_owned())
}

/// `/proc/swaps`: a head, then `Filename Type Size Used Priority`, sizes in KiB.
pub(super) fn swaps(text: &str) -> Vec<Swap> {
    let swap = |line: &str| {
        let mut fields = line.split_whitespace();
        let name = fields.next()?.to_owned();
        Some(Swap { name, kib: fields.nth(1)?.parse().ok()? })
    };
    text.lines().skip(1).filter_map(swap).collect()
}

/// The hard limit in `/proc/self/limits`: `Max open files  1024  1048576  files`.
pub(super) fn descriptors(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The first number of `/proc/uptime`, in seconds.
pub(super) fn uptime(text: &str) -> Duration {
    let seconds = text.split(['.', ' ']).next().and_then(|whole| whole.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}
