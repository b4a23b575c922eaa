//! Cases 30 and 31: whoever means harm costs no memory, and others go on. How long others wait
//! meanwhile is measured by `floods` and not asserted here: it is a matter of the machine.

use std::time::Duration;

use pe_fleet::flood::ALL;
use pe_fleet::measure::{SHARE_MAX, measure};

/// What a flood may add to the memory of the load balancer: what one client may hold, and as much
/// again for what nobody accounts for and is bounded all the same: windows of workers' connections,
/// results in the hands of threads that write them as JSON, the allocator.
const MEMORY_MAX: u64 = 2 * SHARE_MAX;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_30_and_31_no_flood_costs_memory_or_stops_others() -> anyhow::Result<()> {
    for flood in ALL {
        let seen = measure(flood, 4, Duration::from_secs(3)).await?;
        let (bytes, connections) = seen.sent;
        eprintln!(
            "{flood:?}: {bytes} bytes on {connections} connections, {} others served in {:?} ms \
             (p99), {} bytes of memory and at most {} more",
            seen.during.len(),
            seen.percentile(99),
            seen.memory,
            seen.grown,
        );
        assert!(seen.grown < MEMORY_MAX, "{flood:?}: memory grew by {} bytes", seen.grown);
        assert!(!seen.during.is_empty(), "{flood:?}: nobody else was served");
        assert!(bytes > 100 && connections >= 4, "{flood:?} did not flow");
    }
    Ok(())
}
