//! Runs that are caught when they panic, and made smaller when they break a rule.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::plan::{Action, Plan};
use crate::stage::Broken;
use crate::world::{self, Failure, Report};

/// Runs a plan; a panic is a broken rule too.
///
/// # Errors
/// A rule was broken.
pub fn attempt(plan: &Plan, with_log: bool) -> Result<Report, Failure> {
    let caught = catch_unwind(AssertUnwindSafe(|| world::run(plan, with_log)));
    caught.unwrap_or_else(|_| {
        let how = "the panic's message is above".to_owned();
        Err(Failure { broken: Broken { rule: "nothing panics", how }, log: Vec::new() })
    })
}

/// Takes actions out of a plan for as long as it breaks the same rule: first halves, then ever
/// smaller pieces, until no single one can go.
#[must_use]
pub fn shrink(mut plan: Plan, rule: &str) -> Plan {
    let breaks = |actions: &[Action]| {
        let smaller = Plan { actions: actions.to_vec(), ..plan.clone() };
        attempt(&smaller, false).is_err_and(|failure| failure.broken.rule == rule)
    };
    let mut actions = plan.actions.clone();
    let mut size = actions.len().div_ceil(2);
    while size > 0 {
        let mut begin = 0;
        let mut is_smaller = false;
        while begin < actions.len() {
            let end = (begin + size).min(actions.len());
            let without = [&actions[..begin], &actions[end..]].concat();
            if breaks(&without) {
                actions = without;
                is_smaller = true;
            } else {
                begin = end;
            }
        }
        if size == 1 && !is_smaller {
            break;
        }
        size = if size == 1 { 1 } else { size / 2 };
    }
    plan.actions = actions;
    plan
}
