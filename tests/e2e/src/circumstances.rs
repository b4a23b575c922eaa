//! What the suite's surroundings ask of it: the nested lab is one slow machine with another backend.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `PE_E2E_WORKER_FLAGS` | flags for every worker, after the suite's own |
//! | `PE_E2E_TIME_FACTOR` | every time limit is so many times as long (1 to 100) |
//! | `PE_E2E_SET` | only the scenarios of a set: `smoke` |

#![expect(clippy::disallowed_methods, reason = "this is where the suite reads its environment")]

use std::env;
use std::time::Duration;

use anyhow::ensure;
use pe_proto::limits::WALL_MS_MAX;

/// The least that shows a backend works: boot, restore, exactness, a limit, a killed VMM.
const SMOKE: &[&str] = &[
    "daemons::readiness_is_a_real_job",
    "exactness::every_byte_value_comes_back_on_every_way_out",
    "exactness::exit_codes_that_shells_and_runtimes_bend_come_back_as_they_were",
    "limits::a_timeout_keeps_all_output_up_to_then",
    "faults::a_killed_vmm_is_a_lost_job_with_its_output_kept",
];

/// Flags that every worker gets.
pub fn worker_flags() -> Vec<String> {
    let flags = env::var("PE_E2E_WORKER_FLAGS").unwrap_or_default();
    flags.split_whitespace().map(str::to_owned).collect()
}

/// How many times as long everything may take. What is not a number of the range counts as 1.
pub fn time_factor() -> u32 {
    let factor = env::var("PE_E2E_TIME_FACTOR").ok().and_then(|text| text.parse().ok());
    factor.filter(|factor| (1..=100).contains(factor)).unwrap_or(1)
}

/// A time limit as it is here.
pub fn scaled(limit: Duration) -> Duration {
    limit.saturating_mul(time_factor())
}

/// A job's wall clock as it is here: no longer than a load balancer may grant, unless it was that
/// already.
pub fn scaled_wall_ms(ms: u64) -> u64 {
    ms.saturating_mul(time_factor().into()).min(WALL_MS_MAX.max(ms))
}

/// Which scenarios to run.
#[derive(Debug, Clone, Copy)]
pub struct Selection {
    smoke_only: bool,
}

impl Selection {
    /// As the environment asks, given the names of all scenarios.
    ///
    /// # Errors
    /// An unknown set, or a name in one that no scenario has: a set that went stale.
    pub fn checked(names: &[String]) -> anyhow::Result<Self> {
        let set = env::var("PE_E2E_SET").unwrap_or_default();
        ensure!(["", "smoke"].contains(&set.as_str()), "PE_E2E_SET: there is no set `{set}`");
        let unknown = unknown(names);
        ensure!(unknown.is_empty(), "no scenario has these names: {unknown:?}");
        Ok(Self { smoke_only: set == "smoke" })
    }

    /// Whether to run a scenario, by its full name.
    pub fn has(self, name: &str) -> bool {
        !self.smoke_only || SMOKE.contains(&name)
    }
}

fn unknown(names: &[String]) -> Vec<&'static str> {
    SMOKE.iter().copied().filter(|asked| !names.iter().any(|name| name == asked)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_leaves_out_the_rest_and_says_what_went_stale() {
        assert!(Selection { smoke_only: false }.has("pe::c"));
        let smoke = Selection { smoke_only: true };
        assert!(!smoke.has("pe::c"));
        assert!(smoke.has(SMOKE[0]));
        let mut names: Vec<String> = SMOKE.iter().map(|name| (*name).to_owned()).collect();
        assert!(unknown(&names).is_empty());
        names.remove(0);
        assert_eq!(unknown(&names), [SMOKE[0]]);
    }
}
