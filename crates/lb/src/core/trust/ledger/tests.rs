//! Strikes, in words, and against a model that replays the whole history each time.

use proptest::prelude::*;

use super::*;

fn terms() -> StrikeTerms {
    StrikeTerms {
        limit: 10.0,
        half_life: Duration::from_secs(600),
        quarantine_min: Duration::from_secs(60),
        quarantine_max: Duration::from_secs(3600),
        forget: Duration::from_secs(6 * 3600),
    }
}

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn name(text: &str) -> Arc<str> {
    Arc::from(text)
}

#[test]
fn three_lies_are_a_quarantine_and_two_are_a_warning() {
    let mut ledger = Ledger::new(terms());
    let liar = name("liar");
    assert_eq!(ledger.strike(&liar, Fault::Twice, at(0)), None);
    assert_eq!(ledger.strike(&liar, Fault::Malformed, at(1)), None);
    assert_eq!(ledger.strike(&liar, Fault::NotGiven, at(2)), Some(at(62)));
    assert_eq!(ledger.regard("liar", at(61)).quarantined, Some(at(62)));
    assert_eq!(ledger.regard("liar", at(62)).quarantined, None);
    assert_eq!(ledger.regard("other", at(2)), Regard::default());
}

#[test]
fn losses_far_apart_are_forgiven_and_losses_in_a_row_are_not() {
    let mut ledger = Ledger::new(terms());
    let (seldom, often) = (name("seldom"), name("often"));
    for hour in 0..100 {
        assert_eq!(ledger.strike(&seldom, Fault::Lost, at(hour * 3600)), None);
    }
    let quarantined = (0..20).filter_map(|second| ledger.strike(&often, Fault::Lost, at(second)));
    assert_eq!(quarantined.collect::<Vec<_>>(), [at(70)], "at the tenth, and not again inside");
}

#[test]
fn quarantines_grow_to_a_bound_and_shrink_after_a_long_good_time() {
    let mut ledger = Ledger::new(terms());
    let liar = name("liar");
    let mut now = at(0);
    let mut lengths = Vec::new();
    for _ in 0..8 {
        let until = loop {
            if let Some(until) = ledger.strike(&liar, Fault::Twice, now) {
                break until;
            }
        };
        lengths.push(until.since(now).as_secs());
        now = until;
    }
    assert_eq!(lengths, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    now = now.after(terms().forget);
    let until = (0..3).find_map(|_| ledger.strike(&liar, Fault::Twice, now)).unwrap();
    assert_eq!(until.since(now).as_secs(), 60);
}

#[test]
fn what_the_operator_orders_has_no_end_but_the_operators_word() {
    let mut ledger = Ledger::new(terms());
    let worker = name("w");
    assert!(ledger.condemn(&worker, true, at(0)) && ledger.drain(&worker, true, at(0)));
    let regard = ledger.regard("w", at(1_000_000));
    assert!(regard.is_condemned && regard.is_drained);
    assert!(ledger.condemn(&worker, false, at(1_000_000)));
    let regard = ledger.regard("w", at(1_000_000));
    assert!(!regard.is_condemned && regard.is_drained && regard.quarantined.is_none());
}

#[test]
fn names_without_end_take_no_memory_without_end_and_push_no_order_out() {
    let mut ledger = Ledger::new(terms());
    assert!(ledger.condemn(&name("bad"), true, at(0)));
    for number in 0..2 * STRUCK_WORKERS_MAX {
        ledger.strike(&name(&number.to_string()), Fault::Lost, at(1));
    }
    assert_eq!(ledger.records.len(), STRUCK_WORKERS_MAX);
    assert!(ledger.regard("bad", at(2)).is_condemned);
}

proptest! {
    /// The score is the sum of what each fault left, and nobody pays for another.
    #[test]
    fn a_score_is_what_its_faults_left_of_it(
        steps in prop::collection::vec((0..3_u8, 0..5_usize, 0..900_u64), 1..40)
    ) {
        // No quarantine comes in between: that is the other tests' matter.
        let mut ledger = Ledger::new(StrikeTerms { limit: f64::INFINITY, ..terms() });
        let mut history: Vec<(u8, f64, u64)> = Vec::new();
        let mut now = 0;
        for (who, fault, pause) in steps {
            now += pause;
            let fault = Fault::ALL[fault];
            prop_assert_eq!(ledger.strike(&name(&who.to_string()), fault, at(now)), None);
            history.push((who, fault.weight(), now));
            for each in 0..3 {
                let left = |(_, weight, then): &(u8, f64, u64)| {
                    let passed = Duration::from_secs(now - then).as_secs_f64();
                    weight * 0.5_f64.powf(passed / 600.0)
                };
                let expected: f64 = history.iter().filter(|row| row.0 == each).map(left).sum();
                let strikes = ledger.regard(&each.to_string(), at(now)).strikes;
                prop_assert!((strikes - expected).abs() < 1e-6, "{} {}", strikes, expected);
            }
        }
    }
}
