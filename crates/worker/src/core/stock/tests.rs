use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn pack(number: u8) -> Digest {
    Digest([number; 32])
}

fn image(number: u8) -> Digest {
    Digest([number + 100; 32])
}

/// Pack n holds image n.
fn listed(number: u8, bytes: u64) -> Listed {
    Listed { pack: pack(number), bytes, basis: None, images: vec![image(number)] }
}

fn secs(seconds: u64) -> Moment {
    Duration::from_secs(seconds)
}

fn fetch(number: u8, evict: &[u8]) -> Step {
    Step::Fetch { pack: pack(number), evict: evict.iter().map(|it| pack(*it)).collect() }
}

fn idle(_: Digest) -> bool {
    false
}

#[test]
fn an_idle_worker_fetches_in_the_order_of_the_catalogue_what_fits() {
    let mut stock = Stock::new(100, 80);
    stock.list(vec![listed(1, 90), listed(2, 60), listed(3, 50), listed(4, 40)]);
    assert_eq!(stock.next(secs(0), idle), fetch(2, &[]), "the first is too long for any VM");
    stock.put(pack(2), 60, secs(0));
    assert_eq!(stock.next(secs(0), idle), fetch(4, &[]), "the next one that there is room for");
    stock.put(pack(4), 40, secs(0));
    assert_eq!(stock.next(secs(0), idle), Step::Rest);
    assert_eq!(stock.able(idle), [image(3)], "it could be had, at the cost of another");
}

#[test]
fn what_is_waited_for_goes_first_and_pushes_out_what_was_used_the_longest_ago() {
    let mut stock = Stock::new(100, 100);
    stock.list(vec![listed(1, 40), listed(2, 40), listed(3, 50), listed(4, 60)]);
    stock.put(pack(1), 40, secs(1));
    stock.put(pack(2), 40, secs(2));
    stock.used(pack(1), secs(3));
    stock.want(vec![image(4), image(3)]);
    assert_eq!(stock.next(secs(4), idle), fetch(4, &[2]));
    assert_eq!(stock.next(secs(4), |it| it == pack(2)), fetch(4, &[1]), "one is in use");
    stock.want(vec![image(4), image(2)]);
    assert_eq!(stock.next(secs(4), idle), fetch(4, &[1]), "one is waited for");
    assert_eq!(stock.next(secs(4), |it| it == pack(1)), Step::Rest, "nothing may go");
    assert_eq!(stock.able(|it| it == pack(1)), [image(3), image(4)]);
    assert_eq!(stock.able(|_| true), [], "all is in use");
}

#[test]
fn what_the_catalogue_lost_makes_room_even_for_what_nobody_waits_for() {
    let mut stock = Stock::new(100, 100);
    stock.put(pack(9), 70, secs(5));
    stock.part(pack(8), 20);
    stock.list(vec![listed(1, 50), listed(2, 50)]);
    assert_eq!(stock.next(secs(5), idle), fetch(1, &[8, 9]), "beginnings first");
    stock.gone(pack(8));
    stock.gone(pack(9));
    stock.part(pack(1), 49);
    assert_eq!(stock.next(secs(5), idle), fetch(1, &[]), "goes on with what it has");
}

#[test]
fn a_pack_that_another_takes_bytes_of_goes_last_for_that_one() {
    let mut stock = Stock::new(100, 100);
    let basis = Some(Basis { pack: pack(8), from: 0, to: 30 });
    stock.list(vec![Listed { basis, ..listed(1, 60) }]);
    stock.put(pack(8), 30, secs(1));
    stock.put(pack(9), 40, secs(2));
    assert_eq!(stock.next(secs(3), idle), fetch(1, &[9]), "though it was used later");
    stock.list(vec![Listed { basis, ..listed(1, 80) }]);
    assert_eq!(stock.next(secs(3), idle), fetch(1, &[9, 8]), "there is no other way");
}

#[test]
fn a_transfer_that_fails_is_left_alone_for_a_growing_time_and_then_not_promised() {
    let mut stock = Stock::new(100, 100);
    stock.list(vec![listed(1, 50), listed(2, 50)]);
    stock.failed(pack(1), secs(0));
    assert_eq!(stock.next(secs(0), idle), fetch(2, &[]), "another meanwhile");
    stock.put(pack(2), 50, secs(0));
    assert_eq!(stock.next(secs(0), idle), Step::Wait(FETCH_AGAIN_MIN));
    assert_eq!(stock.able(idle), [image(1)]);
    let mut now = FETCH_AGAIN_MIN;
    for _ in 1..FETCH_FAILURES_MAX {
        assert_eq!(stock.next(now, idle), fetch(1, &[]));
        stock.failed(pack(1), now);
        let Step::Wait(until) = stock.next(now, idle) else { panic!("no wait") };
        assert!(until - now >= FETCH_AGAIN_MIN * 2 && until - now <= FETCH_AGAIN_MAX);
        now = until;
    }
    assert_eq!(stock.able(idle), [], "jobs are better off elsewhere");
    stock.progressed(pack(1));
    assert_eq!(stock.able(idle), [image(1)]);
    stock.failed(pack(1), now);
    stock.list(vec![listed(1, 50), listed(2, 50)]);
    assert_eq!(stock.next(now, idle), fetch(1, &[]), "a new catalogue is a new chance");
    stock.hopeless(pack(1));
    assert_eq!(stock.next(now, idle), Step::Wait(Moment::MAX));
    assert_eq!(stock.able(idle), []);
}

/// What happens to a worker, by numbers.
#[derive(Debug, Clone)]
enum Happens {
    List(Vec<(u8, u8)>),
    Want(Vec<u8>),
    Use(u8),
    Busy(Vec<u8>),
    Fails,
    BreaksOff(u8),
    Comes,
    Passes(u16),
}

fn happens() -> impl Strategy<Value = Happens> {
    let numbers = || prop::collection::vec(0..8u8, 0..4);
    prop_oneof![
        1 => prop::collection::vec((0..8u8, 1..70u8), 0..8).prop_map(Happens::List),
        3 => numbers().prop_map(Happens::Want),
        2 => (0..8u8).prop_map(Happens::Use),
        2 => numbers().prop_map(Happens::Busy),
        2 => Just(Happens::Fails),
        3 => any::<u8>().prop_map(Happens::BreaksOff),
        6 => Just(Happens::Comes),
        2 => (0..600u16).prop_map(Happens::Passes),
    ]
}

const BUDGET: u64 = 100;

proptest! {
    #[test]
    fn the_disk_is_never_over_its_budget_and_what_is_needed_stays(
        all in prop::collection::vec(happens(), 1..60),
    ) {
        let mut stock = Stock::new(BUDGET, 60);
        let (mut now, mut busy, mut lengths) = (Moment::ZERO, BTreeSet::new(), BTreeMap::new());
        let mut wanted: Vec<u8> = Vec::new();
        for happens in all {
            match happens {
                Happens::List(list) => {
                    // The same pack is as long in every catalogue.
                    let mut seen = BTreeSet::new();
                    let list = list.into_iter().filter(|(number, _)| seen.insert(*number));
                    let list: Vec<Listed> = list
                        .map(|(number, bytes)| {
                            let bytes = *lengths.entry(number).or_insert(u64::from(bytes));
                            listed(number, bytes)
                        })
                        .collect();
                    stock.list(list);
                }
                Happens::Want(numbers) => {
                    stock.want(numbers.iter().map(|it| image(*it)).collect());
                    wanted = numbers;
                }
                Happens::Use(number) => stock.used(pack(number), now),
                Happens::Busy(numbers) => busy = numbers.into_iter().map(pack).collect(),
                Happens::Passes(seconds) => now += secs(seconds.into()),
                Happens::Fails | Happens::BreaksOff(_) | Happens::Comes => {
                    let step = stock.next(now, |it| busy.contains(&it));
                    let (next, evict) = match step {
                        Step::Fetch { pack, evict } => (pack, evict),
                        Step::Wait(until) => {
                            prop_assert!(until > now);
                            continue;
                        }
                        Step::Rest => continue,
                    };
                    let listed = stock.listed(next).cloned();
                    let listed = listed.ok_or_else(|| TestCaseError::fail("not in the catalogue"))?;
                    prop_assert!(!stock.here.contains_key(&next) && listed.bytes <= 60);
                    for gone in evict {
                        prop_assert!(!busy.contains(&gone), "it is in use");
                        prop_assert!(!stock.is_wanted(gone), "it is waited for");
                        prop_assert!(gone != next);
                        let for_nobody = !stock.is_wanted(next);
                        prop_assert!(!for_nobody || stock.listed(gone).is_none());
                        stock.gone(gone);
                    }
                    let had = stock.parts.get(&next).copied().unwrap_or(0);
                    prop_assert!(stock.bytes() - had + listed.bytes <= BUDGET);
                    // Whatever fits of what is waited for goes before what nobody waits for.
                    if !stock.is_wanted(next) {
                        for number in &wanted {
                            let Some(other) = stock.listed(pack(*number)) else { continue };
                            let is_late = stock.troubles.get(&other.pack).is_some_and(|it| it.not_before > now);
                            let room = stock.room_for(other, true, &|it| busy.contains(&it));
                            let is_had = stock.here.contains_key(&other.pack);
                            prop_assert!(is_had || is_late || room.is_none() || other.bytes > 60);
                        }
                    }
                    match happens {
                        Happens::Comes => stock.put(next, listed.bytes, now),
                        Happens::BreaksOff(bytes) => {
                            stock.part(next, u64::from(bytes).min(listed.bytes).max(had));
                            stock.failed(next, now);
                        }
                        Happens::List(_)
                        | Happens::Want(_)
                        | Happens::Use(_)
                        | Happens::Busy(_)
                        | Happens::Fails
                        | Happens::Passes(_) => stock.failed(next, now),
                    }
                }
            }
            prop_assert!(stock.bytes() <= BUDGET);
        }
    }
}
