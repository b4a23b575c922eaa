use super::*;
use crate::doctor::Verdict::{Fail, Pass, Warn};
use crate::doctor::facts::{Swap, tests::plain_host};

fn with_budget(mib: u64) -> HostFacts {
    HostFacts { memory_budget_mib: mib, ..plain_host() }
}

#[test]
fn memory_is_judged_by_the_workers_own_plan() {
    let needs = Needs::private();
    assert_eq!(memory(&with_budget(14_000), &needs).verdict, Pass);
    let found = memory(&with_budget(4096), &needs);
    assert_eq!(found.verdict, Fail);
    assert!(found.seen.contains("slots (at most"), "{}", found.seen);
    let least = (1..14_000).find(|mib| memory(&with_budget(*mib), &needs).verdict != Fail);
    let found = memory(&with_budget(least.expect("enough")), &needs);
    assert_eq!(found.verdict, Warn);
    assert!(found.seen.contains("all slots at the same time"), "{}", found.seen);
}

#[test]
fn a_budget_beyond_what_is_free_is_told() {
    let needs = Needs { memory_budget_mib: Some(64_000), ..Needs::private() };
    let found = memory(&with_budget(13_000), &needs);
    assert_eq!(found.verdict, Warn);
    assert!(found.mend.is_some_and(|it| it.contains("13000")));
}

#[test]
fn emulated_guests_are_smaller_unless_told_otherwise() {
    let emulated = HostFacts { virtualisation: false, ..with_budget(3_000) };
    assert_eq!(memory(&emulated, &Needs::private()).verdict, Pass);
    assert_eq!(memory(&with_budget(3_000), &Needs::private()).verdict, Fail);
    let told = Needs { memory_mib: Some(2048), ..Needs::private() };
    assert_eq!(memory(&emulated, &told).verdict, Fail);
}

#[test]
fn huge_pages_are_transparent_and_not_reserved() {
    let mode = |mode: &str| HostFacts { huge_pages: Some(mode.to_owned()), ..plain_host() };
    assert_eq!(huge_pages(&mode("always")).verdict, Pass);
    assert_eq!(huge_pages(&mode("madvise")).verdict, Pass);
    assert_eq!(huge_pages(&mode("never")).verdict, Warn);
    let reserved = [("HugePages_Free".to_owned(), 8)].into();
    let found = huge_pages(&HostFacts { memory: reserved, ..plain_host() });
    assert_eq!(found.mend.as_deref(), Some("sysctl -w vm.nr_hugepages=0"));
}

/// In private a warning, in public a failure, accepted a warning again.
fn check_risk(risk: Risk, judge: impl Fn(&Needs) -> Finding) {
    let private = judge(&Needs::private());
    assert_eq!(private.verdict, Warn);
    assert!(private.seen.contains("public"), "{}", private.seen);
    let public = judge(&Needs::public());
    assert_eq!(public.verdict, Fail);
    let override_ = format!("accept = [\"{}\"]", risk.as_str());
    assert!(public.mend.is_some_and(|it| it.contains(&override_)));
    let accepted = judge(&Needs { accepted: vec![risk], ..Needs::public() });
    assert_eq!(accepted.verdict, Warn);
    assert!(accepted.seen.contains("accepted"), "{}", accepted.seen);
}

#[test]
fn merged_pages_are_a_risk_while_they_are_merged() {
    let with = |ksm, ksm_pages| HostFacts { ksm, ksm_pages, ..plain_host() };
    check_risk(Risk::Ksm, |needs| ksm(&with(Some(1), 0), needs));
    check_risk(Risk::Ksm, |needs| ksm(&with(Some(0), 7), needs));
    for off in [with(None, 0), with(Some(0), 0), with(Some(2), 0)] {
        assert_eq!(ksm(&off, &Needs::public()).verdict, Pass);
    }
}

#[test]
fn swap_is_a_risk_whatever_it_is_on() {
    let swaps = vec![Swap { name: "/dev/zram0".to_owned(), kib: 4096 }];
    let facts = HostFacts { swaps, ..plain_host() };
    check_risk(Risk::Swap, |needs| swap(&facts, needs));
    assert!(swap(&facts, &Needs::private()).seen.contains("/dev/zram0 (4 MiB)"));
    assert_eq!(swap(&plain_host(), &Needs::public()).verdict, Pass);
}

#[test]
fn descriptors_are_counted_by_the_slot() {
    let most = |most| HostFacts { descriptors_max: most, ..plain_host() };
    let needs = Needs::private();
    let need = 4 * DESCRIPTORS_PER_VM + DESCRIPTORS_RESERVE;
    assert_eq!(descriptors(&most(Some(need)), &needs).verdict, Pass);
    assert_eq!(descriptors(&most(Some(need - 1)), &needs).verdict, Fail);
    assert_eq!(descriptors(&most(None), &needs).verdict, Pass);
}
