//! `--timings`: where the time went, as a table. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use pe_proto::api::{AnswerHead, CacheStatus, Phases};

use crate::units::{show_bytes, show_duration};
use crate::words::printable;

/// Widest bar, in characters.
const BAR_MAX: u64 = 30;

/// The table, with a line end at its end. `here` is the whole request as seen by this program.
pub fn table(head: &AnswerHead, here: Duration) -> String {
    let Phases {
        queue_us,
        transfer_us,
        attach_us,
        mount_us,
        unpack_us,
        start_us,
        run_us,
        collect_us,
        stop_us,
        total_us,
    } = head.phases;
    let rows = [
        ("queue", queue_us),
        ("transfer", transfer_us),
        ("attach", attach_us),
        ("mount", mount_us),
        ("unpack", unpack_us),
        ("start", start_us),
        ("run", run_us),
        ("collect", collect_us),
        ("stop", stop_us),
    ];
    let longest = rows.iter().map(|&(_, us)| us).max().unwrap_or(0).max(1);
    let mut text = String::new();
    let mut row = |name: &str, us: u64, bar: &str| {
        let shown = show_duration(Duration::from_micros(us));
        let line = format!("  {name:<9} {shown:>10}  {bar}");
        let _ = writeln!(text, "{}", line.trim_end());
    };
    for (name, us) in rows {
        let bar = usize::try_from(us.saturating_mul(BAR_MAX) / longest).unwrap_or(0);
        row(name, us, &"#".repeat(bar));
    }
    row("total", total_us, "in the server");
    row("here", u64::try_from(here.as_micros()).unwrap_or(u64::MAX), "with the network");
    let usage = head.usage;
    let cpu = Duration::from_micros(usage.user_us.saturating_add(usage.system_us));
    let _ = writeln!(
        text,
        "  cpu time {}, most memory {}",
        show_duration(cpu),
        show_bytes(usage.max_rss_bytes)
    );
    if let Some(ran_on) = &head.ran_on {
        let _ = writeln!(
            text,
            "  ran on {} ({}, {}, kernel {}, {})",
            printable(&ran_on.worker),
            ran_on.arch,
            printable(&ran_on.cpu),
            printable(&ran_on.kernel),
            printable(&ran_on.vmm)
        );
    }
    match head.cache {
        CacheStatus::Miss => {}
        CacheStatus::Hit => text.push_str("  this result was known; the times are of its run\n"),
        CacheStatus::Joined => {
            text.push_str("  an identical job was running; this is its result\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::head;

    #[test]
    fn every_phase_has_a_row() {
        let mut head = head(serde_json::json!({"kind": "exited", "code": 0}));
        head.phases.run_us = 1_500_000;
        head.cache = CacheStatus::Hit;
        let expected = "  \
  queue         0.0 ms
  transfer      0.0 ms
  attach        0.0 ms
  mount         0.0 ms
  unpack        0.0 ms
  start         0.0 ms
  run            1.5 s  ##############################
  collect       0.0 ms
  stop          0.0 ms
  total        12.3 ms  in the server
  here           2.0 s  with the network
  cpu time 0.0 ms, most memory 1.0 MiB
  this result was known; the times are of its run
";
        assert_eq!(table(&head, Duration::from_secs(2)), expected);
    }
}
