//! A few hundred seeds with the ordinary tests; thousands are run by `scripts/test.sh`.

use pe_sim::chance::Chance;
use pe_sim::plan::Plan;
use pe_sim::shrink::attempt;

#[test]
fn no_seed_breaks_a_rule() {
    for seed in 0..200 {
        if let Err(failure) = attempt(&Plan::of(seed), false) {
            panic!("seed {seed} broke a rule: {:?}", failure.broken);
        }
    }
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    let log = || {
        let mut plan = Plan::of(7);
        // A lie on top, so that there is a log to compare.
        plan.chance = Chance(7);
        let report = attempt(&plan, true).expect("a run");
        (report.steps, format!("{:?} {:?}", report.ends, report.figures))
    };
    assert_eq!(log(), log());
}
