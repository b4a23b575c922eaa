//! Real jobs in real VMs, in one process so that the VMs' start is paid for once per lab.
//!
//! The scenarios run one after the other: several of them count processes or look for the one VM
//! that runs their job. A lab starts when the first scenario needs it and is torn down at the end.

#![expect(clippy::print_stdout, reason = "figures that a scenario measured belong to its output")]

mod cached;
mod daemons;
mod distribution;
mod exactness;
mod examples;
mod faults;
mod fleet;
mod journal;
mod labs;
mod limits;
mod load;
mod many;
mod packs;
mod pe;
mod rogue;
mod threats;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use pe_e2e::circumstances::Selection;

use labs::Labs;

/// A scenario: its name is a sentence of behaviour.
pub(crate) struct Scenario {
    name: &'static str,
    run: fn(&Labs) -> anyhow::Result<()>,
}

/// Names a scenario after its function.
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        pub(crate) fn all() -> Vec<crate::Scenario> {
            vec![$(crate::Scenario { name: stringify!($name), run: $name }),*]
        }
    };
}
pub(crate) use scenarios;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    // Leaked on purpose: libtest-mimic wants 'static closures. The labs inside are ended below.
    let labs: &'static Labs = Box::leak(Box::default());
    let groups = [
        ("exactness", exactness::all()),
        ("limits", limits::all()),
        ("faults", faults::all()),
        ("rogue", rogue::all()),
        ("threats", threats::all()),
        ("packs", packs::all()),
        ("pe", pe::all()),
        ("cached", cached::all()),
        ("examples", examples::all()),
        ("daemons", daemons::all()),
        ("distribution", distribution::all()),
        ("load", load::all()),
        ("fleet", fleet::all()),
        ("many", many::all()),
    ];
    let full = |group: &str, scenario: &Scenario| format!("{group}::{}", scenario.name);
    let names: Vec<String> = groups
        .iter()
        .flat_map(|(group, all)| all.iter().map(|scenario| full(group, scenario)))
        .collect();
    let selection = match Selection::checked(&names) {
        Ok(selection) => selection,
        Err(error) => {
            println!("{error:?}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = Vec::new();
    for (group, scenarios) in groups {
        for scenario in scenarios {
            let name = full(group, &scenario);
            if !selection.has(&name) {
                continue;
            }
            trials.push(Trial::test(name, move || {
                (scenario.run)(labs).map_err(|error| format!("{error:?}\n{}", labs.logs()).into())
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    labs.end();
    conclusion.exit_code()
}
