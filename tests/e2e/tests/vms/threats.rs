//! The threat cases of docs/threat-model.md that need real VMs, each a scenario with its number.
//! Attacks are programs of `tests/e2e/attacks`, or modes of `tests/rogue-init` where the guest's
//! kernel itself is the attacker. Cases that other groups or crates hold are named in that page.

mod container;
mod guests;
mod output;
mod requests;
mod siblings;
mod vmms;

pub(crate) fn all() -> Vec<crate::Scenario> {
    let groups = [
        container::all(),
        output::all(),
        siblings::all(),
        guests::all(),
        vmms::all(),
        requests::all(),
    ];
    groups.into_iter().flatten().collect()
}
