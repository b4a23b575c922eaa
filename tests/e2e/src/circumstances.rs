//! What the suite's surroundings ask of it: the nested lab is one slow machine with another backend.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `PE_E2E_WORKER_FLAGS` | flags for every worker, after the suite's own |
//! | `PE_E2E_TIME_FACTOR` | every time limit is so many times as long (1 to 100) |
//! | `PE_E2E_SET` | only the scenarios of a set: `smoke` |
//! | `PE_E2E_SKIP` | a file with lines `GROUP::NAME REASON`; each skip is printed with its reason |

#![expect(clippy::disallowed_methods, reason = "this is where the suite reads its environment")]

use std::env;
use std::time::Duration;

use anyhow::{Context as _, ensure};
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
#[derive(Debug, Default)]
pub struct Selection {
    smoke_only: bool,
    skips: Vec<(String, String)>,
}

/// What to do with a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<'a> {
    /// Run it.
    Run,
    /// It cannot hold here, for this reason.
    Skip(&'a str),
    /// It is not in the set that was asked for.
    LeaveOut,
}

impl Selection {
    /// As the environment asks, given the names of all scenarios.
    ///
    /// # Errors
    /// An unknown set, a list of skips that cannot be read or lacks a reason, or a name that no
    /// scenario has: a list that went stale.
    pub fn checked(names: &[String]) -> anyhow::Result<Self> {
        let set = env::var("PE_E2E_SET").unwrap_or_default();
        ensure!(["", "smoke"].contains(&set.as_str()), "PE_E2E_SET: there is no set `{set}`");
        let text = match env::var("PE_E2E_SKIP") {
            Ok(path) => std::fs::read_to_string(&path).with_context(|| path)?,
            Err(_) => String::new(),
        };
        let selection = Self::new(set == "smoke", &text)?;
        let unknown: Vec<&str> = selection.unknown(names).collect();
        ensure!(unknown.is_empty(), "no scenario has these names: {unknown:?}");
        Ok(selection)
    }

    fn new(smoke_only: bool, skips: &str) -> anyhow::Result<Self> {
        let lines = skips.lines().map(str::trim);
        let skips = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let (name, reason) =
                line.split_once(' ').with_context(|| format!("no reason: {line}"))?;
            Ok((name.to_owned(), reason.trim().to_owned()))
        });
        Ok(Self { smoke_only, skips: skips.collect::<anyhow::Result<_>>()? })
    }

    /// What to do with a scenario, by its full name.
    pub fn of(&self, name: &str) -> Choice<'_> {
        if self.smoke_only && !SMOKE.contains(&name) {
            return Choice::LeaveOut;
        }
        let skip = self.skips.iter().find(|(skipped, _)| skipped == name);
        skip.map_or(Choice::Run, |(_, reason)| Choice::Skip(reason))
    }

    fn unknown<'a>(&'a self, names: &'a [String]) -> impl Iterator<Item = &'a str> {
        let asked = self.skips.iter().map(|(name, _)| name.as_str()).chain(SMOKE.iter().copied());
        asked.filter(|asked| !names.iter().any(|name| name == asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_has_a_reason_and_a_set_leaves_out_the_rest() {
        let skips = "# why\n\nlimits::a slow\npe::b  no tty here \n";
        let all = Selection::new(false, skips).expect("parses");
        assert_eq!(all.of("limits::a"), Choice::Skip("slow"));
        assert_eq!(all.of("pe::b"), Choice::Skip("no tty here"));
        assert_eq!(all.of("pe::c"), Choice::Run);
        let smoke = Selection::new(true, skips).expect("parses");
        assert_eq!(smoke.of("pe::c"), Choice::LeaveOut);
        assert_eq!(smoke.of(SMOKE[0]), Choice::Run);
        assert!(Selection::new(false, "limits::a").is_err());
        let names: Vec<String> = SMOKE.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(all.unknown(&names).collect::<Vec<_>>(), ["limits::a", "pe::b"]);
    }
}
