//! What was measured, as a table or as JSON.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Way;
use crate::worker::Foundation;

/// A part of a VM's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// From asking for a VM to its guest waiting.
    Ready,
    /// From the lease to the job being in the io file.
    Write,
    /// Asking whether the VMM lives, and plugging the pack in.
    Attach,
    /// From the wake to the bell.
    Guest,
    /// The guest: finding and mounting the image.
    Mount,
    /// The guest: unpacking the input.
    Unpack,
    /// The guest: from asking the runtime to the program running.
    Start,
    /// The guest: the program.
    Run,
    /// The guest: packing the result.
    Collect,
    /// From the kill to the VMM being reaped.
    Kill,
    /// From the lease to a checked result.
    Result,
}

impl Phase {
    const ALL: [Self; 11] = [
        Self::Ready,
        Self::Write,
        Self::Attach,
        Self::Guest,
        Self::Mount,
        Self::Unpack,
        Self::Start,
        Self::Run,
        Self::Collect,
        Self::Kill,
        Self::Result,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Write => "write",
            Self::Attach => "attach",
            Self::Guest => "guest",
            Self::Mount => "mount",
            Self::Unpack => "unpack",
            Self::Start => "start",
            Self::Run => "run",
            Self::Collect => "collect",
            Self::Kill => "kill",
            Self::Result => "result",
        }
    }
}

pub(super) fn print(
    out: &mut impl Write,
    foundation: &Foundation,
    ways: &[Way],
    rounds: u32,
    as_json: bool,
) -> io::Result<()> {
    let vmm = foundation.backend().vmm();
    if as_json {
        let ways: Vec<Value> = ways.iter().map(way_as_json).collect();
        let all = json!({
            "vmm": vmm, "version": foundation.version(), "kernel": foundation.kernel(),
            "rounds": rounds, "unit": "ms", "ways": ways,
        });
        return writeln!(out, "{all:#}");
    }
    writeln!(out, "{vmm} ({}), {rounds} rounds, milliseconds, medians", foundation.version())?;
    writeln!(out, "(ready: asked for to waiting; result: lease to checked result of `true`;")?;
    writeln!(out, "guest: wake to bell, of which mount to collect are inside the guest)")?;
    let phases: Vec<Phase> = Phase::ALL
        .into_iter()
        .filter(|phase| ways.iter().any(|way| !way.times_of(*phase).is_empty()))
        .collect();
    write!(out, "| {:<16} | {:<8} |", "way", "pack")?;
    for phase in &phases {
        write!(out, " {:>7} |", phase.as_str())?;
    }
    writeln!(out)?;
    write!(out, "|{0:-<18}|{0:-<10}|", "")?;
    for _ in &phases {
        write!(out, "{0:->8}:|", "")?;
    }
    writeln!(out)?;
    for way in ways {
        write!(out, "| {:<16} | {:<8} |", way.start, way.pack.unwrap_or("-"))?;
        for phase in &phases {
            write!(out, " {:>7.1} |", ms(median(way.times_of(*phase))))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

impl Way {
    fn times_of(&self, phase: Phase) -> &[Duration] {
        let found = self.times.iter().find(|(known, _)| *known == phase);
        found.map_or(&[], |(_, times)| times)
    }
}

fn way_as_json(way: &Way) -> Value {
    let mut phases = Map::new();
    for (phase, times) in &way.times {
        let sorted = sorted(times);
        let least = sorted.first().copied().unwrap_or_default();
        let most = sorted.last().copied().unwrap_or_default();
        let spread = json!({"median": ms(median(times)), "least": ms(least), "most": ms(most)});
        phases.insert(phase.as_str().to_owned(), spread);
    }
    json!({"way": way.start, "pack": way.pack, "phases": phases})
}

fn sorted(times: &[Duration]) -> Vec<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted
}

fn median(times: &[Duration]) -> Duration {
    let sorted = sorted(times);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// To a thousandth.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_one_of_the_times() {
        let times: Vec<Duration> = [5, 1, 9].into_iter().map(Duration::from_millis).collect();
        assert_eq!(median(&times), Duration::from_millis(5));
        assert_eq!(median(&[]), Duration::ZERO);
        assert!((ms(Duration::from_micros(1500)) - 1.5).abs() < 1e-9);
    }
}
