//! What is measured: a module for each kind of row of the table.

pub(crate) mod hits;
pub(crate) mod idle;
pub(crate) mod relay;
pub(crate) mod slots;

use crate::bench::Bench;
use crate::load::{self, Load, Shot};
use crate::process::Process;
use crate::stats::median;

/// A line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What is compared.
    pub(crate) what: String,
    /// Under which load.
    pub(crate) load: String,
    /// Ours, with unit.
    pub(crate) ours: String,
    /// Whose figure is next.
    pub(crate) peer: String,
    /// Theirs, with unit.
    pub(crate) theirs: String,
    /// Ours by theirs.
    pub(crate) ratio: String,
    /// The same by processor time of the server.
    pub(crate) per_cpu: String,
    /// What is wanted, and whether it is there; nothing for rows that are context.
    pub(crate) target: String,
}

/// A server under a load.
#[derive(Debug, Clone)]
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) load: Load,
    pub(crate) server: &'a Process,
}

/// Medians of all runs of each, in turns.
pub(crate) fn in_turns(bench: &Bench, contenders: &[Contender<'_>]) -> anyhow::Result<Vec<Shot>> {
    let mut shots: Vec<Vec<Shot>> = vec![Vec::new(); contenders.len()];
    for _ in 0..bench.rounds {
        for (contender, shots) in contenders.iter().zip(&mut shots) {
            let Contender { url, load, server, .. } = contender;
            let stage = &bench.stage;
            let shoot = || load::shoot(stage.cores, load, url, server, bench.length, &stage.dir);
            // A machine that does something else can starve a whole run: it is done again, twice.
            shots.push(shoot().or_else(|_| shoot()).or_else(|_| shoot())?);
        }
    }
    let of = |shots: &[Shot], figure: fn(&Shot) -> f64| median(shots.iter().map(figure));
    let medians = shots.iter().map(|shots| Shot {
        rate: of(shots, |shot| shot.rate),
        per_cpu_second: of(shots, |shot| shot.per_cpu_second),
        p50_us: of(shots, |shot| shot.p50_us),
        p99_us: of(shots, |shot| shot.p99_us),
    });
    Ok(medians.collect())
}

/// Rates of the first contender against each of the others. The target is for the first of them.
pub(crate) fn rates(
    what: &str,
    contenders: &[Contender<'_>],
    shots: &[Shot],
    target: Option<f64>,
) -> Vec<Row> {
    let mut all = contenders.iter().zip(shots);
    let Some((us, ours)) = all.next() else {
        return Vec::new();
    };
    let row = |(index, (peer, theirs)): (usize, (&Contender<'_>, &Shot))| {
        let ratio = ours.rate / theirs.rate;
        Row {
            what: what.to_owned(),
            load: us.load.told(),
            ours: format!("{:.0}/s", ours.rate),
            peer: peer.name.to_owned(),
            theirs: format!("{:.0}/s", theirs.rate),
            ratio: format!("{ratio:.2}"),
            per_cpu: format!("{:.2}", ours.per_cpu_second / theirs.per_cpu_second),
            target: match target {
                Some(target) if index == 0 => wanted(&format!("≥ {target}"), ratio >= target),
                Some(_) | None => String::new(),
            },
        }
    };
    all.enumerate().map(row).collect()
}

/// A target, and whether it was reached.
pub(crate) fn wanted(target: &str, is_met: bool) -> String {
    format!("{target}: {}", if is_met { "met" } else { "**missed**" })
}
