use super::*;
use crate::doctor::Verdict::{self, Fail, Pass, Warn};
use crate::doctor::facts::tests::plain_host;

fn check_clock(synchronised: Option<bool>, off_s: Option<u64>, verdict: Verdict) {
    let facts = HostFacts { clock_synchronised: synchronised, ..plain_host() };
    let found = clock(&facts, off_s.map(Duration::from_secs));
    assert_eq!(found.verdict, verdict, "{found:?}");
}

#[test]
fn a_clock_is_right_if_it_is_kept_right_and_agrees_with_the_lb() {
    check_clock(Some(true), None, Pass);
    check_clock(Some(true), Some(3), Pass);
    check_clock(Some(true), Some(4), Warn);
    check_clock(Some(true), Some(121), Fail);
    check_clock(Some(false), Some(0), Warn);
    check_clock(Some(false), Some(4000), Fail);
    check_clock(None, None, Warn);
}

#[test]
fn a_host_is_neither_just_up_nor_up_for_ever() {
    let up = |seconds| {
        uptime(&HostFacts { uptime: Duration::from_secs(seconds), ..plain_host() }).verdict
    };
    assert_eq!((up(59), up(60), up(400 * DAY), up(401 * DAY)), (Warn, Pass, Pass, Warn));
}

#[test]
fn a_generator_that_is_not_seeded_is_told() {
    let bits = |entropy| super::entropy(&HostFacts { entropy, ..plain_host() }).verdict;
    assert_eq!((bits(Some(256)), bits(Some(127)), bits(None)), (Pass, Warn, Warn));
}
