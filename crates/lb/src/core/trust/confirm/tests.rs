//! Confirmations in words, and their promises against any order of events.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const TERMS: ConfirmTerms = ConfirmTerms { percent: 10, runs_max: 2 };

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn job(number: u32) -> Digest {
    Digest::of(&number.to_le_bytes())
}

fn word(owner: u8, said: u8, is_trusted: bool) -> Word {
    let worker = Arc::from(format!("worker of {owner}"));
    Word { said: Digest([said; 32]), worker, owner: OwnerKey([owner; 16]), is_trusted }
}

fn confirmations() -> Confirmations {
    Confirmations::new(TERMS)
}

#[test]
fn what_two_owners_or_a_trusted_worker_say_is_kept_and_what_one_owner_says_twice_is_not() {
    let check = |second: Word, expected: Heard| {
        let mut book = confirmations();
        assert_eq!(book.hear(job(1), word(1, 7, false), at(0)), Heard::First);
        assert_eq!(book.hear(job(2), second.clone(), at(1)), Heard::First, "another job");
        assert_eq!(book.hear(job(1), second, at(1)), expected);
    };
    check(word(2, 7, false), Heard::Agrees);
    check(word(1, 7, false), Heard::First);
    check(word(2, 7, true), Heard::Agrees);
    check(word(1, 7, true), Heard::Agrees);
    for owner in [1, 2] {
        for is_trusted in [false, true] {
            check(word(owner, 8, is_trusted), Heard::Differs(word(1, 7, false)));
        }
    }
}

#[test]
fn who_is_contradicted_is_not_believed_by_a_third_and_a_job_in_vain_is_left_alone_for_a_while() {
    let mut book = confirmations();
    for round in 0..CONFIRM_VAIN_MAX {
        assert_eq!(book.hear(job(1), word(1, 7, false), at(0)), Heard::First, "{round}");
        let differs = Heard::Differs(word(1, 7, false));
        assert_eq!(book.hear(job(1), word(2, 8, false), at(0)), differs);
    }
    assert_eq!(book.hear(job(1), word(3, 7, false), at(1)), Heard::LeftAlone);
    assert_eq!(book.ask(job(1), 1, 0), Err(NotAsked::Needless));
    book.purge(job(1));
    assert_eq!(book.hear(job(1), word(3, 7, false), at(2)), Heard::LeftAlone, "after a purge");
    let later = at(0).after(CONFIRM_FORGET);
    assert_eq!(book.hear(job(1), word(1, 7, false), later), Heard::First);
    assert_eq!(book.hear(job(1), word(3, 7, false), later), Heard::Agrees);
}

#[test]
fn somebody_who_has_nothing_to_say_is_in_vain_and_no_slot_is_not() {
    let mut book = confirmations();
    assert_eq!(book.hear(job(1), word(1, 7, false), at(0)), Heard::First);
    for _ in 0..100 {
        assert_eq!(book.ask(job(1), 1, 0), Ok(()));
        assert_eq!(book.ask(job(1), 1, 0), Err(NotAsked::Needless), "it is being asked");
        book.over(job(1), 1, false);
    }
    for _ in 0..CONFIRM_VAIN_MAX {
        assert_eq!(book.ask(job(1), 1, 0), Ok(()));
        book.over(job(1), 1, true);
    }
    assert_eq!(book.hear(job(1), word(1, 7, false), at(1)), Heard::LeftAlone);
}

#[test]
fn what_was_purged_is_said_anew() {
    let mut book = confirmations();
    assert_eq!(book.hear(job(1), word(1, 7, false), at(0)), Heard::First);
    book.purge(job(1));
    assert_eq!(book.ask(job(1), 1, 0), Err(NotAsked::Needless));
    assert_eq!(book.hear(job(1), word(2, 7, false), at(1)), Heard::First);
    assert_eq!(book.hear(job(1), word(1, 7, false), at(2)), Heard::Agrees);
}

#[test]
fn as_many_are_asked_as_the_settings_say_and_never_more_than_there_is_room_for() {
    let mut book = confirmations();
    let numbers = || 0..u32::try_from(CONFIRM_ASKED_MAX).unwrap();
    for number in 0..=u32::try_from(CONFIRM_ASKED_MAX).unwrap() {
        book.hear(job(number), word(1, 7, false), at(0));
    }
    let asked = (0..100).filter(|chance| {
        let is_asked = book.ask(job(0), 0, *chance).is_ok();
        if is_asked {
            book.over(job(0), 0, false);
        }
        is_asked
    });
    assert_eq!(asked.count(), 10);
    assert_eq!(book.ask(job(0), CONFIRM_BYTES_MAX + 1, 0), Err(NotAsked::Crowded));
    for number in numbers() {
        assert_eq!(book.ask(job(number), 1, 0), Ok(()));
    }
    let last = job(u32::try_from(CONFIRM_ASKED_MAX).unwrap());
    assert_eq!(book.ask(last, 1, 0), Err(NotAsked::Crowded));
    book.over(job(0), 1, false);
    assert_eq!(book.ask(last, 1, 0), Ok(()));
    assert_eq!([book.may_run(), book.may_run(), book.may_run()], [true, true, false]);
    book.reload(ConfirmTerms { percent: 0, runs_max: 3 });
    assert_eq!([book.may_run(), book.may_run()], [true, false]);
    book.over(last, 1, false);
    assert_eq!(book.ask(last, 1, 0), Err(NotAsked::Sampled), "it was turned off");
}

#[test]
fn what_is_remembered_is_bounded_and_who_is_being_asked_about_stays() {
    let mut book = confirmations();
    book.hear(job(0), word(1, 7, false), at(0));
    assert_eq!(book.ask(job(0), 1, 0), Ok(()));
    for number in 1..=u32::try_from(CONFIRM_CASES_MAX).unwrap() {
        book.hear(job(number), word(1, 7, false), at(1));
    }
    assert_eq!((book.cases.len(), book.by_age.len()), (CONFIRM_CASES_MAX, CONFIRM_CASES_MAX));
    assert_eq!(book.hear(job(1), word(2, 7, false), at(2)), Heard::First, "it was the oldest");
    assert_eq!(book.hear(job(0), word(2, 7, false), at(2)), Heard::Agrees);
    book.over(job(0), 1, false);
    assert_eq!((book.asked, book.asked_bytes), (0, 0));
}

#[derive(Debug, Clone)]
enum Event {
    Hear { job: u32, owner: u8, said: u8, is_trusted: bool },
    Ask { job: u32 },
    Over { is_in_vain: bool },
    Purge { job: u32 },
}

fn event() -> impl Strategy<Value = Event> {
    let job = 0..3_u32;
    prop_oneof![
        6 => (job.clone(), 0..3u8, 0..2u8, prop::bool::weighted(0.2)).prop_map(
            |(job, owner, said, is_trusted)| Event::Hear { job, owner, said, is_trusted }
        ),
        3 => job.clone().prop_map(|job| Event::Ask { job }),
        3 => any::<bool>().prop_map(|is_in_vain| Event::Over { is_in_vain }),
        1 => job.prop_map(|job| Event::Purge { job }),
    ]
}

proptest! {
    /// Whatever happens in whatever order: what is kept was said by two who are not of one owner,
    /// or by a trusted one too, and nobody said anything else in between.
    #[test]
    fn nothing_is_kept_that_not_two_said(events in prop::collection::vec(event(), 1..80)) {
        let mut book = confirmations();
        // All words of each job since something was settled, and how often it was in vain.
        let mut words: HashMap<u32, (Vec<Word>, u8)> = HashMap::new();
        let mut asked: Vec<u32> = Vec::new();
        for event in events {
            match event {
                Event::Hear { job: number, owner, said, is_trusted } => {
                    let word = word(owner, said, is_trusted);
                    let heard = book.hear(job(number), word.clone(), at(0));
                    if is_trusted && !words.contains_key(&number) {
                        // There is nothing to confirm, so nothing begins that could be in vain.
                        prop_assert_eq!(heard, Heard::First);
                        continue;
                    }
                    let (before, in_vain) = words.entry(number).or_default();
                    let may_agree = before.iter().all(|other| other.said == word.said)
                        && before.iter().any(|other| is_trusted || other.owner != word.owner);
                    prop_assert_eq!(heard == Heard::Agrees, may_agree && *in_vain < CONFIRM_VAIN_MAX);
                    match heard {
                        Heard::First if is_trusted => {}
                        Heard::First => before.push(word),
                        Heard::Agrees => { words.remove(&number); }
                        Heard::Differs(other) => {
                            prop_assert!(other.said != word.said && before.contains(&other));
                            before.clear();
                            *in_vain += 1;
                        }
                        Heard::LeftAlone => prop_assert!(*in_vain >= CONFIRM_VAIN_MAX),
                    }
                }
                Event::Ask { job: number } => if book.ask(job(number), 1, 0).is_ok() {
                    let (before, _) = &words[&number];
                    prop_assert!(!before.is_empty());
                    asked.push(number);
                },
                Event::Over { is_in_vain } => if let Some(number) = asked.pop() {
                    book.over(job(number), 1, is_in_vain);
                    if let Some((_, count)) = words.get_mut(&number) {
                        *count = count.saturating_add(is_in_vain.into());
                    }
                },
                Event::Purge { job: number } => {
                    book.purge(job(number));
                    if let Some((before, _)) = words.get_mut(&number) {
                        before.clear();
                    }
                }
            }
            prop_assert_eq!((book.asked, book.asked_bytes), (asked.len(), asked.len() as u64));
        }
    }
}
