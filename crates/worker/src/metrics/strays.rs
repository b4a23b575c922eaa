//! Children of this process that are no VM of its pool. There must be none.

use std::collections::HashSet;
use std::path::Path;

/// Counts children that are not in `known`. A child that ends or begins meanwhile may be counted
/// once; a stray one is counted every time.
pub fn unexpected_vmms(known: &HashSet<u32>) -> usize {
    children().difference(known).count()
}

/// All children, by the kernel's own list; empty where the kernel keeps none.
fn children() -> HashSet<u32> {
    let mut pids = HashSet::new();
    let Ok(threads) = std::fs::read_dir(Path::new("/proc/self/task")) else {
        return pids;
    };
    for thread in threads.flatten() {
        let list = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        pids.extend(list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    pids
}
